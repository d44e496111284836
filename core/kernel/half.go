package kernel

// #include "table.h"
import "C"

import "unsafe"

// FromBF16 converts bfloat16 numbers, exactly.
func FromBF16(p *Pool, x []uint16, y []float32) {
	checkLen("FromBF16", "x", x, len(y))
	defer begin(ConvertPart).end()
	p.flat(len(y), func(i, j int) { fromBF16(x[i:j], y[i:j]) })
}

func fromBF16(x []uint16, y []float32) { C.k_from_bf16(C.long(len(y)), cuint16(x), cfloat(y)) }

// ToBF16 converts to bfloat16, to the nearest and ties to even.
func ToBF16(p *Pool, x []float32, y []uint16) {
	checkLen("ToBF16", "y", y, len(x))
	defer begin(ConvertPart).end()
	p.flat(len(x), func(i, j int) { C.k_to_bf16(C.long(j-i), cfloat(x[i:]), cuint16(y[i:])) })
}

// FromF16 converts IEEE half precision numbers, exactly.
func FromF16(p *Pool, x []uint16, y []float32) {
	checkLen("FromF16", "x", x, len(y))
	p.flat(len(y), func(i, j int) { C.k_from_f16(C.long(j-i), cuint16(x[i:]), cfloat(y[i:])) })
}

// ToF16 converts to IEEE half precision, to the nearest and ties to even; what is too large becomes infinity.
func ToF16(p *Pool, x []float32, y []uint16) {
	checkLen("ToF16", "y", y, len(x))
	p.flat(len(x), func(i, j int) { C.k_to_f16(C.long(j-i), cfloat(x[i:]), cuint16(y[i:])) })
}

func cuint16(x []uint16) *C.uint16_t { return (*C.uint16_t)(unsafe.SliceData(x)) }
