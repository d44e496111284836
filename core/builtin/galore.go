package builtin

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// galore is GaLore (Zhao et al. 2024): AdamW whose averages, of a matrix inside
// the model, are of the gradient in the space of its largest singular vectors,
// found anew every so many steps. Its update takes the way back.
type galore struct {
	adam
	groups
	Rank     int     `json:"rank"`
	Gap      int     `json:"update_proj_gap"` // steps between searches for the space
	Scale    float64 `json:"scale"`           // of the update
	ProjType string  `json:"proj_type"`       // std, reverse_std, left, right or full
	Targets  modules `json:"target_modules"`  // parts of the names of matrices; none is all inside the model

	params []*projected
}

// projected is a parameter, the spaces that its gradient is taken to, and the
// averages there.
type projected struct {
	lowRank
	left, right *tensor.Dense // [rows, rank] and [rank, cols], or nil
	half        *tensor.Dense // of a product of three
}

// projTypes are the sides that a tall and a wide matrix is multiplied from.
var projTypes = map[string]struct{ tall, wide string }{
	"std": {"right", "left"}, "reverse_std": {"left", "right"}, "left": {"left", "left"}, "right": {"right", "right"}, "full": {"left right", "left right"},
}

func newGalore(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	o := &galore{adam: defaultAdam(), Rank: 128, Gap: 50, Scale: 1, ProjType: "std"}
	if err := args.Decode(o); err != nil {
		return nil, nil, err
	}
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	types, ok := projTypes[o.ProjType]
	switch {
	case !ok:
		return nil, nil, fmt.Errorf("proj_type is %q, want std, reverse_std, left, right or full", o.ProjType)
	case o.Rank < 1 || o.Gap < 1:
		return nil, nil, fmt.Errorf("rank and update_proj_gap are %d and %d, want 1 or more", o.Rank, o.Gap)
	}
	parts, err := o.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		x := &projected{lowRank: lowRank{part: p}}
		shape := slices.Clone([]int(p.Shape()))
		if o.targets(p.Param) {
			rank := min(o.Rank, shape[0], shape[1])
			sides := types.tall
			if shape[0] < shape[1] {
				sides = types.wide
			}
			low := slices.Clone(shape)
			if strings.Contains(sides, "left") {
				x.left, low[0] = o.keep(p.Param, "left", shape[0], rank), rank
			}
			if strings.Contains(sides, "right") {
				x.right, low[1] = o.keep(p.Param, "right", rank, shape[1]), rank
			}
			if x.left != nil && x.right != nil {
				x.half = api.Full(0, rank, shape[1])
			}
			x.room(low, shape)
			shape = low
		}
		x.remember(&o.memory, shape)
		o.params = append(o.params, x)
	}
	return o, nil, nil
}

// targets reports whether the averages of p are to be of less than its gradient.
func (o *galore) targets(p *api.Param) bool {
	if len(o.Targets) == 0 {
		return hidden(p)
	}
	return p.Shape().Dims() == 2 && slices.ContainsFunc(o.Targets, func(name string) bool { return strings.Contains(p.Name, name) })
}

// Step applies m = β₁m + (1-β₁)r, v = β₂v + (1-β₂)r², r being g in its space,
// u = m/(√v + ε), w -= lr·√(1-β₂ᵗ)/(1-β₁ᵗ)·scale·(u, taken back), w -= lr·λ·w.
func (o *galore) Step(lr float64) error {
	for _, p := range o.params {
		p.Update(func(w, g []float32) {
			r, scale := g, float32(1)
			if p.low != nil {
				if int(*p.steps)%o.Gap == 0 {
					p.search()
				}
				p.project()
				r, scale = p.low.Float32s(), float32(o.Scale)
			}
			size := p.average(&o.adam, r)
			u := p.direction(&o.adam)
			if p.low != nil {
				u = p.back()
			}
			p.apply(w, u, lr*p.ratio, float32(size)*scale)
		})
	}
	return nil
}

// search takes the largest singular vectors of the gradient.
func (p *projected) search() {
	rank := p.avg.Shape()[0]
	if p.left == nil {
		rank = p.avg.Shape()[1]
	}
	u, v := leading(p.Param, rank)
	if p.left != nil {
		to := p.left.Float32s()
		for k := range rank {
			for i, x := range u.row(k) {
				to[i*rank+k] = float32(x)
			}
		}
	}
	if p.right != nil {
		for i := range p.right.Float32s() {
			p.right.Float32s()[i] = float32(v.x[i])
		}
	}
}

// project sets low to leftᵀ·g·rightᵀ, without the one that there is not.
func (p *projected) project() {
	g := p.GradTensor()
	switch {
	case p.right == nil:
		multiply(p.Param, true, false, p.left, g, p.low, false)
	case p.left == nil:
		multiply(p.Param, false, true, g, p.right, p.low, false)
	default:
		multiply(p.Param, true, false, p.left, g, p.half, false)
		multiply(p.Param, false, true, p.half, p.right, p.low, false)
	}
}

// back returns left·low·right.
func (p *projected) back() []float32 {
	switch {
	case p.right == nil:
		multiply(p.Param, false, false, p.left, p.low, p.full, false)
	case p.left == nil:
		multiply(p.Param, false, false, p.low, p.right, p.full, false)
	default:
		multiply(p.Param, false, false, p.low, p.right, p.half, false)
		multiply(p.Param, false, false, p.left, p.half, p.full, false)
	}
	return p.full.Float32s()
}

// lowRank is a parameter whose averages may be of something smaller than its
// gradient.
type lowRank struct {
	part
	low, full  *tensor.Dense // what is smaller, and the same in the parameter's shape; nil without
	avg, avgSq *tensor.Dense
	steps      *float32
	out        []float32 // the direction, where it is not smaller
}

// room makes the tensors that a step works in.
func (p *lowRank) room(low, full []int) { p.low, p.full = api.Full(0, low...), api.Full(0, full...) }

// remember makes the averages.
func (p *lowRank) remember(m *memory, shape []int) {
	p.avg, p.avgSq, p.steps = m.keep(p.Param, "exp_avg", shape...), m.keep(p.Param, "exp_avg_sq", shape...), m.keepCount(p.Param, "step")
	if p.low == nil {
		p.out = make([]float32, len(p.Data()))
	}
}

// average takes r into the averages, and returns what their bias makes of a
// learning rate of 1.
func (p *lowRank) average(a *adam, r []float32) float64 {
	*p.steps++
	avg, avgSq := p.avg.Float32s(), p.avgSq.Float32s()
	beta1, beta2 := float32(a.Beta1), float32(a.Beta2)
	for i, x := range r {
		avg[i] = beta1*avg[i] + (1-beta1)*x
		avgSq[i] = beta2*avgSq[i] + (1-beta2)*x*x
	}
	t := float64(*p.steps)
	return math.Sqrt(1-math.Pow(a.Beta2, t)) / (1 - math.Pow(a.Beta1, t))
}

// direction sets low, or else out, to m/(√v + ε), as transformers' AdamW did,
// and returns it.
func (p *lowRank) direction(a *adam) []float32 {
	u, avg, avgSq, epsilon := p.out, p.avg.Float32s(), p.avgSq.Float32s(), float32(a.Epsilon)
	if p.low != nil {
		u = p.low.Float32s()
	}
	for i := range u {
		u[i] = avg[i] / (float32(math.Sqrt(float64(avgSq[i]))) + epsilon)
	}
	return u
}

// apply takes lr·size·u off w, and then the weight decay, as transformers' AdamW
// did.
func (p *lowRank) apply(w, u []float32, lr float64, size float32) {
	rate, decay := float32(lr)*size, float32(lr*p.decay)
	for i := range w {
		w[i] -= rate * u[i]
		w[i] -= decay * w[i]
	}
}
