package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// The row kernels: norm.go, rope.go, swiglu.go, vector.go, adamw.go.

var widths = []int{1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 100, 255, 896}

func TestRMSNorm(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for i, h := range widths {
			n := 1 + i*7
			x, w := random(n*h, 2), other(h, 1)
			out := eachPool(t, func(p *Pool) [][]float32 {
				y, rstd := make([]float32, n*h), make([]float32, n)
				RMSNorm(p, x, w, 1e-6, y, rstd)
				return [][]float32{y, rstd}
			})
			y, rstd := naiveRMSNorm(x, w, 1e-6)
			near(t, fmt.Sprintf("[%d,%d] y", n, h), out[0], y, 1e-6)
			near(t, fmt.Sprintf("[%d,%d] rstd", n, h), out[1], rstd, 1e-6)
		}
	})
}

func TestRMSNormBackward(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for i, h := range widths {
			n := 1 + i*23
			x, w, dy := random(n*h, 2), other(h, 1), other(n*h, 1)
			y, rstd := make([]float32, n*h), make([]float32, n)
			p := NewPool(1)
			RMSNorm(p, x, w, 1e-6, y, rstd)
			dx, dw := naiveRMSNormBackward(x, w, 1e-6, dy)
			out := eachPool(t, func(p *Pool) [][]float32 {
				gx, gw := filled(n*h, 9), filled(h, .5)
				RMSNormBackward(p, x, w, rstd, dy, false, gx, gw)
				sum := filled(n*h, .25)
				RMSNormBackward(p, x, w, rstd, dy, true, sum, nil)
				return [][]float32{gx, gw, sum}
			})
			name := fmt.Sprintf("[%d,%d] ", n, h)
			nearBeside(t, name+"dx", out[0], dx, 5e-6, .1)
			near(t, name+"dw", out[1], plus(dw, .5), 5e-6)
			near(t, name+"dx added", out[2], plus(dx, .25), 5e-6)
		}
	})
}

func plus(x []float64, y float64) []float64 {
	for i := range x {
		x[i] += y
	}
	return x
}

func TestRope(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, hd := range []int{2, 6, 8, 16, 32, 48, 64, 80, 128} {
			for _, heads := range []int{1, 3} {
				const n = 37
				table := random(50*hd, 1)
				ld := heads*hd + 5
				positions := make([]int32, n)
				for i := range positions {
					positions[i] = int32(i % 20) // a second sequence starts over
				}
				x := other(n*ld, 1)
				for _, sign := range []float32{1, -1} {
					out := eachPool(t, func(p *Pool) [][]float32 {
						y := slices.Clone(x)
						Rope(p, heads, hd, y, ld, table, positions, sign)
						return [][]float32{y}
					})
					near(t, fmt.Sprintf("%d heads of %d", heads, hd), out[0], naiveRope(heads, hd, x, ld, table, positions, float64(sign)), 1e-6)
				}
			}
		}
	})
}

func TestSwiGLU(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, n := range append(widths, 100003) {
			g, u, dy := random(n, 4), other(n, 1), random(n+2, 1)[2:]
			out := eachPool(t, func(p *Pool) [][]float32 {
				y, dg, du := make([]float32, n), make([]float32, n), make([]float32, n)
				SwiGLU(p, g, u, y)
				SwiGLUBackward(p, g, u, dy, dg, du)
				return [][]float32{y, dg, du}
			})
			dg, du := naiveSwiGLUBackward(g, u, dy)
			near(t, fmt.Sprintf("[%d] y", n), out[0], naiveSwiGLU(g, u), 1e-6)
			near(t, fmt.Sprintf("[%d] dgate", n), out[1], dg, 1e-6)
			near(t, fmt.Sprintf("[%d] dup", n), out[2], du, 1e-6)
		}
	})
}

// TestExp looks at every part of the range of the exponential through silu(x)·1 = x / (1 + e^-x).
func TestExp(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		var g []float32
		for x := -87.0; x < 100; x += .0137 {
			g = append(g, float32(x))
		}
		y := make([]float32, len(g))
		SwiGLU(NewPool(1), g, filled(len(g), 1), y)
		for i, want := range naiveSwiGLU(g, filled(len(g), 1)) {
			if d := math.Abs(float64(y[i])-want) / math.Abs(want); d > 5e-7 && want != 0 {
				t.Fatalf("silu(%g) is %g, want %g: off by %.1e", g[i], y[i], want, d)
			}
		}
		g = []float32{-1000, 1000, float32(math.Inf(1))}
		SwiGLU(NewPool(1), g, filled(3, 1), y[:3])
		if !(math.Abs(float64(y[0])) < 1e-30) || y[1] != 1000 || y[2] != g[2] {
			t.Errorf("silu of %v is %v", g, y[:3])
		}
	})
}

func TestVectors(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, n := range append(widths, 100003) {
			a, b := random(n, 1), other(n, 1)
			out := eachPool(t, func(p *Pool) [][]float32 {
				sum, to, axpy, scaled := make([]float32, n), slices.Clone(b), slices.Clone(b), slices.Clone(a)
				Add(p, a, b, sum)
				AddTo(p, a, to)
				Axpy(p, 3, a, axpy)
				Scale(p, 3, scaled)
				return [][]float32{sum, to, axpy, scaled, {float32(SumSquares(p, a))}}
			})
			want := make([][]float64, 4)
			var squares float64
			for i := range a {
				x, y := float64(a[i]), float64(b[i])
				for j, v := range []float64{x + y, x + y, y + 3*x, 3 * x} {
					want[j] = append(want[j], v)
				}
				squares += x * x
			}
			for j, name := range []string{"Add", "AddTo", "Axpy", "Scale"} {
				near(t, name, out[j], want[j], 1e-6)
			}
			if d := math.Abs(SumSquares(NewPool(1), a) - squares); d > 1e-12*squares {
				t.Errorf("SumSquares is off by %g of %g", d, squares)
			}
		}
	})
}

func TestRows(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for i, d := range widths {
			n := i * 31 // none at first
			x, v := random(n*d, 1), other(d, 1)
			out := eachPool(t, func(p *Pool) [][]float32 {
				mul, add, sum := make([]float32, n*d), slices.Clone(x), slices.Clone(v)
				MulRows(p, x, v, mul)
				AddRows(p, v, add)
				SumRows(p, x, sum)
				return [][]float32{mul, add, sum}
			})
			mul, add, sum := wide(x), wide(x), wide(v)
			for j := range x {
				mul[j] *= float64(v[j%d])
				add[j] += float64(v[j%d])
				sum[j%d] += float64(x[j])
			}
			near(t, "MulRows", out[0], mul, 1e-6)
			near(t, "AddRows", out[1], add, 1e-6)
			near(t, "SumRows", out[2], sum, 1e-5)
		}
	})
}

// naiveDropout is Model.Dropout of package api, as it is without an engine.
func naiveDropout(seed uint64, prob float64, x []float32) []float64 {
	mix := func(h uint32) uint32 {
		h = (h ^ h>>16) * 0x21f0aaad
		h = (h ^ h>>15) * 0x735a2d97
		return h ^ h>>15
	}
	y := make([]float64, len(x))
	for i, a := range x {
		if h := mix(mix(uint32(i)+uint32(seed)) ^ uint32(seed>>32)); float64(h) >= prob*(1<<32) {
			y[i] = float64(a) / (1 - prob)
		}
	}
	return y
}

func TestDropout(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 17, 64, 20000} {
			x := random(n, 1)
			const seed, prob = 0xfedcba9876543210, 0.3
			out := eachPool(t, func(p *Pool) [][]float32 {
				y, sum := filled(n, 9), filled(n, .5)
				Dropout(p, seed, prob, x, y, false)
				Dropout(p, seed, prob, x, sum, true)
				return [][]float32{y, sum}
			})
			want := naiveDropout(seed, prob, x)
			near(t, "y", out[0], want, 1e-6)
			near(t, "y added", out[1], plus(want, .5), 1e-6)
			gone := 0
			for _, y := range out[0] {
				if y == 0 {
					gone++
				}
			}
			if n == 20000 && (gone < 5800 || gone > 6200) {
				t.Errorf("%d of %d are dropped, want about %g", gone, n, prob*float64(n))
			}
		}
	})
}

func TestAdamW(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, n := range append(widths, 100003) {
			a := AdamW{LR: 1e-2, Beta1: .9, Beta2: .999, Eps: 1e-8, WeightDecay: .1, GradScale: .5,
				Correction1: 1 - math.Pow(.9, 3), Correction2: 1 - math.Pow(.999, 3)}
			w, g, m, v := random(n, 1), other(n, 1e-3), random(n, 1e-3), random(n, 1e-3)
			for i := range v {
				v[i] *= v[i]
			}
			g[0], v[0] = 0, 0
			nw, nm, nv := naiveAdamW(a, w, g, m, v)
			out := eachPool(t, func(p *Pool) [][]float32 {
				w, m, v := slices.Clone(w), slices.Clone(m), slices.Clone(v)
				a.Update(p, w, g, m, v)
				return [][]float32{w, m, v}
			})
			near(t, "w", out[0], nw, 1e-6)
			near(t, "m", out[1], nm, 1e-6)
			near(t, "v", out[2], nv, 1e-6)
		}
	})
}

// TestNaNStays puts one NaN into each place of a row in turn, and looks for it in what comes out.
func TestNaNStays(t *testing.T) {
	p := NewPool(1)
	nan := float32(math.NaN())
	isNaN := func(x float32) bool { return x != x }
	eachISA(t, func(t *testing.T) {
		const n = 37
		for i := range n {
			x := random(n, 1)
			x[i] = nan
			ones, y, z := filled(n, 1), make([]float32, n), make([]float32, n)
			RMSNorm(p, x, ones, 1e-6, y, z[:1])
			if !isNaN(z[0]) || slices.ContainsFunc(y, func(v float32) bool { return !isNaN(v) }) {
				t.Fatalf("RMSNorm of NaN at %d is %v", i, y)
			}
			RMSNormBackward(p, ones, ones, ones[:1], x, false, y, z)
			if !isNaN(y[0]) || !isNaN(y[n-1]) || !isNaN(z[i]) {
				t.Fatalf("RMSNormBackward of NaN at %d is %v, %v", i, y, z)
			}
			SwiGLU(p, x, ones, y)
			SwiGLU(p, ones, x, z)
			if !isNaN(y[i]) || !isNaN(z[i]) || isNaN(y[(i+1)%n]) {
				t.Fatalf("SwiGLU of NaN at %d is %v and %v", i, y, z)
			}
			SwiGLUBackward(p, x, ones, ones, y, z)
			if !isNaN(y[i]) || !isNaN(z[i]) {
				t.Fatalf("SwiGLUBackward of NaN at %d is %v and %v", i, y, z)
			}
			if s := SumSquares(p, x); !math.IsNaN(s) {
				t.Fatalf("SumSquares of NaN at %d is %g", i, s)
			}
		}
	})
}

func TestRowKernelsRefuseLengths(t *testing.T) {
	p := NewPool(1)
	x := make([]float32, 12)
	panics(t, "kernel: RMSNorm: x has 12 elements, want a multiple of 5", func() { RMSNorm(p, x, x[:5], 0, x, x) })
	panics(t, "kernel: RMSNorm: rstd has 12 elements, want 3", func() { RMSNorm(p, x, x[:4], 0, x, x) })
	panics(t, "kernel: SwiGLU: up has 11 elements, want 12", func() { SwiGLU(p, x, x[:11], x) })
	panics(t, "kernel: Rope: position 3 of row 1 is not in the table of 3", func() { Rope(p, 1, 4, x, 4, x, []int32{0, 3}, 1) })
	panics(t, "kernel: Rope: x has 12 elements, want 4 rows of 1 heads of 4 (an even number), 4 apart", func() { Rope(p, 1, 4, x, 4, x, make([]int32, 4), 1) })
}
