package recipe

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// TestSchedules compares with a table of transformers' formulas, computed in
// Python.
func TestSchedules(t *testing.T) {
	var table struct {
		LR    float64
		Steps int
		Cases []struct {
			Type, Kwargs string
			Warmup       int
			Rates        []float64
		}
	}
	text, err := os.ReadFile("testdata/schedules.json")
	if err == nil {
		err = json.Unmarshal(text, &table)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"reduce_lr_on_plateau": true}
	for _, x := range table.Cases {
		seen[x.Type] = true
		c := Config{LearningRate: table.LR, WarmupSteps: x.Warmup, LrSchedulerType: x.Type, LrSchedulerKwargs: x.Kwargs}
		schedule, err := c.schedule(table.Steps)
		if err != nil {
			t.Fatalf("%s %s: %v", x.Type, x.Kwargs, err)
		}
		for step, want := range x.Rates {
			if got := schedule(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s %s, warm-up %d, step %d: %v, want %v", x.Type, x.Kwargs, x.Warmup, step, got, want)
			}
		}
	}
	for name := range schedulers {
		if !seen[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
}

func TestSchedulersRefuse(t *testing.T) {
	for _, c := range []struct{ name, kwargs, want string }{
		{"cosin", "", `--lr_scheduler_type is "cosin", want constant, `},
		{"reduce_lr_on_plateau", "", "goes by evaluations"},
		{"linear", `{"num_cycles": 1}`, `unknown field "num_cycles"; want JSON such as {"num_cycles": 2}; this --lr_scheduler_type has none`},
		{"cosine", `{"cycles": 1}`, "there are num_cycles"},
		{"cosine", `{"num_cycles": "two"}`, "cannot unmarshal string"},
		{"cosine", `{`, "unexpected EOF"},
		{"cosine", `{} {}`, "there is more after it"},
		{"polynomial", `{"lr_end": 1}`, "lr_end is 1, want 0 or more and less than the learning rate"},
		{"inverse_sqrt", `{"timescale": -1}`, "timescale is -1"},
		{"cosine_with_min_lr", "", "want min_lr or min_lr_rate, and not both"},
		{"cosine_warmup_with_min_lr", `{"min_lr": 1, "min_lr_rate": 0.1}`, "want min_lr or min_lr_rate, and not both"},
		{"cosine_warmup_with_min_lr", `{"min_lr": -1}`, "min_lr is -1"},
		{"warmup_stable_decay", "", "wants num_decay_steps"},
		{"warmup_stable_decay", `{"num_decay_steps": 3, "decay_type": "x"}`, `are "linear" and "x", want linear, cosine or 1-sqrt`},
		{"warmup_stable_decay", `{"num_decay_steps": 30}`, "the run has 24 steps, fewer than the 2 of its warm-up and the 30"},
	} {
		config := Config{LearningRate: 0.01, WarmupSteps: 2, LrSchedulerType: c.name, LrSchedulerKwargs: c.kwargs}
		if _, err := config.schedule(24); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.name, c.kwargs, err, c.want)
		}
	}
}
