package builtin

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// apollo is APOLLO (Zhu et al. 2024): the gradient of a matrix inside the model
// is scaled, row by row or column by column, as AdamW would in a small random
// space, so that only averages in that space are kept. With rank 1 and scale_type
// tensor it is APOLLO-Mini, which wants a scale of 128.
type apollo struct {
	adam
	groups
	Rank      int     `json:"rank"`
	Gap       int     `json:"update_proj_gap"` // steps that one random space is used for
	Scale     float64 `json:"scale"`           // of the update, which grows with its root
	ScaleType string  `json:"scale_type"`      // channel or tensor

	seed   uint64
	params []*randomized
}

// randomized is a parameter and its random space.
type randomized struct {
	lowRank
	space   *tensor.Dense // [rank, cols] of a tall matrix, [rows, rank] of a wide one
	made    int           // for which of the random spaces, from 1
	norm    *float32      // of the scaled gradient of the step before; 0 before the first
	factors []float32     // of rows or columns

	before, after []float64 // squares of the norms of a channel
}

func newApollo(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	o := &apollo{adam: defaultAdam(), Rank: 256, Gap: 200, Scale: 1, ScaleType: "channel", seed: uint64(args.Seed)}
	if err := args.Decode(o); err != nil {
		return nil, nil, err
	}
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	switch {
	case o.ScaleType != "channel" && o.ScaleType != "tensor":
		return nil, nil, fmt.Errorf("scale_type is %q, want channel or tensor", o.ScaleType)
	case o.Rank < 1 || o.Gap < 1:
		return nil, nil, fmt.Errorf("rank and update_proj_gap are %d and %d, want 1 or more", o.Rank, o.Gap)
	case !(o.Scale > 0):
		return nil, nil, fmt.Errorf("scale is %g, want more than 0", o.Scale)
	}
	parts, err := o.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		x := &randomized{lowRank: lowRank{part: p}}
		shape := []int(p.Shape())
		if hidden(p.Param) {
			rank := min(o.Rank, shape[0], shape[1])
			low, space, channels := []int{shape[0], rank}, []int{rank, shape[1]}, shape[0]
			if shape[0] < shape[1] {
				low, space, channels = []int{rank, shape[1]}, []int{shape[0], rank}, shape[1]
			}
			x.space, x.norm = api.Full(0, space...), o.keepCount(p.Param, "norm")
			x.factors, x.before, x.after = make([]float32, channels), make([]float64, channels), make([]float64, channels)
			x.room(low, shape)
			shape = low
		}
		x.remember(&o.memory, shape)
		o.params = append(o.params, x)
	}
	return o, nil, nil
}

// Step applies, with r being g in the random space, u = m/(√v + ε) of r as in
// AdamW, s = g·‖u‖/‖r‖ of each row or column, s made smaller if its norm has grown
// by more than a hundredth, w -= lr·√(1-β₂ᵗ)/(1-β₁ᵗ)·√scale·s, w -= lr·λ·w.
func (o *apollo) Step(lr float64) error {
	for _, p := range o.params {
		p.Update(func(w, g []float32) {
			if p.low == nil {
				size := p.average(&o.adam, g)
				p.apply(w, p.direction(&o.adam), lr*p.ratio, float32(size))
				return
			}
			p.renew(o.seed, int(*p.steps)/o.Gap+1)
			tall := p.Shape()[0] >= p.Shape()[1]
			if tall {
				multiply(p.Param, false, true, p.GradTensor(), p.space, p.low, false)
			} else {
				multiply(p.Param, true, false, p.space, p.GradTensor(), p.low, false)
			}
			size := p.average(&o.adam, p.low.Float32s())
			p.measure(&o.adam, tall, o.ScaleType == "tensor")
			p.scale(g, tall)
			p.apply(w, p.full.Float32s(), lr*p.ratio, float32(size*math.Sqrt(o.Scale)))
		})
	}
	return nil
}

// renew makes the random space, which follows from the seed, the parameter's
// name and the number of the space alone.
func (p *randomized) renew(seed uint64, number int) {
	if p.made == number {
		return
	}
	p.made = number
	h := fnv.New64a()
	h.Write([]byte(p.Name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()+uint64(number)))
	scale := 1 / math.Sqrt(float64(min(p.space.Shape()[0], p.space.Shape()[1]))) // of the rank
	x := p.space.Float32s()
	for i := range x {
		x[i] = float32(scale * r.NormFloat64())
	}
}

// measure sets the factors: what AdamW would make of the rows of low, or of its
// columns where it is not tall, or of all of it.
func (p *randomized) measure(a *adam, tall, whole bool) {
	low, avg, avgSq := p.low.Float32s(), p.avg.Float32s(), p.avgSq.Float32s()
	cols, before, after := p.low.Shape()[1], p.before, p.after
	clear(before)
	clear(after)
	for i, r := range low {
		k := i % cols
		if tall {
			k = i / cols
		}
		if whole {
			k = 0
		}
		u := float64(avg[i]) / (math.Sqrt(float64(avgSq[i])) + a.Epsilon)
		before[k] += float64(r) * float64(r)
		after[k] += u * u
	}
	for k := range p.factors {
		from := k
		if whole {
			from = 0
		}
		p.factors[k] = float32(math.Sqrt(after[from]) / (math.Sqrt(before[from]) + 1e-8))
	}
}

// scale sets full to the scaled gradient, whose norm grows by a hundredth in a
// step at most.
func (p *randomized) scale(g []float32, tall bool) {
	const growth = 1.01
	s, cols := p.full.Float32s(), p.Shape()[1]
	for i, x := range g {
		k := i % cols
		if tall {
			k = i / cols
		}
		s[i] = x * p.factors[k]
	}
	norm := rms(s) * math.Sqrt(float64(len(s)))
	if before := float64(*p.norm); before > 0 {
		limit := max(norm/(before+1e-8), growth) / growth
		norm /= limit
		for i := range s {
			s[i] /= float32(limit)
		}
	}
	*p.norm = float32(norm)
}
