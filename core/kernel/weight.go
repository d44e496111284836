package kernel

// #include "table.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Weight is a matrix of a model: in float32, or, as long as it is not trained, in bfloat16. The other field is nil.
type Weight struct {
	F32  []float32
	BF16 []uint16
}

// Len is the number of elements.
func (w Weight) Len() int { return len(w.F32) + len(w.BF16) }

// from is the weight without its first i elements.
func (w Weight) from(i int) Weight {
	if w.BF16 != nil {
		return Weight{BF16: w.BF16[i:]}
	}
	return Weight{F32: w.F32[i:]}
}

// Rows writes the rows that index names of w [rows, d] into y [len(index), d].
func (w Weight) Rows(p *Pool, d int, index []int32, y []float32) {
	checkLen("Weight.Rows", "y", y, len(index)*d)
	p.rows(len(index), d, func(r0, r1 int) {
		for r := r0; r < r1; r++ {
			at, row := int(index[r])*d, y[r*d:(r+1)*d]
			if w.BF16 == nil {
				copy(row, w.F32[at:at+d])
				continue
			}
			fromBF16(w.BF16[at:at+d], row)
		}
	})
}

// blockRows is the number of rows of a bfloat16 weight that are converted at a time, where the library cannot
// multiply them as they are.
const blockRows = 512

// fewRows is the number of rows up to which MatMulWeight multiplies by itself with a weight that is transposed: the
// tokens of an answer. The libraries are made for more, and read the weight at a fraction of the memory's rate.
const fewRows = 8

// MatMulWeight is C[m,n] = A[m,k] · op(W)[k,n], or C += with acc, for a weight W [k,n], or [n,k] with trans, all stored
// without gaps. With a bfloat16 weight A is rounded to bfloat16 too where the library multiplies such numbers (see
// Info.BF16), which adds the products up in float32; elsewhere the weight is converted block by block. A few rows of A
// are each multiplied as if they were alone, and never rounded.
func MatMulWeight(p *Pool, trans bool, m, n, k int, a []float32, w Weight, acc bool, c []float32) {
	if trans && m > 0 && m <= fewRows && n > 0 && k > 0 {
		matMulFew(p, m, n, k, a, w, acc, c)
		return
	}
	if w.BF16 == nil {
		ldw := n
		if trans {
			ldw = k
		}
		MatMul(false, trans, m, n, k, a, k, w.F32, ldw, acc, c, n)
		return
	}
	checkLen("MatMulWeight", "a", a, m*k)
	checkLen("MatMulWeight", "c", c, m*n)
	if len(w.BF16) < k*n {
		panic(fmt.Sprintf("kernel: MatMulWeight: the weight has %d elements, want %d", len(w.BF16), k*n))
	}
	if m == 0 || n == 0 || k == 0 {
		if !acc {
			clear(c)
		}
		return
	}
	if lib := current(); lib.matMulBF16 != nil {
		half := scratch().Alloc((m*k + 1) / 2)
		defer scratch().Free(half)
		x := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(half))), m*k)
		ToBF16(p, a, x)
		defer begin(MatMulPart).end()
		lib.matMulBF16(trans, m, n, k, x, w.BF16, acc, c)
		return
	}
	rows, cols := k, n // of w as stored
	if trans {
		rows, cols = n, k
	}
	block := scratch().Alloc(min(rows, blockRows) * cols)
	defer scratch().Free(block)
	for r := 0; r < rows; r += blockRows {
		some := min(blockRows, rows-r)
		b := block[:some*cols]
		FromBF16(p, w.BF16[r*cols:][:some*cols], b)
		if trans { // columns of c
			MatMul(false, true, m, some, k, a, k, b, k, acc, c[r:], n)
		} else { // a part of the sum
			MatMul(false, false, m, n, some, a[r:], k, b, n, acc || r > 0, c, n)
		}
	}
}

// matMulFew is MatMulWeight for few rows and a weight [n,k].
func matMulFew(p *Pool, m, n, k int, a []float32, w Weight, acc bool, c []float32) {
	checkLen("MatMulWeight", "a", a, m*k)
	checkLen("MatMulWeight", "c", c, m*n)
	if w.Len() < k*n {
		panic(fmt.Sprintf("kernel: MatMulWeight: the weight has %d elements, want %d", w.Len(), k*n))
	}
	defer begin(MatMulPart).end()
	p.rows(n, k, func(r0, r1 int) {
		if w.BF16 != nil {
			C.k_few_rows_bf16(C.long(m), C.long(r1-r0), C.long(k), cfloat(a), cuint16(w.BF16[r0*k:]), cbool(acc), cfloat(c[r0:]), C.long(n))
		} else {
			C.k_few_rows(C.long(m), C.long(r1-r0), C.long(k), cfloat(a), cfloat(w.F32[r0*k:]), cbool(acc), cfloat(c[r0:]), C.long(n))
		}
	})
}
