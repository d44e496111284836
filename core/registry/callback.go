package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"swiftgo/api"
)

// Callback constructs the callback of that name. Its Save may return ErrDisabled.
func (r *Registry) Callback(name string) (*api.Callback, error) {
	c, x, err := construct[*api.Callback](r, callback, name)
	if err != nil {
		return nil, err
	}
	return guardCallback(x, c), nil
}

// guardCallback returns c with its hooks guarded.
func guardCallback(x *extension, c *api.Callback) *api.Callback {
	guarded := &api.Callback{}
	from, to := reflect.ValueOf(c).Elem(), reflect.ValueOf(guarded).Elem()
	for i := range from.NumField() {
		hook, ok := from.Field(i).Interface().(func(*api.State) error)
		if ok && hook != nil {
			to.Field(i).Set(reflect.ValueOf(guardHook(x, from.Type().Field(i).Name, hook)))
		}
	}
	if c.Save != nil {
		guarded.Save = func() (state json.RawMessage, err error) {
			err = x.guard("Save", func() error {
				if state, err = c.Save(); err == nil && len(state) > 0 && !json.Valid(state) {
					return errors.New("Save returned what is no JSON")
				}
				return err
			})
			return state, err
		}
		guarded.Load = func(state json.RawMessage) error {
			return x.mayFail("Load", func() error { return c.Load(state) })
		}
	}
	return guarded
}

func guardHook(x *extension, name string, hook func(*api.State) error) func(*api.State) error {
	return func(s *api.State) error {
		return x.mayFail(name, func() error {
			if err := hook(s); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
}
