package builtin

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// TestCodebook compares the numbers with what is known of bitsandbytes' dynamic
// map: 256 of them, in decades, and every number finds the nearest.
func TestCodebook(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []*codebook{signed, unsigned} {
		lowest := c.values[0]
		for i := 1; i < 256; i++ {
			if !(c.values[i] > c.values[i-1]) {
				t.Fatalf("number %d is %g after %g", i, c.values[i], c.values[i-1])
			}
		}
		if c.values[255] != 1 || lowest < -1 {
			t.Errorf("from %g to %g, want up to 1", lowest, c.values[255])
		}
		for range 2000 {
			x := float32(math.Pow(10, -8*r.Float64()))
			if lowest < 0 && r.IntN(2) == 0 {
				x = -x
			}
			got, best := c.values[c.nearest(x)], math.Inf(1)
			for _, v := range c.values {
				best = min(best, math.Abs(float64(x-v)))
			}
			if math.Abs(float64(x-got)) > best*(1+1e-5)+1e-12 {
				t.Fatalf("%g becomes %g, and the nearest is %g off", x, got, best)
			}
		}
	}
	// The middle of the first of the numbers of a decade: 0.1 + 0.9/64/2 of the highest, 64 numbers.
	if got := signed.values[255-64]; math.Abs(float64(got)-(0.1+0.9/128)) > 1e-7 {
		t.Errorf("the lowest number of the highest decade is %g", got)
	}
	if got := unsigned.values[1]; math.Abs(float64(got)-1e-6*(0.1+0.9/4)) > 1e-12 {
		t.Errorf("the lowest number above 0 is %g", got)
	}
	if k := signed.of(-1e-9, 1); signed.values[k] >= 0 {
		t.Errorf("a small negative number becomes %g", signed.values[k])
	}
}

// TestAdamW8bitTracks trains beside adamw: after 50 steps the weights are near to
// each other, compared with how far they went.
func TestAdamW8bitTracks(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const n, steps = 4200, 50
	start, goal := random(r, n), random(r, n)
	train := func(construct func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error)) []float32 {
		p := api.NewParam("a.weight", start.Clone().(*tensor.Dense))
		o, _, err := construct(decaying("x", 0.1, nil), &api.Model{Params: []*api.Param{p}}, steps)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(11, 12))
		for range steps {
			g := make([]float32, n)
			for i, w := range p.Data() {
				g[i] = w - goal.Float32s()[i] + 0.3*float32(r.NormFloat64())
			}
			give(p, g)
			if err := o.Step(1e-2); err != nil {
				t.Fatal(err)
			}
		}
		return p.Data()
	}
	whole, bytes := train(newAdamW), train(newAdamW8bit)
	var off, way float64
	for i := range whole {
		off += math.Pow(float64(whole[i]-bytes[i]), 2)
		way += math.Pow(float64(whole[i]-start.Float32s()[i]), 2)
	}
	if ratio := math.Sqrt(off / way); ratio == 0 || ratio > 0.03 {
		t.Errorf("the weights are %.3g of the way off those of adamw, want at most 0.03 and not 0", ratio)
	}
}

func TestAdamW8bitState(t *testing.T) {
	p := api.NewParam("a.weight", api.Full(1, 4100))
	fresh := func() *adamW8bit {
		o, _, err := newAdamW8bit(own("adamw_8bit", nil), &api.Model{Params: []*api.Param{p}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return o.(*adamW8bit)
	}
	o := fresh()
	give(p, random(rand.New(rand.NewPCG(1, 1)), 4100).Float32s())
	if err := o.Step(1e-2); err != nil {
		t.Fatal(err)
	}
	state, size := o.State(), 0
	for _, x := range state {
		size += x.Shape().TotalSize()
	}
	if size > 4100 { // two bytes and a little a number, of four
		t.Errorf("the state has %d numbers for 4100", size)
	}
	again := fresh()
	if err := again.Restore(state); err != nil {
		t.Fatal(err)
	}
	for i, x := range o.params[0].avg {
		if again.params[0].avg[i] != x || again.params[0].avgSq[i] != o.params[0].avgSq[i] {
			t.Fatalf("byte %d is %d and %d, want %d and %d", i, again.params[0].avg[i], again.params[0].avgSq[i], x, o.params[0].avgSq[i])
		}
	}
	delete(state, "a.weight.state2")
	if err := fresh().Restore(state); err == nil || !strings.Contains(err.Error(), "has no tensor a.weight.state2 of 1367 numbers") {
		t.Errorf("restore: %v", err)
	}
}
