package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Tuner constructs the tuner of that name. What it wraps around layers is not
// guarded one by one; see Registry.Guard. Of the optional interfaces the result
// is a Saver if the tuner is one. It is all the others: Merge is an error,
// Callback and Penalty are nil, and State is empty where the tuner has none.
func (r *Registry) Tuner(name string) (api.Tuner, error) {
	t, x, err := construct[api.Tuner](r, tuner, name)
	if err != nil {
		return nil, err
	}
	s, _ := t.(api.Stateful)
	g := guardedTuner{x, t, guardedState{x, s}}
	if s, ok := t.(api.Saver); ok {
		return &guardedSaver{g, s}, nil
	}
	return &g, nil
}

type guardedTuner struct {
	x     *extension
	tuner api.Tuner
	state guardedState // of a tuner that is Stateful
}

func (g *guardedTuner) Prepare(m *api.Model) error {
	return g.x.guard("Prepare", func() error {
		if err := g.tuner.Prepare(m); err != nil {
			return err
		}
		g.checkWraps(m)
		return checkModel(m)
	})
}

func (g *guardedTuner) Merge(m *api.Model) error {
	return g.x.guard("Merge", func() error {
		t, ok := g.tuner.(api.Merger)
		if !ok {
			return errors.New("it cannot become part of the base model; want a tuner that is an api.Merger")
		}
		if err := t.Merge(m); err != nil {
			return err
		}
		return checkModel(m)
	})
}

func (g *guardedTuner) Callback(steps int) (*api.Callback, error) {
	t, ok := g.tuner.(api.Hooked)
	if !ok {
		return nil, nil
	}
	var c *api.Callback
	err := g.x.guard("Callback", func() (err error) {
		if c, err = t.Callback(steps); err != nil || c == nil {
			return err
		}
		return constructed(c)
	})
	if err != nil || c == nil {
		return nil, err
	}
	return guardCallback(g.x, c), nil
}

func (g *guardedTuner) Penalty() (v *api.Var, err error) {
	t, ok := g.tuner.(api.Regularizer)
	if !ok {
		return nil, nil
	}
	err = g.x.guard("Penalty", func() error {
		if v, err = t.Penalty(); err != nil {
			return err
		}
		if v != nil && v.Shape().TotalSize() != 1 {
			return fmt.Errorf("Penalty returned a tensor of shape %v, want a single value", v.Shape())
		}
		return nil
	})
	return v, err
}

func (g *guardedTuner) State() map[string]*tensor.Dense {
	if g.state.stateful == nil {
		return nil
	}
	return g.state.State()
}

func (g *guardedTuner) Restore(state map[string]*tensor.Dense) error {
	if g.state.stateful == nil {
		return nil
	}
	return g.state.Restore(state)
}

type guardedSaver struct {
	guardedTuner
	saver api.Saver
}

func (g *guardedSaver) Save(m *api.Model) (a *api.Adapter, err error) {
	err = g.x.guard("Save", func() error {
		if a, err = g.saver.Save(m); err != nil {
			return err
		}
		if err := checkAdapter(a); err != nil {
			return err
		}
		for folder, more := range a.More {
			if !filepath.IsLocal(folder) || filepath.Clean(folder) == "." {
				return fmt.Errorf("Save returned one more adapter for the folder %q, want one below the checkpoint's", folder)
			}
			if err := checkAdapter(more); err != nil {
				return fmt.Errorf("%s: %w", folder, err)
			}
		}
		return nil
	})
	return a, err
}

func checkAdapter(a *api.Adapter) error {
	switch {
	case a == nil:
		return errors.New("Save returned nil and no error")
	case len(a.Config) > 0 && !json.Valid(a.Config):
		return errors.New("Save returned a Config that is no JSON")
	}
	return checkTensors("adapter", a.Tensors)
}

func (g *guardedSaver) Load(m *api.Model, a *api.Adapter) error {
	return g.x.guard("Load", func() error {
		if err := g.saver.Load(m, a); err != nil {
			return err
		}
		g.checkWraps(m)
		return checkModel(m)
	})
}

// checkWraps puts around the layers that a plugin's tuner has wrapped what sees
// to it that the model can go on with the result.
func (g *guardedTuner) checkWraps(m *api.Model) {
	if g.x.File == "" {
		return
	}
	for _, l := range m.Linears {
		if !l.Wrapped() {
			continue
		}
		l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
			y, want := next(x), tensor.Shape{x.Shape()[0], l.Out}
			if y == nil {
				panic(&ExtensionError{g.x.Entry, fmt.Errorf("what it wraps around %s returned nil, want shape %v", l.Name, want)})
			}
			if !y.Shape().Eq(want) {
				panic(&ExtensionError{g.x.Entry, fmt.Errorf("what it wraps around %s returned shape %v, want %v", l.Name, y.Shape(), want)})
			}
			return y
		})
	}
}

// checkModel returns an error if a tuner has left something in m that cannot be
// computed with.
func checkModel(m *api.Model) error {
	named := map[string]*api.Param{}
	for i, p := range m.Params {
		if p == nil || p.Var == nil || p.Value() == nil {
			return fmt.Errorf("parameter %d of the model is nil", i)
		}
		if q := named[p.Name]; q != nil && q != p {
			return fmt.Errorf("two parameters are named %s, and a checkpoint keeps one; want names of their own, such as a layer's with more behind it", p.Name)
		}
		named[p.Name] = p
		_, host := p.Value().Engine().(api.Engine) // which keeps frozen weights as it likes
		if p.Value().Dtype() != tensor.Float32 && !host {
			return fmt.Errorf("parameter %s is of %v, want float32", p.Name, p.Value().Dtype())
		}
	}
	return nil
}

// checkTensors returns an error if one of the tensors of a thing that an
// extension hands over cannot be saved.
func checkTensors(of string, ts map[string]*tensor.Dense) error {
	for name, t := range ts {
		switch {
		case t == nil:
			return fmt.Errorf("the tensor %q of its %s is nil", name, of)
		case t.Dtype() != tensor.Float32:
			return fmt.Errorf("the tensor %q of its %s is of %v, want float32", name, of, t.Dtype())
		}
	}
	return nil
}
