package api

import (
	"math"

	"gorgonia.org/tensor"
)

// Optimizer changes the parameters of the model it was constructed with: those
// of Model.Trainable. The constructor is also told the number of optimizer
// steps in the run, and may return the run's learning rate; a nil Schedule
// leaves that to --lr_scheduler_type.
type Optimizer interface {
	// Step applies the gradients at learning rate lr with Param.Update. The
	// trainer has clipped the gradients before and clears them afterwards.
	Step(lr float64) error
}

// Schedule gives the learning rate of a step, counted from 0. It is a pure
// function, so a run that resumes needs to know only its step.
type Schedule func(step int) float64

// Stateful is an optional interface of an Optimizer, or a Tuner, that keeps
// numbers from step to step. Without it a resumed run starts with fresh state.
type Stateful interface {
	// State returns the tensors to save, by name; the trainer writes them
	// before the next Step. Restore is given them back, on an Optimizer that
	// has not stepped yet, or a Tuner that has been given its adapter.
	State() map[string]*tensor.Dense
	Restore(map[string]*tensor.Dense) error
}

// Rated is an optional interface of an Optimizer with groups of parameters. The
// log then shows each group's rate as learning_rate_NAME.
type Rated interface {
	// Rates returns the rates by group when the run's rate is lr.
	Rates(lr float64) map[string]float64
}

// Cosine rises from 0 to lr over the first warmup steps, then falls to 0
// along a half cosine.
func Cosine(lr float64, warmup, steps int) Schedule {
	return func(step int) float64 {
		return lr * ramp(step, warmup, steps, func(done float64) float64 {
			return max(0, 0.5*(1+math.Cos(math.Pi*done)))
		})
	}
}

// LinearDecay rises from 0 to lr over the first warmup steps, then falls to 0 in a
// straight line.
func LinearDecay(lr float64, warmup, steps int) Schedule {
	return func(step int) float64 {
		return lr * ramp(step, warmup, steps, func(done float64) float64 { return max(0, 1-done) })
	}
}

// Constant rises from 0 to lr over the first warmup steps and stays there.
func Constant(lr float64, warmup int) Schedule {
	return func(step int) float64 {
		return lr * ramp(step, warmup, warmup, func(float64) float64 { return 1 })
	}
}

// ramp returns the warm-up's share of the rate, and after it fall of the share
// of the remaining steps that are done.
func ramp(step, warmup, steps int, fall func(done float64) float64) float64 {
	if step < warmup {
		return float64(step) / float64(max(1, warmup))
	}
	return fall(float64(step-warmup) / float64(max(1, steps-warmup)))
}
