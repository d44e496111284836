package builtin

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// nested is a vector or a matrix in JSON.
type nested struct {
	shape []int
	flat  []float32
}

func (n *nested) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &n.flat) == nil {
		n.shape = []int{len(n.flat)}
		return nil
	}
	n.flat = nil
	var rows [][]float32
	if err := json.Unmarshal(text, &rows); err != nil {
		return err
	}
	n.shape, n.flat = []int{len(rows), len(rows[0])}, slices.Concat(rows...)
	return nil
}

func (n *nested) param(name string) *api.Param {
	return api.NewParam(name, tensor.New(tensor.WithShape(n.shape...), tensor.WithBacking(slices.Clone(n.flat))))
}

// optimVector is a case of an optimizer: a weight, its gradients, and settings.
type optimVector struct {
	ID        string         `json:"id"`
	W         nested         `json:"w"`
	Grads     []nested       `json:"grads"`
	LR        float64        `json:"lr"`
	Decay     float64        `json:"weight_decay"`
	Betas     []float64      `json:"betas"`
	Eps       float64        `json:"eps"`
	Group     map[string]any `json:"group"`
	QK        bool           `json:"is_qk"`
	MaxLogits float64        `json:"max_logits"`
	Options   map[string]any `json:"options"`
}

// give makes g the gradient of p.
func give(p *api.Param, g []float32) {
	p.ClearGrad()
	p.AddGrad(func(sum *tensor.Dense, _ bool) { copy(sum.Float32s(), g) })
}

// near compares numbers with those that are wanted.
func near[T float32 | float64](t *testing.T, what string, got []float32, want []T, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tolerance) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func random(r *rand.Rand, shape ...int) *tensor.Dense {
	x := api.Full(0, shape...)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(r.NormFloat64())
	}
	return x
}

// twin is an optimizer's formula for one parameter, in float64: it changes w by
// the gradient g of step t, from 1.
type twin func(t int, w, g []float64)

// followTwin compares an optimizer with its twin over six steps on a parameter of
// that shape.
func followTwin(t *testing.T, construct func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error), args *api.Args, name string, shape []int, lr float64, want twin) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	p := api.NewParam(name, random(r, shape...))
	o, _, err := construct(args, &api.Model{Params: []*api.Param{p}}, 6)
	if err != nil {
		t.Fatal(err)
	}
	w := wide(p.Data())
	for step := range 6 {
		g := random(r, shape...).Float32s()
		give(p, g)
		if err := o.Step(lr); err != nil {
			t.Fatal(err)
		}
		want(step+1, w, wide(g))
		near(t, args.Name+" of "+name, p.Data(), w, 2e-6)
	}
}

func decaying(name string, decay float64, settings map[string]any) *api.Args {
	args := own(name, settings)
	args.WeightDecay = decay
	return args
}

func TestSGDFormula(t *testing.T) {
	const lr, decay, momentum = 0.1, 0.2, 0.9
	for _, nesterov := range []bool{false, true} {
		v := make([]float64, 6)
		followTwin(t, newSGD, decaying("sgd", decay, map[string]any{"momentum": momentum, "nesterov": nesterov}), "a.weight", []int{2, 3}, lr, func(_ int, w, g []float64) {
			for i := range w {
				d := g[i] + decay*w[i]
				if v[i] = momentum*v[i] + d; nesterov {
					w[i] -= lr * (d + momentum*v[i])
				} else {
					w[i] -= lr * v[i]
				}
			}
		})
	}
	followTwin(t, newSGD, decaying("sgd", decay, nil), "a.bias", []int{4}, lr, func(_ int, w, g []float64) {
		for i := range w {
			w[i] -= lr * g[i]
		}
	})
}

func TestLionFormula(t *testing.T) {
	const lr, decay = 0.01, 0.2
	m := make([]float64, 6)
	followTwin(t, newLion, decaying("lion", decay, nil), "a.weight", []int{2, 3}, lr, func(_ int, w, g []float64) {
		for i := range w {
			w[i] = w[i]*(1-lr*decay) - lr*math.Copysign(1, 0.9*m[i]+0.1*g[i])
			m[i] = 0.99*m[i] + 0.01*g[i]
		}
	})
}

// TestAdafactorFormula compares with the paper's algorithms 4 and 5, whose mean
// of squares of a matrix is R·C over the sum of R, where updates are clipped and
// where they are not.
func TestAdafactorFormula(t *testing.T) {
	for _, threshold := range []float64{0.5, 100} {
		adafactorFormula(t, threshold)
	}
}

func adafactorFormula(t *testing.T, threshold float64) {
	const lr, decay, rows, cols = 0.05, 0.1, 4, 3
	r, c := make([]float64, rows), make([]float64, cols)
	clip := func(u []float64) {
		sum := 0.0
		for _, x := range u {
			sum += x * x
		}
		for i := range u {
			u[i] /= max(1, math.Sqrt(sum/float64(len(u)))/threshold)
		}
	}
	settings := map[string]any{"clip_threshold": threshold}
	followTwin(t, newAdafactor, decaying("adafactor", decay, settings), "a.weight", []int{rows, cols}, lr, func(t int, w, g []float64) {
		beta := 1 - math.Pow(float64(t), -0.8)
		total := 0.0
		for i := range r {
			sum := 0.0
			for j := range c {
				sum += g[i*cols+j] * g[i*cols+j]
			}
			r[i] = beta*r[i] + (1-beta)*sum
			total += r[i]
		}
		for j := range c {
			sum := 0.0
			for i := range r {
				sum += g[i*cols+j] * g[i*cols+j]
			}
			c[j] = beta*c[j] + (1-beta)*sum
		}
		u := make([]float64, len(w))
		for i := range u {
			u[i] = g[i] / math.Sqrt(r[i/cols]*c[i%cols]/total)
		}
		clip(u)
		for i := range w {
			w[i] -= lr*decay*w[i] + lr*u[i]
		}
	})
	v, avg := make([]float64, 5), make([]float64, 5)
	settings = map[string]any{"clip_threshold": threshold, "scale_parameter": true, "beta1": 0.8}
	followTwin(t, newAdafactor, decaying("adafactor", 0, settings), "a.bias", []int{5}, lr, func(t int, w, g []float64) {
		beta := 1 - math.Pow(float64(t), -0.8)
		u := make([]float64, len(w))
		size := 0.0
		for i := range v {
			v[i] = beta*v[i] + (1-beta)*g[i]*g[i]
			u[i] = g[i] / math.Sqrt(v[i])
			size += w[i] * w[i] / float64(len(w))
		}
		clip(u)
		for i := range w {
			avg[i] = 0.8*avg[i] + 0.2*lr*math.Sqrt(size)*u[i]
			w[i] -= avg[i]
		}
	})
	_, schedule, err := newAdafactor(own("adafactor", map[string]any{"relative_step": true, "warmup_init": true}), &api.Model{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range map[int]float64{0: 1e-6, 9: 1e-5, 99999: 1 / math.Sqrt(100000)} {
		if got := schedule(step); math.Abs(got/want-1) > 1e-12 {
			t.Errorf("relative step %d is %g, want %g", step, got, want)
		}
	}
}
