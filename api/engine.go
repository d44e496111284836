package api

import "gorgonia.org/tensor"

// Engine is an optional interface of the tensor.Engine of an operand: where
// memory comes from and who does the work. Without it operations run as plain
// Go loops, which is what a plugin's own tests use. Only a host implements it.
type Engine interface {
	tensor.Engine

	// New returns a tensor on this engine whose elements are not set.
	New(shape ...int) *tensor.Dense

	// Recycle takes back the memory of a tensor from New that nothing uses
	// any more.
	Recycle(t *tensor.Dense)

	// Gemm sets c, or with add adds to it, op(a)·op(b), all matrices.
	Gemm(transA, transB bool, a, b, c *tensor.Dense, add bool)

	// Rows calls f on ranges [from, to) that make up [0, n), on several
	// goroutines at a time.
	Rows(n int, f func(from, to int))
}

// accumulator is an optional interface of an Engine: it adds faster than a loop
// of Go's.
type accumulator interface {
	Accumulate(sum, x *tensor.Dense)
}

// converter is an optional interface of an Engine, which then may keep frozen
// weights in another type.
type converter interface {
	// Float32 returns the elements of t, a tensor of that other type.
	Float32(t *tensor.Dense) []float32
}

// floats returns the elements of t: its own, or converted ones.
func floats(t *tensor.Dense) []float32 {
	if c, ok := t.Engine().(converter); ok && t.Dtype() != tensor.Float32 {
		return c.Float32(t)
	}
	return t.Float32s()
}

// engineOf returns the engine of the first operand that has one.
func engineOf(vs ...*Var) Engine {
	for _, v := range vs {
		if v == nil {
			continue
		}
		if v.later != nil {
			if v.later.e != nil {
				return v.later.e
			}
			continue
		}
		if e, ok := v.value.Engine().(Engine); ok {
			return e
		}
	}
	return nil
}

// fresh returns a tensor for a result of an operation on vs; its elements are
// not set.
func fresh(shape tensor.Shape, vs ...*Var) *tensor.Dense {
	if e := engineOf(vs...); e != nil {
		return e.New(shape...)
	}
	return Full(0, shape...)
}

// like returns t on the engine of model.
func like(model, t *tensor.Dense) *tensor.Dense {
	if model.Engine() == t.Engine() {
		return t
	}
	return tensor.New(tensor.WithShape(t.Shape()...), tensor.WithBacking(t.Float32s()), tensor.WithEngine(model.Engine()))
}

// rows calls f on ranges that make up [0, n).
func rows(e Engine, n int, f func(from, to int)) {
	if e == nil {
		f(0, n)
		return
	}
	e.Rows(n, f)
}

// gemm sets or adds to c[m,n] the product op(a)·op(b).
func gemm(e Engine, transA, transB bool, a, b, c *tensor.Dense, add bool) {
	if e != nil {
		e.Gemm(transA, transB, a, b, c, add)
		return
	}
	m, n := c.Shape()[0], c.Shape()[1]
	k, lda, ldb := a.Shape()[1], a.Shape()[1], b.Shape()[1]
	if transA {
		k = a.Shape()[0]
	}
	x, y, z := floats(a), floats(b), c.Float32s()
	if !add {
		clear(z)
	}
	for i := range m {
		out := z[i*n : (i+1)*n]
		for p := range k {
			at := i*lda + p
			if transA {
				at = p*lda + i
			}
			s := x[at]
			if transB {
				for j := range out {
					out[j] += s * y[j*ldb+p]
				}
			} else {
				for j, t := range y[p*ldb : p*ldb+n] {
					out[j] += s * t
				}
			}
		}
	}
}
