package registry

import (
	"encoding/json"
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Tuner constructs the tuner of that name. What it wraps around layers is not
// guarded one by one; see Registry.Guard.
func (r *Registry) Tuner(name string) (api.Tuner, error) {
	t, x, err := construct[api.Tuner](r, tuner, name)
	if err != nil {
		return nil, err
	}
	if s, ok := t.(api.Saver); ok {
		return &guardedSaver{guardedTuner{x, t}, s}, nil
	}
	return &guardedTuner{x, t}, nil
}

type guardedTuner struct {
	x     *extension
	tuner api.Tuner
}

func (g *guardedTuner) Prepare(m *api.Model) error {
	return g.x.guard("Prepare", func() error {
		if err := g.tuner.Prepare(m); err != nil {
			return err
		}
		return checkModel(m)
	})
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
		switch {
		case a == nil:
			return errors.New("Save returned nil and no error")
		case len(a.Config) > 0 && !json.Valid(a.Config):
			return errors.New("Save returned a Config that is no JSON")
		}
		return checkTensors("adapter", a.Tensors)
	})
	return a, err
}

func (g *guardedSaver) Load(m *api.Model, a *api.Adapter) error {
	return g.x.guard("Load", func() error {
		if err := g.saver.Load(m, a); err != nil {
			return err
		}
		return checkModel(m)
	})
}

// checkModel returns an error if a tuner has left something in m that cannot be
// computed with.
func checkModel(m *api.Model) error {
	for i, p := range m.Params {
		if p == nil || p.Var == nil || p.Value() == nil {
			return fmt.Errorf("parameter %d of the model is nil", i)
		}
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
