package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Tuner checks, on a small model with every Part, that a tuner leaves what the
// model says unchanged at the start, that what is frozen gets no gradient and
// what is trained does, and that a tuned model is the same after it was saved
// and loaded: by the tuner itself if it is a Saver, else by the names of the
// trained parameters, as the host does it. Of a Merger the base model must say
// the same alone after Merge, and the penalty of a Regularizer must be a number.
func Tuner(t testing.TB, new func(*api.Args) (api.Tuner, error), options ...Option) {
	t.Helper()
	c := &tunerCheck{TB: t, fresh: construct(t, new, options)}
	c.unchanged()
	c.gradients()
	c.repeats()
	c.penalty()
	c.merges()
	if _, ok := c.fresh().(api.Saver); ok {
		c.saves(new, options)
	} else {
		c.savesByName()
	}
}

type tunerCheck struct {
	testing.TB
	fresh func() api.Tuner
}

// tuned is a small model, and its tuner.
type tuned struct {
	*api.Model
	forward func(*api.Var) *api.Var
	tuner   api.Tuner
}

const modelSeed = 5

func (c *tunerCheck) prepare() *tuned {
	c.Helper()
	m, forward := Model(modelSeed)
	u := &tuned{m, forward, c.fresh()}
	if err := u.tuner.Prepare(m); err != nil {
		c.Fatalf("prepare: %v", err)
	}
	return u
}

// input returns embeddings of five tokens.
func input() *api.Var {
	return api.Const(tensor.New(tensor.WithShape(5, dim), tensor.WithBacking(normal(newRand(9), 5*dim))))
}

// says returns the model's logits outside training.
func (u *tuned) says() []float32 {
	u.Training = false
	return u.forward(input()).Data()
}

func (c *tunerCheck) unchanged() {
	c.Helper()
	_, base := Model(modelSeed)
	u := c.prepare()
	first := u.says()
	if !near(base(input()).Data(), first) {
		c.Errorf("the logits of the model have changed before any training")
	}
	if !sameBits(first, u.says()) {
		c.Errorf("outside training the logits differ from one forward pass to the next; use Model.Dropout")
	}
}

func (c *tunerCheck) gradients() {
	c.Helper()
	u := c.prepare()
	trained := u.Trainable()
	if len(trained) == 0 {
		c.Errorf("nothing is left to train")
		return
	}
	u.backward(c)
	for _, p := range u.Params {
		switch {
		case p.Frozen() && p.Grad() != nil:
			c.Errorf("%s is frozen and gets a gradient", p.Name)
		case !p.Frozen() && p.Grad() == nil:
			c.Errorf("%s is to be trained and gets no gradient; does the forward pass use it?", p.Name)
		}
	}
	names := map[string]bool{}
	for _, p := range u.Params {
		if names[p.Name] {
			c.Errorf("two parameters have the name %s", p.Name)
		}
		names[p.Name] = true
	}
}

// backward finds the gradients of a sum of the logits, as in training.
func (u *tuned) backward(t testing.TB) {
	t.Helper()
	u.Training, u.Rand = true, newRand(11)
	y := u.forward(input())
	w := tensor.New(tensor.WithShape(y.Shape()...), tensor.WithBacking(normal(newRand(13), y.Shape().TotalSize())))
	if err := y.Mul(api.Const(w)).Sum().Backward(); err != nil {
		t.Fatalf("backward: %v", err)
	}
}

// repeats prepares twice with the same seed.
func (c *tunerCheck) repeats() {
	c.Helper()
	a, b := c.prepare(), c.prepare()
	for i, p := range a.Params {
		if q := b.Params[i]; p.Name != q.Name || p.Frozen() != q.Frozen() || !sameBits(p.Data(), q.Data()) {
			c.Errorf("with the same seed, %s is not the same from one Prepare to the next; draw from a source seeded with Args.Seed", p.Name)
			return
		}
	}
}

// shake changes every trained parameter, as training would.
func (u *tuned) shake() {
	for i, p := range u.Trainable() {
		r := newRand(uint64(100 + i))
		p.Set(func(w []float32) {
			for j := range w {
				w[j] += 0.3 * float32(r.NormFloat64())
			}
		})
	}
}

func (c *tunerCheck) penalty() {
	c.Helper()
	u := c.prepare()
	r, ok := u.tuner.(api.Regularizer)
	if !ok {
		return
	}
	u.shake()
	v, err := r.Penalty()
	switch {
	case err != nil:
		c.Errorf("penalty: %v", err)
	case v == nil:
	case v.Shape().TotalSize() != 1 || !finite(float64(v.Data()[0])):
		c.Errorf("the penalty is no single number")
	case !v.Needs():
		c.Errorf("the penalty depends on nothing that is trained")
	}
}

// merges folds the tuned model into the base model, as the host does it.
func (c *tunerCheck) merges() {
	c.Helper()
	u := c.prepare()
	m, ok := u.tuner.(api.Merger)
	if !ok {
		return
	}
	u.shake()
	tuned := u.says()
	if err := m.Merge(u.Model); err != nil {
		c.Errorf("merge: %v", err)
		return
	}
	for _, l := range u.Linears {
		l.Unwrap()
	}
	if !near(tuned, u.says()) {
		c.Errorf("after Merge the base model alone says something else than the tuned model")
	}
}

func (c *tunerCheck) saves(new func(*api.Args) (api.Tuner, error), options []Option) {
	c.Helper()
	u := c.prepare()
	u.shake()
	saved, err := u.tuner.(api.Saver).Save(u.Model)
	if err != nil {
		c.Fatalf("save: %v", err)
	}
	if !json.Valid(saved.Config) {
		c.Errorf("the configuration of the adapter is not JSON: %s", saved.Config)
	}
	saved = onDisk(saved)

	// The adapter knows how it was made; only a tuner that cannot do without
	// its settings is given them again.
	loader, err := new(arguments(nil))
	if err != nil {
		loader = c.fresh()
	}
	back, err := load(loader, saved)
	if err != nil {
		c.Fatalf("load: %v", err)
	}
	c.same(u, back)
	if x, err := back.tuner.(api.Saver).Save(back.Model); err != nil {
		c.Errorf("save of a loaded adapter: %v", err)
	} else if !slices.Equal(names(x.Tensors), names(saved.Tensors)) {
		c.Errorf("an adapter that was loaded and saved again has the tensors %v, and had %v", names(x.Tensors), names(saved.Tensors))
	}
	for _, name := range names(saved.Tensors) {
		short := onDisk(saved)
		delete(short.Tensors, name)
		if _, err := load(c.fresh(), short); err == nil {
			c.Errorf("an adapter without its tensor %s is loaded without an error", name)
		}
	}
}

// load returns a fresh base model with the adapter.
func load(tuner api.Tuner, a *api.Adapter) (*tuned, error) {
	m, forward := Model(modelSeed)
	return &tuned{m, forward, tuner}, tuner.(api.Saver).Load(m, a)
}

// onDisk returns a copy that shares no memory with a.
func onDisk(a *api.Adapter) *api.Adapter {
	c := &api.Adapter{Config: slices.Clone(a.Config), Tensors: map[string]*tensor.Dense{}}
	for name, x := range a.Tensors {
		c.Tensors[name] = x.Clone().(*tensor.Dense)
	}
	return c
}

func names(m map[string]*tensor.Dense) []string { return slices.Sorted(maps.Keys(m)) }

func (c *tunerCheck) savesByName() {
	c.Helper()
	u := c.prepare()
	u.shake()
	saved := map[string]*tensor.Dense{}
	for _, p := range u.Trainable() {
		saved[p.Name] = p.Value()
	}
	back := c.prepare()
	for _, p := range back.Trainable() {
		if saved[p.Name] == nil {
			c.Errorf("a second Prepare trains %s, which the first did not", p.Name)
			return
		}
		if err := p.Assign(saved[p.Name]); err != nil {
			c.Fatalf("load: %v", err)
		}
	}
	c.same(u, back)
}

// same compares a tuned model with what came back from disk.
func (c *tunerCheck) same(u, back *tuned) {
	c.Helper()
	if !near(u.says(), back.says()) {
		c.Errorf("the logits of the tuned model are others after it was saved and loaded")
	}
	if a, b := trainable(u.Model), trainable(back.Model); !slices.Equal(a, b) {
		c.Errorf("after it was loaded the model trains %v, and before %v", b, a)
	}
}

func trainable(m *api.Model) []string {
	var names []string
	for _, p := range m.Trainable() {
		names = append(names, fmt.Sprint(p.Name, p.Shape()))
	}
	return names
}
