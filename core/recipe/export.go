package recipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/tokenizer"
)

// ExportOptions are the settings of Export beside those of a run.
type ExportOptions struct {
	MergeLora    bool // make one model of the base model and the adapter
	ToPeftFormat bool // write the adapter as PEFT does
	ExistOK      bool // take the place of a directory that is there
}

// Export writes a model, or an adapter, in another form into a directory, whole
// or not at all, and returns the directory.
func Export(c Config, o ExportOptions, reg *registry.Registry, out io.Writer) (string, error) {
	if err := o.check(&c); err != nil {
		return "", err
	}
	dir := c.OutputDir
	if err := o.place(&c, dir); err != nil {
		return "", err
	}
	if len(c.Adapters) > 0 {
		if err := reg.Has("tuner", c.TunerType); err != nil {
			return "", err
		}
	}
	if err := reg.CheckOwn(); err != nil {
		return "", err
	}
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return "", err
	}
	var m *model.Model
	var t *tuned
	err = reg.Guard(func() error {
		if o.ToPeftFormat {
			m, t, err = peftForm(&c, reg)
		} else {
			m, t, err = loadAdapted(&c, reg)
		}
		if err != nil || !o.MergeLora {
			return err
		}
		if err = t.merge(); err == nil {
			fmt.Fprintf(out, "merged     %s of %s\n", t.name, c.Adapters[0])
		}
		return err
	})
	if err != nil {
		return "", err
	}
	dtype := dtypeOf(&c, m)
	if err := fits(m, dtype); err != nil && !o.ToPeftFormat {
		return "", err
	}
	err = checkpoint.Save(filepath.Dir(dir), filepath.Base(dir), func(tmp string) error {
		if o.ToPeftFormat {
			return t.save(tmp)
		}
		shard, err := size(c.MaxShardSize)
		if err != nil {
			return err
		}
		if err := SaveModel(m, tmp, dtype, shard); err != nil {
			return err
		}
		return tok.Save(tmp)
	})
	if err != nil {
		return "", err
	}
	if !o.ToPeftFormat {
		fmt.Fprintf(out, "weights    %s\n", dtypeName(dtype))
	}
	fmt.Fprintf(out, "exported   %s\n", dir)
	return dir, nil
}

// check fills in what the checkpoint of the adapter knows, and refuses what
// cannot be.
func (o *ExportOptions) check(c *Config) error {
	switch {
	case o.MergeLora && o.ToPeftFormat:
		return errors.New("--merge_lora and --to_peft_format are both given; want one: a merged model has no adapter")
	case len(c.Adapters) > 1:
		return fmt.Errorf("--adapters names %d directories, want one", len(c.Adapters))
	case (o.MergeLora || o.ToPeftFormat) && len(c.Adapters) == 0:
		return errors.New("--adapters is missing; want the directory of the adapter, such as output/…/checkpoint-100")
	case !o.MergeLora && !o.ToPeftFormat && len(c.Adapters) > 0:
		return errors.New("--adapters is given, and nothing says what to do with it; want --merge_lora or --to_peft_format")
	case !slices.Contains([]string{"", "float32", "bfloat16", "float16"}, c.TorchDtype):
		return fmt.Errorf("--torch_dtype is %q, want float32, bfloat16 or float16", c.TorchDtype)
	}
	if _, err := size(c.MaxShardSize); err != nil {
		return err
	}
	to := ""
	if len(c.Adapters) > 0 {
		from := filepath.Clean(c.Adapters[0])
		if err := fromAdapter(c, from); err != nil {
			return err
		}
		if to = from + "-merged"; o.ToPeftFormat {
			to = from + "-peft"
		}
	}
	switch {
	case c.Model == "":
		return errors.New("--model is missing; want the directory of a Hugging Face model")
	case to == "" && c.TorchDtype != "":
		to = filepath.Clean(c.Model) + "-" + c.TorchDtype
	case to == "" && c.OutputDir == "":
		return errors.New("nothing says what to export: want --merge_lora or --to_peft_format with --adapters, --torch_dtype, or an --output_dir for a copy of the model in other shards")
	}
	if c.OutputDir == "" {
		c.OutputDir = to
	}
	return nil
}

// fromAdapter takes over from the checkpoint of an adapter which model and
// tuner it belongs to, where the settings do not say, and its head.
func fromAdapter(c *Config, dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("--adapters: %w", err)
	}
	s, err := savedWith(dir)
	if err != nil {
		return fmt.Errorf("--adapters: %w", err)
	}
	if c.Model == "" && s.Model != nil {
		c.Model = *s.Model
	}
	c.takeHead(s)
	c.TunerType, err = c.tunerOf(dir)
	return err
}

// place refuses a target that is there, and one that holds what is read.
func (o *ExportOptions) place(c *Config, dir string) error {
	for _, from := range append([]string{c.Model}, c.Adapters...) {
		a, err1 := filepath.Abs(from)
		b, err2 := filepath.Abs(dir)
		if err1 == nil && err2 == nil && strings.HasPrefix(a+string(filepath.Separator), b+string(filepath.Separator)) {
			return fmt.Errorf("--output_dir %s holds %s, which is read; name another directory", dir, from)
		}
	}
	switch _, err := os.Lstat(dir); {
	case err == nil && !o.ExistOK:
		return fmt.Errorf("%s is there already; name another --output_dir, or give --exist_ok to have it replaced", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--output_dir: %w", err)
	}
	return nil
}

func dtypeName(d checkpoint.Dtype) string {
	return map[checkpoint.Dtype]string{checkpoint.F32: "float32", checkpoint.BF16: "bfloat16", checkpoint.F16: "float16"}[d]
}

// largest is the largest number of float16.
const largest = 65504

// fits refuses weights that would be infinite in a dtype.
func fits(m *model.Model, dtype checkpoint.Dtype) error {
	if dtype != checkpoint.F16 {
		return nil
	}
	for _, p := range m.Params {
		for _, x := range p.Data() {
			if (x > largest || x < -largest) && !math.IsInf(float64(x), 0) {
				return fmt.Errorf("tensor %s has %g in it, which float16 cannot hold; want --torch_dtype bfloat16 or float32", p.Name, x)
			}
		}
	}
	return nil
}

// peftForm loads an adapter, in PEFT's form or in ms-swift's older one, and
// returns it if its tuner writes PEFT's.
func peftForm(c *Config, reg *registry.Registry) (*model.Model, *tuned, error) {
	base := *c
	base.Adapters = nil
	m, _, err := loadAdapted(&base, reg)
	if err != nil {
		return nil, nil, err
	}
	tuner, err := reg.Tuner(c.TunerType)
	if err != nil {
		return nil, nil, err
	}
	s, ok := tuner.(api.Saver)
	if !ok {
		return nil, nil, fmt.Errorf("tuner %s saves its parameters by their names, which PEFT does not read; want an adapter of lora, or --merge_lora", c.TunerType)
	}
	t := &tuned{m: m, tuner: tuner, name: c.TunerType, config: c, adapted: true}
	a, err := readAdapter(c.Adapters[0])
	if errors.Is(err, fs.ErrNotExist) {
		if a, err = readAdapter(filepath.Join(c.Adapters[0], "default")); err == nil {
			err = fromSwift(a)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--adapters: %w", err)
	}
	if err := t.loadAdapter(s, a, c.Adapters[0]); err != nil {
		return nil, nil, err
	}
	again, err := s.Save(m.Model)
	if err != nil {
		return nil, nil, err
	}
	var config struct {
		PeftType string `json:"peft_type"`
	}
	if err := json.Unmarshal(again.Config, &config); err != nil || config.PeftType == "" {
		return nil, nil, fmt.Errorf("tuner %s has a form of its own, which PEFT does not read (its adapter_config.json has no peft_type); want an adapter of lora, or --merge_lora", c.TunerType)
	}
	return m, t, nil
}

// fromSwift turns an adapter as ms-swift's own tuners save it into PEFT's form.
func fromSwift(a *api.Adapter) error {
	var config map[string]any
	if err := json.Unmarshal(a.Config, &config); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	for _, key := range []string{"use_qa_lora", "use_merged_linear"} {
		if on, _ := config[key].(bool); on {
			return fmt.Errorf("adapter_config.json: %s is true, which PEFT has no form for", key)
		}
		delete(config, key)
	}
	if kind, ok := config["swift_type"]; ok {
		config["peft_type"] = kind
		delete(config, "swift_type")
	}
	var err error
	if a.Config, err = json.Marshal(config); err != nil {
		return err
	}
	named := map[string]*tensor.Dense{}
	for name, x := range a.Tensors {
		if !strings.HasPrefix(name, "base_model.model.") {
			name = "base_model.model." + name
		}
		for _, part := range []string{".lora_A", ".lora_B"} {
			name = strings.Replace(name, part+".default.", part+".", 1)
		}
		named[name] = x
	}
	a.Tensors = named
	return nil
}
