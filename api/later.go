package api

import "gorgonia.org/tensor"

// later is a value that is computed when it is first asked for. A sum adds its
// operands' products up in one place, without a pass over memory for each, and
// what nobody asks for is never computed.
type later struct {
	e       Engine
	shape   tensor.Shape
	compute func(out *tensor.Dense, add bool) // sets out, or adds to it
	cheap   bool                              // whether to compute it again costs less than to keep it
}

// applyLater is Apply of a value that is not computed yet.
func applyLater(l later, back func(grad *tensor.Dense) []*tensor.Dense, in ...*Var) *Var {
	v := Apply(nil, back, in...)
	v.later = &l
	return v
}

// into sets out to v's value, or adds the value to it. A value that nobody has
// asked for yet is not kept.
func (v *Var) into(out *tensor.Dense, add bool) {
	switch {
	case v.later != nil:
		v.later.compute(out, add)
	case add:
		addTo(engineOf(v), out, v.value)
	default:
		copy(out.Float32s(), v.Data())
	}
}

// lend calls f with v's value, which may be gone afterwards.
func (v *Var) lend(f func(value *tensor.Dense)) {
	if v.later == nil || !v.later.cheap || v.later.e == nil {
		f(v.Value())
		return
	}
	t := v.later.e.New(v.later.shape...)
	v.later.compute(t, false)
	f(t)
	v.later.e.Recycle(t)
}

// sum is Add of two tensors of one shape: its gradient is that of the result.
func sum(v, w *Var) *Var {
	if v == w {
		v.Value()
	}
	l := later{e: engineOf(v, w), shape: v.Shape(), compute: func(out *tensor.Dense, add bool) {
		v.into(out, add)
		w.into(out, true)
	}}
	y := applyLater(l, func(grad *tensor.Dense) []*tensor.Dense { return []*tensor.Dense{grad, grad} }, v, w)
	if v.later == nil && w.later == nil {
		y.Value()
	}
	return y
}

// addTo adds the elements of x to those of sum.
func addTo(e Engine, sum, x *tensor.Dense) {
	if a, ok := e.(accumulator); ok {
		a.Accumulate(sum, x)
		return
	}
	s, d := sum.Float32s(), floats(x)
	rows(e, len(s), func(from, to int) {
		for i, y := range d[from:to] {
			s[from+i] += y
		}
	})
}
