package model

import (
	"fmt"
	"slices"
	"strings"

	"swiftgo/api"
)

// copyLayer is the model's CopyLayer: the layer behind gets the same weights in
// tensors of its own.
func (m *Model) copyLayer(i int) error {
	if i < 0 || i >= len(m.layers) {
		return fmt.Errorf("the model has layers 0 to %d, not %d", len(m.layers)-1, i)
	}
	for k := len(m.layers) - 1; k > i; k-- {
		m.renumber(k, k+1)
	}
	param := func(p *api.Param) *api.Param {
		if p == nil {
			return nil
		}
		q := api.NewParam(moved(p.Name, i, i+1), m.Engine.Param(slices.Clone(p.Data()), p.Shape()...))
		q.Part, q.Layer, q.Region = p.Part, i+1, p.Region
		return q
	}
	linear := func(l *api.Linear) *api.Linear {
		return &api.Linear{Name: moved(l.Name, i, i+1), Part: l.Part, Layer: i + 1, In: l.In, Out: l.Out, Weight: param(l.Weight), Bias: param(l.Bias)}
	}
	l := &m.layers[i]
	made := layer{norm1: param(l.norm1), norm2: param(l.norm2), qNorm: param(l.qNorm), kNorm: param(l.kNorm),
		q: linear(l.q), k: linear(l.k), v: linear(l.v), o: linear(l.o), gate: linear(l.gate), up: linear(l.up), down: linear(l.down)}
	params := l.params()
	m.Params = slices.Insert(m.Params, 1+slices.Index(m.Params, params[len(params)-1]), made.params()...)
	m.Linears = slices.Insert(m.Linears, 1+slices.Index(m.Linears, l.down), made.linears()...)
	m.layers = slices.Insert(m.layers, i+1, made)
	m.Layers++
	m.Config.Layers++
	return nil
}

// renumber names what is in layer from as if it were in layer to.
func (m *Model) renumber(from, to int) {
	for _, p := range m.Params {
		if p.Layer == from {
			p.Name, p.Layer = moved(p.Name, from, to), to
		}
	}
	for _, l := range m.Linears {
		if l.Layer == from {
			l.Name, l.Layer = moved(l.Name, from, to), to
		}
	}
}

// moved returns the name that something in layer from has in layer to.
func moved(name string, from, to int) string {
	return strings.Replace(name, fmt.Sprintf(".layers.%d.", from), fmt.Sprintf(".layers.%d.", to), 1)
}

// linears returns the layer's, in the order of the forward pass.
func (l *layer) linears() []*api.Linear {
	return []*api.Linear{l.q, l.k, l.v, l.o, l.gate, l.up, l.down}
}

// params returns the layer's, in the order of the forward pass.
func (l *layer) params() []*api.Param {
	of := func(l *api.Linear) []*api.Param { return []*api.Param{l.Weight, l.Bias} }
	all := slices.Concat([]*api.Param{l.norm1}, of(l.q), of(l.k), of(l.v), []*api.Param{l.qNorm, l.kNorm}, of(l.o),
		[]*api.Param{l.norm2}, of(l.gate), of(l.up), of(l.down))
	return slices.DeleteFunc(all, func(p *api.Param) bool { return p == nil })
}
