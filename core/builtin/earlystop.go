package builtin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"swiftgo/api"
)

// earlyStop ends training when --metric_for_best_model has not become better
// over several checkpoints.
type earlyStop struct {
	Interval int `json:"interval"` // checkpoints without improvement before the end

	greater bool // is better
	since   patience
}

// patience is what is known from checkpoint to checkpoint.
type patience struct {
	Best  *float64 `json:"best"`  // nil before the first
	Stale int      `json:"stale"` // checkpoints since
}

func newEarlyStop(args *api.Args) (*api.Callback, error) {
	e := &earlyStop{Interval: 3, greater: args.GreaterIsBetter}
	if err := args.Decode(e); err != nil {
		return nil, err
	}
	if e.Interval < 1 {
		return nil, fmt.Errorf("interval is %d, want 1 or more", e.Interval)
	}
	return &api.Callback{
		OnTrainBegin: e.onTrainBegin,
		OnSave:       e.onSave,
		Save:         func() (json.RawMessage, error) { return json.Marshal(e.since) },
		Load:         func(text json.RawMessage) error { return json.Unmarshal(text, &e.since) },
	}, nil
}

func (e *earlyStop) onTrainBegin(s *api.State) error {
	if !s.HasEval {
		return errors.New("early_stop needs evaluation data to see whether training still helps; give --val_dataset or --split_dataset_ratio")
	}
	return nil
}

func (e *earlyStop) onSave(s *api.State) error {
	if s.BestMetric == nil { // not evaluated yet
		return nil
	}
	if best := *s.BestMetric; e.better(best) {
		e.since = patience{Best: &best}
		return nil
	}
	if e.since.Stale++; e.since.Stale >= e.Interval {
		s.Stop = fmt.Sprintf("early_stop: no better than %g for %d checkpoints", *s.BestMetric, e.since.Stale)
	}
	return nil
}

func (e *earlyStop) better(x float64) bool {
	if math.IsNaN(x) {
		return false
	}
	return e.since.Best == nil || x != *e.since.Best && (x > *e.since.Best) == e.greater
}
