package builtin

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// lora is low-rank adaptation (Hu et al. 2021): the base model is frozen, and
// beside a weight matrix two thin ones are trained, whose product is added to
// it. It saves and loads in the layout of PEFT.
type lora struct {
	targets
	Rank         int                `json:"rank"`
	Alpha        float64            `json:"alpha"` // the product is scaled by alpha/rank
	Dropout      float64            `json:"dropout"`
	Bias         string             `json:"bias"`         // biases of the base model that are trained too: none, all or lora_only
	UseRSLora    bool               `json:"use_rslora"`   // scale by alpha/√rank (Kalajdzievski 2023)
	UseDora      bool               `json:"use_dora"`     // see pair.dora
	InitWeights  string             `json:"init_weights"` // see pair.start
	RankPattern  map[string]int     `json:"rank_pattern"` // other ranks, by patterns of the ends of names
	AlphaPattern map[string]float64 `json:"alpha_pattern"`

	// language is for a model that sees: LoRA is put on its language model
	// alone, and the rest is trained in full, as ms-swift's lora_llm does it.
	language bool
	name     string
	seed     int64
	pairs    []*pair
	saved    []*api.Param // of the base model, trained whole
	layout   layout
	loaded   peftConfig // else nil
}

func newLora(args *api.Args) (api.Tuner, error) {
	l := &lora{Rank: 8, Alpha: 32, Dropout: 0.05, Bias: "none", InitWeights: "true", name: "lora"}
	return l, l.decode(args)
}

// newLoraLLM is LoRA for the language model of a model that sees, whose eyes,
// and what joins the two, are trained in full.
func newLoraLLM(args *api.Args) (api.Tuner, error) {
	l := &lora{Rank: 8, Alpha: 32, Bias: "none", InitWeights: "true", name: "lora_llm", language: true}
	return l, l.decode(args)
}

func (l *lora) decode(args *api.Args) error {
	l.TargetModules, l.seed = modules{allLinear}, args.Seed
	if err := args.Decode(l); err != nil {
		return err
	}
	if err := l.targets.check(l.name); err != nil {
		return err
	}
	return l.check()
}

func (l *lora) check() error {
	for _, rank := range append(slices.Collect(maps.Values(l.RankPattern)), l.Rank) {
		if rank < 1 {
			return fmt.Errorf("rank of %s is %d, want 1 or more", l.name, rank)
		}
	}
	for _, alpha := range append(slices.Collect(maps.Values(l.AlphaPattern)), l.Alpha) {
		if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
			return fmt.Errorf("alpha of %s is %g, want a number", l.name, alpha)
		}
	}
	if !(l.Dropout >= 0 && l.Dropout < 1) {
		return fmt.Errorf("dropout of %s is %g, want 0 or more and less than 1", l.name, l.Dropout)
	}
	if err := checkBias(l.name, l.Bias); err != nil {
		return err
	}
	for _, pattern := range append(slices.Collect(maps.Keys(l.RankPattern)), slices.Collect(maps.Keys(l.AlphaPattern))...) {
		if _, err := wholeName(pattern); err != nil {
			return fmt.Errorf("rank_pattern or alpha_pattern of %s: %w", l.name, err)
		}
	}
	return checkStart(l.name, l.InitWeights)
}

// Prepare puts a pair beside every target. Unless the settings have them begin
// at random, the model starts unchanged.
func (l *lora) Prepare(m *api.Model) error {
	linears, err := l.find(m)
	if err != nil {
		return err
	}
	return l.prepare(m, linears)
}

func (l *lora) prepare(m *api.Model, linears []*api.Linear) (err error) {
	if l.language {
		linears = slices.DeleteFunc(linears, func(x *api.Linear) bool { return x.Weight.Region != api.Language })
	}
	if l.saved, err = l.targets.saved(m); err != nil {
		return err
	}
	m.Freeze()
	l.layout = layout{}
	l.layout.train(l.saved, nil)
	l.layout.train(biases(m, l.Bias, linears, l.saved), linears)
	if l.language {
		for _, p := range m.Params {
			if p.Region != api.Language {
				l.layout.train([]*api.Param{p}, nil)
			}
		}
	}
	for _, linear := range linears {
		if err := l.attach(m, linear); err != nil {
			return err
		}
	}
	return nil
}

// pair is the two matrices beside one linear.
type pair struct {
	*api.Linear
	rank   int
	scale  float64
	a, b   *api.Param // [rank, In] and [Out, rank]
	length *api.Param // [Out], of the rows of the tuned weight; nil without DoRA

	squares []float64     // sums over the rows of the base weight, for lengths
	a0, b0  *tensor.Dense // what a and b began as, where that was taken out of the base weight; else nil
}

// attach adds a pair beside a linear.
func (l *lora) attach(m *api.Model, linear *api.Linear) error {
	p := &pair{Linear: linear, rank: fitting(l.RankPattern, linear, l.Rank)}
	p.scale = fitting(l.AlphaPattern, linear, l.Alpha) / float64(p.rank)
	if l.UseRSLora {
		p.scale *= math.Sqrt(float64(p.rank))
	}
	p.a = m.AddParam(linear.Name+".lora_A.weight", 0, p.rank, linear.In)
	p.b = m.AddParam(linear.Name+".lora_B.weight", 0, linear.Out, p.rank)
	belongs(linear, p.a, p.b)
	l.layout[tensorOf(linear, "lora_A.weight")], l.layout[tensorOf(linear, "lora_B.weight")] = p.a, p.b
	if err := p.start(l.InitWeights, l.seed); err != nil {
		return err
	}
	if l.UseDora {
		p.length = m.AddParam(linear.Name+".lora_magnitude_vector", 0, linear.Out)
		belongs(linear, p.length)
		l.layout[tensorOf(linear, "lora_magnitude_vector")] = p.length
		p.squares = rowSquares(p.Weight.Data(), p.Out, p.In)
		p.length.Set(func(w []float32) { copy(w, p.lengths()) })
	}
	linear.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		dropped := m.Dropout(x, l.Dropout)
		if p.length != nil {
			return p.dora(x, dropped, next)
		}
		return next(x).Add(p.product(dropped))
	})
	l.pairs = append(l.pairs, p)
	return nil
}

// fitting returns what the first key that fits the end of the layer's name says.
func fitting[T any](patterns map[string]T, l *api.Linear, otherwise T) T {
	for _, key := range slices.Sorted(maps.Keys(patterns)) {
		if r, err := wholeName(`(?:.*\.)?(?:` + key + `)`); err == nil && r.MatchString(l.Name) {
			return patterns[key]
		}
	}
	return otherwise
}

// product returns x·Aᵀ·Bᵀ·scale, [tokens, Out].
func (p *pair) product(x *api.Var) *api.Var {
	return x.MatMulT(p.a.Var).Scale(p.scale).MatMulT(p.b.Var)
}

// Merge adds the product to the weight. With DoRA its rows then get the trained
// lengths.
func (l *lora) Merge(*api.Model) error {
	for _, p := range l.pairs {
		if err := mergeable(p.Linear); err != nil {
			return err
		}
		if p.length == nil {
			add(p.Linear, p.weight(p.scale))
			continue
		}
		norms := p.lengths()
		add(p.Linear, p.weight(p.scale))
		p.Weight.Set(func(w []float32) {
			for i := range w {
				w[i] *= p.length.Data()[i/p.In] / norms[i/p.In]
			}
		})
	}
	return nil
}

// weight returns scale·B·A, [Out, In].
func (p *pair) weight(scale float64) *api.Var { return p.b.Detach().MatMul(p.a.Detach().Scale(scale)) }

// Save returns the adapter as PEFT saves it. One that began with a part of the
// base weights is, in the folder converted/default, also a plain LoRA for the
// base model as it is.
func (l *lora) Save(m *api.Model) (*api.Adapter, error) {
	c := l.config()
	if l.loaded != nil {
		c = l.loaded
	}
	text, err := c.encode(m)
	if err != nil {
		return nil, err
	}
	a := &api.Adapter{Config: text, Tensors: l.layout.tensors()}
	if len(l.pairs) > 0 && l.pairs[0].a0 != nil {
		converted, err := l.converted(m, c)
		if err != nil {
			return nil, err
		}
		a.More = map[string]*api.Adapter{"converted/default": converted}
	}
	return a, nil
}

// config returns the settings as PEFT's.
func (l *lora) config() peftConfig {
	var linears []*api.Linear
	for _, p := range l.pairs {
		linears = append(linears, p.Linear)
	}
	c := defaultLora()
	c["r"], c["lora_alpha"], c["lora_dropout"], c["bias"] = l.Rank, l.Alpha, l.Dropout, l.Bias
	c["use_rslora"], c["use_dora"], c["init_lora_weights"] = l.UseRSLora, l.UseDora, startValue(l.InitWeights)
	c["target_modules"], c["modules_to_save"] = l.targets.config(linears, l.saved)
	if len(l.RankPattern) > 0 {
		c["rank_pattern"] = l.RankPattern
	}
	if len(l.AlphaPattern) > 0 {
		c["alpha_pattern"] = l.AlphaPattern
	}
	return c
}

// defaultLora returns what PEFT 0.13 writes for LoRA where nothing is said.
func defaultLora() peftConfig {
	return newPEFT("LORA", peftConfig{
		"alpha_pattern": map[string]any{}, "bias": "none", "fan_in_fan_out": false, "init_lora_weights": true, "layer_replication": nil,
		"layers_pattern": nil, "layers_to_transform": nil, "loftq_config": map[string]any{}, "lora_alpha": 8, "lora_dropout": 0,
		"megatron_config": nil, "megatron_core": "megatron.core", "modules_to_save": nil, "r": 8, "rank_pattern": map[string]any{},
		"target_modules": nil, "use_dora": false, "use_rslora": false,
	})
}

// Load puts a pair beside every linear that the adapter has one for. Rank, alpha
// and the rest come from the adapter and not from the settings.
func (l *lora) Load(m *api.Model, a *api.Adapter) error {
	c, err := readPEFT(a.Config, defaultLora(), "fan_in_fan_out", "layer_replication", "lora_bias", "use_qalora", "trainable_token_indices",
		"target_parameters", "alora_invocation_tokens")
	if err != nil {
		return err
	}
	if err := l.read(c); err != nil {
		return err
	}
	linears, err := c.linears(m, a, "lora_A.weight")
	if err != nil {
		return err
	}
	if err := l.prepare(m, linears); err != nil {
		return err
	}
	return l.layout.fill(a.Tensors)
}

// read takes the settings from an adapter's.
func (l *lora) read(c peftConfig) error {
	var s struct {
		Rank         int                `json:"r"`
		Alpha        float64            `json:"lora_alpha"`
		Dropout      float64            `json:"lora_dropout"`
		Bias         string             `json:"bias"`
		UseRSLora    bool               `json:"use_rslora"`
		UseDora      bool               `json:"use_dora"`
		InitWeights  any                `json:"init_lora_weights"`
		RankPattern  map[string]int     `json:"rank_pattern"`
		AlphaPattern map[string]float64 `json:"alpha_pattern"`
		ModulesSaved modules            `json:"modules_to_save"`
	}
	if err := c.decode(&s); err != nil {
		return err
	}
	l.Rank, l.Alpha, l.Dropout, l.Bias, l.UseRSLora, l.UseDora = s.Rank, s.Alpha, s.Dropout, s.Bias, s.UseRSLora, s.UseDora
	l.RankPattern, l.AlphaPattern, l.ModulesToSave, l.loaded = s.RankPattern, s.AlphaPattern, s.ModulesSaved, c
	switch name := fmt.Sprint(s.InitWeights); {
	case mutates(name):
		l.InitWeights = name
	case slices.Contains([]string{"true", "false", "gaussian", "eva", "orthogonal"}, name): // what it began with is all in the adapter
		l.InitWeights = "true"
	default:
		return fmt.Errorf("adapter_config.json: init_lora_weights is %s, which changes the base weights in a way that is not known here; want the adapter saved by PEFT with path_initial_model_for_weight_conversion", name)
	}
	if err := l.check(); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	return nil
}
