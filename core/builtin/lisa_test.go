package builtin

import (
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
)

// layered is a model of n layers and an embedding.
func layered(n int) *api.Model {
	m := &api.Model{Layers: n, Params: []*api.Param{api.NewParam("embed_tokens.weight", api.Full(0, 2))}}
	for i := range n {
		p := api.NewParam("layer", api.Full(0, 2))
		p.Layer = i
		m.Params = append(m.Params, p)
	}
	return m
}

// TestLisa goes 60 steps with 2 of 8 layers, once in one go and once as if the
// run were resumed at every step, and sees the same layers trained.
func TestLisa(t *testing.T) {
	const steps, interval = 60, 5
	fresh := func() *api.Callback {
		c, err := newLisa(own("lisa", map[string]any{"activated_layers": 2, "step_interval": interval}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	run := func(resume bool) (trained [][]int) {
		m, c := layered(8), fresh()
		for step := range steps {
			if resume {
				m, c = layered(8), fresh()
			}
			if err := c.OnStepBegin(&api.State{Step: step, Model: m}); err != nil {
				t.Fatal(err)
			}
			var now []int
			for _, p := range m.Trainable() {
				now = append(now, p.Layer)
			}
			trained = append(trained, now)
		}
		return trained
	}
	whole, resumed := run(false), run(true)
	seen := map[int]bool{}
	for step, layers := range whole {
		if len(layers) != 3 || layers[0] != -1 {
			t.Fatalf("step %d trains %v, want the embedding and two layers", step, layers)
		}
		if step%interval > 0 && !slices.Equal(layers, whole[step-1]) {
			t.Errorf("step %d trains %v, and the one before %v", step, layers, whole[step-1])
		}
		if !slices.Equal(layers, resumed[step]) {
			t.Errorf("step %d trains %v, and after a resume %v", step, layers, resumed[step])
		}
		for _, l := range layers {
			seen[l] = true
		}
	}
	if len(seen) != 9 {
		t.Errorf("only %v are ever trained", seen)
	}
	half := layered(8)
	half.Params[3].Freeze()
	for want, m := range map[string]*api.Model{"want --tuner_type full": half, "is 2, and the model has 1 layers": layered(1)} {
		if err := fresh().OnTrainBegin(&api.State{Model: m}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := newLisa(own("lisa", map[string]any{"activated_layers": 0})); err == nil {
		t.Error("activated_layers 0 is no error")
	}
}
