package recipe

import (
	"fmt"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/core/builtin"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/trainer"
)

// extensions are the chosen ones that need no model.
type extensions struct {
	loss      api.Loss
	metric    func() (api.Metric, error)
	callbacks []trainer.Callback
	tools     api.AgentTemplate
	tuner     api.Tuner
}

// chosen constructs what the settings name, so that a name or a setting that is
// wrong ends the run before anything is read.
func chosen(c *Config, reg *registry.Registry) (*extensions, error) {
	var ext extensions
	var err error
	if ext.loss, err = reg.Loss(c.LossType); err != nil {
		return nil, err
	}
	if _, err = LossScale(c.LossScale, reg); err != nil { // the encoder makes it
		return nil, err
	}
	if c.EvalMetric != "" {
		if _, err := reg.Metric(c.EvalMetric); err != nil {
			return nil, err
		}
		ext.metric = func() (api.Metric, error) { return reg.Metric(c.EvalMetric) }
	}
	for _, name := range c.Callbacks {
		cb, err := reg.Callback(name)
		if err != nil {
			return nil, err
		}
		ext.callbacks = append(ext.callbacks, trainer.Callback{Name: name, Callback: cb})
	}
	if c.AgentTemplate != "" {
		if ext.tools, err = reg.AgentTemplate(c.AgentTemplate); err != nil {
			return nil, err
		}
	}
	if ext.tuner, err = reg.Tuner(c.TunerType); err != nil {
		return nil, err
	}
	return &ext, reg.Has("optimizer", c.Optimizer)
}

// LossScale returns the chain of loss scales that text names, such as
// last_round+mine or all+keys.json, a file of keys or patterns. A chain without a
// strategy of its own begins with "default".
func LossScale(text string, reg *registry.Registry) (api.LossScale, error) {
	var chain []api.LossScale
	for i, name := range strings.Split(text, "+") {
		name = strings.TrimSpace(name)
		read := reg.LossScale
		if strings.HasSuffix(name, ".json") {
			read = builtin.LossScaleFile
		}
		s, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("--loss_scale %s: %w", text, err)
		}
		_, strategy := s.(api.Strategy)
		if i == 0 && !strategy {
			first, err := reg.LossScale("default")
			if err != nil {
				return nil, err
			}
			chain = append(chain, first)
		}
		if i > 0 && strategy {
			return nil, fmt.Errorf("--loss_scale %s: %s decides what is trained on, so it must come first", text, name)
		}
		chain = append(chain, s)
	}
	return template.Chain(chain...), nil
}

// Binary reports whether the loss scales that text names have no weights but 0
// and 1, so that labels alone say what is trained on.
func Binary(text string) bool {
	for _, name := range strings.Split(text, "+") {
		if !slices.Contains([]string{"default", "last_round", "all", "base", "ignore_empty_think", "ignore_think_prefix"}, strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}
