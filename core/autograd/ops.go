package autograd

import (
	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/kernel"
)

// Embedding returns the rows of w [vocab, dim] that ids names, [tokens, dim].
func (e *Engine) Embedding(w *api.Var, ids []int32) *api.Var {
	vocab, dim := w.Shape()[0], w.Shape()[1]
	out := e.New(len(ids), dim)
	for _, id := range ids {
		if id < 0 || int(id) >= vocab {
			panic(&api.ShapeError{Op: "embedding of a token that is not there", Shapes: []tensor.Shape{w.Shape(), {int(id)}}})
		}
	}
	weight(w.Value()).Rows(e.pool, dim, ids, out.Float32s())
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		w.AddGrad(func(dw *tensor.Dense, add bool) {
			d, g := dw.Float32s(), grad.Float32s()
			if !add {
				clear(d)
			}
			for i, id := range ids {
				kernel.AddTo(e.pool, g[i*dim:(i+1)*dim], d[int(id)*dim:(int(id)+1)*dim])
			}
		})
		return nil
	}, w)
}

// RMSNorm returns x/√(mean(x²)+eps)·w of each row of x [rows, dim], w [dim].
func (e *Engine) RMSNorm(x, w *api.Var, eps float32) *api.Var {
	dim := w.Shape()[0]
	n := x.Shape().TotalSize() / dim
	out, rstd := e.New(x.Shape()...), e.New(n).Float32s()
	kernel.RMSNorm(e.pool, x.Data(), w.Data(), eps, out.Float32s(), rstd)
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		var dw []float32
		w.AddGrad(func(sum *tensor.Dense, add bool) {
			dw = sum.Float32s()
			if !add {
				clear(dw)
			}
		})
		if !x.Needs() {
			kernel.RMSNormBackward(e.pool, x.Data(), w.Data(), rstd, grad.Float32s(), false, e.New(n, dim).Float32s(), dw)
			return nil
		}
		x.AddGrad(func(dx *tensor.Dense, add bool) {
			kernel.RMSNormBackward(e.pool, x.Data(), w.Data(), rstd, grad.Float32s(), add, dx.Float32s(), dw)
		})
		return nil
	}, x, w)
}

// Rope returns x [tokens, heads·headDim] with each head turned by the angles of
// its token's position. table is [positions, headDim]: cosines, then sines.
func (e *Engine) Rope(x *api.Var, heads, headDim int, table []float32, positions []int32) *api.Var {
	out := e.New(x.Shape()...)
	copy(out.Float32s(), x.Data())
	kernel.Rope(e.pool, heads, headDim, out.Float32s(), heads*headDim, table, positions, 1)
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		e.gradients(func(d [][]float32) {
			copy(d[0], grad.Float32s())
			kernel.Rope(e.pool, heads, headDim, d[0], heads*headDim, table, positions, -1)
		}, x)
		return nil
	}, x)
}

// Attention is causal, grouped-query attention over sequences that stand end to
// end and cannot see each other: q is [tokens, heads·headDim], k and v are
// [tokens, kvHeads·headDim], the result is as q. starts holds the index of each
// sequence's first token.
func (e *Engine) Attention(q, k, v *api.Var, starts []int32, heads, kvHeads, headDim int) *api.Var {
	n := q.Shape()[0]
	out, lse := e.New(q.Shape()...), e.New(heads, n)
	kernel.Attention(e.pool, starts, heads, kvHeads, headDim, q.Data(), k.Data(), v.Data(), out.Float32s(), lse.Float32s())
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		e.gradients(func(d [][]float32) {
			kernel.AttentionBackward(e.pool, starts, heads, kvHeads, headDim, q.Data(), k.Data(), v.Data(),
				out.Float32s(), lse.Float32s(), grad.Float32s(), d[0], d[1], d[2])
		}, q, k, v)
		return nil
	}, q, k, v)
}

// AttendCached is attention without a gradient of the last tokens of one
// sequence: q and o [m, heads·headDim] are its last m tokens, k and v
// [t, kvHeads·headDim] are of all its t.
func (e *Engine) AttendCached(heads, kvHeads, headDim int, q, k, v, o []float32) {
	kernel.AttentionCached(e.pool, heads, kvHeads, headDim, q, k, v, o)
}

// SwiGLU returns gate·sigmoid(gate)·up.
func (e *Engine) SwiGLU(gate, up *api.Var) *api.Var {
	out := e.New(gate.Shape()...)
	kernel.SwiGLU(e.pool, gate.Data(), up.Data(), out.Float32s())
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		e.gradients(func(d [][]float32) {
			kernel.SwiGLUBackward(e.pool, gate.Data(), up.Data(), grad.Float32s(), d[0], d[1])
		}, gate, up)
		return nil
	}, gate, up)
}

// CrossEntropy returns -log p(label) of each token, [tokens], where p is the
// softmax of hidden [tokens, dim] times wᵀ, w [vocab, dim], and the most likely
// token of each, -1 where the label is Ignore. The logits are never held: the vocabulary is gone through in
// blocks, and the gradient to hidden comes out of the same pass.
func (e *Engine) CrossEntropy(hidden, w *api.Var, labels []int32) (*api.Var, []int32) {
	n, dim := hidden.Shape()[0], hidden.Shape()[1]
	if len(labels) != n {
		panic(&api.ShapeError{Op: "cross entropy", Shapes: []tensor.Shape{hidden.Shape(), {len(labels)}}})
	}
	out, lse := e.New(n), e.New(n).Float32s()
	y := out.Float32s()
	var unscaled []float32 // gradient of each token's loss to its row of hidden
	if hidden.Needs() {
		unscaled = e.New(n, dim).Float32s()
	}
	best := make([]int32, n)
	kernel.CrossEntropy(e.pool, dim, hidden.Data(), weight(w.Value()), labels, kernel.TokenLoss{Loss: y, LSE: lse, DX: unscaled, Argmax: best})
	for i := range y { // rounding may leave it below 0, which a loss made of it need not expect
		y[i] = max(0, y[i])
	}
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		g := grad.Float32s()
		hidden.AddGrad(func(dx *tensor.Dense, add bool) {
			d := dx.Float32s()
			e.Rows(n, func(from, to int) {
				for i := from; i < to; i++ {
					row, u, s := d[i*dim:(i+1)*dim], unscaled[i*dim:(i+1)*dim], g[i]
					for j := range row {
						if add {
							row[j] += s * u[j]
						} else {
							row[j] = s * u[j]
						}
					}
				}
			})
		})
		w.AddGrad(func(dw *tensor.Dense, add bool) {
			if !add {
				clear(dw.Float32s())
			}
			kernel.CrossEntropyBackwardW(e.pool, dim, hidden.Data(), w.Data(), labels, lse, g, dw.Float32s())
		})
		return nil
	}, hidden, w), best
}
