package api

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// Var is a float32 tensor that remembers how it was computed, so that
// Backward can find the gradient of a single value with respect to it.
//
// Operations on Vars panic with a *ShapeError where shapes do not fit; the
// host turns that into an error that names the plugin. A value or gradient of
// an operation lives until the end of the training step.
type Var struct {
	value *tensor.Dense
	later *later // the value, where it is not computed yet
	grad  *tensor.Dense
	needs bool // whether a gradient flows into it
	leaf  bool // whether its gradient outlives the step
	has   bool // whether grad holds a gradient
	owned bool // whether grad may be added to and recycled
	in    []*Var
	back  func(grad *tensor.Dense) []*tensor.Dense
}

// Const returns a Var that no gradient flows into.
func Const(t *tensor.Dense) *Var { return &Var{value: t} }

// Full returns a tensor with every element x.
func Full(x float32, shape ...int) *tensor.Dense {
	t := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	if x != 0 {
		data := t.Float32s()
		for i := range data {
			data[i] = x
		}
	}
	return t
}

// Apply is the one way to make an operation: value is its result, and back,
// given the gradient of that result, returns the gradient of each of in, or
// nil for one that has none or that it has seen to with AddGrad. It may return
// grad itself, but must not change it. Every operation in this package is made
// with it.
func Apply(value *tensor.Dense, back func(grad *tensor.Dense) []*tensor.Dense, in ...*Var) *Var {
	v := &Var{value: value}
	for _, x := range in {
		v.needs = v.needs || x != nil && x.needs
	}
	if v.needs {
		v.in, v.back = in, back
	}
	return v
}

// Value returns the tensor itself, not a copy. A frozen weight may be kept in
// another type than float32: Data converts it.
func (v *Var) Value() *tensor.Dense {
	if l := v.later; l != nil {
		v.later = nil
		if l.e != nil {
			v.value = l.e.New(l.shape...)
		} else {
			v.value = Full(0, l.shape...)
		}
		l.compute(v.value, false)
	}
	return v.value
}

// Data returns the elements of the value in row-major order, for reading.
func (v *Var) Data() []float32 { return floats(v.Value()) }

// Grad returns the elements of the gradient, for reading; nil before Backward
// and for a Var that it did not reach. Only parameters keep theirs.
func (v *Var) Grad() []float32 {
	if !v.has {
		return nil
	}
	return v.grad.Float32s()
}

// GradTensor returns the gradient as a tensor, or nil where Grad is nil.
func (v *Var) GradTensor() *tensor.Dense {
	if !v.has {
		return nil
	}
	return v.grad
}

// ClearGrad forgets the gradient.
func (v *Var) ClearGrad() {
	v.has = false
	if !v.leaf {
		v.grad, v.owned = nil, false
	}
}

// Needs reports whether a gradient flows into v.
func (v *Var) Needs() bool { return v.needs }

// Shape returns the lengths of the axes.
func (v *Var) Shape() tensor.Shape {
	if v.later != nil {
		return v.later.shape
	}
	return v.value.Shape()
}

// Detach returns v's value as a constant.
func (v *Var) Detach() *Var { return Const(v.Value()) }

// Backward adds to the gradient of every parameter that v, a single value,
// depends on. It uses up the record of how v was computed.
func (v *Var) Backward() error {
	if n := v.Shape().TotalSize(); n != 1 {
		return fmt.Errorf("backward of a tensor of shape %v, want a single value", v.Shape())
	}
	if !v.needs {
		return errors.New("backward of a value that depends on no trainable parameter")
	}
	v.accumulate(like(v.Value(), Full(1, 1)))
	order := v.order()
	for i := len(order) - 1; i >= 0; i-- {
		order[i].propagate()
	}
	return nil
}

// order returns what v depends on that needs a gradient, operands first.
func (v *Var) order() []*Var {
	type frame struct {
		v    *Var
		next int
	}
	seen := map[*Var]bool{v: true}
	var order []*Var
	stack := []frame{{v: v}}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next == len(f.v.in) {
			order = append(order, f.v)
			stack = stack[:len(stack)-1]
			continue
		}
		x := f.v.in[f.next]
		f.next++
		if x != nil && x.needs && !seen[x] {
			seen[x] = true
			stack = append(stack, frame{v: x})
		}
	}
	return order
}

// propagate hands v's gradient on to its operands.
func (v *Var) propagate() {
	if v.back == nil || !v.has {
		return
	}
	grad, in, kept := v.grad, v.in, false
	for i, g := range v.back(grad) {
		if g == nil || in[i] == nil || !in[i].needs {
			continue
		}
		kept = kept || &g.Float32s()[0] == &grad.Float32s()[0]
		in[i].accumulate(g)
	}
	if e := engineOf(v); e != nil && v.owned && !kept {
		e.Recycle(grad)
	}
	v.in, v.back = nil, nil
	v.ClearGrad()
}

// accumulate adds g to the gradient of v. It may keep g, but not change it.
func (v *Var) accumulate(g *tensor.Dense) {
	if v.Shape().TotalSize() != g.Size() {
		panic(&ShapeError{"gradient", []tensor.Shape{v.Shape(), g.Shape()}})
	}
	if !v.leaf && !v.has {
		v.grad, v.has, v.owned = g, true, false
		return
	}
	v.AddGrad(func(sum *tensor.Dense, add bool) {
		if !add {
			copy(sum.Float32s(), g.Float32s())
			return
		}
		addTo(engineOf(v), sum, g)
	})
}

// AddGrad calls f with the gradient of v for it to write to: to add to it if
// add is true, else to set every element. An operation's back function uses it
// to compute a gradient in place. It does nothing if no gradient flows into v.
func (v *Var) AddGrad(f func(grad *tensor.Dense, add bool)) {
	switch {
	case !v.needs:
		return
	case v.leaf && v.grad == nil:
		v.grad = like(v.value, Full(0, v.Shape()...))
	case !v.leaf && !v.has:
		v.grad, v.owned = fresh(v.Shape(), v), true
	case !v.leaf && !v.owned: // others may hold the tensor
		sum := fresh(v.Shape(), v)
		copy(sum.Float32s(), v.grad.Float32s())
		v.grad, v.owned = sum, true
	}
	f(v.grad, v.has)
	v.has = true
}

// ShapeError reports operands that do not fit an operation.
type ShapeError struct {
	Op     string
	Shapes []tensor.Shape
}

func (e *ShapeError) Error() string { return fmt.Sprintf("%s of shapes %v", e.Op, e.Shapes) }

// matrix returns the lengths of the axes of v, which must have two.
func matrix(op string, v *Var) (rows, cols int) {
	if v.Shape().Dims() != 2 {
		panic(&ShapeError{op, []tensor.Shape{v.Shape()}})
	}
	return v.Shape()[0], v.Shape()[1]
}
