package builtin

import (
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// dora is the forward pass of weight-decomposed low-rank adaptation (Liu et al.
// 2024): each row of W + scale·B·A is given a length that is trained apart from
// its direction. As in the paper and in PEFT the length that it has before, the
// norm, counts as a constant in the gradient. x is the input and dropped the
// input after dropout.
func (p *pair) dora(x, dropped *api.Var, next api.Forward) *api.Var {
	stretch := p.length.Div(api.Const(vectorOf(p.lengths())))
	y := next(x)
	base := y // x·Wᵀ
	switch {
	case dropped != x:
		base = dropped.MatMulT(p.Weight.Var)
	case p.Bias != nil:
		base = y.Sub(p.Bias.Var)
	}
	return y.Add(base.Mul(stretch.Shift(-1))).Add(p.product(dropped).Mul(stretch))
}

// lengths returns the norms of the rows of W + scale·B·A, [Out]: the square of
// one is |w|² + 2·scale·b·(A·w) + scale²·b·(A·Aᵀ)·b, for rows w of W and b of B,
// which needs no matrix as large as W.
func (p *pair) lengths() []float32 {
	aw, aa := p.Weight.Detach().MatMulT(p.a.Detach()).Data(), p.a.Detach().MatMulT(p.a.Detach()).Data()
	norms, b, n := make([]float32, p.Out), p.b.Data(), p.rank
	rows(p.Weight, p.Out, func(from, to int) {
		for o := from; o < to; o++ {
			sum := p.squares[o]
			for i := range n {
				x := p.scale * float64(b[o*n+i])
				sum += 2 * x * float64(aw[o*n+i])
				for j := range n {
					sum += x * p.scale * float64(b[o*n+j]) * float64(aa[i*n+j])
				}
			}
			norms[o] = float32(math.Sqrt(max(sum, 0)))
		}
	})
	return norms
}

// rowSquares returns the sums of the squares of the rows of w, [rows, cols].
func rowSquares(w []float32, rows, cols int) []float64 {
	sums := make([]float64, rows)
	for i := range sums {
		for _, x := range w[i*cols : (i+1)*cols] {
			sums[i] += float64(x) * float64(x)
		}
	}
	return sums
}

func vectorOf(x []float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}
