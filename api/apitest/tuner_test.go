package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// biases trains the biases of the model.
type biases struct{}

func (biases) Prepare(m *api.Model) error {
	m.Freeze()
	for _, p := range m.Params {
		if strings.HasSuffix(p.Name, ".bias") {
			p.Unfreeze()
		}
	}
	return nil
}

// shift is a tuner that adds a vector to what comes out of the down projection.
type shift struct {
	start, scale float32
	idle         bool // adds a parameter that nothing uses
	save         func(map[string]*tensor.Dense)
	skip         bool // does not load
	lenient      bool // loads what is there
}

func (s *shift) Prepare(m *api.Model) error {
	m.Freeze()
	for _, l := range m.Linears {
		if l.Part != api.MLPDown {
			continue
		}
		v := m.AddParam(l.Name+".shift", s.start, l.Out)
		l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Add(v.Var) })
	}
	if s.idle {
		m.AddParam("idle", 0, 3)
	}
	return nil
}

func (s *shift) Save(m *api.Model) (*api.Adapter, error) {
	a := &api.Adapter{Config: json.RawMessage(`{}`), Tensors: map[string]*tensor.Dense{}}
	for _, p := range m.Trainable() {
		a.Tensors[p.Name] = p.Value()
	}
	if s.save != nil {
		s.save(a.Tensors)
	}
	return a, nil
}

func (s *shift) Load(m *api.Model, a *api.Adapter) error {
	if err := s.Prepare(m); err != nil {
		return err
	}
	for _, p := range m.Trainable() {
		x, ok := a.Tensors[p.Name]
		if !ok && s.lenient || s.skip {
			continue
		}
		if !ok {
			return fmt.Errorf("no tensor %s", p.Name)
		}
		if err := p.Assign(x); err != nil {
			return err
		}
	}
	return nil
}

// merged is a shift of the query's bias, which Merge adds to it.
type merged struct {
	wrong   bool
	penalty float32
}

func (s *merged) Prepare(m *api.Model) error {
	m.Freeze()
	v := m.AddParam("shift", 0, m.Linears[0].Out)
	m.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Add(v.Var) })
	return nil
}

func (s *merged) Merge(m *api.Model) error {
	if s.wrong {
		return nil
	}
	v := m.Trainable()[0]
	m.Linears[0].Bias.Set(func(w []float32) {
		for i := range w {
			w[i] += v.Data()[i]
		}
	})
	return nil
}

func (s *merged) Penalty() (*api.Var, error) {
	return api.NewParam("p", api.Full(s.penalty, 1)).Var, nil
}

// prepare is a Tuner that is only a function.
type prepare func(m *api.Model) error

func (f prepare) Prepare(m *api.Model) error { return f(m) }

func TestTunerFindsMistakes(t *testing.T) {
	runs := 0
	for _, c := range []struct {
		name, want string
		tuner      api.Tuner
	}{
		{"right", "", biases{}},
		{"everything", "", prepare(func(*api.Model) error { return nil })},
		{"right saver", "", &shift{}},
		{"changes the model", "have changed before", &shift{start: 1}},
		{"unused", "idle is to be trained", &shift{idle: true}},
		{"nothing", "nothing is left", prepare(func(m *api.Model) error { m.Freeze(); return nil })},
		{"fails", "prepare: no", prepare(func(m *api.Model) error { return errors.New("no") })},
		{"noise", "from one forward pass", prepare(func(m *api.Model) error {
			r := newRand(1)
			for _, l := range m.Linears[:1] {
				l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Shift(1e-6 * r.Float64()) })
			}
			return nil
		})},
		{"does not repeat", "draw from a source", prepare(func(m *api.Model) error {
			runs++
			m.Freeze()
			p := m.AddParam("added", float32(runs), 1)
			m.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Add(p.Sub(p.Var)) })
			return nil
		})},
		{"names twice", "two parameters have the name", prepare(func(m *api.Model) error {
			m.Freeze()
			for _, l := range m.Linears {
				v := m.AddParam("v", 1, l.Out)
				l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Mul(v.Var) })
			}
			return nil
		})},
		{"does not load", "are others after", &shift{skip: true}},
		{"loads what is there", "without an error", &shift{lenient: true}},
		{"right merger", "", &merged{}},
		{"does not merge", "after Merge", &merged{wrong: true}},
		{"endless penalty", "no single number", &merged{penalty: float32(math.Inf(1))}},
		{"saves too little", "load: no tensor", &shift{save: func(ts map[string]*tensor.Dense) { delete(ts, "model.layers.0.mlp.down_proj.shift") }}},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { Tuner(t, maker(func() api.Tuner { return c.tuner })) })
	}
}

func TestModelHasEveryPart(t *testing.T) {
	m, forward := Model(1)
	have := map[api.Part]int{}
	for _, l := range m.Linears {
		have[l.Part]++
	}
	for part := api.OtherPart; part <= api.LMHead; part++ {
		if have[part] == 0 {
			t.Errorf("no linear layer is part %d", part)
		}
	}
	if got := forward(input()).Shape(); !got.Eq(tensor.Shape{5, vocab}) {
		t.Errorf("the logits have shape %v", got)
	}
}
