package registry

import (
	"errors"

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
	return g.x.guard(func() error { return g.tuner.Prepare(m) })
}

type guardedSaver struct {
	guardedTuner
	saver api.Saver
}

func (g *guardedSaver) Save(m *api.Model) (a *api.Adapter, err error) {
	err = g.x.guard(func() error {
		if a, err = g.saver.Save(m); err == nil && a == nil {
			return errors.New("Save returned nil and no error")
		}
		return err
	})
	return a, err
}

func (g *guardedSaver) Load(m *api.Model, a *api.Adapter) error {
	return g.x.guard(func() error { return g.saver.Load(m, a) })
}
