package main

import (
	"context"
	"slices"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) { apitest.ORM(t, newBoxedMath) }

func TestRewards(t *testing.T) {
	for _, c := range []struct {
		text, truth string
		want        float64
	}{
		{`so \boxed{4}`, `4`, 1},
		{`so \boxed{4}`, `2 and 2 are \boxed{ 4 }.`, 1},
		{`\boxed{5}, no, \boxed{4}`, `4`, 1},
		{`\boxed{5}`, `4`, 0},
		{`4`, `4`, 0}, // not boxed
		{`\boxed{$1000$}`, `1000.0`, 1},
		{`\boxed{1,2}`, `12`, 0},
		{`\boxed{1/2}`, `0.5`, 1},
		{`\boxed{\frac{3}{4}}`, `\boxed{\frac{3}{4}}`, 1},
		{`\boxed{\frac{3}{4}}`, `\boxed{\frac{3}{5}}`, 0},
		{`\boxed{4`, `4`, 0},
		{`\boxed{}`, ``, 0},
		{`\boxed{1e999999999}`, `1`, 0},
	} {
		got, err := score(context.Background(), []api.Completion{{Text: c.text, Truth: c.truth}})
		if err != nil || got[0] != c.want {
			t.Errorf("%s against %s: %v, %v, want %g", c.text, c.truth, got, err, c.want)
		}
	}
}

// TestSolutionColumn judges answers to questions that have no answer beside them.
func TestSolutionColumn(t *testing.T) {
	row := map[string]any{"solution": "4"}
	got, err := score(context.Background(), []api.Completion{
		{Text: `\boxed{4}`, Row: row}, {Text: `\boxed{5}`, Row: row}, {Text: `\boxed{5}`, Truth: "5", Row: row},
	})
	if want := []float64{1, 0, 1}; err != nil || !slices.Equal(got, want) {
		t.Errorf("rewards %v, %v, want %v", got, err, want)
	}
}
