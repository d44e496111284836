package builtin

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// allocator is PEFT's RankAllocator and update_and_allocate, written a second
// time with maps and in float64.
type allocator struct {
	tinit, tfinal, deltaT, total, initR, targetR int
	beta1, beta2                                 float64
	avg, unc                                     map[string][]float64
	pattern                                      map[string][]bool // by layer
}

// after is what happens after a step; w and g are values and gradients by name.
func (a *allocator) after(step int, layers []string, w, g map[string][]float64) {
	end := a.total - a.tfinal
	switch {
	case step < end:
		for name := range w {
			if a.avg[name] == nil {
				a.avg[name], a.unc[name] = make([]float64, len(w[name])), make([]float64, len(w[name]))
			}
			for i := range w[name] {
				ipt := math.Abs(w[name][i] * g[name][i])
				a.avg[name][i] = a.beta1*a.avg[name][i] + (1-a.beta1)*ipt
				a.unc[name][i] = a.beta2*a.unc[name][i] + (1-a.beta2)*math.Abs(ipt-a.avg[name][i])
			}
		}
		if step > a.tinit && step%a.deltaT == 0 {
			a.mask(step, layers, w)
		}
	case step == end:
		a.mask(step, layers, w)
	default:
		a.zero(layers, w)
	}
}

func (a *allocator) mask(step int, layers []string, w map[string][]float64) {
	mul := 1 - float64(step-a.tinit)/float64(a.total-a.tfinal-a.tinit)
	all, target := a.initR*len(layers), a.targetR*len(layers)
	budget := int(float64(all-target)*math.Pow(mul, 3) + float64(target))
	scores := map[string][]float64{}
	var flat []float64
	for _, l := range layers {
		score := make([]float64, a.initR)
		for r := range score {
			mean := func(name string, rank func(i int) int) float64 {
				sum, n := 0.0, 0
				for i := range w[name] {
					if rank(i) == r {
						sum, n = sum+a.avg[name][i]*a.unc[name][i], n+1
					}
				}
				return sum / float64(n)
			}
			score[r] = mean(l+".lora_E", func(i int) int { return i }) + mean(l+".lora_A", func(i int) int { return i / (len(w[l+".lora_A"]) / a.initR) }) +
				mean(l+".lora_B", func(i int) int { return i % a.initR })
		}
		scores[l], flat = score, append(flat, score...)
	}
	sort.Float64s(flat)
	limit := -1.0
	if over := all - budget; over > 0 {
		limit = flat[over-1]
	}
	for _, l := range layers {
		a.pattern[l] = nil
		for _, s := range scores[l] {
			a.pattern[l] = append(a.pattern[l], s > limit)
		}
	}
	a.zero(layers, w)
}

func (a *allocator) zero(layers []string, w map[string][]float64) {
	for _, l := range layers {
		for r, keep := range a.pattern[l] {
			if !keep {
				w[l+".lora_E"][r] = 0
			}
		}
	}
}

// TestBudget trains with gradients that are made up, and compares which ranks
// are given up with the twin, after every step.
func TestBudget(t *testing.T) {
	for _, c := range []struct{ tinit, tfinal, deltaT int }{{0, 0, 1}, {3, 4, 2}, {2, 6, 3}} {
		settings := map[string]any{"init_r": 4, "target_r": 2, "tinit": c.tinit, "tfinal": c.tfinal, "deltaT": c.deltaT, "target_modules": "q_proj,up_proj"}
		x, m, forward := tuner(t, "adalora", settings)
		ada := x.(*adaLora)
		twin := &allocator{c.tinit, c.tfinal, c.deltaT, 20, 4, 2, 0.85, 0.85, map[string][]float64{}, map[string][]float64{}, map[string][]bool{}}
		hooks, err := ada.Callback(20)
		if err != nil {
			t.Fatal(err)
		}
		state := &api.State{MaxSteps: 20, Model: m}
		var layers []string
		for _, p := range ada.triplets {
			layers = append(layers, p.Name)
		}
		m.Training = false
		for ; state.Step < 20; state.Step++ {
			if err := forward(api.Const(api.Full(float32(1+state.Step)/10, 5, 6))).Mul(api.Const(api.Full(0.5, 1, 7))).Tanh().Sum().Backward(); err != nil {
				t.Fatal(err)
			}
			w, g := map[string][]float64{}, map[string][]float64{}
			for i, p := range m.Trainable() {
				p.Update(func(x, grad []float32) {
					for k := range x {
						x[k] -= 0.05*grad[k] + 0.01*float32(math.Sin(float64(state.Step*7+i*3+k)))
					}
				})
				w[p.Name], g[p.Name] = wide(p.Data()), wide(p.Grad())
			}
			if err := hooks.OnOptimizerStep(state); err != nil {
				t.Fatal(err)
			}
			twin.after(state.Step+1, layers, w, g)
			for _, p := range ada.triplets {
				if fmt.Sprint(p.keep) != fmt.Sprint(twin.pattern[p.Name]) {
					t.Errorf("%v after step %d: %s keeps %v, want %v", c, state.Step+1, p.Name, p.keep, twin.pattern[p.Name])
				}
				got := make([]float32, 4)
				narrow(got, w[p.Name+".lora_E"])
				if !slices.Equal(p.e.Data(), got) {
					t.Errorf("%v after step %d: E of %s is %v, want %v", c, state.Step+1, p.Name, p.e.Data(), got)
				}
			}
			for _, p := range m.Params {
				p.ClearGrad()
			}
		}
		left := 0
		for _, p := range ada.triplets {
			for _, keep := range p.keep {
				if keep {
					left++
				}
			}
		}
		if left != 2*len(layers) {
			t.Errorf("%v: %d ranks are left, want %d", c, left, 2*len(layers))
		}

		// The adapter has no more than these, and says the same.
		want, a := forward(api.Const(api.Full(0.2, 5, 6))).Data(), saved(t, x, m)
		if !strings.Contains(string(a.Config), `"total_step":20`) || !strings.Contains(string(a.Config), `"model.layers.0.self_attn.q_proj.lora_E":[`) {
			t.Errorf("adapter_config.json is %s", a.Config)
		}
		rows := 0
		for name, x := range a.Tensors {
			if strings.HasSuffix(name, "lora_E") {
				rows += x.Shape()[0]
			}
		}
		if rows != left {
			t.Errorf("%v: the adapter has %d ranks, want %d", c, rows, left)
		}
		back, err := newAdaLora(own("adalora", nil))
		if err != nil {
			t.Fatal(err)
		}
		again, forward := apitest.Model(1)
		if err := back.(api.Saver).Load(again, a); err != nil {
			t.Fatal(err)
		}
		if got := forward(api.Const(api.Full(0.2, 5, 6))).Data(); !alike(got, want, 1e-5) {
			t.Errorf("%v: the adapter says something else", c)
		}

		// With the state it is what it was to the last bit.
		if err := back.(api.Stateful).Restore(ada.State()); err != nil {
			t.Fatal(err)
		}
		for i, p := range ada.triplets {
			q := back.(*adaLora).triplets[i]
			if !slices.Equal(p.a.Data(), q.a.Data()) || !slices.Equal(p.b.Data(), q.b.Data()) || !slices.Equal(p.keep, q.keep) {
				t.Errorf("%v: %s is another after it was restored", c, p.Name)
			}
		}
	}
}

func TestBudgetErrors(t *testing.T) {
	x, _, _ := tuner(t, "adalora", map[string]any{"tinit": 5, "tfinal": 5})
	if _, err := x.(api.Hooked).Callback(10); err == nil || !strings.Contains(err.Error(), "leaves none of the run's 10 steps") {
		t.Errorf("no step to give up ranks in: %v", err)
	}
	if err := x.(api.Stateful).Restore(nil); err == nil || !strings.Contains(err.Error(), "the state of adalora lacks") {
		t.Errorf("no state: %v", err)
	}
}
