package kernel

// #include "table.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Rope turns the halves (i, i+headDim/2) of each head of x [n, heads·headDim] in place, ld apart from row to row, by the
// angle of the row's position: sign 1 forward, -1 backward. table [positions, headDim] has headDim/2 cosines, then
// headDim/2 sines, for each position.
func Rope(p *Pool, heads, headDim int, x []float32, ld int, table []float32, positions []int32, sign float32) {
	defer begin(RowsPart).end()
	n := len(positions)
	if n == 0 {
		return
	}
	if headDim%2 != 0 || ld < heads*headDim || len(x) < (n-1)*ld+heads*headDim {
		panic(fmt.Sprintf("kernel: Rope: x has %d elements, want %d rows of %d heads of %d (an even number), %d apart", len(x), n, heads, headDim, ld))
	}
	known := rowsOf("Rope", "table", table, headDim)
	for i, pos := range positions {
		if pos < 0 || int(pos) >= known {
			panic(fmt.Sprintf("kernel: Rope: position %d of row %d is not in the table of %d", pos, i, known))
		}
	}
	p.rows(n, heads*headDim, func(r0, r1 int) {
		C.k_rope(C.long(r1-r0), C.long(heads), C.long(headDim), cfloat(x[r0*ld:]), C.long(ld), cfloat(table), cint32(positions[r0:]), C.float(sign))
	})
}

func cint32(x []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(x)) }
