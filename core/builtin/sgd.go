package builtin

import (
	"errors"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// sgd is stochastic gradient descent, as torch.optim.SGD computes it: weight
// decay is added to the gradient.
type sgd struct {
	groups
	Momentum float64 `json:"momentum"`
	Nesterov bool    `json:"nesterov"`

	params []sgdParam
}

type sgdParam struct {
	part
	velocity *tensor.Dense // nil without momentum
}

func newSGD(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	s := &sgd{}
	if err := args.Decode(s); err != nil {
		return nil, nil, err
	}
	if err := shares(map[string]float64{"momentum": s.Momentum}); err != nil {
		return nil, nil, err
	}
	if s.Nesterov && s.Momentum == 0 {
		return nil, nil, errors.New("nesterov wants momentum, and it is 0")
	}
	parts, err := s.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		x := sgdParam{part: p}
		if s.Momentum > 0 {
			x.velocity = s.keep(p.Param, "momentum_buffer", p.Shape()...)
		}
		s.params = append(s.params, x)
	}
	return s, nil, nil
}

// Step applies d = g + λw, v = μv + d, w -= lr·v, or with nesterov lr·(d + μv).
func (s *sgd) Step(lr float64) error {
	for _, p := range s.params {
		p.Update(func(w, g []float32) {
			rows(p.Param, len(w), func(from, to int) { s.update(p, float32(lr*p.ratio), w[from:to], g[from:to], from, to) })
		})
	}
	return nil
}

func (s *sgd) update(p sgdParam, lr float32, w, g []float32, from, to int) {
	decay, momentum := float32(p.decay), float32(s.Momentum)
	if p.velocity == nil {
		for i := range w {
			w[i] -= lr * (g[i] + decay*w[i])
		}
		return
	}
	v := p.velocity.Float32s()[from:to]
	for i := range w {
		d := g[i] + decay*w[i]
		v[i] = momentum*v[i] + d
		if s.Nesterov {
			w[i] -= lr * (d + momentum*v[i])
		} else {
			w[i] -= lr * v[i]
		}
	}
}
