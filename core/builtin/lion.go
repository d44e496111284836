package builtin

import (
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// lion steps by the sign of its momentum (Chen et al. 2023, "Symbolic discovery
// of optimization algorithms"). It wants a learning rate that is three to ten
// times smaller than AdamW's.
type lion struct {
	groups
	Beta1 float64 `json:"beta1"` // of the momentum in a step
	Beta2 float64 `json:"beta2"` // of the momentum that is kept

	params []lionParam
}

type lionParam struct {
	part
	avg *tensor.Dense
}

func newLion(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	l := &lion{Beta1: 0.9, Beta2: 0.99}
	if err := args.Decode(l); err != nil {
		return nil, nil, err
	}
	if err := shares(map[string]float64{"beta1": l.Beta1, "beta2": l.Beta2}); err != nil {
		return nil, nil, err
	}
	parts, err := l.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		l.params = append(l.params, lionParam{p, l.keep(p.Param, "exp_avg", p.Shape()...)})
	}
	return l, nil, nil
}

// Step applies w -= lr·(λw + sign(β₁m + (1-β₁)g)), then m = β₂m + (1-β₂)g.
func (l *lion) Step(lr float64) error {
	for _, p := range l.params {
		p.Update(func(w, g []float32) {
			rows(p.Param, len(w), func(from, to int) {
				l.update(p, lr*p.ratio, w[from:to], g[from:to], p.avg.Float32s()[from:to])
			})
		})
	}
	return nil
}

func (l *lion) update(p lionParam, lr float64, w, g, avg []float32) {
	keep := float32(1 - lr*p.decay)
	beta1, beta2 := float32(l.Beta1), float32(l.Beta2)
	for i := range w {
		w[i] *= keep
		if c := beta1*avg[i] + (1-beta1)*g[i]; c != 0 {
			w[i] -= float32(math.Copysign(lr, float64(c)))
		}
		avg[i] = beta2*avg[i] + (1-beta2)*g[i]
	}
}
