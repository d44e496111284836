package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) {
	apitest.Optimizer(t, newLion)
	apitest.Optimizer(t, newLion, apitest.With(map[string]any{"beta1": 0.95, "beta2": 0.98, "floor": 0.1}))
}

// TestSteps compares with the formulas of the paper in float64.
func TestSteps(t *testing.T) {
	const n, lr, decay = 6, 0.01, 0.2
	r := rand.New(rand.NewPCG(1, 2))
	p := api.NewParam("a.weight", api.Full(1, n))
	l, _, err := newLion(&api.Args{WeightDecay: decay}, &api.Model{Params: []*api.Param{p}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var w, m [n]float64
	for i := range w {
		w[i] = 1
	}
	for range 8 {
		g := make([]float32, n)
		for i := range g {
			g[i] = float32(r.NormFloat64())
			c := 0.9*m[i] + 0.1*float64(g[i])
			w[i] -= lr * (math.Copysign(1, c) + decay*w[i])
			m[i] = 0.99*m[i] + 0.01*float64(g[i])
		}
		p.ClearGrad()
		if err := p.Mul(api.Const(tensor.New(tensor.WithShape(n), tensor.WithBacking(g)))).Sum().Backward(); err != nil {
			t.Fatal(err)
		}
		if err := l.Step(lr); err != nil {
			t.Fatal(err)
		}
		for i, got := range p.Data() {
			if math.Abs(float64(got)-w[i]) > 1e-5 {
				t.Fatalf("element %d: %g, want %g", i, got, w[i])
			}
			if kept := l.(*lion).State()["a.weight"].Float32s()[i]; math.Abs(float64(kept)-m[i]) > 1e-6 {
				t.Fatalf("momentum %d: %g, want %g", i, kept, m[i])
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	_, s, err := newLion(&api.Args{LearningRate: 1, WarmupSteps: 4, Own: map[string]any{"floor": 0.2}}, &api.Model{}, 24)
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range map[int]float64{0: 0.2, 3: 0.8, 4: 1, 14: 0.6, 24: 0.2, 30: 0.2} {
		if got := s(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("rate at step %d is %g, want %g", step, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	m := &api.Model{Params: []*api.Param{api.NewParam("a", api.Full(0, 2))}}
	if _, _, err := newLion(&api.Args{Own: map[string]any{"beta1": 1}}, m, 1); err == nil {
		t.Error("beta1 1 is no error")
	}
	l, _, err := newLion(&api.Args{}, m, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []map[string]*tensor.Dense{{}, {"a": api.Full(0, 3)}} {
		if err := l.(*lion).Restore(state); err == nil || !strings.Contains(err.Error(), "no momentum of shape (2) for a") {
			t.Errorf("restore of %v: %v", state, err)
		}
	}
}
