package builtin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"swiftgo/api"
)

// TestGaLoreVectors compares with ms-swift's. Of "full" the first step is left
// out: the gradient in the space of its own singular vectors is diagonal but for
// errors of rounding, and Adam makes steps of its size of those too.
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
			if c.Group["proj_type"] == "full" && step == 0 {
				p.Set(func(w []float32) { copy(w, v.Expected[i][0].flat) })
			}
			near(t, fmt.Sprintf("%s, step %d", c.ID, step), p.Data(), v.Expected[i][step].flat, 2e-6)
		}
	}
}

// TestGaLoreFull compares a step in both spaces with its formula, in float64.
func TestGaLoreFull(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p := api.NewParam("up_proj.weight", random(r, 6, 5))
	o, _, err := newGalore(own("galore", map[string]any{"rank": 2, "proj_type": "full", "scale": 0.5, "epsilon": 1e-3}), &api.Model{Params: []*api.Param{p}}, 9)
	if err != nil {
		t.Fatal(err)
	}
	first, second := random(r, 6, 5).Float32s(), random(r, 6, 5).Float32s()
	give(p, first)
	if err := o.Step(0.1); err != nil {
		t.Fatal(err)
	}
	before := wide(p.Data())
	give(p, second)
	if err := o.Step(0.1); err != nil {
		t.Fatal(err)
	}
	left, _, right := svd(mat{6, 5, wide(first)})
	left, right = mat{2, 6, left.x[:12]}, mat{2, 5, right.x[:10]}
	in := func(g []float32) mat { return left.times(mat{6, 5, wide(g)}).times(right.transposed()) }
	a, b := in(first), in(second)
	u := newMat(2, 2)
	for i := range u.x {
		m := 0.9*0.1*a.x[i] + 0.1*b.x[i]
		v := 0.95*0.05*a.x[i]*a.x[i] + 0.05*b.x[i]*b.x[i]
		u.x[i] = m / (math.Sqrt(v) + 1e-3)
	}
	u = left.transposed().times(u).times(right)
	size := 0.1 * math.Sqrt(1-0.95*0.95) / (1 - 0.9*0.9)
	for i := range before {
		before[i] -= 0.5 * size * u.x[i]
	}
	near(t, "after two steps", p.Data(), before, 1e-6)
}

func TestGaLoreTargets(t *testing.T) {
	for settings, want := range map[string][]int{"": {2, 6}, "embed_tokens,lm_head": {6, 2}} {
		own := own("galore", map[string]any{"rank": 1})
		if settings != "" {
			own.Own["target_modules"] = settings
		}
		m := &api.Model{Params: []*api.Param{api.NewParam("layers.0.up_proj.weight", api.Full(0, 3, 2)), api.NewParam("model.embed_tokens.weight", api.Full(0, 3, 2))}}
		o, _, err := newGalore(own, m, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range m.Params {
			size := o.(api.Stateful).State()[p.Name+".exp_avg"].Shape().TotalSize()
			if small := want[i] == 2; small != (size < 6) {
				t.Errorf("target_modules %q: %s has averages of %d numbers", settings, p.Name, size)
			}
		}
	}
}
