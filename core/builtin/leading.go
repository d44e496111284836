package builtin

import (
	"math/rand/v2"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// leading returns the largest singular vectors of p's gradient, as rows, rank of
// each side. Where they are but a few of many it looks for their space with the
// randomized method of Halko, Martinsson and Tropp (2011), which is mostly
// products of matrices; else it does the whole decomposition.
func leading(p *api.Param, rank int) (u, v mat) {
	const more, rounds = 16, 6 // columns and iterations beyond what is needed, for accuracy
	g := p.GradTensor()
	rows, cols := p.Shape()[0], p.Shape()[1]
	short, long, wide := min(rows, cols), max(rows, cols), rows < cols
	if k := rank + more; 2*k > short {
		u, _, v = svd(floats(g))
		return u, v
	}
	k := rank + more
	q, y, z := api.Full(0, short, k), api.Full(0, short, k), api.Full(0, long, k)
	r := rand.New(rand.NewPCG(uint64(short), uint64(k)))
	for i := range q.Float32s() {
		q.Float32s()[i] = float32(r.NormFloat64())
	}
	var basis mat // q's columns, as rows
	for range rounds {
		multiply(p, wide, false, g, q, z, false)
		multiply(p, !wide, false, g, z, y, false)
		basis, _ = qr(floats(y))
		for i := range k {
			for j, x := range basis.row(i) {
				q.Float32s()[j*k+i] = float32(x)
			}
		}
	}
	multiply(p, wide, false, g, q, z, false)
	left, _, right := svd(floats(z))
	if right = right.times(basis); wide {
		return right, left
	}
	return left, right
}

func floats(t *tensor.Dense) mat {
	m := newMat(t.Shape()[0], t.Shape()[1])
	for i, x := range t.Float32s() {
		m.x[i] = float64(x)
	}
	return m
}
