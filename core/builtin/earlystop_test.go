package builtin

import (
	"math"
	"strings"
	"testing"

	"swiftgo/api"
)

// TestEarlyStopVectors compares with ms-swift on its own runs, once in one go
// and once with a resume after every save.
func TestEarlyStopVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			Greater  bool      `json:"greater_is_better"`
			Metrics  []float64 `json:"metric_at_each_save"`
			Interval int       `json:"early_stop_interval"`
		}
		Expected [][][3]any // best metric, count, stop
	}
	vectors(t, "callback_early_stop.json", &v)
	for i, c := range v.Inputs {
		fresh := func() *api.Callback {
			args := own("early_stop", map[string]any{"interval": c.Interval})
			args.GreaterIsBetter = c.Greater
			cb, err := newEarlyStop(args)
			if err != nil {
				t.Fatal(err)
			}
			return cb
		}
		for _, resume := range []bool{false, true} {
			cb := fresh()
			for k, want := range v.Expected[i] {
				if resume {
					text, err := cb.Save()
					if err != nil {
						t.Fatal(err)
					}
					cb = fresh()
					if err := cb.Load(text); err != nil {
						t.Fatal(err)
					}
				}
				best := want[0].(float64)
				s := &api.State{BestMetric: &best, HasEval: true}
				if err := cb.OnSave(s); err != nil {
					t.Fatal(err)
				}
				if (s.Stop != "") != want[2].(bool) {
					t.Errorf("run %d, save %d (resume %v): stop %q, want %v", i, k, resume, s.Stop, want[2])
				}
			}
		}
	}
}

func TestEarlyStopEdges(t *testing.T) {
	cb, err := newEarlyStop(own("early_stop", map[string]any{"interval": 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := cb.OnTrainBegin(&api.State{}); err == nil || !strings.Contains(err.Error(), "needs evaluation data") {
		t.Errorf("a run without evaluation: %v", err)
	}
	s := &api.State{HasEval: true}
	if err := cb.OnTrainBegin(s); err != nil {
		t.Error(err)
	}
	if cb.OnSave(s); s.Stop != "" {
		t.Errorf("a save before the first evaluation stops: %s", s.Stop)
	}
	nan := math.NaN()
	s.BestMetric = &nan
	if cb.OnSave(s); s.Stop == "" {
		t.Error("a metric that is not a number counts as an improvement")
	}
	if _, err := cb.Save(); err != nil {
		t.Errorf("save after a metric that is not a number: %v", err)
	}
	if _, err := newEarlyStop(own("early_stop", map[string]any{"interval": 0})); err == nil {
		t.Error("interval 0 is no error")
	}
}
