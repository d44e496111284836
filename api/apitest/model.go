package apitest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Sizes of the model that Model builds. No two matrices have the same shape by
// chance, so that a tuner that mixes up In and Out is found.
const (
	dim, heads, headDim, mlpDim, layers = 6, 2, 4, 10, 2
)

// Model returns a small decoder that has a linear layer of every Part, with
// random weights that depend on the seed, and its forward pass from the
// embeddings, [tokens, 6], to the logits, [tokens, 7]. Its second attention
// head shares keys and values with the first.
func Model(seed uint64) (*api.Model, func(x *api.Var) *api.Var) {
	b := &builder{Model: &api.Model{Type: "tiny", Dir: "tiny", Layers: layers, Rand: newRand(seed + 1)}, seed: seed}
	var blocks []*block
	for i := range layers {
		name := fmt.Sprintf("model.layers.%d.", i)
		blocks = append(blocks, &block{
			norm:  b.norm(i, name+"input_layernorm.weight"),
			query: b.linear(i, api.AttnQuery, name+"self_attn.q_proj", dim, heads*headDim, true),
			key:   b.linear(i, api.AttnKey, name+"self_attn.k_proj", dim, headDim, true),
			value: b.linear(i, api.AttnValue, name+"self_attn.v_proj", dim, headDim, true),
			out:   b.linear(i, api.AttnOut, name+"self_attn.o_proj", heads*headDim, dim, false),
			gate:  b.linear(i, api.MLPGate, name+"mlp.gate_proj", dim, mlpDim, false),
			up:    b.linear(i, api.MLPUp, name+"mlp.up_proj", dim, mlpDim, false),
			down:  b.linear(i, api.MLPDown, name+"mlp.down_proj", mlpDim, dim, false),
			other: b.linear(i, api.OtherPart, name+"extra", dim, dim, false),
		})
	}
	head := b.linear(-1, api.LMHead, "lm_head", dim, vocab, false)
	b.CopyLayer = func(layer int) error {
		if layer < 0 || layer >= len(blocks) {
			return fmt.Errorf("the model has no layer %d", layer)
		}
		blocks = slices.Insert(blocks, layer+1, b.copy(layer, blocks[layer]))
		b.Layers++
		return nil
	}
	return b.Model, func(x *api.Var) *api.Var {
		for _, block := range blocks {
			x = block.forward(x)
		}
		return head.Forward(x)
	}
}

// builder adds parameters to a model.
type builder struct {
	*api.Model
	seed uint64
}

func (b *builder) param(layer int, part api.Part, name string, shape ...int) *api.Param {
	n := tensor.Shape(shape).TotalSize()
	data := normal(newRand(b.seed+uint64(len(b.Params))<<8), n)
	for i := range data {
		data[i] /= float32(math.Sqrt(float64(shape[len(shape)-1])))
	}
	p := api.NewParam(name, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data)))
	p.Part, p.Layer = part, layer
	b.Params = append(b.Params, p)
	return p
}

func (b *builder) norm(layer int, name string) *api.Param {
	p := b.param(layer, api.OtherPart, name, dim)
	p.Set(func(w []float32) {
		for i := range w {
			w[i] += 1
		}
	})
	return p
}

func (b *builder) linear(layer int, part api.Part, name string, in, out int, bias bool) *api.Linear {
	l := &api.Linear{Name: name, Part: part, Layer: layer, In: in, Out: out, Weight: b.param(layer, part, name+".weight", out, in)}
	if bias {
		l.Bias = b.param(layer, part, name+".bias", out)
	}
	b.Linears = append(b.Linears, l)
	return l
}

// copy adds what is in a layer once more, behind it, and moves the layers that
// follow up by one.
func (b *builder) copy(layer int, from *block) *block {
	renamed := func(name string) string {
		return strings.Replace(name, fmt.Sprintf("layers.%d.", layer), fmt.Sprintf("layers.%d.", layer+1), 1)
	}
	for i := b.Layers - 1; i > layer; i-- {
		up := strings.NewReplacer(fmt.Sprintf("layers.%d.", i), fmt.Sprintf("layers.%d.", i+1))
		for _, p := range b.Params {
			if p.Layer == i {
				p.Name, p.Layer = up.Replace(p.Name), i+1
			}
		}
		for _, l := range b.Linears {
			if l.Layer == i {
				l.Name, l.Layer = up.Replace(l.Name), i+1
			}
		}
	}
	var params []*api.Param
	param := func(p *api.Param) *api.Param {
		if p == nil {
			return nil
		}
		q := api.NewParam(renamed(p.Name), p.Value().Clone().(*tensor.Dense))
		q.Part, q.Layer = p.Part, layer+1
		params = append(params, q)
		return q
	}
	var linears []*api.Linear
	linear := func(l *api.Linear) *api.Linear {
		k := &api.Linear{Name: renamed(l.Name), Part: l.Part, Layer: layer + 1, In: l.In, Out: l.Out, Weight: param(l.Weight), Bias: param(l.Bias)}
		linears = append(linears, k)
		return k
	}
	made := &block{norm: param(from.norm), query: linear(from.query), key: linear(from.key), value: linear(from.value), out: linear(from.out),
		gate: linear(from.gate), up: linear(from.up), down: linear(from.down), other: linear(from.other)}
	b.Params = slices.Insert(b.Params, 1+slices.Index(b.Params, from.other.Weight), params...)
	b.Linears = slices.Insert(b.Linears, 1+slices.Index(b.Linears, from.other), linears...)
	return made
}

// block is one layer of the model.
type block struct {
	norm                   *api.Param
	query, key, value, out *api.Linear
	gate, up, down, other  *api.Linear
}

func (b *block) forward(x *api.Var) *api.Var {
	h := x.Mul(b.norm.Var)
	query, key, value := b.query.Forward(h), b.key.Forward(h), b.value.Forward(h)
	var mixed []*api.Var
	for i := range heads {
		q := query.Slice(1, i*headDim, (i+1)*headDim)
		mixed = append(mixed, q.MatMulT(key).Scale(0.5).Softmax().MatMul(value))
	}
	x = x.Add(b.out.Forward(api.Concat(1, mixed...)))
	h = b.other.Forward(x).Tanh()
	return x.Add(b.down.Forward(b.gate.Forward(h).Sigmoid().Mul(b.up.Forward(h))))
}
