package builtin

import (
	"encoding/json"
	"slices"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// nested is a vector or a matrix in JSON.
type nested struct {
	shape []int
	flat  []float32
}

func (n *nested) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &n.flat) == nil {
		n.shape = []int{len(n.flat)}
		return nil
	}
	n.flat = nil
	var rows [][]float32
	if err := json.Unmarshal(text, &rows); err != nil {
		return err
	}
	n.shape, n.flat = []int{len(rows), len(rows[0])}, slices.Concat(rows...)
	return nil
}

func (n *nested) param(name string) *api.Param {
	return api.NewParam(name, tensor.New(tensor.WithShape(n.shape...), tensor.WithBacking(slices.Clone(n.flat))))
}

// give makes g the gradient of p.
func give(p *api.Param, g []float32) {
	p.ClearGrad()
	p.AddGrad(func(sum *tensor.Dense, _ bool) { copy(sum.Float32s(), g) })
}
