package builtin

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// adamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019), as
// torch.optim.AdamW computes it.
type adamW struct {
	adam
	groups

	moments []*moments
}

// adam is the numbers of Adam.
type adam struct {
	Beta1   float64 `json:"beta1"`
	Beta2   float64 `json:"beta2"`
	Epsilon float64 `json:"epsilon"`
}

// moments is one parameter and the averages of its gradients.
type moments struct {
	part
	avg, avgSq *tensor.Dense
	steps      *float32 // in which it had a gradient
}

func defaultAdam() adam { return adam{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8} }

func (a *adam) check() error {
	if err := shares(map[string]float64{"beta1": a.Beta1, "beta2": a.Beta2}); err != nil {
		return err
	}
	if !(a.Epsilon >= 0) {
		return fmt.Errorf("epsilon is %g, want 0 or more", a.Epsilon)
	}
	return nil
}

// shares refuses what is not a share that is left of an average.
func shares(values map[string]float64) error {
	for name, x := range values {
		if !(x >= 0 && x < 1) {
			return fmt.Errorf("%s is %g, want 0 or more and less than 1", name, x)
		}
	}
	return nil
}

func newAdamW(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	a := &adamW{adam: defaultAdam()}
	if err := args.Decode(a); err != nil {
		return nil, nil, err
	}
	return a, nil, a.prepare(args, m)
}

func (a *adamW) prepare(args *api.Args, m *api.Model) error {
	if err := a.check(); err != nil {
		return err
	}
	parts, err := a.parts(args, m)
	if err != nil {
		return err
	}
	for _, p := range parts {
		a.moments = append(a.moments, newMoments(&a.memory, p))
	}
	return nil
}

// newMoments keeps exp_avg, exp_avg_sq and step of p.
func newMoments(m *memory, p part) *moments {
	return &moments{part: p, avg: m.keep(p.Param, "exp_avg", p.Shape()...), avgSq: m.keep(p.Param, "exp_avg_sq", p.Shape()...), steps: m.keepCount(p.Param, "step")}
}

// Step applies, to each parameter with a gradient,
// w -= lr·λ·w, m = β₁m + (1-β₁)g, v = β₂v + (1-β₂)g², w -= lr·m̂ / (√v̂ + ε).
func (a *adamW) Step(lr float64) error {
	for _, s := range a.moments {
		s.step(&a.adam, lr)
	}
	return nil
}

func (s *moments) step(a *adam, lr float64) {
	s.Update(func(w, g []float32) {
		*s.steps++
		if e, ok := s.Value().Engine().(fusedAdamW); ok {
			e.AdamW(w, g, s.avg.Float32s(), s.avgSq.Float32s(), lr*s.ratio, a.Beta1, a.Beta2, a.Epsilon, s.decay, int(*s.steps))
			return
		}
		rows(s.Param, len(w), func(from, to int) { s.update(a, lr*s.ratio, w, g, from, to) })
	})
}

// fusedAdamW is an engine that has the whole step as one kernel. A plugin may
// ask for it in the same way.
type fusedAdamW interface {
	AdamW(w, g, avg, avgSq []float32, lr, beta1, beta2, epsilon, decay float64, step int)
}

// update applies the step to elements [from, to). The order of the operations
// is torch's.
func (s *moments) update(a *adam, lr float64, w, g []float32, from, to int) {
	avg, avgSq := s.avg.Float32s(), s.avgSq.Float32s()
	keep, fresh1 := float32(1-lr*s.decay), float32(1-a.Beta1)
	beta2, fresh2 := float32(a.Beta2), float32(1-a.Beta2)
	size := float32(lr / (1 - math.Pow(a.Beta1, float64(*s.steps))))
	root := float32(math.Sqrt(1 - math.Pow(a.Beta2, float64(*s.steps))))
	epsilon := float32(a.Epsilon)
	for i := from; i < to; i++ {
		avg[i] += fresh1 * (g[i] - avg[i])
		avgSq[i] = beta2*avgSq[i] + fresh2*g[i]*g[i]
		w[i] = keep*w[i] - size*(avg[i]/(float32(math.Sqrt(float64(avgSq[i])))/root+epsilon))
	}
}
