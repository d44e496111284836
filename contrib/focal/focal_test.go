package main

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) {
	apitest.Loss(t, newFocal)
	apitest.Loss(t, newFocal, apitest.With(map[string]any{"gamma": 1}))
	apitest.Loss(t, newFocal, apitest.With(map[string]any{"gamma": 1.5}))
}

// TestValues compares with the formula in float64.
func TestValues(t *testing.T) {
	loss, err := newFocal(&api.Args{Name: "focal", Own: map[string]any{"gamma": 1.5}})
	if err != nil {
		t.Fatal(err)
	}
	logits := []float32{0, 0, 0, 3, -1, 0.5, 9, 9, 9, -20, 0, 20}
	labels := []int32{1, 0, api.Ignore, 2}
	out := api.LogitsOutput(api.Const(tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(logits))))
	v, err := loss.Compute(out, &api.Batch{Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	for i, label := range labels {
		want := 0.0
		if label != api.Ignore {
			sum := 0.0
			for _, x := range logits[i*3 : i*3+3] {
				sum += math.Exp(float64(x))
			}
			p := math.Exp(float64(logits[i*3+int(label)])) / sum
			want = -math.Pow(1-p, 1.5) * math.Log(p)
		}
		if got := float64(v.Data()[i]); math.Abs(got-want) > 1e-6 {
			t.Errorf("token %d: %g, want %g", i, got, want)
		}
	}
}

func TestRefusesGamma(t *testing.T) {
	if _, err := newFocal(&api.Args{Own: map[string]any{"gamma": 0.5}}); err == nil {
		t.Error("gamma 0.5 is no error")
	}
}
