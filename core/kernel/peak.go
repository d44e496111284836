package kernel

// #include "table.h"
import "C"

import "time"

// Peak measures the rate of the library's products in float32, in floating-point operations a second: the best of many
// products of the shapes of a language model, forward and backward, for about 0.6 s.
func Peak() float64 { return peak(func(w []float32) Weight { return Weight{F32: w} }) }

// PeakBF16 is Peak for weights in bfloat16.
func PeakBF16() float64 {
	return peak(func(w []float32) Weight {
		h := make([]uint16, len(w))
		ToBF16(DefaultPool(), w, h)
		return Weight{BF16: h}
	})
}

func peak(weight func(w []float32) Weight) float64 {
	const m, n, k, times = 512, 4864, 896, 40
	w := make([]float32, k*n)
	for i := range w {
		w[i] = float32(i%61-30) / 61
	}
	x, y := w[:m*k], make([]float32, m*n)
	dx, h := make([]float32, m*k), weight(w)
	best, p := 0.0, DefaultPool()
	for i := range times {
		before := Spent()[MatMulPart]
		if i%2 == 0 {
			MatMulWeight(p, true, m, n, k, x, h, false, y)
		} else {
			MatMulWeight(p, false, m, k, n, y, h, false, dx)
		}
		best = max(best, 2*m*n*k/(Spent()[MatMulPart]-before).Seconds())
	}
	return best
}

// Bandwidth measures how fast the pool reads memory, in bytes a second: the best of several sums of 256 MB.
func Bandwidth() float64 {
	const n, d, times = 1 << 16, 1 << 10, 6
	p, x := DefaultPool(), make([]float32, n*d)
	for i := range x { // pages that were never written are one page of zeros
		x[i] = 1
	}
	best := 0.0
	for range times {
		began := time.Now()
		p.rows(n, d, func(r0, r1 int) {
			var sum [d]float32
			C.k_sum_rows(C.long(r1-r0), d, cfloat(x[r0*d:]), d, cfloat(sum[:]))
		})
		best = max(best, 4*n*d/time.Since(began).Seconds())
	}
	return best
}
