package api

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// Var is a float32 tensor that remembers how it was computed, so that
// Backward can find the gradient of a single value with respect to it.
//
// Operands are broadcast as in NumPy: axes are aligned at the last one, and one
// of length 1 or none stretches. What does not fit panics with a *ShapeError,
// which becomes an error of the plugin. A value or gradient lives until the step ends.
type Var struct {
	value *tensor.Dense
	later *later // the value, where it is not computed yet
	grad  *tensor.Dense
	needs bool     // whether a gradient flows into it
	leaf  bool     // whether its gradient outlives the step
	has   bool     // whether grad holds a gradient
	hold  *holders // of grad; nil where its memory is not the engine's to take back
	seen  bool     // by order
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
		v.grad, v.hold = nil, nil
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
	v.accumulate(like(v.Value(), Full(1, 1)), nil)
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
	order := make([]*Var, 0, 1024)
	stack := append(make([]frame, 0, 64), frame{v: v})
	v.seen = true
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next == len(f.v.in) {
			order = append(order, f.v)
			stack = stack[:len(stack)-1]
			continue
		}
		x := f.v.in[f.next]
		f.next++
		if x != nil && x.needs && !x.seen {
			x.seen = true
			stack = append(stack, frame{v: x})
		}
	}
	for _, x := range order {
		x.seen = false
	}
	return order
}

// propagate hands v's gradient on to its operands.
func (v *Var) propagate() {
	if v.back == nil || !v.has {
		return
	}
	grad, in := v.grad, v.in
	for i, g := range v.back(grad) {
		if g == nil || in[i] == nil || !in[i].needs {
			continue
		}
		var hold *holders
		if &g.Float32s()[0] == &grad.Float32s()[0] {
			hold = v.hold
		}
		in[i].accumulate(g, hold)
	}
	v.release()
	v.in, v.back = nil, nil
	v.ClearGrad()
}

// holders counts the Vars that have one tensor, made by AddGrad, for a gradient.
type holders struct{ n int }

// release gives the tensor of v's gradient back when v is the last to have it.
func (v *Var) release() {
	if v.hold == nil {
		return
	}
	if v.hold.n--; v.hold.n > 0 {
		return
	}
	if e := engineOf(v); e != nil {
		e.Recycle(v.grad)
	}
}

// accumulate adds g, which hold has the holders of, to the gradient of v. It may
// keep g, but not change it.
func (v *Var) accumulate(g *tensor.Dense, hold *holders) {
	if v.Shape().TotalSize() != g.Size() {
		panic(&ShapeError{"gradient", []tensor.Shape{v.Shape(), g.Shape()}})
	}
	if !v.leaf && !v.has {
		if v.grad, v.has, v.hold = g, true, hold; hold != nil {
			hold.n++
		}
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
		v.grad, v.hold = fresh(v.Shape(), v), &holders{1}
	case !v.leaf && (v.hold == nil || v.hold.n > 1): // others may have the tensor
		sum := fresh(v.Shape(), v)
		copy(sum.Float32s(), v.grad.Float32s())
		v.release()
		v.grad, v.hold = sum, &holders{1}
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
