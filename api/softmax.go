package api

import (
	"math"

	"gorgonia.org/tensor"
)

// Softmax returns e^v divided by its sum over the last axis.
func (v *Var) Softmax() *Var { return v.LogSoftmax().Exp() }

// LogSoftmax returns v minus the logarithm of the sum of e^v over the last axis.
func (v *Var) LogSoftmax() *Var {
	n := v.Shape()[v.Shape().Dims()-1]
	out := fresh(v.Shape(), v)
	x, y := v.Data(), out.Float32s()
	e := engineOf(v)
	rows(e, len(x)/n, func(from, to int) {
		for i := from; i < to; i++ {
			row := x[i*n : (i+1)*n]
			lse := logSumExp(row)
			for j, a := range row {
				y[i*n+j] = float32(float64(a) - lse)
			}
		}
	})
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		v.AddGrad(func(sum *tensor.Dense, add bool) {
			s, g := sum.Float32s(), grad.Float32s()
			rows(e, len(x)/n, func(from, to int) {
				for i := from; i < to; i++ {
					var total float64
					for _, d := range g[i*n : (i+1)*n] {
						total += float64(d)
					}
					for j := i * n; j < (i+1)*n; j++ {
						d := float32(float64(g[j]) - math.Exp(float64(y[j]))*total)
						if add {
							d += s[j]
						}
						s[j] = d
					}
				}
			})
		})
		return nil
	}, v)
}

func logSumExp(row []float32) float64 {
	top := row[0]
	for _, a := range row {
		top = max(top, a)
	}
	var sum float64
	for _, a := range row {
		sum += math.Exp(float64(a - top))
	}
	return float64(top) + math.Log(sum)
}

// CrossEntropy returns -log p(label) of each row of logits [tokens, vocab],
// [tokens], and 0 where the label is Ignore. It is never below 0.
func CrossEntropy(logits *Var, labels []int32) *Var {
	n, vocab := matrix("cross entropy", logits)
	if n != len(labels) {
		panic(&ShapeError{"cross entropy", []tensor.Shape{logits.Shape(), {len(labels)}}})
	}
	out := fresh(tensor.Shape{n}, logits)
	x, y := logits.Data(), out.Float32s()
	lse := make([]float64, n)
	e := engineOf(logits)
	rows(e, n, func(from, to int) {
		for i := from; i < to; i++ {
			if y[i] = 0; labels[i] == Ignore {
				continue
			}
			lse[i] = logSumExp(x[i*vocab : (i+1)*vocab])
			y[i] = max(0, float32(lse[i]-float64(x[i*vocab+int(labels[i])])))
		}
	})
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		logits.AddGrad(func(sum *tensor.Dense, add bool) {
			s, g := sum.Float32s(), grad.Float32s()
			if !add {
				clear(s)
			}
			rows(e, n, func(from, to int) {
				for i := from; i < to; i++ {
					if labels[i] == Ignore {
						continue
					}
					for j := i * vocab; j < (i+1)*vocab; j++ {
						s[j] += g[i] * float32(math.Exp(float64(x[j])-lse[i]))
					}
					s[i*vocab+int(labels[i])] -= g[i]
				}
			})
		})
		return nil
	}, logits)
}
