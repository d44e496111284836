package registry

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Optimizer constructs the optimizer of that name for a run of the given number
// of steps. The Schedule is nil if it has none; where it, State or Rates go
// wrong they panic with an *ExtensionError; see Catch.
func (r *Registry) Optimizer(name string, m *api.Model, steps int) (api.Optimizer, api.Schedule, error) {
	x, err := r.find(optimizer, name)
	if err != nil {
		return nil, nil, err
	}
	var o api.Optimizer
	var schedule api.Schedule
	err = x.guard("constructor", func() error {
		if o, schedule, err = x.construct.(func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error))(r.argsOf(x), m, steps); err != nil {
			return err
		}
		return constructed(o)
	})
	if err != nil {
		return nil, nil, err
	}
	r.use(x, o)
	return guardOptimizer(x, o), guardSchedule(x, schedule), nil
}

// guardOptimizer returns o guarded, with the optional interfaces that it has.
func guardOptimizer(x *extension, o api.Optimizer) api.Optimizer {
	s, isStateful := o.(api.Stateful)
	g, isRated := o.(api.Rated)
	step, state, rates := guardedStep{x, o}, guardedState{x, s}, guardedRates{x, g}
	switch {
	case isStateful && isRated:
		return &struct {
			guardedStep
			guardedState
			guardedRates
		}{step, state, rates}
	case isStateful:
		return &struct {
			guardedStep
			guardedState
		}{step, state}
	case isRated:
		return &struct {
			guardedStep
			guardedRates
		}{step, rates}
	}
	return &step
}

type guardedStep struct {
	x         *extension
	optimizer api.Optimizer
}

func (g guardedStep) Step(lr float64) error {
	return g.x.guard("Step", func() error { return g.optimizer.Step(lr) })
}

type guardedState struct {
	x        *extension
	stateful api.Stateful
}

func (g guardedState) State() (state map[string]*tensor.Dense) {
	g.x.must("State", func() error {
		state = g.stateful.State()
		return checkTensors("state", state)
	})
	return state
}

func (g guardedState) Restore(state map[string]*tensor.Dense) error {
	return g.x.guard("Restore", func() error { return g.stateful.Restore(state) })
}

type guardedRates struct {
	x     *extension
	rated api.Rated
}

func (g guardedRates) Rates(lr float64) (rates map[string]float64) {
	g.x.must("Rates", func() error {
		rates = g.rated.Rates(lr)
		return nil
	})
	return rates
}

func guardSchedule(x *extension, s api.Schedule) api.Schedule {
	if s == nil {
		return nil
	}
	return func(step int) (lr float64) {
		x.must("Schedule", func() error {
			if lr = s(step); !(lr >= 0) || math.IsInf(lr, 1) {
				return fmt.Errorf("its schedule gives learning rate %g at step %d, want a number from 0 up", lr, step)
			}
			return nil
		})
		return lr
	}
}
