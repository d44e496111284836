// Nine has an extension of every kind.
package main

import (
	"fmt"

	"swiftgo/api"
)

var Plugin = api.Manifest{Name: "all nine", Version: "1.2.3", License: "MIT"}

// losses is a type that has another name, as an author may write it.
type losses map[string]func(*api.Args) (api.Loss, error)

var (
	Losses         = losses{"nine_loss": newLoss}
	LossScales     = api.LossScales{"nine_scale": func(*api.Args) (api.LossScale, error) { return nil, nil }}
	Metrics        = api.Metrics{"nine_metric": func(*api.Args) (api.Metric, error) { return nil, nil }}
	Optimizers     = api.Optimizers{"nine_optimizer": func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error) { return nil, nil, nil }}
	Callbacks      = api.Callbacks{"nine_callback": func(*api.Args) (*api.Callback, error) { return nil, nil }}
	AgentTemplates = api.AgentTemplates{"nine_agent": func(*api.Args) (api.AgentTemplate, error) { return nil, nil }}
	Tuners         = api.Tuners{"nine_tuner": func(*api.Args) (api.Tuner, error) { return nil, nil }}
	ORMs           = api.ORMs{"nine_orm": func(*api.Args) (api.ORM, error) { return nil, nil }}
	PRMs           = api.PRMs{"nine_prm": func(*api.Args) (api.PRM, error) { return nil, nil }}
)

func newLoss(args *api.Args) (api.Loss, error) {
	return nil, fmt.Errorf("%s is told gamma = %v", args.Name, args.Own["gamma"])
}

func main() {}
