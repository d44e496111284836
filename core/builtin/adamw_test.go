package builtin

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// TestAdamWFormula compares with the formulas of the paper in float64. One
// parameter has a gradient in every second step only; the steps of the others
// do not count for it, as in torch.
func TestAdamWFormula(t *testing.T) {
	const lr, beta1, beta2, eps, decay = 1e-2, 0.8, 0.9, 1e-6, 0.3
	for _, all := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 2))
		m := &api.Model{}
		for _, name := range []string{"a.weight", "a.bias", "model.norm.weight"} {
			p := api.NewParam(name, api.Full(0, 5))
			p.Set(func(w []float32) {
				for i := range w {
					w[i] = float32(r.NormFloat64())
				}
			})
			m.Params = append(m.Params, p)
		}
		args := own("adamw", map[string]any{"beta1": beta1, "beta2": beta2, "epsilon": eps, "decay_all": all})
		args.WeightDecay = decay
		opt, schedule, err := newAdamW(args, m, 10)
		if err != nil || schedule != nil {
			t.Fatalf("schedule %v, error %v", schedule != nil, err)
		}
		type truth struct{ w, m, v, n float64 }
		want := map[*api.Param][]truth{}
		for _, p := range m.Params {
			for _, x := range p.Data() {
				want[p] = append(want[p], truth{w: float64(x)})
			}
		}
		for step := range 6 {
			for k, p := range m.Params {
				p.ClearGrad()
				if k == 0 && step%2 == 1 {
					continue
				}
				slope := make([]float32, 5)
				for i := range slope {
					slope[i] = float32(r.NormFloat64())
				}
				if err := p.Mul(api.Const(tensor.New(tensor.WithShape(5), tensor.WithBacking(slope)))).Sum().Backward(); err != nil {
					t.Fatal(err)
				}
				for i := range want[p] {
					x, g := &want[p][i], float64(slope[i])
					x.n++
					if all || k == 0 {
						x.w -= lr * decay * x.w
					}
					x.m = beta1*x.m + (1-beta1)*g
					x.v = beta2*x.v + (1-beta2)*g*g
					x.w -= lr * (x.m / (1 - math.Pow(beta1, x.n))) / (math.Sqrt(x.v/(1-math.Pow(beta2, x.n))) + eps)
				}
			}
			if err := opt.Step(lr); err != nil {
				t.Fatal(err)
			}
			for _, p := range m.Params {
				for i, got := range p.Data() {
					if math.Abs(float64(got)-want[p][i].w) > 1e-6 {
						t.Fatalf("decay_all %v, step %d, %s[%d]: %g, want %g", all, step, p.Name, i, got, want[p][i].w)
					}
				}
			}
		}
	}
}

func TestAdamWRefuses(t *testing.T) {
	m := &api.Model{Params: []*api.Param{api.NewParam("a", api.Full(0, 2))}}
	for key, x := range map[string]float64{"beta1": 1, "beta2": -0.1, "epsilon": -1} {
		if _, _, err := newAdamW(own("adamw", map[string]any{key: x}), m, 1); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %g: %v", key, x, err)
		}
	}
	for name, change := range map[string]func(s map[string]*tensor.Dense){
		"has 2 tensors, want 3":         func(s map[string]*tensor.Dense) { delete(s, "a.step") },
		"has no tensor a.exp_avg":       func(s map[string]*tensor.Dense) { s["b"] = s["a.exp_avg"]; delete(s, "a.exp_avg") },
		"a.exp_avg_sq of the state of ": func(s map[string]*tensor.Dense) { s["a.exp_avg_sq"] = api.Full(0, 3) },
	} {
		opt, _, err := newAdamW(own("adamw", nil), m, 1)
		if err != nil {
			t.Fatal(err)
		}
		state := opt.(api.Stateful).State()
		change(state)
		if err := opt.(api.Stateful).Restore(state); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("restore: %v, want %q", err, name)
		}
	}
}
