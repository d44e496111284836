package recipe

import (
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/registry"
)

// models are small random decoders, whose logits PyTorch has computed.
const models = "../model/testdata"

// scaled multiplies the values of attention by trained numbers, and does not say
// how that could be part of the weights.
type scaled struct{}

func (scaled) Prepare(m *api.Model) error {
	m.Freeze()
	for _, l := range m.Linears {
		if l.Part == api.AttnValue {
			p := m.AddParam(l.Name+".scale", 1.5, l.Out)
			l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Mul(p.Var) })
		}
	}
	return nil
}

func register(t *testing.T, c *Config) *registry.Registry {
	t.Helper()
	reg := registry.New(c.Args(), nil)
	for name, values := range c.OwnDefaults() {
		reg.Defaults(name, values)
	}
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		t.Fatal(err)
	}
	own := api.Exports{Tuners: api.Tuners{"scaled": func(*api.Args) (api.Tuner, error) { return scaled{}, nil }}}
	if err := reg.Add(registry.Origin{File: "tuners.so", Path: "tuners.so"}, own); err != nil {
		t.Fatal(err)
	}
	return reg
}

// export runs Export with the adapter of a family, or another.
func export(t *testing.T, family, tuner, adapter string, o ExportOptions, change func(*Config)) (string, error) {
	t.Helper()
	c := Default()
	c.Model, c.OutputDir, c.TunerType = filepath.Join(models, family), filepath.Join(t.TempDir(), "out"), tuner
	if adapter != "" {
		c.Adapters = []string{adapter}
	}
	if change != nil {
		change(&c)
	}
	return Export(c, o, register(t, &c), io.Discard)
}

// logits returns those of the model in dir for the tokens of reference.json.
func logits(t *testing.T, dir, family string) []float32 {
	t.Helper()
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dir, e)
	if err != nil {
		t.Fatal(err)
	}
	var ref struct {
		InputIDs [][]int32 `json:"input_ids"`
	}
	if err := checkpoint.ReadJSON(filepath.Join(models, family, "reference.json"), &ref); err != nil {
		t.Fatal(err)
	}
	var ids, starts []int32
	for _, s := range ref.InputIDs {
		starts = append(starts, int32(len(ids)))
		ids = append(ids, s...)
	}
	return append([]float32(nil), m.Forward(ids, starts).Logits().Data()...)
}

func apart(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i]-b[i])))
	}
	if len(a) != len(b) || worst != worst {
		return math.Inf(1)
	}
	return worst
}

// TestMergeLoRA compares merged models with what PyTorch says of model and
// adapter.
func TestMergeLoRA(t *testing.T) {
	for _, family := range []string{"llama", "llama31", "qwen2", "qwen3"} {
		dir, err := export(t, family, "lora", filepath.Join(models, family, "lora_adapter"), ExportOptions{MergeLora: true}, func(c *Config) { c.MaxShardSize = "100KB" })
		if err != nil {
			t.Fatal(err)
		}
		w, err := checkpoint.OpenFile(filepath.Join(models, family, "logits_lora.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := w.Read("logits")
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		if worst := apart(logits(t, dir, family), want); worst >= 1e-4 {
			t.Errorf("%s: the logits of the merged model are %g beside PyTorch's, want less than 1e-4", family, worst)
		}
		for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
}

// savedAdapter makes an adapter of scaled.
func savedAdapter(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(filepath.Join(models, "qwen2"), e)
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.TunerType = "scaled"
	tuned, err := tune(&c, m, scaled{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tuned.save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMergeWantsMerger refuses a tuner that is no api.Merger.
func TestMergeWantsMerger(t *testing.T) {
	if _, err := export(t, "qwen2", "scaled", savedAdapter(t), ExportOptions{MergeLora: true}, nil); err == nil || !strings.Contains(err.Error(), "it cannot become part of the base model") {
		t.Error(err)
	}
}

// TestConvert writes a model in each dtype.
func TestConvert(t *testing.T) {
	for dtype, most := range map[string]float64{"float32": 0, "bfloat16": 0.2, "float16": 0.02} {
		dir, err := export(t, "qwen3", "lora", "", ExportOptions{}, func(c *Config) { c.TorchDtype = dtype })
		if err != nil {
			t.Fatal(err)
		}
		conf, err := model.LoadConfig(dir)
		if err != nil || conf.SavedDtype() != dtype {
			t.Errorf("%s: config.json says %s, %v", dtype, conf.SavedDtype(), err)
		}
		w, err := checkpoint.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := w.Info("model.norm.weight"); got != map[string]checkpoint.Dtype{"float32": checkpoint.F32, "bfloat16": checkpoint.BF16, "float16": checkpoint.F16}[dtype] {
			t.Errorf("%s: the weights are %s", dtype, got)
		}
		w.Close()
		if off := apart(logits(t, dir, "qwen3"), logits(t, filepath.Join(models, "qwen3"), "qwen3")); off > most || dtype != "float32" && off == 0 {
			t.Errorf("%s: the logits are off by %g", dtype, off)
		}
	}
}

// TestPeftFormat writes an adapter again, and one in ms-swift's older form.
func TestPeftFormat(t *testing.T) {
	adapter := filepath.Join(models, "llama", "lora_adapter")
	swift := t.TempDir()
	if err := os.Mkdir(filepath.Join(swift, "default"), 0o777); err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := checkpoint.ReadJSON(filepath.Join(adapter, adapterConfig), &config); err != nil {
		t.Fatal(err)
	}
	config["swift_type"], config["use_qa_lora"], config["lora_dtype"] = "LORA", false, nil
	delete(config, "peft_type")
	text, _ := json.Marshal(config)
	if err := os.WriteFile(filepath.Join(swift, "default", adapterConfig), text, 0o666); err != nil {
		t.Fatal(err)
	}
	a, err := readAdapter(adapter)
	if err != nil {
		t.Fatal(err)
	}
	var ts []checkpoint.Tensor
	for name, x := range a.Tensors {
		name = strings.Replace(strings.TrimPrefix(name, "base_model.model."), ".weight", ".default.weight", 1)
		ts = append(ts, checkpoint.Tensor{Name: name, Shape: x.Shape(), Data: x.Float32s(), Dtype: checkpoint.F32})
	}
	if err := checkpoint.WriteSafetensors(filepath.Join(swift, "default", adapterWeights), ts, nil); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{adapter, swift} {
		dir, err := export(t, "llama", "lora", from, ExportOptions{ToPeftFormat: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readAdapter(dir)
		if err != nil || len(again.Tensors) != len(a.Tensors) || !strings.Contains(string(again.Config), `"peft_type": "LORA"`) {
			t.Fatalf("%v, %d tensors, %s", err, len(again.Tensors), again.Config)
		}
		for name, x := range a.Tensors {
			if y := again.Tensors[name]; y == nil || apart(x.Float32s(), y.Float32s()) != 0 {
				t.Errorf("%s: tensor %s has changed", from, name)
			}
		}
	}
	if _, err := export(t, "qwen2", "scaled", savedAdapter(t), ExportOptions{ToPeftFormat: true}, nil); err == nil || !strings.Contains(err.Error(), "which PEFT does not read") {
		t.Errorf("%v", err)
	}
}

// TestExportRefuses holds what is refused before anything is loaded, and that a
// failure leaves nothing.
func TestExportRefuses(t *testing.T) {
	adapter := filepath.Join(models, "qwen2", "lora_adapter")
	taken := t.TempDir()
	for want, test := range map[string]struct {
		o       ExportOptions
		adapter string
		change  func(*Config)
	}{
		"is there already":                {ExportOptions{MergeLora: true}, adapter, func(c *Config) { c.OutputDir = taken }},
		"which is read":                   {ExportOptions{MergeLora: true, ExistOK: true}, adapter, func(c *Config) { c.OutputDir = filepath.Dir(adapter) }},
		"--adapters is missing":           {ExportOptions{MergeLora: true}, "", nil},
		"nothing says what to do with it": {ExportOptions{}, adapter, nil},
		"nothing says what to export":     {ExportOptions{}, "", func(c *Config) { c.OutputDir = "" }},
		"want one: a merged model":        {ExportOptions{MergeLora: true, ToPeftFormat: true}, adapter, nil},
		`--torch_dtype is "int8"`:         {ExportOptions{MergeLora: true}, adapter, func(c *Config) { c.TorchDtype = "int8" }},
		"no such file":                    {ExportOptions{MergeLora: true}, adapter + "x", nil},
		`no tuner "lroa"`:                 {ExportOptions{MergeLora: true}, adapter, func(c *Config) { c.TunerType = "lroa" }},
		"does not fit":                    {ExportOptions{MergeLora: true}, filepath.Join(models, "llama", "lora_adapter"), nil},
		"is a whole model of tuner full":  {ExportOptions{MergeLora: true}, filepath.Join(models, "qwen2"), func(c *Config) { c.TunerType = "full"; c.Model = filepath.Join(models, "qwen2") + "/." }},
		"--max_shard_size":                {ExportOptions{MergeLora: true}, adapter, func(c *Config) { c.MaxShardSize = "5" }},
		"--adapters names 2":              {ExportOptions{MergeLora: true}, adapter, func(c *Config) { c.Adapters = append(c.Adapters, adapter) }},
		"has shape":                       {ExportOptions{MergeLora: true}, filepath.Join(models, "qwen3", "lora_adapter"), nil},
	} {
		parent := t.TempDir()
		_, err := export(t, "qwen2", "lora", test.adapter, test.o, func(c *Config) {
			if c.OutputDir = filepath.Join(parent, "out"); test.change != nil {
				test.change(c)
			}
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if left, _ := os.ReadDir(parent); len(left) > 0 {
			t.Errorf("%s: %v is left", want, left)
		}
	}
	if _, err := export(t, "qwen2", "lora", adapter, ExportOptions{MergeLora: true, ExistOK: true}, func(c *Config) { c.OutputDir = taken }); err != nil {
		t.Error(err)
	}
}
