package recipe

import (
	"fmt"
	"slices"

	"swiftgo/api"
)

// merge makes the tuned model a whole one, without anything that the tuner has
// added or wrapped.
func (t *tuned) merge() error {
	if !t.adapted {
		return fmt.Errorf("%s is a whole model of tuner %s, with nothing to merge; give it as --model", t.config.Adapters[0], t.name)
	}
	added := func(p *api.Param) bool { return p.Added }
	if slices.ContainsFunc(t.m.Params, added) || slices.ContainsFunc(t.m.Linears, (*api.Linear).Wrapped) {
		m, ok := t.tuner.(api.Merger)
		if !ok {
			return fmt.Errorf("tuner %s cannot become part of the base model; want one that is an api.Merger", t.name)
		}
		if err := m.Merge(t.m.Model); err != nil {
			return err
		}
	}
	for _, l := range t.m.Linears {
		l.Unwrap()
	}
	t.m.Params = slices.DeleteFunc(t.m.Params, added)
	return nil
}
