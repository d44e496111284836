package kernel

// #include "table.h"
import "C"

// SwiGLU is y = silu(gate)·up, element by element. y may be gate or up.
func SwiGLU(p *Pool, gate, up, y []float32) {
	defer begin(RowsPart).end()
	checkLen("SwiGLU", "up", up, len(gate))
	checkLen("SwiGLU", "y", y, len(gate))
	p.flat(len(gate), func(i, j int) { C.k_swiglu(C.long(j-i), cfloat(gate[i:]), cfloat(up[i:]), cfloat(y[i:])) })
}

// SwiGLUBackward writes the gradients to gate and up. dgate may be gate, dup may be up, and either may be dy.
func SwiGLUBackward(p *Pool, gate, up, dy, dgate, dup []float32) {
	defer begin(RowsPart).end()
	checkLen("SwiGLUBackward", "up", up, len(gate))
	checkLen("SwiGLUBackward", "dy", dy, len(gate))
	checkLen("SwiGLUBackward", "dgate", dgate, len(gate))
	checkLen("SwiGLUBackward", "dup", dup, len(gate))
	p.flat(len(gate), func(i, j int) {
		C.k_swiglu_backward(C.long(j-i), cfloat(gate[i:]), cfloat(up[i:]), cfloat(dy[i:]), cfloat(dgate[i:]), cfloat(dup[i:]))
	})
}
