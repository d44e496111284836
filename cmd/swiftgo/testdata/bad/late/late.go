// Late has extensions that panic in the third step of a run.
package main

import "swiftgo/api"

var Callbacks = api.Callbacks{"late_callback": newCallback}

var Losses = api.Losses{"late_loss": newLoss}

var Optimizers = api.Optimizers{"late_optimizer": newOptimizer}

type callback struct {
	Step int `json:"step"`
}

func newCallback(args *api.Args) (*api.Callback, error) {
	c := &callback{Step: 3}
	return &api.Callback{OnStepEnd: func(s *api.State) error {
		if s.Step == c.Step {
			panic("late")
		}
		return nil
	}}, args.Decode(c)
}

func newLoss(*api.Args) (api.Loss, error) {
	calls := 0
	return api.LossFunc(func(out *api.Output, b *api.Batch) (*api.Var, error) {
		if calls++; calls > 5 { // two micro-batches a step
			panic("late")
		}
		return out.CrossEntropy(b.Labels), nil
	}), nil
}

type optimizer struct {
	params []*api.Param
	calls  int
}

func newOptimizer(_ *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	return &optimizer{params: m.Trainable()}, nil, nil
}

func (o *optimizer) Step(lr float64) error {
	o.calls++
	for i, p := range o.params {
		if o.calls == 3 && i > 0 {
			panic("late")
		}
		p.Update(func(w, g []float32) {
			for i := range w {
				w[i] -= float32(lr) * g[i]
			}
		})
	}
	return nil
}

func main() {}
