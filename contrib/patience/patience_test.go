package main

import (
	"math"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) {
	apitest.Callback(t, newPatience)
	apitest.Callback(t, newPatience, apitest.With(map[string]any{"evaluations": 1, "delta": 0.2}))
}

func TestStops(t *testing.T) {
	for _, c := range []struct {
		own  map[string]any
		xs   []float64
		want int // evaluations before the end, 0 for none
	}{
		{nil, []float64{2, 1, 1.5, 1, 1.1}, 5},
		{nil, []float64{5, 4, 3, 2, 1}, 0},
		{map[string]any{"greater": true, "evaluations": 2}, []float64{0.1, 0.5, 0.5, 0.4}, 4},
		{map[string]any{"greater": true, "delta": 0.5, "evaluations": 1}, []float64{1, 1.6, 1.9}, 3},
		{map[string]any{"delta": 0.5, "evaluations": 1}, []float64{2, 1.4, 1}, 3},
		{map[string]any{"evaluations": 2}, []float64{math.NaN(), math.NaN(), 1}, 2},
		{map[string]any{"evaluations": 2}, []float64{math.NaN(), 2, 1}, 0},
	} {
		cb, err := newPatience(&api.Args{Own: c.own})
		if err != nil {
			t.Fatal(err)
		}
		s, got := &api.State{HasEval: true}, 0
		for i, x := range c.xs {
			s.Metrics = map[string]float64{"eval_loss": x}
			if err := cb.OnEvaluate(s); err != nil {
				t.Fatal(err)
			}
			if s.Stop != "" {
				got = i + 1
				break
			}
		}
		if got != c.want {
			t.Errorf("%v with %v stops after %d, want %d", c.xs, c.own, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := newPatience(&api.Args{Own: map[string]any{"evaluations": 0}}); err == nil {
		t.Error("no patience at all is no error")
	}
	cb, err := newPatience(&api.Args{Own: map[string]any{"metric": "eval_f1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cb.OnTrainBegin(&api.State{}); err == nil {
		t.Error("a run without evaluation is no error")
	}
	s := &api.State{Metrics: map[string]float64{"eval_loss": 1, "eval_acc": 1}}
	if err := cb.OnEvaluate(s); err == nil || !strings.Contains(err.Error(), "no eval_f1, want one of eval_acc, eval_loss") {
		t.Errorf("a metric that is not there: %v", err)
	}
}
