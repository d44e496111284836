package kernel

// #include "table.h"
import "C"

// normBlock is the number of rows that one partial sum of a weight's gradient is over, whoever computes it.
const normBlock = 32

// RMSNorm is y = x·rstd·w for each row of x [n, h], with rstd [n] = 1/√(mean x² + eps) kept for the backward pass.
func RMSNorm(p *Pool, x, w []float32, eps float32, y, rstd []float32) {
	defer begin(RowsPart).end()
	h := len(w)
	n := rowsOf("RMSNorm", "x", x, h)
	checkLen("RMSNorm", "y", y, len(x))
	checkLen("RMSNorm", "rstd", rstd, n)
	p.rows(n, h, func(r0, r1 int) {
		C.k_rmsnorm(C.long(r1-r0), C.long(h), cfloat(x[r0*h:]), cfloat(w), C.float(eps), cfloat(y[r0*h:]), cfloat(rstd[r0:]))
	})
}

// RMSNormBackward writes the gradient to x into dx [n, h], or adds it with acc, and adds the gradient to the weight to
// dw [h], which may be nil.
func RMSNormBackward(p *Pool, x, w, rstd, dy []float32, acc bool, dx, dw []float32) {
	defer begin(RowsPart).end()
	h := len(w)
	n := rowsOf("RMSNormBackward", "x", x, h)
	checkLen("RMSNormBackward", "rstd", rstd, n)
	checkLen("RMSNormBackward", "dy", dy, len(x))
	checkLen("RMSNormBackward", "dx", dx, len(x))
	blocks := (n + normBlock - 1) / normBlock
	var partial []float32
	if dw != nil {
		checkLen("RMSNormBackward", "dw", dw, h)
		partial = scratch().Alloc(blocks * h)
		defer scratch().Free(partial)
		clear(partial)
	}
	p.rows(blocks, normBlock*h, func(b0, b1 int) {
		for b := b0; b < b1; b++ {
			r0, r1 := b*normBlock, min(n, (b+1)*normBlock)
			var sum []float32
			if dw != nil {
				sum = partial[b*h:]
			}
			C.k_rmsnorm_backward(C.long(r1-r0), C.long(h), cfloat(x[r0*h:]), cfloat(w), cfloat(rstd[r0:]),
				cfloat(dy[r0*h:]), cbool(acc), cfloat(dx[r0*h:]), cfloat(sum))
		}
	})
	if dw != nil {
		SumRows(p, partial, dw)
	}
}
