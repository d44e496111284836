package builtin

import (
	"fmt"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// adaLora is LoRA with a budget of ranks (Zhang et al. 2023): beside a weight
// matrix stands B·diag(E)·A, like a singular value decomposition, and of the
// singular values of all layers those that matter least are set to 0 as it
// trains, as the budget has it. It saves and loads in the layout of PEFT.
type adaLora struct {
	targets
	budget
	OrthoWeight float64 `json:"orth_reg_weight"` // of Penalty
	Alpha       float64 `json:"alpha"`           // the product is scaled by alpha/init_r
	Dropout     float64 `json:"dropout"`
	Bias        string  `json:"bias"` // biases of the base model that are trained too: none, all or lora_only

	seed     int64
	triplets []*triplet
	saved    []*api.Param
	layout   layout
	steps    int // in the run; 0 before it begins
	loaded   peftConfig
}

// triplet is what stands beside one linear.
type triplet struct {
	*api.Linear
	a, e, b *api.Param               // [rank, In], [rank, 1] and [Out, rank]
	keep    []bool                   // of each rank, whether it is not given up; nil before the first is
	scores  map[*api.Param]*averages // of a, e and b; empty when the budget is spent
}

func newAdaLora(args *api.Args) (api.Tuner, error) {
	t := &adaLora{budget: budget{TargetRank: 8, InitRank: 12, Every: 1, Beta1: 0.85, Beta2: 0.85}, OrthoWeight: 0.5, Alpha: 32, Dropout: 0.05, Bias: "none", seed: args.Seed}
	t.TargetModules = modules{allLinear}
	if err := args.Decode(t); err != nil {
		return nil, err
	}
	if err := t.targets.check("adalora"); err != nil {
		return nil, err
	}
	return t, t.check()
}

func (t *adaLora) check() error {
	if err := t.budget.check(); err != nil {
		return err
	}
	if !(t.OrthoWeight >= 0) {
		return fmt.Errorf("orth_reg_weight of adalora is %g, want 0 or more", t.OrthoWeight)
	}
	if !(t.Dropout >= 0 && t.Dropout < 1) {
		return fmt.Errorf("dropout of adalora is %g, want 0 or more and less than 1", t.Dropout)
	}
	return checkBias("adalora", t.Bias)
}

// Prepare puts a triplet beside every target. Its singular values are 0, so that
// the model starts unchanged.
func (t *adaLora) Prepare(m *api.Model) error {
	linears, err := t.find(m)
	if err != nil {
		return err
	}
	return t.prepare(m, linears)
}

func (t *adaLora) prepare(m *api.Model, linears []*api.Linear) (err error) {
	if t.saved, err = t.targets.saved(m); err != nil {
		return err
	}
	m.Freeze()
	t.layout = layout{}
	t.layout.train(t.saved, nil)
	t.layout.train(biases(m, t.Bias, linears, t.saved), linears)
	for _, l := range linears {
		t.attach(m, l)
	}
	return nil
}

// attach adds a triplet: next(x) + dropout(x)·(A∘E)ᵀ·Bᵀ·scale.
func (t *adaLora) attach(m *api.Model, l *api.Linear) {
	p := &triplet{Linear: l, scores: map[*api.Param]*averages{}}
	p.a, p.e, p.b = m.AddParam(l.Name+".lora_A", 0, t.InitRank, l.In), m.AddParam(l.Name+".lora_E", 0, t.InitRank, 1), m.AddParam(l.Name+".lora_B", 0, l.Out, t.InitRank)
	belongs(l, p.a, p.e, p.b)
	for what, param := range p.params() {
		t.layout[tensorOf(l, what)] = param
	}
	p.a.Set(func(w []float32) { normal(w, 0.02, t.seed, p.a.Name) })
	p.b.Set(func(w []float32) { normal(w, 0.02, t.seed, p.b.Name) })
	l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		low := m.Dropout(x, t.Dropout).MatMulT(p.a.Mul(p.e.Var)).Scale(t.scale())
		return next(x).Add(low.MatMulT(p.b.Var))
	})
	t.triplets = append(t.triplets, p)
}

// params returns the parameters by what PEFT calls them.
func (p *triplet) params() map[string]*api.Param {
	return map[string]*api.Param{"lora_A": p.a, "lora_E": p.e, "lora_B": p.b}
}

// scale is PEFT's, which divides by the rank and a little more.
func (t *adaLora) scale() float64 {
	if t.Alpha <= 0 {
		return float64(t.InitRank) / (float64(t.InitRank) + 1e-5)
	}
	return t.Alpha / (float64(t.InitRank) + 1e-5)
}

// Penalty is the mean of the distances ‖A·Aᵀ-I‖ and ‖Bᵀ·B-I‖ of all layers,
// times orth_reg_weight: it keeps the ranks of a layer apart.
func (t *adaLora) Penalty() (*api.Var, error) {
	eye := api.Full(0, t.InitRank, t.InitRank)
	for i := range t.InitRank {
		eye.Float32s()[i*t.InitRank+i] = 1
	}
	var sum *api.Var
	for _, p := range t.triplets {
		b := p.b.Transpose()
		for _, gram := range []*api.Var{p.a.MatMulT(p.a.Var), b.MatMulT(b)} {
			distance := gram.Sub(api.Const(eye)).Pow(2).Sum().Sqrt()
			if sum == nil {
				sum = distance
			} else {
				sum = sum.Add(distance)
			}
		}
	}
	return sum.Scale(t.OrthoWeight / float64(2*len(t.triplets))), nil
}

// Merge adds the product to the weight.
func (t *adaLora) Merge(*api.Model) error {
	for _, p := range t.triplets {
		if err := mergeable(p.Linear); err != nil {
			return err
		}
		add(p.Linear, p.b.Detach().MatMul(p.a.Detach().Mul(p.e.Detach()).Scale(t.scale())))
	}
	return nil
}

// Save returns the adapter as PEFT saves it: without the ranks that are given up.
func (t *adaLora) Save(m *api.Model) (*api.Adapter, error) {
	c := t.config()
	if t.loaded != nil {
		c = t.loaded
	}
	a := &api.Adapter{Tensors: t.layout.tensors()}
	given := map[string][]bool{}
	for _, p := range t.triplets {
		if p.keep == nil {
			continue
		}
		given[p.Name+".lora_E"] = p.keep
		for what, param := range p.params() {
			if kept := p.kept(what, param.Value()); kept != nil {
				a.Tensors[tensorOf(p.Linear, what)] = kept
			} else { // the layer has no rank left
				delete(a.Tensors, tensorOf(p.Linear, what))
			}
		}
	}
	if c["rank_pattern"] = nil; len(given) > 0 {
		c["rank_pattern"] = given
	}
	if c["total_step"] = nil; t.steps > 0 {
		c["total_step"] = t.steps
	}
	var err error
	a.Config, err = c.encode(m)
	return a, err
}

// kept returns the ranks of a parameter that are kept; nil if none is.
func (p *triplet) kept(what string, x *tensor.Dense) *tensor.Dense {
	var index []int32
	for i, keep := range p.keep {
		if keep {
			index = append(index, int32(i))
		}
	}
	if len(index) == 0 {
		return nil
	}
	v := api.Const(plain(x))
	if what == "lora_B" {
		return v.Transpose().Gather(index).Transpose().Value()
	}
	return v.Gather(index).Value()
}

// config returns the settings as PEFT's.
func (t *adaLora) config() peftConfig {
	var linears []*api.Linear
	for _, p := range t.triplets {
		linears = append(linears, p.Linear)
	}
	c := defaultAdaLora()
	c["target_r"], c["init_r"], c["tinit"], c["tfinal"], c["deltaT"] = t.TargetRank, t.InitRank, t.First, t.Last, t.Every
	c["beta1"], c["beta2"], c["orth_reg_weight"] = t.Beta1, t.Beta2, t.OrthoWeight
	c["lora_alpha"], c["lora_dropout"], c["bias"] = t.Alpha, t.Dropout, t.Bias
	c["target_modules"], c["modules_to_save"] = t.targets.config(linears, t.saved)
	return c
}

// defaultAdaLora returns what PEFT 0.13 writes for AdaLoRA where nothing is said.
func defaultAdaLora() peftConfig {
	c := defaultLora()
	for key, x := range newPEFT("ADALORA", peftConfig{
		"target_r": 8, "init_r": 12, "tinit": 0, "tfinal": 0, "deltaT": 1, "beta1": 0.85, "beta2": 0.85, "orth_reg_weight": 0.5,
		"total_step": nil, "rank_pattern": nil,
	}) {
		c[key] = x
	}
	return c
}

// Load puts a triplet beside every linear that the adapter has one for. Ranks
// that were given up begin anew.
func (t *adaLora) Load(m *api.Model, a *api.Adapter) error {
	c, err := readPEFT(a.Config, defaultAdaLora(), "fan_in_fan_out", "layer_replication", "use_dora", "alpha_pattern")
	if err != nil {
		return err
	}
	var s struct {
		budget
		OrthoWeight float64           `json:"orth_reg_weight"`
		Alpha       float64           `json:"lora_alpha"`
		Dropout     float64           `json:"lora_dropout"`
		Bias        string            `json:"bias"`
		Saved       modules           `json:"modules_to_save"`
		RankPattern map[string][]bool `json:"rank_pattern"`
	}
	if err := c.decode(&s); err != nil {
		return err
	}
	t.budget, t.OrthoWeight, t.Alpha, t.Dropout, t.Bias, t.ModulesToSave = s.budget, s.OrthoWeight, s.Alpha, s.Dropout, s.Bias, s.Saved
	if err := t.check(); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	t.loaded = c
	linears, err := c.linears(m, a, "lora_E")
	if err != nil {
		return err
	}
	if err := t.prepare(m, linears); err != nil {
		return err
	}
	whole := map[string]*tensor.Dense{}
	for name, x := range a.Tensors {
		whole[name] = x
	}
	for _, p := range t.triplets {
		if p.keep = s.RankPattern[p.Name+".lora_E"]; p.keep == nil {
			continue
		}
		if len(p.keep) != t.InitRank {
			return fmt.Errorf("adapter_config.json: rank_pattern has %d ranks for %s, want %d", len(p.keep), p.Name, t.InitRank)
		}
		for what, param := range p.params() {
			name := tensorOf(p.Linear, what)
			if whole[name] = p.spread(what, param, whole[name]); whole[name] == nil {
				delete(whole, name)
			}
		}
	}
	return t.layout.fill(whole)
}

// spread returns the parameter's value with the ranks that are kept as in x,
// which has them alone. It returns nil if x is missing, and x if it does not fit.
func (p *triplet) spread(what string, param *api.Param, x *tensor.Dense) *tensor.Dense {
	kept := p.kept(what, param.Value())
	switch {
	case kept == nil && x == nil:
		return param.Value()
	case x == nil || kept == nil || !x.Shape().Eq(kept.Shape()):
		return x
	}
	full, from := duplicate(param), 0
	w, y := full.Float32s(), x.Float32s()
	ranks, cols := len(p.keep), x.Shape()[1]
	for rank, keep := range p.keep {
		if !keep {
			continue
		}
		if what == "lora_B" {
			for i := range p.Out {
				w[i*ranks+rank] = y[i*cols+from]
			}
		} else {
			copy(w[rank*cols:(rank+1)*cols], y[from*cols:])
		}
		from++
	}
	return full
}
