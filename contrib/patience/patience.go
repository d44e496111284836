// Patience is a plugin with one callback, patience, that ends training when a
// measurement of the evaluations has not become better for a while (Prechelt
// 1998, "Early stopping – but when?").
//
//	swiftgo sft --callbacks patience --patience.metric eval_exact_acc --patience.greater true …
//
// It shows what a callback is: a set of hooks, a wish that the trainer fulfils,
// and the pair Save and Load, without which a run that resumes would begin to
// wait anew. The built-in early_stop is its simpler sister, which counts
// checkpoints and looks at --metric_for_best_model.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"swiftgo/api"
)

// Callbacks is what the host looks for.
var Callbacks = api.Callbacks{"patience": newPatience}

type patience struct {
	Metric      string  `json:"metric"`      // as the log names it
	Greater     bool    `json:"greater"`     // whether more of it is better
	Evaluations int     `json:"evaluations"` // without improvement before the end
	Delta       float64 `json:"delta"`       // a smaller improvement is none

	seen seen
}

// seen is what must be known again when the run resumes.
type seen struct {
	Best  *float64 `json:"best"` // nil before the first
	Stale int      `json:"stale"`
}

func newPatience(args *api.Args) (*api.Callback, error) {
	p := &patience{Metric: "eval_loss", Evaluations: 3}
	if err := args.Decode(p); err != nil {
		return nil, err
	}
	if p.Evaluations < 1 || !(p.Delta >= 0) {
		return nil, fmt.Errorf("evaluations is %d and delta %g, want 1 or more and 0 or more", p.Evaluations, p.Delta)
	}
	return &api.Callback{
		OnTrainBegin: p.onTrainBegin,
		OnEvaluate:   p.onEvaluate,
		Save:         func() (json.RawMessage, error) { return json.Marshal(p.seen) },
		Load:         func(text json.RawMessage) error { return json.Unmarshal(text, &p.seen) },
	}, nil
}

func (p *patience) onTrainBegin(s *api.State) error {
	if !s.HasEval { // it would wait for ever
		return errors.New("patience needs evaluation data; give --val_dataset or --split_dataset_ratio")
	}
	return nil
}

func (p *patience) onEvaluate(s *api.State) error {
	x, ok := s.Metrics[p.Metric]
	if !ok {
		return fmt.Errorf("patience: the evaluation has no %s, want one of %s", p.Metric, strings.Join(slices.Sorted(maps.Keys(s.Metrics)), ", "))
	}
	if p.better(x) {
		p.seen = seen{Best: &x}
		return nil
	}
	if p.seen.Stale++; p.seen.Stale >= p.Evaluations {
		s.Stop = fmt.Sprintf("patience: %s has not become better for %d evaluations", p.Metric, p.seen.Stale)
	}
	return nil
}

// better reports whether x improves on the best; NaN never does.
func (p *patience) better(x float64) bool {
	switch {
	case x != x:
		return false
	case p.seen.Best == nil:
		return true
	case p.Greater:
		return x > *p.seen.Best+p.Delta
	}
	return x < *p.seen.Best-p.Delta
}

func main() {}
