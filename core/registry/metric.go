package registry

import (
	"errors"

	"swiftgo/api"
)

// Metric constructs the metric of that name; each evaluation wants its own. Its
// Result may return ErrDisabled.
func (r *Registry) Metric(name string) (api.Metric, error) {
	m, x, err := construct[api.Metric](r, metric, name)
	if err != nil && err != ErrDisabled {
		return nil, err
	}
	return &guardedMetric{x, m}, nil
}

type guardedMetric struct {
	x      *extension
	metric api.Metric
}

func (m *guardedMetric) Add(out *api.Output, b *api.Batch) error {
	return m.x.mayFail("Add", func() error { return m.metric.Add(out, b) })
}

func (m *guardedMetric) Result() (values map[string]float64, err error) {
	err = m.x.guard("Result", func() error {
		values, err = m.metric.Result()
		if _, ok := values["loss"]; ok && err == nil {
			return errors.New("Result has a measurement named loss, as the evaluation's own is; want another name")
		}
		return err
	})
	return values, err
}
