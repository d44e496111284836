package builtin

import (
	"gorgonia.org/tensor"

	"swiftgo/api"
)

// multiply sets c, or with add adds to it, op(a)·op(b), matrices that belong to
// p: on its engine, or else in plain loops.
func multiply(p *api.Param, transA, transB bool, a, b, c *tensor.Dense, add bool) {
	if e, ok := p.Value().Engine().(api.Engine); ok {
		e.Gemm(transA, transB, a, b, c, add)
		return
	}
	m, n := c.Shape()[0], c.Shape()[1]
	inner, rowA, colA, rowB, colB := a.Shape()[1], a.Shape()[1], 1, b.Shape()[1], 1
	if transA {
		inner, rowA, colA = a.Shape()[0], colA, rowA
	}
	if transB {
		rowB, colB = colB, rowB
	}
	x, y, z := a.Float32s(), b.Float32s(), c.Float32s()
	for i := range m {
		for j := range n {
			sum := float32(0)
			if add {
				sum = z[i*n+j]
			}
			for k := range inner {
				sum += x[i*rowA+k*colA] * y[k*rowB+j*colB]
			}
			z[i*n+j] = sum
		}
	}
}
