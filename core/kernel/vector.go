package kernel

// #include "table.h"
import "C"

import "fmt"

// Add is y = a + b. y may be a or b.
func Add(p *Pool, a, b, y []float32) {
	defer begin(RowsPart).end()
	checkLen("Add", "a", a, len(y))
	checkLen("Add", "b", b, len(y))
	p.flat(len(y), func(i, j int) { C.k_add(C.long(j-i), cfloat(a[i:]), cfloat(b[i:]), cfloat(y[i:])) })
}

// AddTo is y += x.
func AddTo(p *Pool, x, y []float32) { Add(p, x, y, y) }

// Axpy is y += s·x.
func Axpy(p *Pool, s float32, x, y []float32) {
	checkLen("Axpy", "x", x, len(y))
	p.flat(len(y), func(i, j int) { C.k_axpy(C.long(j-i), C.float(s), cfloat(x[i:]), cfloat(y[i:])) })
}

// Scale is x *= s.
func Scale(p *Pool, s float32, x []float32) {
	p.flat(len(x), func(i, j int) { C.k_scale(C.long(j-i), C.float(s), cfloat(x[i:])) })
}

// Dropout is y = x/(1-p), or 0 with probability p; y += with add. Which elements are 0 follows from the seed and their
// places.
func Dropout(p *Pool, seed uint64, prob float64, x, y []float32, add bool) {
	checkLen("Dropout", "y", y, len(x))
	defer begin(RowsPart).end()
	p.flat(len(x), func(i, j int) {
		C.k_dropout(C.long(j-i), C.uint32_t(uint32(i)+uint32(seed)), C.uint32_t(seed>>32), C.uint32_t(prob*(1<<32)), C.float(1/(1-prob)),
			cbool(add), cfloat(x[i:]), cfloat(y[i:]))
	})
}

// SumSquares is the sum of x², in float64.
func SumSquares(p *Pool, x []float32) float64 {
	const block = 4096 // each has its own sum, whichever worker takes it
	if len(x) <= block {
		return sumSquares(x)
	}
	sums := make([]float64, (len(x)+block-1)/block)
	p.rows(len(sums), block, func(r0, r1 int) {
		for r := r0; r < r1; r++ {
			i, j := r*block, min(len(x), (r+1)*block)
			sums[r] = sumSquares(x[i:j])
		}
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return sum
}

func sumSquares(x []float32) float64 {
	var sum C.double
	C.k_sum_squares(C.long(len(x)), cfloat(x), &sum)
	return float64(sum)
}

// MulRows multiplies every row of x [n, d] by v [d]. y [n, d] may be x.
func MulRows(p *Pool, x, v, y []float32) {
	d := len(v)
	n := rowsOf("MulRows", "x", x, d)
	checkLen("MulRows", "y", y, len(x))
	p.rows(n, d, func(r0, r1 int) {
		C.k_mul_rows(C.long(r1-r0), C.long(d), cfloat(x[r0*d:]), cfloat(v), cfloat(y[r0*d:]))
	})
}

// AddRows adds v [d] to every row of y [n, d].
func AddRows(p *Pool, v, y []float32) {
	d := len(v)
	n := rowsOf("AddRows", "y", y, d)
	p.rows(n, d, func(r0, r1 int) { C.k_add_rows(C.long(r1-r0), C.long(d), cfloat(v), cfloat(y[r0*d:])) })
}

// SumRows adds the rows of x [n, d] up into y [d] +=.
func SumRows(p *Pool, x, y []float32) {
	d := len(y)
	n := rowsOf("SumRows", "x", x, d)
	// Each worker has columns of its own, so the order of the sum is that of the rows.
	p.rows((d+lineSize-1)/lineSize, lineSize*n, func(c0, c1 int) {
		c0, c1 = c0*lineSize, min(d, c1*lineSize)
		if n > 0 {
			C.k_sum_rows(C.long(n), C.long(c1-c0), cfloat(x[c0:]), C.long(d), cfloat(y[c0:]))
		}
	})
}

// rowsOf is the number of rows of width d in x.
func rowsOf(f, name string, x []float32, d int) int {
	if d <= 0 || len(x)%d != 0 {
		panic(fmt.Sprintf("kernel: %s: %s has %d elements, want a multiple of %d", f, name, len(x), d))
	}
	return len(x) / d
}

func checkLen[T any](f, name string, x []T, want int) {
	if len(x) != want {
		panic(fmt.Sprintf("kernel: %s: %s has %d elements, want %d", f, name, len(x), want))
	}
}
