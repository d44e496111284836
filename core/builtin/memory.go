package builtin

import (
	"fmt"
	"maps"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// memory is what an optimizer keeps from step to step: tensors, each under the
// name of its parameter and of what it is. An optimizer that embeds one is
// Stateful.
type memory struct {
	optimizer string
	kept      map[string]*tensor.Dense
}

// keep returns a new tensor of zeros that is part of the state.
func (m *memory) keep(p *api.Param, what string, shape ...int) *tensor.Dense {
	if m.kept == nil {
		m.kept = map[string]*tensor.Dense{}
	}
	t := api.Full(0, shape...)
	m.kept[p.Name+"."+what] = t
	return t
}

// keepCount returns a new number of the state, for counting steps.
func (m *memory) keepCount(p *api.Param, what string) *float32 {
	return &m.keep(p, what, 1).Float32s()[0]
}

// State returns all that is kept.
func (m *memory) State() map[string]*tensor.Dense { return maps.Clone(m.kept) }

// Restore takes over what State returned.
func (m *memory) Restore(state map[string]*tensor.Dense) error {
	if len(state) != len(m.kept) {
		return fmt.Errorf("the state of %s has %d tensors, want %d; was it saved with other trained parameters or another optimizer?", m.optimizer, len(state), len(m.kept))
	}
	for name, to := range m.kept {
		from, ok := state[name]
		if !ok {
			return fmt.Errorf("the state of %s has no tensor %s", m.optimizer, name)
		}
		if !from.Shape().Eq(to.Shape()) {
			return fmt.Errorf("tensor %s of the state of %s has shape %v, want %v", name, m.optimizer, from.Shape(), to.Shape())
		}
	}
	for name, to := range m.kept {
		copy(to.Float32s(), state[name].Float32s())
	}
	return nil
}
