package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// half returns x in bfloat16, and the same numbers in float32.
func half(x []float32) ([]uint16, []float32) {
	h, y := make([]uint16, len(x)), make([]float32, len(x))
	p := NewPool(1)
	ToBF16(p, x, h)
	FromBF16(p, h, y)
	return h, y
}

// eachBF16 runs f with the library's products of bfloat16 numbers, if it has any, and without.
func eachBF16(t *testing.T, f func(t *testing.T, rounds bool)) {
	lib := current()
	if own := lib.matMulBF16; own != nil {
		t.Run(lib.BF16, func(t *testing.T) { f(t, true) })
		lib.matMulBF16 = nil
		defer func() { lib.matMulBF16 = own }()
	}
	t.Run("in blocks", func(t *testing.T) { f(t, false) })
}

func TestMatMulWeight(t *testing.T) {
	skipWithoutLibrary(t)
	p := NewPool(2)
	defer p.Close()
	eachBF16(t, func(t *testing.T, rounds bool) {
		for _, s := range []struct{ m, n, k int }{{1, 1, 1}, {3, 5, 7}, {29, 64, 31}, {17, blockRows + 40, 33}, {5, 24, 2*blockRows + 1}, {0, 3, 4}, {3, 4, 0}} {
			for flags := range 4 {
				trans, acc := flags&1 != 0, flags&2 != 0
				a, c := random(s.m*s.k, 1), other(s.m*s.n, 1)
				h, w := half(random(s.k*s.n+3, 1)[3:])
				exact := a
				if rounds && !(trans && s.m <= fewRows) {
					_, exact = half(a)
				}
				ldw := s.n
				if trans {
					ldw = s.k
				}
				want := naiveMatMul(false, trans, s.m, s.n, s.k, exact, s.k, w, ldw, acc, c, s.n)
				got := append([]float32{}, c...)
				MatMulWeight(p, trans, s.m, s.n, s.k, a, Weight{BF16: h}, acc, got)
				near(t, fmt.Sprintf("%+v trans %v acc %v: c", s, trans, acc), got, want, 1e-5)
				if wide := naiveMatMul(false, trans, s.m, s.n, s.k, a, s.k, w, ldw, acc, c, s.n); !rounds {
					MatMulWeight(p, trans, s.m, s.n, s.k, a, Weight{F32: w}, acc, c)
					near(t, fmt.Sprintf("%+v trans %v acc %v: c in float32", s, trans, acc), c, wide, 1e-5)
				}
			}
		}
	})
}

// TestFewRows compares products of few rows with their naive twin, on every instruction set; each row of them is, bit by
// bit, what it is alone.
func TestFewRows(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for i, k := range widths {
			for m := 1; m <= fewRows; m++ {
				n, acc := 1+i*5, i%2 == 1
				a, c := random(m*k, 1), other(m*n, 1)
				h, w := half(random(n*k, 2))
				want := naiveMatMul(false, true, m, n, k, a, k, w, k, acc, c, n)
				for kind, weight := range map[string]Weight{"float32": {F32: w}, "bfloat16": {BF16: h}} {
					out := eachPool(t, func(p *Pool) [][]float32 {
						got := append([]float32{}, c...)
						MatMulWeight(p, true, m, n, k, a, weight, acc, got)
						return [][]float32{got}
					})
					near(t, fmt.Sprintf("[%d,%d]·[%d,%d] %s", m, k, n, k, kind), out[0], want, 2e-6)
					last := append([]float32{}, c[(m-1)*n:]...)
					MatMulWeight(DefaultPool(), true, 1, n, k, a[(m-1)*k:], weight, acc, last)
					if !slices.Equal(last, out[0][(m-1)*n:]) {
						t.Fatalf("[%d,%d]·[%d,%d] %s: the last row differs from what it is alone", m, k, n, k, kind)
					}
				}
			}
		}
	})
}

func TestMatMulWeightKeepsNaN(t *testing.T) {
	skipWithoutLibrary(t)
	eachBF16(t, func(t *testing.T, _ bool) {
		a, c := filled(4*32, 1), make([]float32, 4*40)
		h, _ := half(filled(32*40, 1))
		a[2*32+3] = float32(math.NaN())
		MatMulWeight(DefaultPool(), false, 4, 40, 32, a, Weight{BF16: h}, false, c)
		for i, x := range c {
			if math.IsNaN(float64(x)) != (i/40 == 2) {
				t.Fatalf("c[%d,%d] is %g", i/40, i%40, x)
			}
		}
	})
}

// TestCrossEntropyBF16 compares with the loss of the same weights in float32: exactly the same formulas, but for the
// rounding of what is multiplied where the library does that.
func TestCrossEntropyBF16(t *testing.T) {
	skipWithoutLibrary(t)
	eachBF16(t, func(t *testing.T, rounds bool) {
		const n, d, vocab = 9, 24, lossWords + 37
		tolerance := 1e-5
		x := random(n*d, 1)
		if rounds {
			tolerance = 1e-2
			_, x = half(x)
		}
		h, w := half(other(vocab*d, 1))
		labels, dloss := make([]int32, n), filled(n, 1)
		for i := range labels {
			labels[i] = int32(i * 977 % vocab)
		}
		labels[4] = Ignore
		got := TokenLoss{Loss: make([]float32, n), LSE: make([]float32, n), DX: make([]float32, len(x)), Argmax: make([]int32, n)}
		CrossEntropy(DefaultPool(), d, x, Weight{BF16: h}, labels, got)
		loss, lse, dx, _, _ := naiveCrossEntropy(d, x, w, labels, dloss)
		near(t, "loss", got.Loss, loss, 1e-5)
		near(t, "lse", got.LSE, lse, 1e-5)
		near(t, "dx", got.DX, dx, tolerance)
	})
}

func TestWeightRows(t *testing.T) {
	h, w := half(random(5*3, 1))
	for _, x := range []Weight{{F32: w}, {BF16: h}} {
		y := make([]float32, 9)
		x.Rows(NewPool(1), 3, []int32{4, 0, 4}, y)
		same(t, "rows", y, append(append(append([]float32{}, w[12:]...), w[:3]...), w[12:]...))
	}
}
