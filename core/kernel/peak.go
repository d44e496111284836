package kernel

import "time"

// Peak measures the rate of the library's products, in floating-point operations a second: the best of many products of
// the shapes of a language model, forward and backward, for about 0.6 s.
func Peak() float64 {
	const m, n, k, times = 512, 4864, 896, 40
	x, w, y := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
	for i := range w {
		w[i] = float32(i%61-30) / 61
	}
	copy(x, w)
	best := 0.0
	for i := range times {
		began := time.Now()
		if i%2 == 0 {
			MatMul(false, true, m, n, k, x, k, w, k, false, y, n)
		} else {
			MatMul(false, false, m, k, n, y, n, w, k, false, x, k)
			copy(x, w) // so that numbers stay small
		}
		best = max(best, 2*m*n*k/time.Since(began).Seconds())
	}
	return best
}
