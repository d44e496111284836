// Late has extensions that fail in the third step of a run, or wherever their
// settings say.
package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"time"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

var Callbacks = api.Callbacks{
	"late_callback":  after(3, func() { panic("late") }),
	"late_goroutine": after(3, func() { go inBackground(); time.Sleep(time.Minute) }),
	"late_fatal":     after(3, throw),
	"late_return":    after(3, func() { time.Sleep(2500 * time.Millisecond) }),
	"late_hook":      newHook,
	"late_disk":      newDisk,
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

// point is a call of a hook or method in which an extension fails.
type point struct {
	In     string         `json:"in"`
	Call   int            `json:"call"`   // from 1
	Signal syscall.Signal `json:"signal"` // that the process sends itself, in place of a panic
}

func (p *point) decode(args *api.Args) (*point, error) { return p, args.Decode(p) }

// reach is called at the beginning of every hook and method. A panic comes again
// in every later call.
func (p *point) reach(in string) {
	if in != p.In {
		return
	}
	switch p.Call--; {
	case p.Call <= 0 && p.Signal == 0:
		panic("late")
	case p.Call == 0:
		syscall.Kill(os.Getpid(), p.Signal)
	}
}

// newHook is a callback with all hooks there are.
func newHook(args *api.Args) (*api.Callback, error) {
	p, err := (&point{Call: 1}).decode(args)
	if err != nil {
		return nil, err
	}
	c := &api.Callback{
		Save: func() (json.RawMessage, error) { p.reach("Save"); return json.RawMessage("1"), nil },
		Load: func(json.RawMessage) error { p.reach("Load"); return nil },
	}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if hook := v.Field(i); hook.Type() == reflect.TypeFor[func(*api.State) error]() {
			hook.Set(reflect.ValueOf(func(*api.State) error { p.reach(name); return nil }))
		}
	}
	return c, nil
}

// newDisk is a callback that has the disk full for some steps.
func newDisk(args *api.Args) (*api.Callback, error) {
	own := struct {
		Dir      string `json:"dir"`
		From, To int
	}{}
	if err := args.Decode(&own); err != nil {
		return nil, err
	}
	file := filepath.Join(own.Dir, "full")
	return &api.Callback{OnStepBegin: func(s *api.State) error {
		switch s.Step + 1 {
		case own.From:
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			for size := 1 << 20; size > 0; { // to the last byte
				if _, err := f.Write(make([]byte, size)); err != nil {
					size /= 2
				}
			}
			return f.Close()
		case own.To:
			return os.Remove(file)
		}
		return nil
	}}, nil
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

type metric struct{ *point }

func newMetric(args *api.Args) (api.Metric, error) {
	p, err := (&point{In: "Add", Call: 1}).decode(args)
	return metric{p}, err
}

func (m metric) Add(*api.Output, *api.Batch) error { m.reach("Add"); return nil }

func (m metric) Result() (map[string]float64, error) {
	m.reach("Result")
	return map[string]float64{"late": 1}, nil
}

// tuner trains two matrices, and has all that a tuner may have.
type tuner struct {
	*point
	trained []*api.Param
}

func newTuner(args *api.Args) (api.Tuner, error) {
	p, err := (&point{In: "Forward", Call: 6}).decode(args)
	return &tuner{point: p}, err
}

// Prepare leaves in a layer what may panic when the layer is called, or its
// gradient wanted.
func (t *tuner) Prepare(m *api.Model) error {
	t.reach("Prepare")
	for _, p := range m.Params {
		p.Freeze()
	}
	for _, l := range m.Linears[:2] {
		l.Weight.Unfreeze()
		t.trained = append(t.trained, l.Weight)
	}
	m.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var {
		t.reach("Forward")
		return through(next(x), func() { t.reach("gradient") })
	})
	return nil
}

// through is x, with a gradient that calls back.
func through(x *api.Var, back func()) *api.Var {
	return api.Apply(x.Value(), func(grad *tensor.Dense) []*tensor.Dense {
		back()
		return []*tensor.Dense{grad}
	}, x)
}

func (t *tuner) Save(*api.Model) (*api.Adapter, error) {
	t.reach("Save")
	a := &api.Adapter{Config: json.RawMessage(`{"tuner_type": "late_tuner"}`), Tensors: map[string]*tensor.Dense{}}
	for _, p := range t.trained {
		a.Tensors[p.Name] = p.Value()
	}
	return a, nil
}

func (t *tuner) Load(m *api.Model, a *api.Adapter) error {
	t.reach("Load")
	if err := t.Prepare(m); err != nil {
		return err
	}
	for _, p := range t.trained {
		if err := p.Assign(a.Tensors[p.Name]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tuner) State() map[string]*tensor.Dense {
	t.reach("State")
	return map[string]*tensor.Dense{"n": api.Full(1, 1)}
}

func (t *tuner) Restore(map[string]*tensor.Dense) error { t.reach("Restore"); return nil }

func (t *tuner) Penalty() (*api.Var, error) {
	t.reach("Penalty")
	return t.trained[0].Mul(t.trained[0].Var).Mean(), nil
}

func (t *tuner) Callback(int) (*api.Callback, error) {
	t.reach("Callback")
	return &api.Callback{OnStepEnd: func(*api.State) error { t.reach("OnStepEnd"); return nil }}, nil
}

type lossy struct{ *point }

func newLoss(args *api.Args) (api.Loss, error) {
	p, err := (&point{In: "Compute", Call: 6}).decode(args) // two micro-batches a step
	return lossy{p}, err
}

func (l lossy) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	l.reach("Compute")
	return through(out.CrossEntropy(b.Labels), func() { l.reach("gradient") }), nil
}

// optimizer is gradient descent with momentum.
type optimizer struct {
	*point
	params []*api.Param
	moved  map[string]*tensor.Dense
}

func newOptimizer(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	p, err := (&point{In: "Step", Call: 3}).decode(args)
	o := &optimizer{p, m.Trainable(), map[string]*tensor.Dense{}}
	for _, p := range o.params {
		o.moved[p.Name] = api.Full(0, p.Shape()...)
	}
	return o, func(int) float64 { p.reach("Schedule"); return 1e-2 }, err
}

// Step fails when the first parameter is changed.
func (o *optimizer) Step(lr float64) error {
	for i, p := range o.params {
		if i == 1 {
			o.reach("Step")
		}
		moved := o.moved[p.Name].Float32s()
		p.Update(func(w, g []float32) {
			for i := range w {
				moved[i] = 0.9*moved[i] + g[i]
				w[i] -= float32(lr) * moved[i]
			}
		})
	}
	return nil
}

func (o *optimizer) State() map[string]*tensor.Dense { o.reach("State"); return o.moved }

func (o *optimizer) Restore(state map[string]*tensor.Dense) error {
	o.reach("Restore")
	for name, x := range state {
		copy(o.moved[name].Float32s(), x.Float32s())
	}
	return nil
}

func (o *optimizer) Rates(lr float64) map[string]float64 {
	o.reach("Rates")
	return map[string]float64{"late": lr}
}

func main() {}
