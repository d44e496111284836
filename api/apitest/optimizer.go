package apitest

import (
	"maps"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Optimizer checks that an optimizer, in 400 steps, takes a bowl down to a
// hundredth of its height, leaves alone what is frozen or has no gradient, and
// has a schedule that is a pure function. If it is Stateful, a fresh one that
// is given the state must go on bit for bit.
func Optimizer(t testing.TB, new func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error), options ...Option) {
	t.Helper()
	_, _, err := new(misspelt(), newBowl().model, 10)
	wantsError(t, err)
	o := &optimizerCheck{TB: t, new: new, options: options}
	o.descends()
	o.leavesAlone()
	o.resumes()
}

type optimizerCheck struct {
	testing.TB
	new     func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error)
	options []Option
}

// construct returns an optimizer of the bowl and its rate at each step.
func (o *optimizerCheck) construct(b *bowl, steps int, decay float64) (api.Optimizer, api.Schedule) {
	o.Helper()
	args := arguments(o.options)
	args.WeightDecay = decay
	opt, schedule, err := o.new(args, b.model, steps)
	if err != nil {
		o.Fatalf("construct: %v", err)
	}
	if schedule == nil {
		schedule = api.Constant(args.LearningRate, 0)
	}
	return opt, schedule
}

func (o *optimizerCheck) descends() {
	o.Helper()
	const steps = 400
	b := newBowl()
	opt, schedule := o.construct(b, steps, 0)
	o.pure(schedule, steps)
	before := b.height()
	for step := range steps {
		o.step(b, opt, schedule(step))
	}
	if after := b.height(); !(after <= before/100) {
		o.Errorf("%d steps take the bowl from a height of %g to %g, want a hundredth", steps, before, after)
	}
}

func (o *optimizerCheck) step(b *bowl, opt api.Optimizer, lr float64) {
	o.Helper()
	if err := b.loss().Backward(); err != nil {
		o.Fatalf("backward: %v", err)
	}
	if err := opt.Step(lr); err != nil {
		o.Fatalf("step: %v", err)
	}
	for _, p := range b.model.Params {
		p.ClearGrad()
	}
}

// pure asks a schedule forwards and backwards.
func (o *optimizerCheck) pure(schedule api.Schedule, steps int) {
	o.Helper()
	var forwards []float64
	for step := range steps + 2 {
		forwards = append(forwards, schedule(step))
	}
	for step := steps + 1; step >= 0; step-- {
		got := schedule(step)
		if !finite(got) || got < 0 {
			o.Errorf("the schedule gives %g at step %d, want a finite number that is not negative", got, step)
			return
		}
		if got != forwards[step] {
			o.Errorf("the schedule gives %g at step %d, and asked again %g; it must be a function of the step alone", forwards[step], step, got)
			return
		}
	}
}

// leavesAlone looks at the parameters that a step must not change.
func (o *optimizerCheck) leavesAlone() {
	o.Helper()
	b := newBowl()
	opt, schedule := o.construct(b, 10, 0.1)
	frozen, idle := slices.Clone(b.frozen.Data()), slices.Clone(b.idle.Data())
	for step := range 3 {
		o.step(b, opt, schedule(step))
	}
	if !sameBits(frozen, b.frozen.Data()) {
		o.Errorf("a frozen parameter has changed; an optimizer is for Model.Trainable")
	}
	if !sameBits(idle, b.idle.Data()) {
		o.Errorf("a parameter without a gradient has changed; use Param.Update, which leaves it out")
	}
}

// resumes stops after three of six steps and goes on with the saved state.
func (o *optimizerCheck) resumes() {
	o.Helper()
	const steps = 6
	whole, part := newBowl(), newBowl()
	opt, schedule := o.construct(whole, steps, 0.1)
	if _, ok := opt.(api.Stateful); !ok {
		return
	}
	for step := range steps {
		o.step(whole, opt, schedule(step))
	}

	opt, _ = o.construct(part, steps, 0.1)
	for step := range steps / 2 {
		o.step(part, opt, schedule(step))
	}
	saved := map[string]*tensor.Dense{}
	for name, x := range opt.(api.Stateful).State() {
		if x.Dtype() != tensor.Float32 {
			o.Fatalf("tensor %s of the state holds %v, want float32", name, x.Dtype())
		}
		saved[name] = x.Clone().(*tensor.Dense)
	}
	rest := newBowl()
	for i, p := range rest.model.Params {
		if err := p.Assign(part.model.Params[i].Value()); err != nil {
			o.Fatalf("assign: %v", err)
		}
	}
	opt, schedule = o.construct(rest, steps, 0.1)
	if err := opt.(api.Stateful).Restore(saved); err != nil {
		o.Fatalf("restore: %v", err)
	}
	for step := steps / 2; step < steps; step++ {
		o.step(rest, opt, schedule(step))
	}
	for i, p := range whole.model.Params {
		if !sameBits(p.Data(), rest.model.Params[i].Data()) {
			o.Errorf("%s after %d steps is not what it is when the state is saved after %d and restored; the state has %v",
				p.Name, steps, steps/2, slices.Sorted(maps.Keys(saved)))
		}
	}
}

// bowl is a model whose loss is ½·Σ c·(w-to)², of a matrix and a vector. It has
// a frozen parameter and one that the loss does not reach besides.
type bowl struct {
	model        *api.Model
	frozen, idle *api.Param
}

func newBowl() *bowl {
	r := newRand(3)
	param := func(name string, shape ...int) *api.Param {
		n := tensor.Shape(shape).TotalSize()
		return api.NewParam(name, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(normal(r, n))))
	}
	b := &bowl{frozen: param("frozen.weight", 2, 3), idle: param("idle.weight", 2, 2)}
	b.frozen.Freeze()
	b.model = &api.Model{Type: "bowl", Rand: newRand(4), Training: true,
		Params: []*api.Param{param("matrix.weight", 4, 3), b.frozen, param("vector.bias", 5), b.idle}}
	return b
}

func (b *bowl) loss() *api.Var {
	var parts []*api.Var
	for _, p := range []*api.Param{b.model.Params[0], b.model.Params[2]} {
		n := len(p.Data())
		to, curve := api.Full(0, n), api.Full(0, n)
		for i := range n {
			to.Float32s()[i] = float32(i%3) - 1
			curve.Float32s()[i] = 1 + float32(i%4)/2
		}
		d := p.Reshape(n).Sub(api.Const(to))
		parts = append(parts, d.Mul(d).Mul(api.Const(curve)).Sum().Scale(0.5))
	}
	frozen := b.frozen.Mul(b.frozen.Var).Sum()
	return parts[0].Add(parts[1]).Add(frozen)
}

// height returns the loss without what is frozen.
func (b *bowl) height() float64 {
	return float64(b.loss().Data()[0] - b.frozen.Mul(b.frozen.Var).Sum().Data()[0])
}
