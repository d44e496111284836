package builtin

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// vera is vector-based random matrix adaptation (Kopiczko et al. 2024): all
// layers share two random matrices that are not trained, and each has two vectors
// that scale what comes out of them. It saves and loads in the layout of PEFT.
type vera struct {
	targets
	Rank     int     `json:"rank"`
	Key      int64   `json:"projection_prng_key"` // seed of the random matrices
	Dropout  float64 `json:"dropout"`
	DInitial float64 `json:"d_initial"` // what each d begins as

	down, up *api.Param       // A [rank, widest In] and B [widest Out, rank]; a layer uses as much of them as it is wide
	parts    map[int]*api.Var // columns of A, by their number
	scalings []*scaling
	saved    []*api.Param
	layout   layout
	loaded   peftConfig // else nil
}

// scaling is the two vectors of one linear.
type scaling struct {
	*api.Linear
	b, d *api.Param // [Out] and [rank]
}

func newVera(args *api.Args) (api.Tuner, error) {
	v := &vera{Rank: 256, DInitial: 0.1}
	v.TargetModules = modules{allLinear}
	if err := args.Decode(v); err != nil {
		return nil, err
	}
	if err := v.targets.check("vera"); err != nil {
		return nil, err
	}
	return v, v.check()
}

func (v *vera) check() error {
	switch {
	case v.Rank < 1:
		return fmt.Errorf("rank of vera is %d, want 1 or more", v.Rank)
	case !(v.Dropout >= 0 && v.Dropout < 1):
		return fmt.Errorf("dropout of vera is %g, want 0 or more and less than 1", v.Dropout)
	case v.DInitial == 0 || math.IsNaN(v.DInitial) || math.IsInf(v.DInitial, 0):
		return fmt.Errorf("d_initial of vera is %g, want a number that is not 0", v.DInitial)
	}
	return nil
}

// Prepare gives every target its vectors. Those of what comes out are 0, so that
// the model starts unchanged.
func (v *vera) Prepare(m *api.Model) error {
	linears, err := v.find(m)
	if err != nil {
		return err
	}
	in, out := 0, 0
	for _, l := range linears {
		in, out = max(in, l.In), max(out, l.Out)
	}
	return v.prepare(m, linears, in, out)
}

func (v *vera) prepare(m *api.Model, linears []*api.Linear, in, out int) (err error) {
	if v.saved, err = v.targets.saved(m); err != nil {
		return err
	}
	m.Freeze()
	v.layout, v.parts = layout{}, map[int]*api.Var{}
	v.layout.train(v.saved, nil)
	v.down, v.up = m.AddParam("vera_A", 0, v.Rank, in), m.AddParam("vera_B", 0, out, v.Rank)
	v.layout["base_model.vera_A"], v.layout["base_model.vera_B"] = v.down, v.up
	v.down.Freeze()
	v.up.Freeze()
	v.down.Set(func(w []float32) { uniform(w, math.Sqrt(6/float64(in)), v.Key, "vera_A") })
	v.up.Set(func(w []float32) { uniform(w, math.Sqrt(6/float64(v.Rank)), v.Key, "vera_B") })
	for _, l := range linears {
		v.attach(m, l)
	}
	return nil
}

// attach adds the vectors of one layer: next(x) + b∘((d∘(dropout(x)·Aᵀ))·Bᵀ).
func (v *vera) attach(m *api.Model, l *api.Linear) {
	p := &scaling{l, m.AddParam(l.Name+".vera_lambda_b", 0, l.Out), m.AddParam(l.Name+".vera_lambda_d", float32(v.DInitial), v.Rank)}
	belongs(l, p.b, p.d)
	v.layout[tensorOf(l, "vera_lambda_b")], v.layout[tensorOf(l, "vera_lambda_d")] = p.b, p.d
	l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		low := m.Dropout(x, v.Dropout).MatMulT(v.downOf(l)).Mul(p.d.Var)
		return next(x).Add(low.MatMulT(v.upOf(l)).Mul(p.b.Var))
	})
	v.scalings = append(v.scalings, p)
}

// downOf returns the columns of A that the layer uses.
func (v *vera) downOf(l *api.Linear) *api.Var {
	if v.parts[l.In] == nil {
		width := v.down.Shape()[1]
		part := api.Full(0, v.Rank, l.In)
		for r := range v.Rank {
			copy(part.Float32s()[r*l.In:(r+1)*l.In], v.down.Data()[r*width:])
		}
		v.parts[l.In] = api.Const(part)
	}
	return v.parts[l.In]
}

// upOf returns the rows of B that the layer uses.
func (v *vera) upOf(l *api.Linear) *api.Var {
	return api.Const(tensor.New(tensor.WithShape(l.Out, v.Rank), tensor.WithBacking(v.up.Data()[:l.Out*v.Rank])))
}

// Merge adds (b∘B)·(d∘A) to the weight.
func (v *vera) Merge(*api.Model) error {
	for _, p := range v.scalings {
		if err := mergeable(p.Linear); err != nil {
			return err
		}
		up := v.upOf(p.Linear).Mul(p.b.Detach().Reshape(p.Out, 1))
		add(p.Linear, up.MatMul(v.downOf(p.Linear).Mul(p.d.Detach().Reshape(v.Rank, 1))))
	}
	return nil
}

// Save returns the vectors, and the random matrices, as PEFT saves them: other
// programs do not draw the same.
func (v *vera) Save(m *api.Model) (*api.Adapter, error) {
	c := v.loaded
	if c == nil {
		c = defaultVera()
		var linears []*api.Linear
		for _, p := range v.scalings {
			linears = append(linears, p.Linear)
		}
		c["r"], c["projection_prng_key"], c["vera_dropout"], c["d_initial"] = v.Rank, v.Key, v.Dropout, v.DInitial
		c["target_modules"], c["modules_to_save"] = v.targets.config(linears, v.saved)
	}
	text, err := c.encode(m)
	return &api.Adapter{Config: text, Tensors: v.layout.tensors()}, err
}

// defaultVera returns what PEFT 0.13 writes for VeRA where nothing is said.
func defaultVera() peftConfig {
	return newPEFT("VERA", peftConfig{
		"bias": "none", "d_initial": 0.1, "fan_in_fan_out": false, "init_weights": true, "layers_pattern": nil, "layers_to_transform": nil,
		"modules_to_save": nil, "projection_prng_key": 0, "r": 256, "save_projection": true, "target_modules": nil, "vera_dropout": 0,
	})
}

// Load gives vectors to every linear that the adapter has some for.
func (v *vera) Load(m *api.Model, a *api.Adapter) error {
	c, err := readPEFT(a.Config, defaultVera(), "fan_in_fan_out")
	if err != nil {
		return err
	}
	var s struct {
		Rank     int     `json:"r"`
		Key      int64   `json:"projection_prng_key"`
		Dropout  float64 `json:"vera_dropout"`
		DInitial float64 `json:"d_initial"`
		Bias     string  `json:"bias"`
		Saved    modules `json:"modules_to_save"`
	}
	if err := c.decode(&s); err != nil {
		return err
	}
	if s.Bias != "none" {
		return fmt.Errorf("adapter_config.json: bias is %q, want none: vera trains no biases here", s.Bias)
	}
	v.Rank, v.Key, v.Dropout, v.DInitial, v.ModulesToSave, v.loaded = s.Rank, s.Key, s.Dropout, s.DInitial, s.Saved, c
	if err := v.check(); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	linears, err := c.linears(m, a, "vera_lambda_b")
	if err != nil {
		return err
	}
	down, up := a.Tensors["base_model.vera_A"], a.Tensors["base_model.vera_B"]
	if down == nil || up == nil {
		return fmt.Errorf("the adapter has no tensors base_model.vera_A and base_model.vera_B: it was saved with save_projection false, and what PEFT draws from projection_prng_key %d cannot be drawn here; save it with save_projection true", s.Key)
	}
	if down.Dims() != 2 || up.Dims() != 2 {
		return fmt.Errorf("base_model.vera_A and base_model.vera_B have shapes %v and %v, want matrices", down.Shape(), up.Shape())
	}
	in, out := down.Shape()[1], up.Shape()[0]
	for _, l := range linears {
		if l.In > in || l.Out > out {
			return fmt.Errorf("base_model.vera_A and base_model.vera_B have shapes %v and %v, and %s wants %d inputs and %d outputs", down.Shape(), up.Shape(), l.Name, l.In, l.Out)
		}
	}
	if err := v.prepare(m, linears, in, out); err != nil {
		return err
	}
	return v.layout.fill(a.Tensors)
}
