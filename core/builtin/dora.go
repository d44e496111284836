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
	stretch := p.length.Div(api.Const(vector(p.lengths())))
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

// lengths returns the norms of the rows of W + scale·B·A, [Out].
func (p *pair) lengths() []float32 { return rowNorms(p.tuned(), p.Out, p.In) }

// rowNorms returns the norm of each row of w, [rows, cols].
func rowNorms(w []float32, rows, cols int) []float32 {
	norms := make([]float32, rows)
	for i := range norms {
		sum := 0.0
		for _, x := range w[i*cols : (i+1)*cols] {
			sum += float64(x) * float64(x)
		}
		norms[i] = float32(math.Sqrt(sum))
	}
	return norms
}

func vector(x []float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}
