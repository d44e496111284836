package kernel

// #include "table.h"
import "C"

import (
	"fmt"
	"sync"
	"unsafe"
)

// The functions in this file work row by row on all workers of a pool. What they compute does not depend on how many
// there are. A slice that is too short is an error of the caller's and panics.

// need panics if x has fewer than n elements.
func need(what string, n, have int) {
	if have < n {
		panic(fmt.Sprintf("kernel: %s has %d elements, want %d", what, have, n))
	}
}

func cint32(x []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(x)) }

// Add sets y to a+b. y may be a or b.
func Add(p *Pool, a, b, y []float32) {
	need("a", len(y), len(a))
	need("b", len(y), len(b))
	p.flat(len(y), func(i, j int) { C.k_add(C.long(j-i), cfloat(a[i:]), cfloat(b[i:]), cfloat(y[i:])) })
}

// AddTo adds x to y.
func AddTo(p *Pool, y, x []float32) { Add(p, y, x, y) }

// Scale multiplies x by s.
func Scale(p *Pool, s float32, x []float32) {
	p.flat(len(x), func(i, j int) { C.k_scale(C.long(j-i), C.float(s), cfloat(x[i:])) })
}

// sumSize is the number of elements whose squares are added up in one go; it fixes the order of the sum.
const sumSize = 1 << 16

// SumSquares returns the sum of the squares of x, kept in float64.
func SumSquares(p *Pool, x []float32) float64 {
	sums := make([]float64, (len(x)+sumSize-1)/sumSize)
	p.Run(len(sums), func(k, _ int) {
		part := x[k*sumSize : min(len(x), (k+1)*sumSize)]
		C.k_sum_squares(C.long(len(part)), cfloat(part), (*C.double)(&sums[k]))
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return sum
}

// RMSNorm sets each row of y to x·rstd·w, rstd = 1/√(mean(x²)+eps). x, y are [n, h], w [h], rstd [n].
func RMSNorm(p *Pool, x, w []float32, eps float32, y, rstd []float32) {
	h := len(w)
	n := len(x) / h
	need("y", n*h, len(y))
	need("rstd", n, len(rstd))
	p.rows(n, h, func(a, b int) {
		C.k_rmsnorm(C.long(b-a), C.long(h), cfloat(x[a*h:]), cfloat(w), C.float(eps), cfloat(y[a*h:]), cfloat(rstd[a:]))
	})
}

// gradientRows is the number of rows whose share of a weight's gradient is added up in one go; it fixes the order.
const gradientRows = 64

// RMSNormBackward sets dx, or with acc adds to it, and adds to dw, which may be nil.
func RMSNormBackward(p *Pool, x, w, rstd, dy []float32, acc bool, dx, dw []float32) {
	h := len(w)
	n := len(x) / h
	need("dy", n*h, len(dy))
	need("dx", n*h, len(dx))
	need("rstd", n, len(rstd))
	blocks := (n + gradientRows - 1) / gradientRows
	var parts []float32
	if dw != nil {
		buf := scratch(blocks * h)
		defer buf.done()
		parts = buf.x
		clear(parts)
	}
	p.Run(blocks, func(k, _ int) {
		a, b := k*gradientRows, min(n, (k+1)*gradientRows)
		var part *C.float
		if dw != nil {
			part = cfloat(parts[k*h:])
		}
		C.k_rmsnorm_backward(C.long(b-a), C.long(h), cfloat(x[a*h:]), cfloat(w), cfloat(rstd[a:]), cfloat(dy[a*h:]), cbool(acc), cfloat(dx[a*h:]), part)
	})
	if dw != nil {
		C.k_sum_rows(C.long(blocks), C.long(h), cfloat(parts), C.long(h), cfloat(dw))
	}
}

// Rope turns each head of x [n, heads·headDim], in place, by the angles of its row's position. table is
// [positions, headDim]: cosines, then sines. sign is 1, or -1 for the gradient.
func Rope(p *Pool, heads, headDim int, x, table []float32, positions []int32, sign float32) {
	ld := heads * headDim
	n := len(x) / ld
	need("positions", n, len(positions))
	for _, at := range positions[:n] {
		need("table", (int(at)+1)*headDim, len(table))
	}
	p.rows(n, ld, func(a, b int) {
		C.k_rope(C.long(b-a), C.long(heads), C.long(headDim), cfloat(x[a*ld:]), C.long(ld), cfloat(table), cint32(positions[a:]), C.float(sign))
	})
}

// SwiGLU sets y to g·sigmoid(g)·u.
func SwiGLU(p *Pool, g, u, y []float32) {
	need("g", len(y), len(g))
	need("u", len(y), len(u))
	p.flat(len(y), func(i, j int) { C.k_swiglu(C.long(j-i), cfloat(g[i:]), cfloat(u[i:]), cfloat(y[i:])) })
}

// SwiGLUBackward sets dg and du.
func SwiGLUBackward(p *Pool, g, u, dy, dg, du []float32) {
	n := len(dy)
	need("g", n, len(g))
	need("u", n, len(u))
	need("dg", n, len(dg))
	need("du", n, len(du))
	p.flat(n, func(i, j int) {
		C.k_swiglu_backward(C.long(j-i), cfloat(g[i:]), cfloat(u[i:]), cfloat(dy[i:]), cfloat(dg[i:]), cfloat(du[i:]))
	})
}

// A buffer is memory that a kernel needs only while it runs.
type buffer struct{ x []float32 }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// scratch returns a buffer of n elements, which are not set; done gives it back.
func scratch(n int) *buffer {
	b := buffers.Get().(*buffer)
	if cap(b.x) < n {
		b.x = make([]float32, n)
	}
	b.x = b.x[:n]
	return b
}

func (b *buffer) done() { buffers.Put(b) }

// take cuts n elements off the front of x.
func take(x *[]float32, n int) []float32 {
	head := (*x)[:n]
	*x = (*x)[n:]
	return head
}
