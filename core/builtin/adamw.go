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
	Beta1    float64 `json:"beta1"`
	Beta2    float64 `json:"beta2"`
	Epsilon  float64 `json:"epsilon"`
	DecayAll bool    `json:"decay_all"` // weight decay for biases and norms too

	moments []*moments
}

// moments is one parameter and the averages of its gradients.
type moments struct {
	*api.Param
	avg, avgSq *tensor.Dense
	steps      int // in which it had a gradient
	decay      float64
}

func newAdamW(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	a := &adamW{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8}
	if err := args.Decode(a); err != nil {
		return nil, nil, err
	}
	for name, beta := range map[string]float64{"beta1": a.Beta1, "beta2": a.Beta2} {
		if beta < 0 || beta >= 1 {
			return nil, nil, fmt.Errorf("%s is %g, want 0 or more and less than 1", name, beta)
		}
	}
	if a.Epsilon < 0 {
		return nil, nil, fmt.Errorf("epsilon is %g, want 0 or more", a.Epsilon)
	}
	for _, p := range m.Trainable() {
		s := &moments{Param: p, avg: api.Full(0, p.Shape()...), avgSq: api.Full(0, p.Shape()...)}
		if a.DecayAll || p.Decays() {
			s.decay = args.WeightDecay
		}
		a.moments = append(a.moments, s)
	}
	return a, nil, nil
}

// Step applies, to each parameter with a gradient,
// w -= lr·λ·w, m = β₁m + (1-β₁)g, v = β₂v + (1-β₂)g², w -= lr·m̂ / (√v̂ + ε).
func (a *adamW) Step(lr float64) error {
	for _, s := range a.moments {
		s.Update(func(w, g []float32) {
			s.steps++
			if e, ok := s.Value().Engine().(fusedAdamW); ok {
				e.AdamW(w, g, s.avg.Float32s(), s.avgSq.Float32s(), lr, a.Beta1, a.Beta2, a.Epsilon, s.decay, s.steps)
				return
			}
			rows(s.Param, len(w), func(from, to int) { a.update(s, lr, w, g, from, to) })
		})
	}
	return nil
}

// fusedAdamW is an engine that has the whole step as one kernel. A plugin may
// ask for it in the same way.
type fusedAdamW interface {
	AdamW(w, g, avg, avgSq []float32, lr, beta1, beta2, epsilon, decay float64, step int)
}

// update applies the step to elements [from, to). The order of the operations
// is torch's.
func (a *adamW) update(s *moments, lr float64, w, g []float32, from, to int) {
	avg, avgSq := s.avg.Float32s(), s.avgSq.Float32s()
	keep, fresh1 := float32(1-lr*s.decay), float32(1-a.Beta1)
	beta2, fresh2 := float32(a.Beta2), float32(1-a.Beta2)
	size := float32(lr / (1 - math.Pow(a.Beta1, float64(s.steps))))
	root := float32(math.Sqrt(1 - math.Pow(a.Beta2, float64(s.steps))))
	epsilon := float32(a.Epsilon)
	for i := from; i < to; i++ {
		avg[i] += fresh1 * (g[i] - avg[i])
		avgSq[i] = beta2*avgSq[i] + fresh2*g[i]*g[i]
		w[i] = keep*w[i] - size*(avg[i]/(float32(math.Sqrt(float64(avgSq[i])))/root+epsilon))
	}
}

// rows calls f on ranges that make up [0, n), on several goroutines where p
// lies on an engine.
func rows(p *api.Param, n int, f func(from, to int)) {
	if e, ok := p.Value().Engine().(api.Engine); ok {
		e.Rows(n, f)
		return
	}
	f(0, n)
}

// State returns exp_avg, exp_avg_sq and step of each parameter, under its name.
func (a *adamW) State() map[string]*tensor.Dense {
	state := map[string]*tensor.Dense{}
	for _, s := range a.moments {
		state[s.Name+".exp_avg"], state[s.Name+".exp_avg_sq"] = s.avg, s.avgSq
		state[s.Name+".step"] = api.Full(float32(s.steps), 1)
	}
	return state
}

// Restore takes over what State returned.
func (a *adamW) Restore(state map[string]*tensor.Dense) error {
	if want := 3 * len(a.moments); len(state) != want {
		return fmt.Errorf("the state of adamw has %d tensors, want %d; was it saved with other trained parameters or another optimizer?", len(state), want)
	}
	for _, s := range a.moments {
		step := api.Full(0, 1)
		for name, t := range map[string]*tensor.Dense{"exp_avg": s.avg, "exp_avg_sq": s.avgSq, "step": step} {
			if err := restore(t, state, s.Name+"."+name); err != nil {
				return err
			}
		}
		s.steps = int(step.Float32s()[0])
	}
	return nil
}

// restore copies the named tensor into t.
func restore(t *tensor.Dense, state map[string]*tensor.Dense, name string) error {
	from, ok := state[name]
	if !ok {
		return fmt.Errorf("the state of adamw has no tensor %s", name)
	}
	if !from.Shape().Eq(t.Shape()) {
		return fmt.Errorf("tensor %s of the state of adamw has shape %v, want %v", name, from.Shape(), t.Shape())
	}
	copy(t.Float32s(), from.Float32s())
	return nil
}
