package autograd

import (
	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/kernel"
)

// Checkpoint returns f(x). It keeps x and the result alone: what else f computes
// is computed again in the backward pass (Chen et al. 2016). f must do the same
// both times. What it leaves in the engine's memory is gone after each.
func (e *Engine) Checkpoint(x *api.Var, f func(x *api.Var) *api.Var) *api.Var {
	var out *tensor.Dense
	trained := false // whether f has parameters that are
	in := x.Value()
	e.arena.Scope(func() []float32 {
		y := f(api.Const(in))
		out, trained = y.Value(), y.Needs()
		return out.Float32s()
	})
	again := func(grad, dx *tensor.Dense, add bool) {
		e.arena.Scope(func() []float32 {
			start := api.Const(in)
			if dx != nil {
				if !add {
					clear(dx.Float32s()) // f may not depend on x
				}
				start = api.Apply(in, func(g *tensor.Dense) []*tensor.Dense {
					kernel.AddTo(e.pool, g.Float32s(), dx.Float32s())
					return nil
				}, e.source())
			}
			end := api.Apply(api.Full(0, 1), func(*tensor.Dense) []*tensor.Dense { return []*tensor.Dense{grad} }, f(start))
			if !end.Needs() {
				return nil
			}
			if err := end.Backward(); err != nil {
				panic(err) // it is a single value that needs a gradient
			}
			return nil
		})
	}
	var params *api.Var
	if trained {
		params = e.source()
	}
	return api.Apply(out, func(grad *tensor.Dense) []*tensor.Dense {
		if !x.Needs() {
			again(grad, nil, false)
			return nil
		}
		x.AddGrad(func(dx *tensor.Dense, add bool) { again(grad, dx, add) })
		return nil
	}, x, params)
}

// source returns a value that a gradient flows into, and ends.
func (e *Engine) source() *api.Var { return api.NewParam("", e.Param(make([]float32, 1), 1)).Var }
