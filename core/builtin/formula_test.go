package builtin

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// TestFormulas compares, for each layer that a tuner stands beside, the forward
// pass with loops in float64, and every gradient with differences of them.
func TestFormulas(t *testing.T) {
	at := func(p *api.Param, index ...int) float64 {
		k := 0
		for axis, i := range index {
			k = k*p.Shape()[axis] + i
		}
		return float64(p.Data()[k])
	}
	type twin struct {
		*api.Linear
		weight func(o, i int) float64 // of the tuned layer
		params []*api.Param
	}
	product := func(a, b *api.Param, scale float64, o, i int) (sum float64) {
		for k := range a.Shape()[0] {
			sum += scale * at(b, o, k) * at(a, k, i)
		}
		return sum
	}
	for _, c := range []struct {
		tuner    string
		settings map[string]any
		twins    func(api.Tuner) []twin
	}{
		{"lora", map[string]any{"rank": 3, "alpha": 2, "use_rslora": true}, func(x api.Tuner) (all []twin) {
			for _, p := range x.(*lora).pairs {
				all = append(all, twin{p.Linear, func(o, i int) float64 { return at(p.Weight, o, i) + product(p.a, p.b, 2/math.Sqrt(3), o, i) }, []*api.Param{p.a, p.b}})
			}
			return all
		}},
		{"lora", map[string]any{"rank": 3, "alpha": 2, "use_dora": true}, func(x api.Tuner) (all []twin) {
			for _, p := range x.(*lora).pairs {
				row := func(o, i int) float64 { return at(p.Weight, o, i) + product(p.a, p.b, 2./3, o, i) }
				norms := make([]float64, p.Out) // constants of the gradient
				for o := range norms {
					for i := range p.In {
						norms[o] += row(o, i) * row(o, i)
					}
					norms[o] = math.Sqrt(norms[o])
				}
				all = append(all, twin{p.Linear, func(o, i int) float64 { return at(p.length, o) / norms[o] * row(o, i) }, []*api.Param{p.a, p.b, p.length}})
			}
			return all
		}},
		{"adalora", map[string]any{"init_r": 3, "target_r": 2, "alpha": 2}, func(x api.Tuner) (all []twin) {
			for _, p := range x.(*adaLora).triplets {
				all = append(all, twin{p.Linear, func(o, i int) float64 {
					w := at(p.Weight, o, i)
					for k := range 3 {
						w += 2 / (3 + 1e-5) * at(p.b, o, k) * at(p.e, k, 0) * at(p.a, k, i)
					}
					return w
				}, []*api.Param{p.a, p.e, p.b}})
			}
			return all
		}},
		{"vera", map[string]any{"rank": 3}, func(x api.Tuner) (all []twin) {
			v := x.(*vera)
			for _, p := range v.scalings {
				all = append(all, twin{p.Linear, func(o, i int) float64 {
					w := at(p.Weight, o, i)
					for k := range 3 {
						w += at(p.b, o) * at(v.up, o, k) * at(p.d, k) * at(v.down, k, i)
					}
					return w
				}, []*api.Param{p.b, p.d}})
			}
			return all
		}},
		{"bone", map[string]any{"rank": 4}, func(x api.Tuner) (all []twin) { // 4 does not divide the 6 and 10 inputs
			for _, p := range x.(*bone).blocks {
				all = append(all, twin{p.Linear, func(o, i int) float64 { return at(p.Weight, o, i) + at(p.block, i%4, o) }, []*api.Param{p.block}})
			}
			return all
		}},
		{"bone", map[string]any{"rank": 2, "init_weights": "bat"}, func(x api.Tuner) (all []twin) {
			for _, p := range x.(*bone).blocks {
				all = append(all, twin{p.Linear, func(o, i int) float64 {
					w := at(p.Weight, o, i) + at(p.block, o/2, o%2, i%2)
					for k := range 2 {
						w += at(p.Weight, o, i/2*2+k) * at(p.block, o/2, k, i%2)
					}
					return w
				}, []*api.Param{p.block}})
			}
			return all
		}},
	} {
		x, m, _ := tuner(t, c.tuner, c.settings)
		shake(m)
		m.Training = false
		twins := c.twins(x)
		if len(twins) == 0 {
			t.Fatalf("%s: nothing to compare", c.tuner)
		}
		for _, w := range twins {
			const tokens = 3
			in, mix := make([]float32, tokens*w.In), make([]float32, tokens*w.Out)
			normal(in, 1, 1, w.Name)
			normal(mix, 1, 2, w.Name)
			value := func(report bool, got []float32) (sum float64) {
				for row := range tokens {
					for o := range w.Out {
						y := 0.0
						if w.Bias != nil {
							y = at(w.Bias, o)
						}
						for i := range w.In {
							y += w.weight(o, i) * float64(in[row*w.In+i])
						}
						if report && math.Abs(float64(got[row*w.Out+o])-y) > 1e-4*max(1, math.Abs(y)) {
							t.Errorf("%s %v: %s is %g, want %g", c.tuner, c.settings, w.Name, got[row*w.Out+o], y)
						}
						sum += y * float64(mix[row*w.Out+o])
					}
				}
				return sum
			}
			y := w.Forward(api.Const(tensor.New(tensor.WithShape(tokens, w.In), tensor.WithBacking(in))))
			value(true, y.Data())
			if err := y.Mul(api.Const(tensor.New(tensor.WithShape(tokens, w.Out), tensor.WithBacking(mix)))).Sum().Backward(); err != nil {
				t.Fatal(err)
			}
			for _, p := range w.params {
				for k := range p.Data() {
					const h = 0.125 // exact in float32; the value is linear in each number, or square
					var ends [2]float64
					for side, d := range []float32{h, -2 * h} {
						p.Set(func(x []float32) { x[k] += d })
						ends[side] = value(false, nil)
					}
					p.Set(func(x []float32) { x[k] += h })
					if want := (ends[0] - ends[1]) / (2 * h); math.Abs(float64(p.Grad()[k])-want) > 1e-3*max(1, math.Abs(want)) {
						t.Errorf("%s %v: gradient %d of %s is %g, want %g", c.tuner, c.settings, k, p.Name, p.Grad()[k], want)
					}
				}
			}
		}
	}
}

// TestPenalty compares the penalty of AdaLoRA with loops in float64.
func TestPenalty(t *testing.T) {
	x, m, _ := tuner(t, "adalora", map[string]any{"init_r": 3, "target_r": 2, "orth_reg_weight": 0.25})
	shake(m)
	got, err := x.(api.Regularizer).Penalty()
	if err != nil {
		t.Fatal(err)
	}
	want, n := 0.0, 0
	for _, p := range x.(*adaLora).triplets {
		for _, side := range []struct {
			length int
			at     func(rank, i int) float32
		}{
			{p.In, func(rank, i int) float32 { return p.a.Data()[rank*p.In+i] }},
			{p.Out, func(rank, i int) float32 { return p.b.Data()[i*3+rank] }},
		} {
			sum := 0.0
			for r := range 3 {
				for s := range 3 {
					d := 0.0
					if r == s {
						d = -1
					}
					for i := range side.length {
						d += float64(side.at(r, i)) * float64(side.at(s, i))
					}
					sum += d * d
				}
			}
			want, n = want+math.Sqrt(sum), n+1
		}
	}
	if want *= 0.25 / float64(n); math.Abs(float64(got.Data()[0])-want) > 1e-5*want {
		t.Errorf("the penalty is %g, want %g", got.Data()[0], want)
	}
}

// TestStarts looks at what the ways to begin must give: the largest part of the
// weight in the product, an orthonormal B, and the number that rank says.
func TestStarts(t *testing.T) {
	for _, c := range []struct {
		name      string
		tolerance float64 // of the singular values that are taken
	}{{"pissa", 1e-4}, {"pissa_niter_40", 1e-3}} {
		x, _, _ := tuner(t, "lora", map[string]any{"init_weights": c.name, "rank": 2, "alpha": 6})
		_, m, _ := tuner(t, "full", nil)
		for k, p := range x.(*lora).pairs {
			base := m.Linears[k].Weight.Data()
			_, s, _ := singular(wide(base), p.Out, p.In)
			_, rest, _ := singular(wide(p.Weight.Data()), p.Out, p.In)
			for i := range len(s) - 2 { // what is left has the smaller ones
				if math.Abs(rest[i]-s[i+2]) > c.tolerance*s[0] {
					t.Errorf("%s: singular value %d of what is left of %s is %g, want %g", c.name, i, p.Name, rest[i], s[i+2])
				}
			}
			add(p.Linear, p.weight(p.scale))
			if !alike(p.Weight.Data(), base, 1e-5) {
				t.Errorf("%s: %s is another than before", c.name, p.Name)
			}
		}
	}
	x, _, _ := tuner(t, "lora", map[string]any{"init_weights": "olora", "rank": 3})
	for _, p := range x.(*lora).pairs {
		b := wide(p.b.Data())
		gram := product(transposed(b, p.Out, 3), b, 3, p.Out, 3)
		for i, g := range gram {
			want := 0.0
			if i%4 == 0 {
				want = 1
			}
			if math.Abs(g-want) > 1e-5 {
				t.Errorf("olora: Bᵀ·B of %s is %v, want the identity", p.Name, gram)
			}
		}
	}
	random, _, _ := tuner(t, "lora", map[string]any{"init_weights": "false", "rank": 400})
	sum := 0.0
	for _, w := range random.(*lora).pairs[0].b.Data() {
		sum += float64(w) * float64(w)
	}
	if got, want := sum/float64(len(random.(*lora).pairs[0].b.Data())), 1./(3*400); math.Abs(got/want-1) > 0.1 {
		t.Errorf("false: B has variance %g, want %g", got, want)
	}
	gauss, _, _ := tuner(t, "lora", map[string]any{"init_weights": "gaussian", "rank": 400})
	sum = 0
	for _, w := range gauss.(*lora).pairs[0].a.Data() {
		sum += float64(w) * float64(w)
	}
	if got, want := sum/float64(len(gauss.(*lora).pairs[0].a.Data())), 1./(400*400); math.Abs(got/want-1) > 0.1 {
		t.Errorf("gaussian: A has variance %g, want %g", got, want)
	}
}
