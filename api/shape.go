package api

import "gorgonia.org/tensor"

// Reshape returns v with other axes, of the same number of elements.
func (v *Var) Reshape(shape ...int) *Var {
	if tensor.Shape(shape).TotalSize() != v.Shape().TotalSize() {
		panic(&ShapeError{"reshape", []tensor.Shape{v.Shape(), shape}})
	}
	return Apply(view(v.Value(), shape...), func(grad *tensor.Dense) []*tensor.Dense {
		return []*tensor.Dense{view(grad, v.Shape()...)}
	}, v)
}

// view returns the elements of t under another shape.
func view(t *tensor.Dense, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(floats(t)), tensor.WithEngine(t.Engine()))
}

// Slice returns the elements from ≤ i < to along an axis.
func (v *Var) Slice(axis, from, to int) *Var {
	s := v.Shape()
	if axis < 0 || axis >= len(s) || from < 0 || to < from || to > s[axis] {
		panic(&ShapeError{"slice", []tensor.Shape{s, {axis, from, to}}})
	}
	shape := s.Clone()
	shape[axis] = to - from
	outer, inner := blocks(s, axis)
	out := fresh(shape, v)
	part, whole := (to-from)*inner, s[axis]*inner
	x, y := v.Data(), out.Float32s()
	for i := range outer {
		copy(y[i*part:(i+1)*part], x[i*whole+from*inner:])
	}
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		v.AddGrad(func(sum *tensor.Dense, add bool) {
			d, g := sum.Float32s(), grad.Float32s()
			if !add {
				clear(d)
			}
			for i := range outer {
				for j, x := range g[i*part : (i+1)*part] {
					d[i*whole+from*inner+j] += x
				}
			}
		})
		return nil
	}, v)
}

// blocks returns the number of elements before and after an axis.
func blocks(s tensor.Shape, axis int) (outer, inner int) {
	outer, inner = 1, 1
	for k, d := range s {
		if k < axis {
			outer *= d
		} else if k > axis {
			inner *= d
		}
	}
	return outer, inner
}

// Concat joins tensors along an axis; their other axes are equal.
func Concat(axis int, vs ...*Var) *Var {
	shape := vs[0].Shape().Clone()
	shape[axis] = 0
	for _, v := range vs {
		s := v.Shape()
		fits := len(s) == len(shape)
		for k := 0; fits && k < len(s); k++ {
			fits = k == axis || s[k] == shape[k]
		}
		if !fits {
			panic(&ShapeError{"concat", []tensor.Shape{vs[0].Shape(), s}})
		}
		shape[axis] += s[axis]
	}
	out := fresh(shape, vs...)
	outer, inner := blocks(shape, axis)
	whole, y, at := shape[axis]*inner, out.Float32s(), 0
	starts := make([]int, len(vs))
	for k, v := range vs {
		starts[k] = at
		part, x := v.Shape()[axis]*inner, v.Data()
		for i := range outer {
			copy(y[i*whole+at:], x[i*part:(i+1)*part])
		}
		at += part
	}
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		g := grad.Float32s()
		for k, v := range vs {
			v.AddGrad(func(sum *tensor.Dense, add bool) {
				part, d := v.Shape()[axis]*inner, sum.Float32s()
				if !add {
					clear(d)
				}
				for i := range outer {
					for j, x := range g[i*whole+starts[k]:][:part] {
						d[i*part+j] += x
					}
				}
			})
		}
		return nil
	}, vs...)
}

// Transpose returns the transpose of a matrix.
func (v *Var) Transpose() *Var {
	m, n := matrix("transpose", v)
	out := fresh(tensor.Shape{n, m}, v)
	flip(out.Float32s(), v.Data(), m, n, false)
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		v.AddGrad(func(sum *tensor.Dense, add bool) { flip(sum.Float32s(), grad.Float32s(), n, m, add) })
		return nil
	}, v)
}

// flip sets or adds to y [n, m] the transpose of x [m, n].
func flip(y, x []float32, m, n int, add bool) {
	for i := range m {
		for j := range n {
			if add {
				y[j*m+i] += x[i*n+j]
			} else {
				y[j*m+i] = x[i*n+j]
			}
		}
	}
}

// Gather returns the rows of v, along its first axis, that index names.
func (v *Var) Gather(index []int32) *Var {
	shape := v.Shape().Clone()
	n := shape[0]
	shape[0] = len(index)
	_, inner := blocks(shape, 0)
	for _, k := range index {
		if k < 0 || int(k) >= n {
			panic(&ShapeError{"gather of a row that is not there", []tensor.Shape{v.Shape(), {int(k)}}})
		}
	}
	out := fresh(shape, v)
	x, y := v.Data(), out.Float32s()
	for i, k := range index {
		copy(y[i*inner:(i+1)*inner], x[int(k)*inner:])
	}
	return Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		v.AddGrad(func(sum *tensor.Dense, add bool) {
			d, g := sum.Float32s(), grad.Float32s()
			if !add {
				clear(d)
			}
			for i, k := range index {
				for j, x := range g[i*inner : (i+1)*inner] {
					d[int(k)*inner+j] += x
				}
			}
		})
		return nil
	}, v)
}
