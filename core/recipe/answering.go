package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// saved is what the args.json of a checkpoint says of what it wants to be used
// with. It may be ms-swift's own.
type saved struct {
	Model           *string                   `json:"model"`
	TunerType       *string                   `json:"tuner_type"`
	TrainType       *string                   `json:"train_type"` // of ms-swift 3
	Template        *string                   `json:"template"`
	System          *string                   `json:"system"`
	AgentTemplate   *string                   `json:"agent_template"`
	UseChatTemplate *bool                     `json:"use_chat_template"`
	TaskType        *string                   `json:"task_type"`
	NumLabels       int                       `json:"num_labels"`
	ProblemType     string                    `json:"problem_type"`
	Own             map[string]map[string]any `json:"own"`
}

// savedWith reads dir/args.json, if there is one, and what is left open from
// dir/adapter_config.json.
func savedWith(dir string) (*saved, error) {
	s := &saved{}
	if err := checkpoint.ReadJSON(filepath.Join(dir, "args.json"), s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.TunerType == nil {
		s.TunerType = s.TrainType
	}
	var config struct {
		Base      *string `json:"base_model_name_or_path"`
		TunerType *string `json:"tuner_type"`
		PeftType  string  `json:"peft_type"`
		TaskType  string  `json:"task_type"` // PEFT's
	}
	err := checkpoint.ReadJSON(filepath.Join(dir, adapterConfig), &config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil && s.TunerType == nil {
			full := "full"
			s.TunerType = &full
		}
		return s, nil
	case err != nil:
		return nil, err
	}
	if s.Model == nil {
		s.Model = config.Base
	}
	if s.TunerType == nil {
		s.TunerType = config.TunerType
	}
	if s.TunerType == nil && config.PeftType != "" {
		name := strings.ToLower(config.PeftType)
		s.TunerType = &name
	}
	if s.TaskType == nil && config.TaskType == "SEQ_CLS" {
		return s, s.readHead(dir)
	}
	return s, nil
}

// FromCheckpoint fills in what the settings leave open from the checkpoint that
// they name: that of --adapters, or --model itself. Settings of extensions that
// come from there are put into own.
func (c *Config) FromCheckpoint(own map[string]map[string]any) error {
	adapters, err := c.adapters()
	if err != nil {
		return err
	}
	dir := c.Model
	if len(adapters) > 0 {
		dir = adapters[0].Dir
	}
	if dir == "" {
		return nil
	}
	s, err := savedWith(dir)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		setting *string
		saved   *string
	}{{&c.Model, s.Model}, {&c.Template, s.Template}, {&c.System, s.System}, {&c.AgentTemplate, s.AgentTemplate}} {
		if *x.setting == "" && x.saved != nil {
			*x.setting = *x.saved
		}
	}
	if s.UseChatTemplate != nil && !*s.UseChatTemplate {
		c.UseChatTemplate = false
	}
	c.takeHead(s)
	if conf, err := configAt(c.Model); err == nil && conf.Classes != nil && !slices.Contains(headed, c.TaskType) {
		c.TaskType = seqCls
	}
	names := []string{c.AgentTemplate}
	for _, a := range adapters {
		name, err := c.tunerOf(a.Dir)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	for _, name := range names {
		if values, ok := s.Own[name]; ok && own[name] == nil {
			own[name] = values
		}
	}
	return nil
}

// tunerOf returns the name of the tuner that made an adapter.
func (c *Config) tunerOf(dir string) (string, error) {
	if c.TunerType != "" {
		return c.TunerType, nil
	}
	s, err := savedWith(dir)
	if err != nil {
		return "", err
	}
	if s.TunerType == nil {
		return "", fmt.Errorf("%s: neither args.json nor %s says which tuner made it; want the directory of a checkpoint, or give --tuner_type", dir, adapterConfig)
	}
	return *s.TunerType, nil
}

// Adapter is a checkpoint to answer with, and what it is called.
type Adapter struct{ Name, Dir string }

// adapters reads --adapters: NAME=DIR, or DIR, which has no name.
func (c *Config) adapters() ([]Adapter, error) {
	var all []Adapter
	for _, text := range c.Adapters {
		a := Adapter{Dir: text}
		if name, dir, ok := strings.Cut(text, "="); ok && !strings.Contains(name, string(filepath.Separator)) {
			a = Adapter{name, dir}
			if name == "" {
				return nil, fmt.Errorf("--adapters %s: the name is empty, want NAME=DIR or DIR", text)
			}
			if slices.ContainsFunc(all, func(b Adapter) bool { return b.Name == name }) {
				return nil, fmt.Errorf("--adapters names %s twice", name)
			}
		}
		if info, err := os.Stat(a.Dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--adapters: %s is no directory; want that of a checkpoint", a.Dir)
		}
		all = append(all, a)
	}
	return all, nil
}

// answering is a model, or several that share a base, ready to answer.
type answering struct {
	models   []*model.Model
	names    []string
	tok      *tokenizer.Tokenizer
	enc      *template.Encoder
	sampling model.Sampling // the model's own
}

// alone returns the answering of the model with the one adapter there may be,
// whatever it is called. fits refuses a model of another kind.
func alone(c *Config, fits func(*model.Config) error, reg *registry.Registry) (*answering, error) {
	adapters, err := c.adapters()
	if err != nil {
		return nil, err
	}
	if len(adapters) > 1 {
		return nil, fmt.Errorf("--adapters names %d directories; want the one to answer with", len(adapters))
	}
	for i := range adapters {
		adapters[i].Name = ""
	}
	return newAnswering(c, c.Model, adapters, fits, reg)
}

// newAnswering loads the base model under the given name and what its adapters
// make of it. An adapter without a name is the base model's: the model is served
// with it. Those that have one share the memory of the base model's weights.
func newAnswering(c *Config, name string, adapters []Adapter, fits func(*model.Config) error, reg *registry.Registry) (*answering, error) {
	if c.Model == "" {
		return nil, errors.New("--model is missing; want the directory of a Hugging Face model, or --adapters with a checkpoint that names its model")
	}
	var err error
	tuners := make([]api.Tuner, len(adapters))
	for i, a := range adapters {
		if a.Name == "" && len(adapters) > 1 {
			return nil, fmt.Errorf("--adapters has %d directories, and %s has no name; want NAME=DIR for each, or one DIR", len(adapters), a.Dir)
		}
		tuner, err := c.tunerOf(a.Dir)
		if err != nil {
			return nil, err
		}
		if tuners[i], err = reg.Tuner(tuner); err != nil {
			return nil, err
		}
	}
	var tools api.AgentTemplate
	if c.AgentTemplate != "" {
		if tools, err = reg.AgentTemplate(c.AgentTemplate); err != nil {
			return nil, err
		}
	}
	conf, err := c.modelConfig()
	if err != nil {
		return nil, err
	}
	if err := fits(conf); err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(strings.Join(c.Adapters, ", "), c.Model), err)
	}
	out := &answering{names: []string{name}}
	if out.tok, err = tokenizer.Load(c.Model); err != nil {
		return nil, err
	}
	if out.enc, err = encoder(c, conf, out.tok, tools, reg); err != nil {
		return nil, err
	}
	if out.sampling, err = model.LoadSampling(c.Model); err != nil {
		return nil, err
	}
	for _, id := range out.enc.Stop() {
		if !slices.Contains(out.sampling.Stop, id) {
			out.sampling.Stop = append(out.sampling.Stop, id)
		}
	}
	if err := reg.CheckOwn(); err != nil {
		return nil, err
	}
	e, err := autograd.NewEngine(c.Threads)
	if err != nil {
		return nil, err
	}
	base, err := model.LoadAs(c.Model, conf, e, c.Seed, checkpoint.F32)
	if err != nil {
		return nil, err
	}
	out.models = []*model.Model{base}
	for i, a := range adapters {
		if a.Name == "" {
			return out, adapt(base, a, tuners[i], c)
		}
		m, err := besides(base, a, tuners[i], c)
		if err != nil {
			return nil, err
		}
		out.models, out.names = append(out.models, m), append(out.names, a.Name)
	}
	return out, nil
}

// adapt makes of m what it is with the adapter.
func adapt(m *model.Model, a Adapter, t api.Tuner, c *Config) error {
	tuner, err := c.tunerOf(a.Dir)
	if err != nil {
		return err
	}
	if err := (&tuned{m: m, tuner: t, name: tuner, config: c}).load(a.Dir); err != nil {
		return fmt.Errorf("adapter %s: %w", a.Dir, err)
	}
	return nil
}

// besides returns base with the adapter, beside base. Parameters that the
// adapter brings along are its own.
func besides(base *model.Model, a Adapter, t api.Tuner, c *Config) (*model.Model, error) {
	own := func(string) bool { return true } // a whole model
	if _, err := os.Stat(filepath.Join(a.Dir, adapterConfig)); err == nil {
		w, err := checkpoint.OpenFile(filepath.Join(a.Dir, adapterWeights))
		if err != nil {
			return nil, err
		}
		names := w.Names()
		w.Close()
		own = func(name string) bool { return slices.Contains(names, name) }
	}
	before := sum(base)
	m := base.Share(own)
	if err := adapt(m, a, t, c); err != nil {
		return nil, err
	}
	if sum(base) != before {
		return nil, fmt.Errorf("adapter %s: its tuner changes the weights of the base model, which are shared with others; serve it alone, with --adapters %s", a.Name, a.Dir)
	}
	return m, nil
}

// sum is a number that changes with any of the model's weights.
func sum(m *model.Model) (h uint64) {
	for _, p := range m.Params {
		for _, x := range p.Data() {
			h = h*0x9e3779b97f4a7c15 + uint64(math.Float32bits(x)) + 1
		}
	}
	return h
}

// generator starts what answers.
func (a *answering) generator(batch, queue int, reg *registry.Registry) *generate.Generator {
	return generate.New(a.models, a.tok, generate.Options{Batch: batch, Queue: queue, Guard: reg.Guard})
}
