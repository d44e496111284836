package builtin

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// muon steps the matrices inside the model by their momentum made orthogonal
// (Jordan et al. 2024), scaled as Moonlight does (Liu et al. 2025) so that it
// goes by AdamW's learning rate and weight decay. The rest of the model, its
// embedding, output projection and vectors, is AdamW's.
type muon struct {
	adam
	groups
	Momentum float64 `json:"momentum"`
	Nesterov bool    `json:"nesterov"`
	Steps    int     `json:"ns_steps"` // of Newton and Schulz's iteration

	matrices []muonParam
	rest     []*moments
	shared   orthogonalizer
}

type muonParam struct {
	part
	momentum *tensor.Dense
}

func newMuon(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	o := &muon{adam: defaultAdam(), groups: groups{DecayAll: true}, Momentum: 0.95, Nesterov: true, Steps: 5}
	if err := args.Decode(o); err != nil {
		return nil, nil, err
	}
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	if err := checkMuon(o.Momentum, o.Steps); err != nil {
		return nil, nil, err
	}
	parts, err := o.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		if hidden(p.Param) {
			o.matrices = append(o.matrices, muonParam{p, o.keep(p.Param, "momentum_buffer", p.Shape()...)})
		} else {
			o.rest = append(o.rest, newMoments(&o.memory, p))
		}
	}
	return o, nil, nil
}

func checkMuon(momentum float64, steps int) error {
	if err := shares(map[string]float64{"momentum": momentum}); err != nil {
		return err
	}
	if steps < 1 {
		return fmt.Errorf("the steps of Newton and Schulz's iteration are %d, want 1 or more", steps)
	}
	return nil
}

// Step applies m = μm + g, o = orthogonal(g + μm), without nesterov
// orthogonal(m), and w -= lr·λ·w, w -= lr·0.2·√max(rows, cols)·o.
func (o *muon) Step(lr float64) error {
	for _, p := range o.matrices {
		p.Update(func(w, g []float32) {
			work := o.shared.of(p.Param)
			x, v, momentum := work.x.Float32s(), p.momentum.Float32s(), float32(o.Momentum)
			for i := range g {
				v[i] = momentum*v[i] + g[i]
				if x[i] = v[i]; o.Nesterov {
					x[i] = g[i] + momentum*v[i]
				}
			}
			x = work.orthogonalize(p.Param, o.Steps)
			rate := lr * p.ratio
			size, keep := float32(rate*0.2*math.Sqrt(float64(max(p.Shape()[0], p.Shape()[1])))), float32(1-rate*p.decay)
			for i := range w {
				w[i] = keep*w[i] - size*x[i]
			}
		})
	}
	for _, s := range o.rest {
		s.step(&o.adam, lr)
	}
	return nil
}

// orthogonalizer is the room that matrices are made orthogonal in, by their
// shape.
type orthogonalizer map[[2]int]*orthogonal

// orthogonal is the room for one shape.
type orthogonal struct {
	x, y *tensor.Dense // the matrix, and the next
	a, b *tensor.Dense // square, of the shorter side
}

func (o *orthogonalizer) of(p *api.Param) *orthogonal {
	shape := [2]int{p.Shape()[0], p.Shape()[1]}
	if (*o)[shape] == nil {
		if *o == nil {
			*o = orthogonalizer{}
		}
		short := min(shape[0], shape[1])
		(*o)[shape] = &orthogonal{api.Full(0, shape[:]...), api.Full(0, shape[:]...), api.Full(0, short, short), api.Full(0, short, short)}
	}
	return (*o)[shape]
}

// orthogonalize makes the singular values of x about 1, with Newton and Schulz's
// iteration X ← aX + (bA + cA²)X, A = XXᵀ, whose factors are such that few steps
// do; of a tall matrix from the other side. Where others iterate in bfloat16,
// this is float32.
func (o *orthogonal) orthogonalize(p *api.Param, steps int) []float32 {
	const a, b, c = 3.4445, -4.7750, 2.0315
	x, y := o.x, o.y
	tall := x.Shape()[0] > x.Shape()[1]
	factor := float32(1 / (rms(x.Float32s())*math.Sqrt(float64(x.Shape().TotalSize())) + 1e-7))
	for i := range x.Float32s() {
		x.Float32s()[i] *= factor
	}
	for range steps {
		multiply(p, tall, !tall, x, x, o.a, false)
		multiply(p, false, false, o.a, o.a, o.b, false)
		square, poly := o.a.Float32s(), o.b.Float32s()
		for i := range poly {
			poly[i] = b*square[i] + c*poly[i]
		}
		from, to := x.Float32s(), y.Float32s()
		for i := range to {
			to[i] = a * from[i]
		}
		if tall {
			multiply(p, false, false, x, o.b, y, true)
		} else {
			multiply(p, false, false, o.b, x, y, true)
		}
		x, y = y, x
	}
	o.x, o.y = x, y
	return x.Float32s()
}
