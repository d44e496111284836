package apitest

import (
	"maps"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Metric checks that a metric takes in several batches and keeps none of their
// memory, that its measurements are finite and have names, and that one
// evaluation does not show in the next.
func Metric(t testing.TB, new func(*api.Args) (api.Metric, error), options ...Option) {
	t.Helper()
	fresh := construct(t, new, options)
	first := measure(t, fresh(), false)
	if len(first) == 0 {
		t.Errorf("no measurement after two batches")
	}
	for name, x := range first {
		if name == "" || strings.HasPrefix(name, "eval_") {
			t.Errorf("a measurement has the name %q, want one that is not empty and has no prefix; the trainer puts eval_ before it", name)
		}
		if !finite(x) {
			t.Errorf("%s is %g, want a finite number", name, x)
		}
	}
	if again := measure(t, fresh(), false); !maps.Equal(first, again) {
		t.Errorf("the same evaluation gives %v and then, by a metric made anew, %v", first, again)
	}
	if kept := measure(t, fresh(), true); !maps.Equal(first, kept) {
		t.Errorf("the result changes from %v to %v when the memory of a batch is used again after Add", first, kept)
	}
	empty, err := fresh().Result()
	if err != nil {
		t.Errorf("result of an evaluation without batches: %v", err)
	}
	for name, x := range empty {
		if !finite(x) {
			t.Errorf("%s of an evaluation without batches is %g, want a finite number or none", name, x)
		}
	}
}

// measure gives a metric two batches, and with reuse overwrites each after it.
func measure(t testing.TB, m api.Metric, reuse bool) map[string]float64 {
	t.Helper()
	for seed := range uint64(2) {
		b, logits := batch(seed)
		if err := m.Add(api.LogitsOutput(api.Const(logits)), b); err != nil {
			t.Fatalf("add: %v", err)
		}
		if reuse {
			overwrite(b, logits)
		}
	}
	result, err := m.Result()
	if err != nil {
		t.Fatalf("result: %v", err)
	}
	return result
}

func overwrite(b *api.Batch, logits *tensor.Dense) {
	x := logits.Float32s()
	for i := range x {
		x[i] = float32(i % vocab)
	}
	for i := range b.Labels {
		b.Labels[i], b.IDs[i] = 1, 1
	}
	b.Starts[1] = 1
}
