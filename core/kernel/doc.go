// Package kernel is everything numerical that touches raw memory: matrix products by a library opened at run time
// (library.go), row kernels in C (impl.h, wrapped by norm.go, rope.go, swiglu.go, vector.go, half.go, adamw.go),
// attention (attention.go), the fused output projection and loss (crossentropy.go), the pool of goroutines that they
// run on (pool.go) and memory outside the Go heap (arena.go).
//
// All numbers are float32 in row-major order, and outputs come last. A function takes its dimensions as ints and the
// number of rows from the length of its first slice; a slice of the wrong length is a mistake of the caller and panics
// with the length that was wanted. Outputs may not overlap inputs unless the function says so.
//
// The result of every function depends on its inputs, their shape and the instruction set alone: never on the number
// of threads or on how rows were divided among them. NaN goes in and comes out.
//
// One source of C kernels is compiled once for each instruction set (isa_avx512.c, isa_avx2.c, isa_base.c) and chosen
// at start. Compiler options live in pragmas there, since cgo refuses most of them. After an edit, look with
//
//	gcc -O3 -Wno-psabi -fopt-info-vec-optimized -c isa_avx512.c
//
// whether the loops are still vectorised: one that is not costs fifteen times the time, and no test fails.
package kernel
