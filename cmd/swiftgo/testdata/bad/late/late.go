// Late has extensions that fail in the third step of a run.
package main

import (
	"encoding/json"
	"sync"
	"time"

	"swiftgo/api"
)

var Callbacks = api.Callbacks{
	"late_callback":  after(3, func() { panic("late") }),
	"late_goroutine": after(3, func() { go inBackground(); time.Sleep(time.Minute) }),
	"late_fatal":     after(3, throw),
	"late_return":    after(3, func() { time.Sleep(2500 * time.Millisecond) }),
}

var LossScales = api.LossScales{"late_scale": newScale}

var Metrics = api.Metrics{"late_metric": newMetric}

var Tuners = api.Tuners{"late_tuner": newTuner}

var Losses = api.Losses{"late_loss": newLoss}

var Optimizers = api.Optimizers{"late_optimizer": newOptimizer}

// after returns the constructor of a callback that fails after a step, and that
// has a state.
func after(step int, fail func()) func(*api.Args) (*api.Callback, error) {
	return func(args *api.Args) (*api.Callback, error) {
		own := struct {
			Step int `json:"step"`
		}{step}
		if err := args.Decode(&own); err != nil {
			return nil, err
		}
		return &api.Callback{
			OnStepEnd: func(s *api.State) error {
				if s.Step == own.Step {
					fail()
				}
				return nil
			},
			Save: func() (json.RawMessage, error) { return json.RawMessage("1"), nil },
			Load: func(json.RawMessage) error { return nil },
		}, nil
	}
}

func inBackground() { panic("in the background") }

// throw has the runtime end the process, as it does when a map is written from
// two goroutines.
func throw() {
	var mu sync.Mutex
	mu.Unlock()
}

type scale struct{}

func newScale(*api.Args) (api.LossScale, error) { return scale{}, nil }

func (scale) Weigh(s api.Segment) []api.Piece { panic("late") }

type metric struct{ n int }

func newMetric(*api.Args) (api.Metric, error) { return &metric{}, nil }

func (m *metric) Add(*api.Output, *api.Batch) error { panic("late") }

func (m *metric) Result() (map[string]float64, error) { return nil, nil }

type tuner struct{}

func newTuner(*api.Args) (api.Tuner, error) { return tuner{}, nil }

// Prepare leaves in a layer what panics when the layer is called.
func (tuner) Prepare(m *api.Model) error {
	calls := 0
	for _, p := range m.Params {
		p.Freeze()
	}
	l := m.Linears[0]
	l.Weight.Unfreeze()
	l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		if calls++; calls > 5 {
			panic("late")
		}
		return next(x)
	})
	return nil
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
