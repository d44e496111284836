// Custom is a plugin with one optimizer, custom, of Chen et al. 2023 ("Symbolic
// discovery of optimization algorithms"), known as Lion: it steps by the sign of
// its momentum, so every element moves by the learning rate. That rate should be
// three to ten times smaller than AdamW's.
//
//	swiftgo sft --optimizer custom --learning_rate 1e-5 --custom.beta2 0.98 …
//
// It shows what an optimizer is: the constructor sees the model and the length
// of the run, and here also returns the run's schedule, in place of
// --lr_scheduler_type; Step changes the parameters; State and Restore let a run
// resume as if it had not been interrupted.
package main

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Optimizers is what the host looks for.
var Optimizers = api.Optimizers{"custom": newLion}

type lion struct {
	Beta1 float64 `json:"beta1"` // of the momentum in a step
	Beta2 float64 `json:"beta2"` // of the momentum that is kept
	Floor float64 `json:"floor"` // share of the learning rate at the end

	decay    float64
	params   []*api.Param
	momentum []*tensor.Dense // one for each parameter
}

func newLion(args *api.Args, m *api.Model, steps int) (api.Optimizer, api.Schedule, error) {
	l := &lion{Beta1: 0.9, Beta2: 0.99, decay: args.WeightDecay, params: m.Trainable()}
	if err := args.Decode(l); err != nil {
		return nil, nil, err
	}
	for _, x := range []float64{l.Beta1, l.Beta2, l.Floor} {
		if !(x >= 0 && x < 1) {
			return nil, nil, fmt.Errorf("beta1, beta2 and floor are %g, %g and %g, want 0 or more and less than 1", l.Beta1, l.Beta2, l.Floor)
		}
	}
	for _, p := range l.params {
		l.momentum = append(l.momentum, api.Full(0, p.Shape()...))
	}
	return l, warmCosine(args.LearningRate, l.Floor*args.LearningRate, args.Warmup(steps), steps), nil
}

// warmCosine rises in a straight line to high over the warm-up, then falls along
// half a cosine to low.
func warmCosine(high, low float64, warmup, steps int) api.Schedule {
	return func(step int) float64 {
		if step < warmup {
			return high * float64(step+1) / float64(warmup+1)
		}
		done := min(1, float64(step-warmup)/float64(max(1, steps-warmup)))
		return low + (high-low)*(1+math.Cos(math.Pi*done))/2
	}
}

// Step applies w -= lr·(sign(β₁m + (1-β₁)g) + λw), then m = β₂m + (1-β₂)g.
func (l *lion) Step(lr float64) error {
	rate, beta1, beta2 := float32(lr), float32(l.Beta1), float32(l.Beta2)
	for i, p := range l.params {
		m, decay := l.momentum[i].Float32s(), float32(0)
		if p.Decays() {
			decay = float32(l.decay)
		}
		p.Update(func(w, g []float32) {
			for j := range w {
				w[j] -= rate * (sign(beta1*m[j]+(1-beta1)*g[j]) + decay*w[j])
				m[j] = beta2*m[j] + (1-beta2)*g[j]
			}
		})
	}
	return nil
}

func sign(x float32) float32 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// State returns the momentum of each parameter, under its name.
func (l *lion) State() map[string]*tensor.Dense {
	state := map[string]*tensor.Dense{}
	for i, p := range l.params {
		state[p.Name] = l.momentum[i]
	}
	return state
}

// Restore takes over what State returned.
func (l *lion) Restore(state map[string]*tensor.Dense) error {
	for i, p := range l.params {
		m, ok := state[p.Name]
		if !ok || !m.Shape().Eq(p.Shape()) {
			return fmt.Errorf("the saved state of custom has no momentum of shape %v for %s; was another optimizer or tuner used?", p.Shape(), p.Name)
		}
		copy(l.momentum[i].Float32s(), m.Float32s())
	}
	return nil
}

func main() {}
