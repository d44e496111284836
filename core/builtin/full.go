package builtin

import "swiftgo/api"

// full trains every parameter.
type full struct{}

func newFull(args *api.Args) (api.Tuner, error) { return full{}, args.Decode(&none{}) }

// Prepare leaves nothing frozen.
func (full) Prepare(m *api.Model) error {
	for _, p := range m.Params {
		p.Unfreeze()
	}
	return nil
}
