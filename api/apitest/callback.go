package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"swiftgo/api"
)

// Callback takes a callback through a simulated run with every hook, and checks
// that none fails, that Save and Load are both there or neither, and that a
// callback that was saved and loaded in the middle of the run wishes for the
// same as one that was not.
func Callback(t testing.TB, new func(*api.Args) (*api.Callback, error), options ...Option) {
	t.Helper()
	fresh := construct(t, new, options)
	c := fresh()
	whole := simulate(t, c, 0)
	if (c.Save == nil) != (c.Load == nil) {
		t.Errorf("of Save and Load one is nil, want both or neither")
		return
	}
	if c.Save == nil {
		return
	}
	for stop := 1; stop < len(whole); stop++ {
		first := fresh()
		simulate(t, first, stop)
		state := save(t, first)
		second := fresh()
		if err := second.Load(slices.Clone(state)); err != nil {
			t.Fatalf("load of %s: %v", state, err)
		}
		if again := save(t, second); !bytes.Equal(state, again) {
			t.Errorf("save gives %s, and after that was loaded %s", state, again)
		}
		if rest := simulate(t, second, -stop); !slices.Equal(rest, whole[stop:]) {
			t.Errorf("after a resume from step %d the wishes are\n%q, and without\n%q", stop, rest, whole[stop:])
			return
		}
	}
}

// save returns what a callback saves, without spaces.
func save(t testing.TB, c *api.Callback) json.RawMessage {
	t.Helper()
	text, err := c.Save()
	if err != nil {
		t.Fatalf("save: %v", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatalf("save gives %q, which is not JSON: %v", text, err)
	}
	return b.Bytes()
}

// losses are those of the evaluations in a simulated run, one after each step.
var losses = []float64{2, 1.5, 1.6, 1.2, 1.3, 1.25, 1.4, 1.3}

// simulate calls the hooks of a run of eight steps in two epochs, that
// evaluates and saves after each, and returns the wishes after each step. A
// positive stop ends it after so many steps as an interruption does; a negative
// one begins it there.
func simulate(t testing.TB, c *api.Callback, stop int) []string {
	t.Helper()
	m, _ := Model(1)
	m.Training = true
	s := &api.State{MaxSteps: len(losses), HasEval: true, Model: m, LearningRate: 1e-3, Logs: map[string]float64{}}
	call := func(name string, hook func(*api.State) error) {
		t.Helper()
		if hook == nil {
			return
		}
		if err := hook(s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	evaluate := func(step int) {
		m.Training = false
		call("OnPredictionStep", c.OnPredictionStep)
		call("OnPredictionStep", c.OnPredictionStep)
		m.Training = true
		x := losses[step]
		s.Metrics = map[string]float64{"eval_loss": x, "epoch": s.Epoch}
		if s.BestMetric == nil || x < *s.BestMetric {
			s.BestMetric, s.BestCheckpoint = &x, fmt.Sprintf("checkpoint-%d", step+1)
		}
	}
	from := 0
	if stop < 0 {
		for from = range -stop {
			evaluate(from)
		}
		from = -stop
		s.Step = from
	}
	call("OnInitEnd", c.OnInitEnd)
	call("OnTrainBegin", c.OnTrainBegin)
	var wishes []string
	for step := from; step < len(losses) && s.Stop == ""; step++ {
		if step%4 == 0 {
			call("OnEpochBegin", c.OnEpochBegin)
		}
		call("OnStepBegin", c.OnStepBegin)
		call("OnSubstepEnd", c.OnSubstepEnd)
		s.Loss, s.GradNorm = 2/float64(step+1), 1
		call("OnPreOptimizerStep", c.OnPreOptimizerStep)
		call("OnOptimizerStep", c.OnOptimizerStep)
		s.Step, s.Epoch = step+1, float64(step+1)/4
		call("OnStepEnd", c.OnStepEnd)
		s.Logs = map[string]float64{"loss": s.Loss, "learning_rate": s.LearningRate}
		call("OnLog", c.OnLog)
		s.LogHistory = append(s.LogHistory, s.Logs)
		evaluate(step)
		call("OnEvaluate", c.OnEvaluate)
		s.Checkpoint = fmt.Sprintf("checkpoint-%d", step+1)
		call("OnSave", c.OnSave)
		wishes = append(wishes, fmt.Sprint(s.Stop, s.StopEpoch, s.Log, s.Evaluate, s.Save))
		if s.Step == stop {
			return wishes
		}
		s.StopEpoch, s.Log, s.Evaluate, s.Save = false, false, false, false
		if step%4 == 3 {
			call("OnEpochEnd", c.OnEpochEnd)
		}
	}
	call("OnTrainEnd", c.OnTrainEnd)
	call("OnPredict", c.OnPredict)
	return wishes
}
