package api_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// random returns a parameter with elements between low and high.
func random(r *rand.Rand, low, high float64, shape ...int) *api.Param {
	p := api.NewParam("p", api.Full(0, shape...))
	p.Set(func(w []float32) {
		for i := range w {
			w[i] = float32(low + (high-low)*r.Float64())
		}
	})
	return p
}

// ops is every operation of the package, on operands that suit it.
var ops = []struct {
	name string
	in   [][]int
	f    func(v ...*api.Var) *api.Var
}{
	{"add", [][]int{{3, 4}, {3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Add(v[1]) }},
	{"add broadcast", [][]int{{3, 4}, {4}}, func(v ...*api.Var) *api.Var { return v[0].Add(v[1]) }},
	{"add rows", [][]int{{3, 4}, {3, 1}}, func(v ...*api.Var) *api.Var { return v[0].Add(v[1]) }},
	{"sub", [][]int{{2, 3, 4}, {3, 1}}, func(v ...*api.Var) *api.Var { return v[0].Sub(v[1]) }},
	{"mul", [][]int{{3, 4}, {1}}, func(v ...*api.Var) *api.Var { return v[0].Mul(v[1]) }},
	{"mul wider right", [][]int{{4}, {3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Mul(v[1]) }},
	{"mul outer", [][]int{{3, 1}, {1, 4}}, func(v ...*api.Var) *api.Var { return v[0].Mul(v[1]) }},
	{"mul of itself", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Mul(v[0]) }},
	{"div", [][]int{{3, 4}, {4}}, func(v ...*api.Var) *api.Var { return v[0].Div(v[1]) }},
	{"scale", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Scale(-2.5) }},
	{"shift", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Shift(2) }},
	{"neg", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Neg() }},
	{"one minus", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].OneMinus() }},
	{"exp", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Exp() }},
	{"log", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Log() }},
	{"pow", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Pow(2.5) }},
	{"sqrt", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Sqrt() }},
	{"tanh", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Tanh() }},
	{"sigmoid", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Sigmoid() }},
	{"max", [][]int{{5}}, func(v ...*api.Var) *api.Var { return v[0].Max(1) }},
	{"sum", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Sum() }},
	{"sum of an axis", [][]int{{2, 3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Sum(1) }},
	{"mean", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Mean() }},
	{"mean of axes", [][]int{{2, 3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Mean(0, 2) }},
	{"matmul", [][]int{{3, 4}, {4, 5}}, func(v ...*api.Var) *api.Var { return v[0].MatMul(v[1]) }},
	{"matmul transposed", [][]int{{3, 4}, {5, 4}}, func(v ...*api.Var) *api.Var { return v[0].MatMulT(v[1]) }},
	{"reshape", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Reshape(2, 6) }},
	{"reshape and back", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Reshape(12).Add(v[0].Reshape(12)) }},
	{"slice", [][]int{{3, 4, 2}}, func(v ...*api.Var) *api.Var { return v[0].Slice(1, 1, 3) }},
	{"concat", [][]int{{3, 2}, {3, 4}}, func(v ...*api.Var) *api.Var { return api.Concat(1, v[0], v[1]) }},
	{"transpose", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Transpose() }},
	{"gather", [][]int{{4, 3}}, func(v ...*api.Var) *api.Var { return v[0].Gather([]int32{2, 0, 2}) }},
	{"softmax", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].Softmax() }},
	{"log softmax", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var { return v[0].LogSoftmax() }},
	{"cross entropy", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var {
		return api.CrossEntropy(v[0], []int32{1, api.Ignore, 3})
	}},
	{"a diamond", [][]int{{3, 4}}, func(v ...*api.Var) *api.Var {
		x := v[0].Exp()
		return x.Add(x).Mul(x).Add(v[0])
	}},
}

// TestGradients compares the gradient of every operation with differences.
func TestGradients(t *testing.T) {
	for _, op := range ops {
		t.Run(op.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var params []*api.Param
			var vars []*api.Var
			for _, shape := range op.in {
				p := random(r, 0.5, 1.9, shape...)
				params, vars = append(params, p), append(vars, p.Var)
			}
			weight := random(r, -1, 1, op.f(vars...).Shape()...).Var.Detach()
			value := func() *api.Var { return op.f(vars...).Mul(weight).Sum() }
			if err := value().Backward(); err != nil {
				t.Fatal(err)
			}
			for k, p := range params {
				for i, got := range p.Grad() {
					const h = 1.0 / 256
					at := func(d float32) float64 {
						p.Set(func(w []float32) { w[i] += d })
						defer p.Set(func(w []float32) { w[i] -= d })
						return float64(value().Data()[0])
					}
					want := (at(h) - at(-h)) / (2 * h)
					if math.Abs(float64(got)-want) > 4e-3*max(1, math.Abs(want)) {
						t.Errorf("gradient to operand %d, element %d: %g, by differences %g", k, i, got, want)
					}
				}
			}
		})
	}
}

func TestGradientsAddUp(t *testing.T) {
	p := random(rand.New(rand.NewPCG(1, 2)), 1, 2, 3)
	for range 2 {
		if err := p.Scale(3).Sum().Backward(); err != nil {
			t.Fatal(err)
		}
	}
	if g := p.Grad(); g[0] != 6 {
		t.Errorf("gradient after two passes %v, want 6", g)
	}
	p.ClearGrad()
	if p.Grad() != nil {
		t.Error("a cleared gradient is still there")
	}
	p.Update(func(w, g []float32) { t.Error("update without a gradient") })
}

func TestFrozenHasNoGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p, q := random(r, 1, 2, 3), random(r, 1, 2, 3)
	q.Freeze()
	if err := p.Mul(q.Var).Sum().Backward(); err != nil {
		t.Fatal(err)
	}
	if p.Grad() == nil || q.Grad() != nil {
		t.Errorf("gradients %v of a trained and %v of a frozen parameter", p.Grad(), q.Grad())
	}
}

func TestBackwardErrors(t *testing.T) {
	p := api.NewParam("p", api.Full(1, 2))
	if err := p.Exp().Backward(); err == nil || !strings.Contains(err.Error(), "want a single value") {
		t.Errorf("backward of two values: %v", err)
	}
	if err := api.Const(api.Full(1, 1)).Exp().Backward(); err == nil || !strings.Contains(err.Error(), "no trainable parameter") {
		t.Errorf("backward of a constant: %v", err)
	}
}

func TestShapeErrors(t *testing.T) {
	a, b := api.Const(api.Full(1, 2, 3)), api.Const(api.Full(1, 2))
	for name, f := range map[string]func(){
		"add": func() { a.Add(b) }, "matmul": func() { a.MatMul(a) }, "reshape": func() { a.Reshape(5) },
		"slice": func() { a.Slice(1, 2, 4) }, "gather": func() { a.Gather([]int32{2}) },
		"concat": func() { api.Concat(0, a, b) }, "cross entropy": func() { api.CrossEntropy(a, nil) }, "sum": func() { a.Sum(2) },
	} {
		func() {
			defer func() {
				if _, ok := recover().(*api.ShapeError); !ok {
					t.Errorf("%s of shapes that do not fit is no ShapeError", name)
				}
			}()
			f()
		}()
	}
}

func ExampleVar() {
	x := api.NewParam("x", tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2})))
	loss := x.Mul(x.Var).Sum() // x₁² + x₂²
	if err := loss.Backward(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(loss.Data(), x.Grad())
	// Output: [5] [2 4]
}
