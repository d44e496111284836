package model

import (
	"gorgonia.org/tensor"

	"swiftgo/core/kernel"
)

// Memory predicts the most memory, in bytes, that training takes with the
// parameters as they are and the given number of tokens in a micro-batch, the
// longest of whose sequences has the given length: weights, gradients, the two
// averages of AdamW, and what a step computes. What a tuner or a loss of a
// plugin computes beside is not in it.
func (m *Model) Memory(tokens, longest int) int64 {
	const (
		program = 70 << 20 // of Go and the matrix library
		float   = 4
	)
	c := m.Config
	weights, low := int64(0), 0
	for _, p := range m.Params {
		n := p.Shape().TotalSize()
		size := float
		if p.Value().Dtype() == tensor.Uint16 {
			size = 2
		}
		if weights += int64(n * size); !p.Frozen() {
			weights += int64(3 * n * float)
		}
		if p.Added && p.Shape().Dims() == 2 {
			low += min(p.Shape()[0], p.Shape()[1])
		}
	}
	h, inter, q, kv := c.HiddenSize, c.IntermediateSize, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	kept := 4*h + 3*q + 3*kv + 3*inter + c.Heads + 2 // floats that a layer keeps of a token
	if c.queryKeyNorm {
		kept += q + kv
	}
	if m.Layers > 0 {
		kept += 2 * low / m.Layers
	}
	back := 3*inter + 3*h + 5*q + 4*kv // gradients inside a layer, and attention's copies
	step := tokens * (m.Layers*kept + back + 6*h)
	if m.Checkpointing {
		step = tokens * (m.Layers*h + kept + back + 6*h)
	}
	if c.Classes != nil {
		step += 2 * tokens * c.Classes.N
	} else {
		step += kernel.LossMemory(tokens, h, c.VocabSize)
	}
	step += kernel.DefaultPool().Workers() * longest * 3 * (c.HeadDim + 16)
	return program + weights + int64(step*float)
}
