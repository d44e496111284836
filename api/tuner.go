package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"

	"gorgonia.org/tensor"
)

// Tuner decides what of a model is trained.
type Tuner interface {
	// Prepare freezes, adds and wraps. It is called once on the base model,
	// whose parameters are all trainable at that time.
	Prepare(m *Model) error
}

// Saver is an optional interface of a Tuner. Without it a checkpoint holds the
// parameters that are trained, by name, and Prepare makes their places again
// before they are loaded.
type Saver interface {
	// Save returns what a checkpoint of the tuned model holds.
	Save(m *Model) (*Adapter, error)

	// Load prepares the base model, in place of Prepare, as it was when the
	// adapter was saved, and puts the adapter's tensors in their places.
	Load(m *Model, a *Adapter) error
}

// Merger is an optional interface of a Tuner. Without it what the tuner adds
// and wraps cannot become part of the base model, and a tuned model stays one of
// a base model and an adapter.
type Merger interface {
	// Merge changes the parameters of the base model so that the model computes
	// the same, but for rounding, without what the tuner has added and wrapped,
	// which the host takes off afterwards.
	Merge(m *Model) error
}

// Hooked is an optional interface of a Tuner. Without it the tuner is done when
// Prepare or Load returns. One that changes with the steps and must go on when a
// run resumes may be Stateful too: Restore comes after Load.
type Hooked interface {
	// Callback returns hooks for a run of that many optimizer steps, which are
	// called before those of --callbacks, or nil.
	Callback(steps int) (*Callback, error)
}

// Regularizer is an optional interface of a Tuner. Without it the loss of a step
// is that of --loss_type alone.
type Regularizer interface {
	// Penalty returns a single value, [1], that is added to the loss of a step, or nil.
	Penalty() (*Var, error)
}

// Adapter is what a checkpoint of a tuned model holds beside the base model.
type Adapter struct {
	Config  json.RawMessage          // adapter_config.json
	Tensors map[string]*tensor.Dense // adapter_model.safetensors

	// More is the adapter in other forms, for other programs, each under the
	// folder of the checkpoint that it goes into. Load is not given them.
	More map[string]*Adapter
}

// Model is a model as a tuner or an optimizer sees it.
type Model struct {
	Type     string // as in the model's config.json, e.g. "qwen2"
	Dir      string // where its weights came from
	Layers   int
	Params   []*Param  // in the order of the forward pass
	Linears  []*Linear // in the order of the forward pass
	Training bool      // false during evaluation and generation
	Rand     *rand.Rand

	// CopyLayer puts a copy of a layer, counted from 0, behind it. The layers
	// that follow are named and numbered anew. It is nil where a model cannot grow.
	CopyLayer func(layer int) error
}

// Freeze stops every parameter that the model has now from being trained.
func (m *Model) Freeze() {
	for _, p := range m.Params {
		p.Freeze()
	}
}

// Trainable returns the parameters that are not frozen.
func (m *Model) Trainable() []*Param {
	var ps []*Param
	for _, p := range m.Params {
		if !p.Frozen() {
			ps = append(ps, p)
		}
	}
	return ps
}

// AddParam gives the model a parameter of the tuner's own, filled with x, under a name that no other has.
func (m *Model) AddParam(name string, x float32, shape ...int) *Param {
	p := NewParam(name, Full(x, shape...))
	if len(m.Params) > 0 {
		p.value = like(m.Params[0].value, p.value)
	}
	p.Added = true
	m.Params = append(m.Params, p)
	return p
}

// Dropout sets each element of x to 0 with probability p and divides the rest
// by 1-p. Outside training it returns x. The choices come from m.Rand, so a run
// that resumes repeats them.
func (m *Model) Dropout(x *Var, p float64) *Var {
	if !m.Training || p == 0 {
		return x
	}
	e, seed := engineOf(x), m.Rand.Uint64()
	l := later{e, x.Shape(), func(out *tensor.Dense, add bool) { drop(e, seed, p, x.Value(), out, add) }, true}
	return applyLater(l, func(grad *tensor.Dense) []*tensor.Dense {
		x.AddGrad(func(dx *tensor.Dense, add bool) { drop(e, seed, p, grad, dx, add) })
		return nil
	}, x)
}

// dropper is an optional interface of an Engine: drop, in less time.
type dropper interface {
	Drop(seed uint64, p float64, x, y *tensor.Dense, add bool)
}

// drop sets y to, or adds to it, x/(1-p), or 0 with probability p. Which
// elements those are follows from the seed and their places, so that nothing
// needs to be kept.
func drop(e Engine, seed uint64, p float64, x, y *tensor.Dense, add bool) {
	if d, ok := e.(dropper); ok {
		d.Drop(seed, p, x, y, add)
		return
	}
	limit, scale := uint32(p*(1<<32)), float32(1/(1-p))
	from, to := floats(x), y.Float32s()
	for i, a := range from {
		h := mix(mix(uint32(i)+uint32(seed)) ^ uint32(seed>>32))
		if h < limit {
			a *= 0
		} else {
			a *= scale
		}
		if add {
			a += to[i]
		}
		to[i] = a
	}
}

// mix is Wellons' lowbias32, a permutation that looks random.
func mix(h uint32) uint32 {
	h = (h ^ h>>16) * 0x21f0aaad
	h = (h ^ h>>15) * 0x735a2d97
	return h ^ h>>15
}

// Linear is one weight matrix of the model, and the place a tuner attaches to.
type Linear struct {
	Name    string // e.g. "model.layers.0.self_attn.k_proj"
	Part    Part
	Layer   int // from 0; -1 for one that belongs to no layer
	In, Out int
	Weight  *Param // [Out, In]
	Bias    *Param // [Out], or nil

	wraps []func(x *Var, next Forward) *Var
}

// Part says what a Linear is for, whatever the model calls it.
type Part int

// The parts of a decoder's layer, and its output projection.
const (
	OtherPart Part = iota
	AttnQuery
	AttnKey
	AttnValue
	AttnOut
	MLPGate
	MLPUp
	MLPDown
	LMHead
)

// Region is the part of a multimodal model that a parameter belongs to.
type Region int

// The regions of a model. A text model is all Language.
const (
	Language Region = iota
	Vision
	Aligner
)

// Forward is a layer's forward pass.
type Forward func(x *Var) *Var

// Wrap puts f around the layer's forward pass, which f is given as next. The
// last wrap is the outermost.
func (l *Linear) Wrap(f func(x *Var, next Forward) *Var) { l.wraps = append(l.wraps, f) }

// Wrapped reports whether anything is put around the layer's forward pass.
func (l *Linear) Wrapped() bool { return len(l.wraps) > 0 }

// Unwrap takes off everything that Wrap has put around the layer.
func (l *Linear) Unwrap() { l.wraps = nil }

// Forward returns x·Wᵀ+b, [tokens, Out], for x [tokens, In], as changed by Wrap.
func (l *Linear) Forward(x *Var) *Var {
	next := l.base
	for _, wrap := range l.wraps {
		inner := next
		next = func(x *Var) *Var { return wrap(x, inner) }
	}
	return next(x)
}

func (l *Linear) base(x *Var) *Var {
	var bias *Var
	if l.Bias != nil {
		bias = l.Bias.Var
	}
	return linear(x, l.Weight.Var, bias)
}

// Param is a named Var that an optimizer may change.
type Param struct {
	Name   string
	Part   Part   // of the Linear it belongs to
	Layer  int    // from 0; -1 for one that belongs to no layer
	Region Region // of the model
	Added  bool   // whether a tuner added it
	*Var
}

// NewParam returns a parameter with t as its value.
func NewParam(name string, t *tensor.Dense) *Param {
	return &Param{Name: name, Layer: -1, Var: &Var{value: t, needs: true, leaf: true}}
}

// Freeze stops p from being trained.
func (p *Param) Freeze() { p.needs = false }

// Unfreeze lets p be trained.
func (p *Param) Unfreeze() { p.needs = true }

// Frozen reports whether p is not trained.
func (p *Param) Frozen() bool { return !p.needs }

// Update gives f the elements of the value, to change, and of the gradient, in
// row-major order. It does not call f where there is no gradient.
func (p *Param) Update(f func(w, g []float32)) {
	if g := p.Grad(); g != nil {
		f(p.own(), g)
	}
}

// Set gives f the elements of the value, to fill in.
func (p *Param) Set(f func(w []float32)) { f(p.own()) }

// own returns the elements of the value, to change: from now on they are
// float32, whatever they were kept in.
func (p *Param) own() []float32 {
	if p.value.Dtype() != tensor.Float32 {
		p.value = tensor.New(tensor.WithShape(p.Shape()...), tensor.WithBacking(floats(p.value)), tensor.WithEngine(p.value.Engine()))
	}
	return p.value.Float32s()
}

// Assign copies t, which must have p's shape, into p.
func (p *Param) Assign(t *tensor.Dense) error {
	if !t.Shape().Eq(p.Shape()) {
		return fmt.Errorf("%s has shape %v, want %v", p.Name, t.Shape(), p.Shape())
	}
	copy(p.own(), t.Float32s())
	return nil
}

var undecayed = regexp.MustCompile(`bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)`)

// Decays reports whether weight decay is meant for p: transformers' Trainer
// leaves biases and the weights of norms out.
func (p *Param) Decays() bool { return !undecayed.MatchString(p.Name) }
