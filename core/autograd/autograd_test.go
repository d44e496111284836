package autograd_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
)

func engine(t *testing.T) *autograd.Engine {
	t.Helper()
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// random returns a parameter with elements between low and high.
func random(e *autograd.Engine, r *rand.Rand, low, high float64, shape ...int) *api.Param {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(low + (high-low)*r.Float64())
	}
	return api.NewParam("p", e.Param(data, shape...))
}

var (
	labels    = []int32{3, 0, api.Ignore, 6, 2, 5}
	starts    = []int32{0, 4}
	positions = []int32{0, 1, 2, 3, 0, 1}
)

// table is rotary cosines and sines of a few positions, [positions, headDim].
func table(headDim int) []float32 {
	var all []float32
	for p := range 4 {
		for i := range headDim {
			angle := float64(p) / math.Pow(10, float64(i%(headDim/2)))
			if i < headDim/2 {
				all = append(all, float32(math.Cos(angle)))
			} else {
				all = append(all, float32(math.Sin(angle)))
			}
		}
	}
	return all
}

// ops is every operation of the engine, on operands that suit it.
var ops = []struct {
	name string
	in   [][]int
	f    func(e *autograd.Engine, v []*api.Var) *api.Var
}{
	{"embedding", [][]int{{5, 3}}, func(e *autograd.Engine, v []*api.Var) *api.Var { return e.Embedding(v[0], []int32{4, 0, 4, 2}) }},
	{"add", [][]int{{6, 3}, {6, 3}}, func(e *autograd.Engine, v []*api.Var) *api.Var { return v[0].Add(v[1]) }},
	{"add to itself", [][]int{{6, 3}}, func(e *autograd.Engine, v []*api.Var) *api.Var { x := v[0].Exp(); return x.Add(x) }},
	{"rmsnorm", [][]int{{6, 5}, {5}}, func(e *autograd.Engine, v []*api.Var) *api.Var { return e.RMSNorm(v[0], v[1], 1e-5) }},
	{"rmsnorm of heads", [][]int{{6, 8}, {4}}, func(e *autograd.Engine, v []*api.Var) *api.Var { return e.RMSNorm(v[0], v[1], 1e-5) }},
	{"rope", [][]int{{6, 8}}, func(e *autograd.Engine, v []*api.Var) *api.Var { return e.Rope(v[0], 2, 4, table(4), positions) }},
	{"attention", [][]int{{6, 16}, {6, 8}, {6, 8}}, func(e *autograd.Engine, v []*api.Var) *api.Var {
		return e.Attention(v[0], v[1], v[2], starts, 4, 2, 4)
	}},
	{"swiglu of itself", [][]int{{6, 5}}, func(e *autograd.Engine, v []*api.Var) *api.Var { x := v[0].Exp(); return e.SwiGLU(x, x) }},
	{"values and keys from one", [][]int{{6, 16}, {6, 8}}, func(e *autograd.Engine, v []*api.Var) *api.Var {
		k := v[1].Exp()
		return e.Attention(v[0], k, k, starts, 4, 2, 4).Add(k.Sum())
	}},
	{"swiglu", [][]int{{6, 5}, {6, 5}}, func(e *autograd.Engine, v []*api.Var) *api.Var { return e.SwiGLU(v[0], v[1]) }},
	{"cross entropy", [][]int{{6, 4}, {7, 4}}, func(e *autograd.Engine, v []*api.Var) *api.Var {
		loss, _ := e.CrossEntropy(v[0], v[1], labels)
		return loss
	}},
	{"linear", [][]int{{6, 4}, {5, 4}, {5}}, func(e *autograd.Engine, v []*api.Var) *api.Var {
		l := &api.Linear{In: 4, Out: 5, Weight: &api.Param{Var: v[1]}, Bias: &api.Param{Var: v[2]}}
		return l.Forward(v[0])
	}},
	{"two uses of one linear", [][]int{{6, 4}, {4, 4}}, func(e *autograd.Engine, v []*api.Var) *api.Var {
		l := &api.Linear{In: 4, Out: 4, Weight: &api.Param{Var: v[1]}}
		return l.Forward(l.Forward(v[0])).Add(v[0])
	}},
}

// TestGradients compares the gradient of every operation with differences.
func TestGradients(t *testing.T) {
	e := engine(t)
	for _, op := range ops {
		t.Run(op.name, func(t *testing.T) {
			e.Reset()
			r := rand.New(rand.NewPCG(1, 2))
			var params []*api.Param
			var vars []*api.Var
			for _, shape := range op.in {
				p := random(e, r, 0.3, 1.4, shape...)
				params, vars = append(params, p), append(vars, p.Var)
			}
			weight := random(e, r, -1, 1, op.f(e, vars).Shape()...).Detach()
			value := func() *api.Var { return op.f(e, vars).Mul(weight).Sum() }
			if err := value().Backward(); err != nil {
				t.Fatal(err)
			}
			for k, p := range params {
				for i, got := range p.Grad() {
					const h = 1.0 / 128
					at := func(d float32) float64 {
						p.Set(func(w []float32) { w[i] += d })
						defer p.Set(func(w []float32) { w[i] -= d })
						e.Reset()
						return float64(value().Data()[0])
					}
					if want := (at(h) - at(-h)) / (2 * h); math.Abs(float64(got)-want) > 3e-3*max(1, math.Abs(want)) {
						t.Errorf("gradient to operand %d, element %d: %g, by differences %g", k, i, got, want)
					}
				}
			}
		})
	}
}

// TestCrossEntropy compares the fused loss with that of the logits.
func TestCrossEntropy(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(3, 4))
	x, w := random(e, r, -1, 1, 6, 4), random(e, r, -1, 1, 7, 4)
	logits := x.MatMulT(w.Var)
	want := api.CrossEntropy(logits, labels).Data()
	got, best := e.CrossEntropy(x.Var, w.Var, labels)
	argmax := api.LogitsOutput(logits).Argmax()
	for i, label := range labels {
		if math.Abs(float64(got.Data()[i]-want[i])) > 1e-6 {
			t.Errorf("loss of token %d is %g, want %g", i, got.Data()[i], want[i])
		}
		if label == api.Ignore && best[i] != -1 || label != api.Ignore && best[i] != argmax[i] {
			t.Errorf("most likely token %d is %d, want %d", i, best[i], argmax[i])
		}
	}
}

// TestSequencesAreApart sees that what stands in one sequence does not change
// the attention of another.
func TestSequencesAreApart(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(5, 6))
	q, k, v := random(e, r, -1, 1, 6, 16), random(e, r, -1, 1, 6, 8), random(e, r, -1, 1, 6, 8)
	attend := func() []float32 {
		return append([]float32(nil), e.Attention(q.Var, k.Var, v.Var, starts, 4, 2, 4).Data()...)
	}
	before := attend()
	k.Set(func(w []float32) { w[3*8] += 1 }) // of the first sequence's last token
	v.Set(func(w []float32) { w[3*8] += 1 })
	after := attend()
	for i := range before {
		if token := i / 16; token != 3 && before[i] != after[i] {
			t.Fatalf("token %d sees the key of token 3", token)
		}
	}
	if before[3*16] == after[3*16] {
		t.Error("token 3 does not see its own key")
	}
}

// TestGorgonia sees that gorgonia's own operations run on the engine, and that
// their results carry it on.
func TestGorgonia(t *testing.T) {
	e := engine(t)
	a, b := e.Param([]float32{1, 2, 3, 4}, 2, 2), e.Param([]float32{5, 6, 7, 8}, 2, 2)
	c, err := tensor.MatMul(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if c.Engine() != tensor.Engine(e) {
		t.Errorf("the product is on %T", c.Engine())
	}
	if got := c.(*tensor.Dense).Float32s(); got[0] != 19 || got[3] != 50 {
		t.Errorf("product %v, want [19 22 43 50]", got)
	}
	d, err := tensor.Add(a, b)
	if err != nil || d.(*tensor.Dense).Float32s()[3] != 12 {
		t.Errorf("sum %v, %v", d, err)
	}
}

// TestMemoryIsReused sees that steps after the first take no more memory.
func TestMemoryIsReused(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(7, 8))
	x, w := random(e, r, -1, 1, 64, 32), random(e, r, -1, 1, 32, 32)
	step := func() int {
		e.Reset()
		y := x.Var
		for range 20 {
			y = y.Add(y.MatMulT(w.Var).Tanh())
		}
		if err := y.Mean().Backward(); err != nil {
			t.Fatal(err)
		}
		return e.Peak()
	}
	first := step()
	for range 5 {
		if peak := step(); peak != first {
			t.Fatalf("a later step takes %d bytes, the first took %d", peak, first)
		}
	}
}
