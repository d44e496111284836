package apitest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"swiftgo/api"
)

// ORM checks that a reward model gives one reward per completion, in order, a
// finite one or NaN, changes nothing that it is handed, and returns when its
// context is cancelled.
func ORM(t testing.TB, new func(*api.Args) (api.ORM, error), options ...Option) {
	t.Helper()
	orm := construct(t, new, options)()
	rewards(t, func(ctx context.Context, cs []api.Completion) ([][]float64, error) {
		all, err := orm.Score(ctx, cs)
		lists := make([][]float64, len(all))
		for i, x := range all {
			lists[i] = []float64{x}
		}
		return lists, err
	})
}

// PRM checks of a process reward model what ORM does of the other kind, and that
// it gives every completion a reward.
func PRM(t testing.TB, new func(*api.Args) (api.PRM, error), options ...Option) {
	t.Helper()
	rewards(t, construct(t, new, options)().Score)
}

func rewards(t testing.TB, score func(context.Context, []api.Completion) ([][]float64, error)) {
	t.Helper()
	cs := completions()
	first, err := score(context.Background(), cs)
	if err != nil {
		t.Fatalf("score: %v", err)
	}
	if len(first) != len(cs) {
		t.Fatalf("%d completions have %d rewards", len(cs), len(first))
	}
	for i, steps := range first {
		if len(steps) == 0 {
			t.Errorf("completion %d, %q, has no reward", i, cs[i].Text)
		}
		for _, x := range steps {
			if math.IsInf(x, 0) {
				t.Errorf("the reward of completion %d, %q, is %g, want a finite number or NaN", i, cs[i].Text, x)
			}
		}
	}
	if !reflect.DeepEqual(cs, completions()) {
		t.Errorf("the completions have changed")
	}

	slices.Reverse(cs)
	reversed, err := score(context.Background(), cs)
	if err != nil {
		t.Fatalf("score: %v", err)
	}
	slices.Reverse(reversed)
	if again, err := score(context.Background(), completions()); err != nil {
		t.Errorf("score: %v", err)
	} else if alike(first, again) && !alike(first, reversed) {
		t.Errorf("the rewards are %v, and of the same completions in the reverse order %v; want them in the order of the completions", first, reversed)
	}
	if none, err := score(context.Background(), nil); err != nil || len(none) != 0 {
		t.Errorf("no completions have the rewards %v and the error %v", none, err)
	}
	cancelled(t, score)
}

// cancelled checks that a call ends whose context is cancelled.
func cancelled(t testing.TB, score func(context.Context, []api.Completion) ([][]float64, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		score(ctx, completions())
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("score does not return when its context is cancelled")
	}
}

// patience is how long a call may take that should end at once.
var patience = 20 * time.Second

// completions returns answers of many kinds.
func completions() []api.Completion {
	question := []api.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "What is 2+2? 二加二？"}}
	var cs []api.Completion
	for i, text := range []string{
		"It is \\boxed{4}.", "It is 5.", "", "<think>\n2 and 2\n</think>\n\n#### 4", "四", "4", "<answer>4</answer>",
		"Step 1: add.\n\nStep 2: \\boxed{\\frac{8}{2}}", "\\boxed{", "cut o",
	} {
		cs = append(cs, api.Completion{Messages: question, Text: text, Tokens: len(text), Truth: "4", Row: map[string]any{"id": fmt.Sprint(i), "solution": "4"}})
	}
	cs[9].Truncated = true
	cs = append(cs, api.Completion{Messages: question, Text: "4"}) // no answer is known
	return cs
}

// alike reports whether rewards are equal, NaN to NaN.
func alike(a, b [][]float64) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
