package builtin

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSVD puts matrices together again, and asks for what makes the parts a
// decomposition: orthonormal rows and values in falling order.
func TestSVD(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][2]int{{1, 1}, {2, 2}, {4, 4}, {5, 3}, {3, 5}, {5, 4}, {4, 5}, {1, 7}, {7, 1}, {40, 30}, {64, 64}, {20, 50}} {
		for _, rank := range []int{min(shape[0], shape[1]), 1, 0} {
			m, n := shape[0], shape[1]
			a := newMat(m, n)
			for range rank {
				x, y := make([]float64, m), make([]float64, n)
				for i := range x {
					x[i] = r.NormFloat64()
				}
				for j := range y {
					y[j] = r.NormFloat64()
				}
				for i := range x {
					for j := range y {
						a.row(i)[j] += x[i] * y[j]
					}
				}
			}
			u, s, v := svd(mat{m, n, slices.Clone(a.x)})
			if len(s) != min(m, n) || u.rows != len(s) || v.rows != len(s) || u.cols != m || v.cols != n {
				t.Fatalf("%v: %d values, vectors [%d %d] and [%d %d]", shape, len(s), u.rows, u.cols, v.rows, v.cols)
			}
			for i := range m {
				for j := range n {
					got := 0.0
					for k, x := range s {
						got += u.row(k)[i] * x * v.row(k)[j]
					}
					if math.Abs(got-a.row(i)[j]) > 1e-10 {
						t.Fatalf("%v of rank %d: element %d, %d is %g, want %g", shape, rank, i, j, got, a.row(i)[j])
					}
				}
			}
			for k := range s {
				if s[k] < 0 || k > 0 && s[k] > s[k-1] {
					t.Errorf("%v: values %v", shape, s)
				}
				for l := range s {
					want := 0.0
					if k == l {
						want = 1
					}
					for _, m := range []mat{u, v} {
						if got := dot(m.row(k), m.row(l)); math.Abs(got-want) > 1e-10 {
							t.Errorf("%v of rank %d: vectors %d and %d have the product %g, want %g", shape, rank, k, l, got, want)
						}
					}
				}
			}
		}
	}
}
