package api

import (
	"math"

	"gorgonia.org/tensor"
)

// The operations chain in the order of evaluation. Two operands are broadcast
// as in NumPy: axes are aligned at the last one, and an axis of length 1 or
// none stretches.

// Add returns v+w.
func (v *Var) Add(w *Var) *Var {
	if v.Shape().Eq(w.Shape()) {
		return sum(v, w)
	}
	return binary("add", v, w, func(a, b float32) float32 { return a + b },
		func(a, b, y float32) (float32, float32) { return 1, 1 })
}

// Sub returns v-w.
func (v *Var) Sub(w *Var) *Var {
	return binary("sub", v, w, func(a, b float32) float32 { return a - b },
		func(a, b, y float32) (float32, float32) { return 1, -1 })
}

// Mul returns v·w, element by element.
func (v *Var) Mul(w *Var) *Var {
	return binary("mul", v, w, func(a, b float32) float32 { return a * b },
		func(a, b, y float32) (float32, float32) { return b, a })
}

// Div returns v/w, element by element.
func (v *Var) Div(w *Var) *Var {
	return binary("div", v, w, func(a, b float32) float32 { return a / b },
		func(a, b, y float32) (float32, float32) { return 1 / b, -y / b })
}

// Scale returns v·x.
func (v *Var) Scale(x float64) *Var {
	s := float32(x)
	return unary(v, func(a float32) float32 { return s * a }, func(a, y float32) float32 { return s })
}

// Shift returns v+x.
func (v *Var) Shift(x float64) *Var {
	s := float32(x)
	return unary(v, func(a float32) float32 { return s + a }, func(a, y float32) float32 { return 1 })
}

// Neg returns -v.
func (v *Var) Neg() *Var { return v.Scale(-1) }

// OneMinus returns 1-v.
func (v *Var) OneMinus() *Var {
	return unary(v, func(a float32) float32 { return 1 - a }, func(a, y float32) float32 { return -1 })
}

// Exp returns e to the power of v.
func (v *Var) Exp() *Var {
	return unary(v, func(a float32) float32 { return float32(math.Exp(float64(a))) },
		func(a, y float32) float32 { return y })
}

// Log returns the natural logarithm of v.
func (v *Var) Log() *Var {
	return unary(v, func(a float32) float32 { return float32(math.Log(float64(a))) },
		func(a, y float32) float32 { return 1 / a })
}

// Pow returns v to the power of x.
func (v *Var) Pow(x float64) *Var {
	return unary(v, func(a float32) float32 { return float32(math.Pow(float64(a), x)) },
		func(a, y float32) float32 {
			if x == 0 {
				return 0
			}
			return float32(x * math.Pow(float64(a), x-1))
		})
}

// Sqrt returns the square root of v.
func (v *Var) Sqrt() *Var {
	return unary(v, func(a float32) float32 { return float32(math.Sqrt(float64(a))) },
		func(a, y float32) float32 { return 0.5 / y })
}

// Tanh returns the hyperbolic tangent of v.
func (v *Var) Tanh() *Var {
	return unary(v, func(a float32) float32 { return float32(math.Tanh(float64(a))) },
		func(a, y float32) float32 { return 1 - y*y })
}

// Sigmoid returns 1/(1+e⁻ᵛ).
func (v *Var) Sigmoid() *Var {
	return unary(v, func(a float32) float32 { return float32(1 / (1 + math.Exp(-float64(a)))) },
		func(a, y float32) float32 { return y * (1 - y) })
}

// Max returns the larger of v and x, element by element.
func (v *Var) Max(x float64) *Var {
	s := float32(x)
	return unary(v, func(a float32) float32 { return max(a, s) },
		func(a, y float32) float32 {
			if a > s {
				return 1
			}
			return 0
		})
}

// unary returns f of each element; slope is the derivative at a, where y = f(a).
func unary(v *Var, f func(a float32) float32, slope func(a, y float32) float32) *Var {
	out := fresh(v.Shape(), v)
	x, y := v.Data(), out.Float32s()
	e := engineOf(v)
	rows(e, len(y), func(from, to int) {
		for i := from; i < to; i++ {
			y[i] = f(x[i])
		}
	})
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		v.AddGrad(func(sum *tensor.Dense, add bool) {
			g, s := grad.Float32s(), sum.Float32s()
			rows(e, len(g), func(from, to int) {
				for i := from; i < to; i++ {
					d := slope(x[i], y[i])
					if g[i] != 0 || d != d { // 0·Inf is a gradient of 0, as nothing asked for it
						d *= g[i]
					} else {
						d = 0
					}
					if add {
						d += s[i]
					}
					s[i] = d
				}
			})
		})
		return nil
	}, v)
}

// binary returns f of each pair of elements; slopes are the derivatives to
// both, where y = f(a, b).
func binary(op string, v, w *Var, f func(a, b float32) float32, slopes func(a, b, y float32) (float32, float32)) *Var {
	shape, sv, sw := broadcast(op, v, w)
	out := fresh(shape, v, w)
	a, b, y := v.Data(), w.Data(), out.Float32s()
	e := engineOf(v, w)
	walk(e, shape, sv, sw, func(at, i, j, n, di, dj int) {
		for k := range n {
			y[at+k] = f(a[i+k*di], b[j+k*dj])
		}
	})
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		g := grad.Float32s()
		partial := func(x *Var, other bool) {
			x.AddGrad(func(sum *tensor.Dense, add bool) {
				s := sum.Float32s()
				if !add {
					clear(s)
				}
				// one goroutine where several elements of the result share one of x
				part := e
				if len(s) != len(g) {
					part = nil
				}
				walk(part, shape, sv, sw, func(at, i, j, n, di, dj int) {
					for k := range n {
						da, db := slopes(a[i+k*di], b[j+k*dj], y[at+k])
						if other {
							s[j+k*dj] += g[at+k] * db
						} else {
							s[i+k*di] += g[at+k] * da
						}
					}
				})
			})
		}
		partial(v, false)
		partial(w, true)
		return nil
	}, v, w)
}

// broadcast returns the shape of an operation on v and w, and the strides, in
// elements, by which each is read along that shape's axes.
func broadcast(op string, v, w *Var) (shape tensor.Shape, sv, sw []int) {
	p, q := v.Shape(), w.Shape()
	n := max(len(p), len(q))
	shape, sv, sw = make(tensor.Shape, n), make([]int, n), make([]int, n)
	stepV, stepW := 1, 1
	for k := 1; k <= n; k++ {
		a, b := 1, 1
		if k <= len(p) {
			a = p[len(p)-k]
		}
		if k <= len(q) {
			b = q[len(q)-k]
		}
		if a != b && a != 1 && b != 1 {
			panic(&ShapeError{op, []tensor.Shape{p, q}})
		}
		shape[n-k] = a
		if a == 1 {
			shape[n-k] = b
		}
		if a != 1 {
			sv[n-k] = stepV
		}
		if b != 1 {
			sw[n-k] = stepW
		}
		stepV, stepW = stepV*a, stepW*b
	}
	return shape, sv, sw
}

// walk calls f for each run along the last axis of shape: its place in the
// result and in both operands, its length, and the operands' steps in it.
func walk(e Engine, shape tensor.Shape, sv, sw []int, f func(at, i, j, n, di, dj int)) {
	last := len(shape) - 1
	n := shape[last]
	runs := 1
	for _, d := range shape[:last] {
		runs *= d
	}
	if runs == 1 { // split the only run
		rows(e, n, func(from, to int) { f(from, from*sv[last], from*sw[last], to-from, sv[last], sw[last]) })
		return
	}
	rows(e, runs, func(from, to int) {
		for r := from; r < to; r++ {
			i, j, rest := 0, 0, r
			for k := last - 1; k >= 0; k-- {
				at := rest % shape[k]
				rest /= shape[k]
				i, j = i+at*sv[k], j+at*sw[k]
			}
			f(r*n, i, j, n, sv[last], sw[last])
		}
	})
}

// Sum returns the sum over the axes, which disappear; over all of them, a
// single value of shape [1].
func (v *Var) Sum(axes ...int) *Var { return v.reduce(1, axes) }

// Mean returns the mean over the axes, which disappear; over all of them, a
// single value of shape [1].
func (v *Var) Mean(axes ...int) *Var {
	n := 1
	for _, k := range axes {
		if k >= 0 && k < v.Shape().Dims() {
			n *= v.Shape()[k]
		}
	}
	if len(axes) == 0 {
		n = v.Shape().TotalSize()
	}
	return v.reduce(1/float64(n), axes)
}

// reduce returns scale times the sum over the axes. Sums are kept in float64.
func (v *Var) reduce(scale float64, axes []int) *Var {
	gone := make([]bool, v.Shape().Dims())
	for _, k := range axes {
		if k < 0 || k >= len(gone) {
			panic(&ShapeError{"sum over an axis that is not there", []tensor.Shape{v.Shape()}})
		}
		gone[k] = true
	}
	var shape tensor.Shape
	for k, d := range v.Shape() {
		if len(axes) > 0 && !gone[k] {
			shape = append(shape, d)
		}
	}
	if len(shape) == 0 {
		shape = tensor.Shape{1}
	}
	strides := make([]int, len(gone)) // of the result, along v's axes
	step := 1
	for k := len(gone) - 1; k >= 0; k-- {
		if len(axes) > 0 && !gone[k] {
			strides[k] = step
			step *= v.Shape()[k]
		}
	}
	out := fresh(shape, v)
	sums := make([]float64, shape.TotalSize())
	x := v.Data()
	none := make([]int, len(gone))
	walk(nil, v.Shape(), strides, none, func(at, i, _, n, di, _ int) {
		for k := range n {
			sums[i+k*di] += float64(x[at+k])
		}
	})
	for i, s := range sums {
		out.Float32s()[i] = float32(scale * s)
	}
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		g := grad.Float32s()
		v.AddGrad(func(sum *tensor.Dense, add bool) {
			s := sum.Float32s()
			if !add {
				clear(s)
			}
			walk(engineOf(v), v.Shape(), strides, none, func(at, i, _, n, di, _ int) {
				for k := range n {
					s[at+k] += float32(scale) * g[i+k*di]
				}
			})
		})
		return nil
	}, v)
}

// MatMul returns the matrix product v·w, [m, n] of [m, k] and [k, n].
func (v *Var) MatMul(w *Var) *Var { return product("matmul", v, w, false) }

// MatMulT returns v·wᵀ, [m, n] of [m, k] and [n, k].
func (v *Var) MatMulT(w *Var) *Var { return product("matmul of the transpose", v, w, true) }

func product(op string, v, w *Var, transposed bool) *Var {
	m, k := matrix(op, v)
	wk, n := matrix(op, w)
	if transposed {
		wk, n = n, wk
	}
	if k != wk {
		panic(&ShapeError{op, []tensor.Shape{v.Shape(), w.Shape()}})
	}
	e := engineOf(v, w)
	l := later{e: e, shape: tensor.Shape{m, n}, compute: func(out *tensor.Dense, add bool) {
		v.lend(func(x *tensor.Dense) { gemm(e, false, transposed, x, w.Value(), out, add) })
	}}
	return applyLater(l, productBack(e, v, w, transposed), v, w)
}

// productBack adds to the gradients of both factors of v·w or v·wᵀ.
func productBack(e Engine, v, w *Var, transposed bool) func(*tensor.Dense) []*tensor.Dense {
	return func(grad *tensor.Dense) []*tensor.Dense {
		v.AddGrad(func(dv *tensor.Dense, add bool) { gemm(e, false, !transposed, grad, w.Value(), dv, add) })
		w.AddGrad(func(dw *tensor.Dense, add bool) {
			v.lend(func(x *tensor.Dense) {
				if transposed {
					gemm(e, true, false, grad, x, dw, add)
				} else {
					gemm(e, true, false, x, grad, dw, add)
				}
			})
		})
		return nil
	}
}

// linear returns x·wᵀ+bias, [tokens, out], for w [out, in] and bias [out] or
// nil. The product is added to the bias, without a pass of its own.
func linear(x, w, bias *Var) *Var {
	if bias == nil {
		return x.MatMulT(w)
	}
	n, in := matrix("linear", x)
	outs, k := matrix("linear", w)
	if in != k || bias.Shape().TotalSize() != outs {
		panic(&ShapeError{"linear", []tensor.Shape{x.Shape(), w.Shape(), bias.Shape()}})
	}
	e := engineOf(x, w)
	l := later{e: e, shape: tensor.Shape{n, outs}, compute: func(out *tensor.Dense, add bool) {
		y, b := out.Float32s(), bias.Data()
		rows(e, n, func(from, to int) {
			for i := from; i < to; i++ {
				row := y[i*outs : (i+1)*outs]
				if !add {
					copy(row, b)
					continue
				}
				for j, s := range b {
					row[j] += s
				}
			}
		})
		gemm(e, false, true, x.Value(), w.Value(), out, true)
	}}
	back := productBack(e, x, w, true)
	return applyLater(l, func(grad *tensor.Dense) []*tensor.Dense {
		bias.AddGrad(func(sum *tensor.Dense, add bool) {
			s, g := sum.Float32s(), grad.Float32s()
			if !add {
				clear(s)
			}
			rows(e, outs, func(from, to int) { // by columns, so that the order of addition is fixed
				for i := range n {
					for j, x := range g[i*outs+from : i*outs+to] {
						s[from+j] += x
					}
				}
			})
		})
		return back(grad)
	}, x, w, bias)
}
