package builtin

import (
	"math"
	"testing"

	"swiftgo/api"
)

// optimVector is a case of an optimizer: a weight, its gradients, and the weight
// after each step.
type optimVector struct {
	ID    string         `json:"id"`
	W     nested         `json:"w"`
	Grads []nested       `json:"grads"`
	LR    float64        `json:"lr"`
	Decay float64        `json:"weight_decay"`
	Betas []float64      `json:"betas"`
	Eps   float64        `json:"eps"`
	Group map[string]any `json:"group"`
}

func TestGaLoreVectors(t *testing.T) {
	var v struct {
		Inputs   []optimVector
		Expected [][]nested
	}
	vectors(t, "optim_galore_adamw.json", &v)
	for i, c := range v.Inputs {
		settings := map[string]any{"beta1": c.Betas[0], "beta2": c.Betas[1], "epsilon": c.Eps}
		for key, x := range c.Group {
			settings[key] = x
		}
		p := c.W.param("model.layers.0.mlp.up_proj.weight")
		args := own("galore", settings)
		args.WeightDecay = c.Decay
		o, _, err := newGalore(args, &api.Model{Params: []*api.Param{p}}, len(c.Grads))
		if err != nil {
			t.Fatal(err)
		}
		for step, g := range c.Grads {
			give(p, g.flat)
			if err := o.Step(c.LR); err != nil {
				t.Fatal(err)
			}
			for k, got := range p.Data() {
				if want := v.Expected[i][step].flat[k]; math.Abs(float64(got-want)) > 2e-6 {
					t.Errorf("%s, step %d: element %d is %v, want %v", c.ID, step, k, got, want)
				}
			}
		}
	}
}
