package builtin

import (
	"encoding/json"
	"fmt"

	"swiftgo/api"
)

// llamaPro is LLaMA Pro (Wu et al. 2024): copies of some layers are put behind
// them and trained, and nothing else. What the copies add is 0 at first. PEFT
// does not have it; the configuration has ms-swift's keys, and the tensors are
// named as in the model that has grown.
type llamaPro struct {
	NewBlocks int  `json:"num_new_blocks"`
	Groups    *int `json:"num_groups"` // groups of layers with new blocks behind each; null: as many as new blocks

	layout layout
}

func newLlamaPro(args *api.Args) (api.Tuner, error) {
	l := &llamaPro{NewBlocks: 4}
	if err := args.Decode(l); err != nil {
		return nil, err
	}
	return l, l.check()
}

func (l *llamaPro) check() error {
	if l.NewBlocks < 1 {
		return fmt.Errorf("num_new_blocks of llamapro is %d, want 1 or more", l.NewBlocks)
	}
	if n := l.groups(); n < 1 || l.NewBlocks%n != 0 {
		return fmt.Errorf("num_groups of llamapro is %d, want a divisor of num_new_blocks %d", n, l.NewBlocks)
	}
	return nil
}

func (l *llamaPro) groups() int {
	if l.Groups == nil {
		return l.NewBlocks
	}
	return *l.Groups
}

// Prepare splits the layers into groups and puts new blocks behind the last of
// each. Their output projections are 0, so that the model starts unchanged.
func (l *llamaPro) Prepare(m *api.Model) error {
	groups := l.groups()
	switch {
	case m.CopyLayer == nil:
		return fmt.Errorf("a model of type %s cannot grow, which llamapro wants", m.Type)
	case m.Layers%groups != 0:
		return fmt.Errorf("the model has %d layers, which %d groups do not divide; want num_new_blocks, or num_groups, that divides them", m.Layers, groups)
	}
	m.Freeze()
	l.layout = layout{}
	size, each := m.Layers/groups, l.NewBlocks/groups
	fresh := map[int]bool{}
	for g := groups; g > 0; g-- { // from the top, so that what is below keeps its place
		for range each {
			if err := m.CopyLayer(g*size - 1); err != nil {
				return err
			}
		}
	}
	for g := range groups {
		for k := range each {
			fresh[g*(size+each)+size+k] = true
		}
	}
	for _, p := range m.Params {
		if fresh[p.Layer] {
			p.Unfreeze()
			l.layout[p.Name] = p
		}
	}
	for _, x := range m.Linears {
		if !fresh[x.Layer] || x.Part != api.AttnOut && x.Part != api.MLPDown {
			continue
		}
		for _, p := range []*api.Param{x.Weight, x.Bias} {
			if p != nil {
				p.Set(func(w []float32) { clear(w) })
			}
		}
	}
	return nil
}

// Merge has nothing to do: the new blocks are layers like the others.
func (l *llamaPro) Merge(*api.Model) error { return nil }

// llamaProConfig is adapter_config.json as ms-swift writes it.
type llamaProConfig struct {
	BaseModel string `json:"base_model_name_or_path"`
	ModelType string `json:"model_type"`
	Groups    int    `json:"num_groups"`
	NewBlocks int    `json:"num_new_blocks"`
	SwiftType string `json:"swift_type"`
}

// Save returns the new blocks.
func (l *llamaPro) Save(m *api.Model) (*api.Adapter, error) {
	text, err := json.Marshal(llamaProConfig{m.Dir, m.Type, l.groups(), l.NewBlocks, "LLAMAPRO"})
	return &api.Adapter{Config: text, Tensors: l.layout.tensors()}, err
}

// Load makes the new blocks of an adapter.
func (l *llamaPro) Load(m *api.Model, a *api.Adapter) error {
	var c llamaProConfig
	if err := json.Unmarshal(a.Config, &c); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	if c.SwiftType != "LLAMAPRO" {
		return fmt.Errorf("adapter_config.json: swift_type is %q, want LLAMAPRO", c.SwiftType)
	}
	l.NewBlocks, l.Groups = c.NewBlocks, &c.Groups
	if c.Groups == 0 {
		l.Groups = nil
	}
	if err := l.check(); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	if err := l.Prepare(m); err != nil {
		return err
	}
	return l.layout.fill(a.Tensors)
}
