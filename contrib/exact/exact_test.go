package main

import (
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) { apitest.Metric(t, newExact) }

// TestValue gives it two batches with five answers, of which the model knows four.
func TestValue(t *testing.T) {
	m, err := newExact(&api.Args{})
	if err != nil {
		t.Fatal(err)
	}
	const no = api.Ignore
	for _, c := range []struct {
		guess, labels, starts []int32
	}{
		{[]int32{0, 1, 2, 3, 0}, []int32{no, 1, 2, 3, no}, []int32{0, 3}},                          // right, right
		{[]int32{1, 2, 0, 3, 2, 2, 1, 0}, []int32{1, 2, no, no, 3, 2, no, 0}, []int32{0, 3, 6, 7}}, // right, wrong, none, right
	} {
		logits := make([]float32, 4*len(c.guess))
		for i, g := range c.guess {
			logits[4*i+int(g)] = 1
		}
		out := api.LogitsOutput(api.Const(tensor.New(tensor.WithShape(len(c.guess), 4), tensor.WithBacking(logits))))
		if err := m.Add(out, &api.Batch{Labels: c.labels, Starts: c.starts}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := m.Result(); err != nil || got["exact_acc"] != 0.8 {
		t.Errorf("%v, %v, want 0.8", got, err)
	}
}
