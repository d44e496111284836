package api

// The variables a plugin may export, by the types they must have. A plugin
// with any of them under the right name and type is a valid plugin.
//
// They are aliases, so a map spelled out in full is the same type.
type (
	Losses         = map[string]func(args *Args) (Loss, error)
	LossScales     = map[string]func(args *Args) (LossScale, error)
	Metrics        = map[string]func(args *Args) (Metric, error)
	Optimizers     = map[string]func(args *Args, m *Model, steps int) (Optimizer, Schedule, error)
	Callbacks      = map[string]func(args *Args) (*Callback, error)
	AgentTemplates = map[string]func(args *Args) (AgentTemplate, error)
	Tuners         = map[string]func(args *Args) (Tuner, error)
	ORMs           = map[string]func(args *Args) (ORM, error)
	PRMs           = map[string]func(args *Args) (PRM, error)
)

// Exports is everything one plugin offers; a map is nil where it offers none.
// The field names are the names the loader looks up.
type Exports struct {
	Losses         Losses
	LossScales     LossScales
	Metrics        Metrics
	Optimizers     Optimizers
	Callbacks      Callbacks
	AgentTemplates AgentTemplates
	Tuners         Tuners
	ORMs           ORMs
	PRMs           PRMs
}

// Manifest describes a plugin to those who run it. It is optional: a plugin
// that wants one exports it as the variable Plugin.
type Manifest struct {
	Name        string
	Version     string // a semantic version
	Description string
	License     string // an SPDX identifier
	Homepage    string
}
