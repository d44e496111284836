// Package model is a decoder-only language model: from config.json and
// safetensors to a forward pass over api.Linear, which tuners wrap. It knows
// the architectures llama, mistral, qwen2 and qwen3, which share one layer, with
// an output projection or a classification head (classifier.go).
package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/kernel"
)

// Model is a model in memory. Its embedded api.Model is what tuners and
// optimizers see. It is used from one goroutine.
type Model struct {
	*api.Model
	Config *Config
	Engine *autograd.Engine

	NEFTune float64 // α of the noise on embeddings in training; 0 is none

	// Checkpointing makes training keep what goes into each layer alone, and
	// compute the layers again in the backward pass.
	Checkpointing bool

	embed  *api.Param
	norm   *api.Param
	head   *api.Linear
	layers []layer
	table  []float32 // rotary cosines and sines, [positions so far, headDim]

	right, counted int // tokens of the cross entropies since Hits
}

type layer struct {
	norm1, norm2   *api.Param
	qNorm, kNorm   *api.Param // nil but for qwen3
	q, k, v, o     *api.Linear
	gate, up, down *api.Linear
}

// Load reads the model in dir, in float32. Weights that are stored so are used
// where they lie in their file.
func Load(dir string, e *autograd.Engine) (*Model, error) {
	c, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	return LoadAs(dir, c, e, 0, checkpoint.F32)
}

// LoadAs is Load with the configuration given, which may want a new head, drawn
// with the seed, and with the matrices in bfloat16, if dtype says so: each until
// it is trained, see Settle. A classification head is in float32 in any case.
func LoadAs(dir string, c *Config, e *autograd.Engine, seed int64, dtype checkpoint.Dtype) (*Model, error) {
	w, err := checkpoint.Open(dir)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return build(dir, c, e, func(name string, shape ...int) (*tensor.Dense, error) {
		switch {
		case name != score+".weight":
			return read(w, dir, e, dtype, name, shape)
		case c.Classes.New:
			return c.newHead(e, seed, shape), nil
		}
		return read(w, dir, e, checkpoint.F32, name, shape)
	})
}

// New returns a model of dir's config.json with random weights: normal with
// deviation initializer_range (0.02), norms 1, biases 0.
func New(dir string, e *autograd.Engine, seed int64) (*Model, error) {
	c, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	return Random(dir, c, e, seed, checkpoint.F32)
}

// Random is New with the configuration given, and the matrices in bfloat16 if
// dtype says so.
func Random(dir string, c *Config, e *autograd.Engine, seed int64, dtype checkpoint.Dtype) (*Model, error) {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	return build(dir, c, e, func(name string, shape ...int) (*tensor.Dense, error) {
		n := tensor.Shape(shape).TotalSize()
		if dtype == checkpoint.BF16 && len(shape) == 2 {
			half, row := make([]uint16, n), make([]float32, shape[1])
			for i := 0; i < n; i += len(row) {
				for j := range row {
					row[j] = float32(0.02 * r.NormFloat64())
				}
				kernel.ToBF16(kernel.DefaultPool(), row, half[i:i+len(row)])
			}
			return e.BF16(half, shape...), nil
		}
		data := make([]float32, n)
		for i := range data {
			switch {
			case len(shape) == 2:
				data[i] = float32(0.02 * r.NormFloat64())
			case !strings.HasSuffix(name, ".bias"):
				data[i] = 1
			}
		}
		return e.Param(data, shape...), nil
	})
}

// Settle gives every parameter that is trained elements in float32, after a
// tuner has said which are.
func (m *Model) Settle() {
	for _, p := range m.Trainable() {
		p.Set(func([]float32) {})
	}
}

// read returns a tensor of the checkpoint, which must have the given shape.
func read(w *checkpoint.Weights, dir string, e *autograd.Engine, dtype checkpoint.Dtype, name string, shape []int) (*tensor.Dense, error) {
	_, got, ok := w.Info(name)
	if !ok {
		if _, _, ok := w.Info(strings.TrimPrefix(name, "model.")); ok { // saved from the bare decoder
			return read(w, dir, e, dtype, strings.TrimPrefix(name, "model."), shape)
		}
		return nil, fmt.Errorf("%s: tensor %s is missing from the safetensors files; config.json wants it with shape %v", dir, name, shape)
	}
	if !slices.Equal(got, shape) {
		return nil, fmt.Errorf("%s: tensor %s has shape %v, config.json wants %v", dir, name, got, shape)
	}
	if dtype == checkpoint.BF16 && len(shape) == 2 {
		if data, _, ok := w.MapBF16(name); ok {
			return e.BF16(data, shape...), nil
		}
		data, _, err := w.ReadBF16(name)
		if err != nil {
			return nil, err
		}
		return e.BF16(data, shape...), nil
	}
	if data, _, ok := w.MapF32(name); ok {
		return e.Param(data, shape...), nil
	}
	data, _, err := w.Read(name)
	if err != nil {
		return nil, err
	}
	return e.Param(data, shape...), nil
}

// Share returns a model whose parameters are those of m, in the same memory, but
// for those that own names, which it has copies of. What a tuner adds to one is
// not in the other. Both are used from one goroutine.
func (m *Model) Share(own func(name string) bool) *Model {
	values := map[string]*tensor.Dense{}
	for _, p := range m.Params {
		values[p.Name] = p.Value()
	}
	shared, err := build(m.Dir, m.Config, m.Engine, func(name string, shape ...int) (*tensor.Dense, error) {
		if own(name) {
			return m.Engine.Param(slices.Clone(m.Engine.Float32(values[name])), shape...), nil
		}
		return values[name], nil
	})
	if err != nil { // the parameters are all there
		panic(err)
	}
	return shared
}

// build makes the parameters in the order of the forward pass, each from data.
func build(dir string, c *Config, e *autograd.Engine, data func(name string, shape ...int) (*tensor.Dense, error)) (*Model, error) {
	m := &Model{Model: &api.Model{Type: c.ModelType, Dir: dir, Layers: c.Layers, Rand: rand.New(rand.NewPCG(0, 0))}, Config: c, Engine: e}
	m.CopyLayer = m.copyLayer
	var failed error
	param := func(layer int, part api.Part, name string, shape ...int) *api.Param {
		if failed != nil {
			return nil
		}
		x, err := data(name, shape...)
		if err != nil {
			failed = err
			return nil
		}
		p := api.NewParam(name, x)
		p.Layer, p.Part = layer, part
		m.Params = append(m.Params, p)
		return p
	}
	linear := func(layer int, part api.Part, name string, in, out int, bias bool) *api.Linear {
		l := &api.Linear{Name: name, Part: part, Layer: layer, In: in, Out: out, Weight: param(layer, part, name+".weight", out, in)}
		if bias {
			l.Bias = param(layer, part, name+".bias", out)
		}
		m.Linears = append(m.Linears, l)
		return l
	}
	h, inter, q, kv := c.HiddenSize, c.IntermediateSize, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	m.embed = param(-1, api.OtherPart, "model.embed_tokens.weight", c.VocabSize, h)
	for i := range c.Layers {
		var l layer
		prefix := fmt.Sprintf("model.layers.%d.", i)
		l.norm1 = param(i, api.OtherPart, prefix+"input_layernorm.weight", h)
		l.q = linear(i, api.AttnQuery, prefix+"self_attn.q_proj", h, q, c.attentionBiasQKV)
		l.k = linear(i, api.AttnKey, prefix+"self_attn.k_proj", h, kv, c.attentionBiasQKV)
		l.v = linear(i, api.AttnValue, prefix+"self_attn.v_proj", h, kv, c.attentionBiasQKV)
		if c.queryKeyNorm {
			l.qNorm = param(i, api.OtherPart, prefix+"self_attn.q_norm.weight", c.HeadDim)
			l.kNorm = param(i, api.OtherPart, prefix+"self_attn.k_norm.weight", c.HeadDim)
		}
		l.o = linear(i, api.AttnOut, prefix+"self_attn.o_proj", q, h, c.attentionBiasOut)
		l.norm2 = param(i, api.OtherPart, prefix+"post_attention_layernorm.weight", h)
		l.gate = linear(i, api.MLPGate, prefix+"mlp.gate_proj", h, inter, c.MLPBias)
		l.up = linear(i, api.MLPUp, prefix+"mlp.up_proj", h, inter, c.MLPBias)
		l.down = linear(i, api.MLPDown, prefix+"mlp.down_proj", inter, h, c.MLPBias)
		m.layers = append(m.layers, l)
	}
	m.norm = param(-1, api.OtherPart, "model.norm.weight", h)
	switch {
	case c.Classes != nil:
		m.head = linear(-1, api.LMHead, score, h, c.Classes.N, false)
	case c.Tied:
		m.head = &api.Linear{Name: "lm_head", Part: api.LMHead, Layer: -1, In: h, Out: c.VocabSize, Weight: m.embed}
		m.Linears = append(m.Linears, m.head)
	default:
		m.head = linear(-1, api.LMHead, "lm_head", h, c.VocabSize, false)
	}
	return m, failed
}

// Forward runs the model on sequences that stand end to end; starts holds the
// index of each one's first token.
func (m *Model) Forward(ids, starts []int32) *api.Output {
	c := m.Config
	return m.forward(m.embedded(ids, starts), m.positions(len(ids), starts), func(_ int, q, k, v *api.Var) *api.Var {
		return m.Engine.Attention(q, k, v, starts, c.Heads, c.KVHeads, c.HeadDim)
	})
}

// embedded returns the embeddings of tokens, in training with the noise of
// NEFTune (Jain et al. 2023): even between -α/√(length·dim) and α/√(length·dim),
// by the length of each sequence.
func (m *Model) embedded(ids, starts []int32) *api.Var {
	x := m.Engine.Embedding(m.embed.Var, ids)
	if !m.Training || m.NEFTune == 0 {
		return x
	}
	noise := m.Engine.New(x.Shape()...)
	dim := m.Config.HiddenSize
	for i, start := range starts {
		end := len(ids)
		if i+1 < len(starts) {
			end = int(starts[i+1])
		}
		part := noise.Float32s()[int(start)*dim : end*dim]
		most := float32(m.NEFTune / math.Sqrt(float64(len(part))))
		for k := range part {
			part[k] = most * (2*m.Rand.Float32() - 1)
		}
	}
	return x.Add(api.Const(noise))
}

// attention is what the queries of a layer find; they are turned to their
// positions, as its keys are.
type attention func(layer int, q, k, v *api.Var) *api.Var

// forward runs the layers on embeddings.
func (m *Model) forward(x *api.Var, positions []int32, attend attention) *api.Output {
	e := m.Engine
	var seed uint64
	if m.Training {
		seed = m.Rand.Uint64()
	}
	for i := range m.layers {
		f := func(x *api.Var) *api.Var {
			if m.Training { // of its own, so that it can be repeated
				defer func(r *rand.Rand) { m.Rand = r }(m.Rand)
				m.Rand = rand.New(rand.NewPCG(seed, uint64(i)))
			}
			return m.forwardLayer(i, x, positions, attend)
		}
		if m.Checkpointing || !m.Training { // where nothing is trained, what a layer computes is of no use after it
			x = e.Checkpoint(x, f)
		} else {
			x = f(x)
		}
	}
	return api.NewOutput(e.RMSNorm(x, m.norm.Var, float32(m.Config.NormEps)), head{m})
}

func (m *Model) forwardLayer(i int, x *api.Var, positions []int32, attend attention) *api.Var {
	c, e, l := m.Config, m.Engine, &m.layers[i]
	eps := float32(c.NormEps)
	h := e.RMSNorm(x, l.norm1.Var, eps)
	q, k, v := l.q.Forward(h), l.k.Forward(h), l.v.Forward(h)
	if c.queryKeyNorm {
		q, k = e.RMSNorm(q, l.qNorm.Var, eps), e.RMSNorm(k, l.kNorm.Var, eps)
	}
	q = e.Rope(q, c.Heads, c.HeadDim, m.table, positions)
	k = e.Rope(k, c.KVHeads, c.HeadDim, m.table, positions)
	x = x.Add(l.o.Forward(attend(i, q, k, v)))
	h = e.RMSNorm(x, l.norm2.Var, eps)
	return x.Add(l.down.Forward(e.SwiGLU(l.gate.Forward(h), l.up.Forward(h))))
}

// positions returns each token's place in its sequence.
func (m *Model) positions(n int, starts []int32) []int32 {
	positions := make([]int32, n)
	next := 0
	at := int32(0)
	for i := range positions {
		if next < len(starts) && int(starts[next]) == i {
			at, next = 0, next+1
		}
		positions[i] = at
		at++
	}
	m.reach(positions)
	return positions
}

// reach sees that the rotary table has all the positions.
func (m *Model) reach(positions []int32) {
	longest := 0
	for _, p := range positions {
		longest = max(longest, int(p)+1)
	}
	if have := len(m.table) / m.Config.HeadDim; have < longest {
		m.table = m.Config.ropeTable(max(longest, min(2*have, m.Config.MaxPositions)))
	}
}

// Hits returns how many tokens the cross entropies since the last call
// predicted right, and of how many.
func (m *Model) Hits() (right, counted int) {
	right, counted = m.right, m.counted
	m.right, m.counted = 0, 0
	return right, counted
}

// head is the output projection as an api.Output asks for it.
type head struct{ m *Model }

func (h head) Logits(hidden *api.Var) *api.Var { return h.m.head.Forward(hidden) }

func (h head) CrossEntropy(hidden *api.Var, labels []int32) *api.Var {
	if h.m.head.Wrapped() { // by a tuner: what it does is not known here
		return api.CrossEntropy(h.Logits(hidden), labels)
	}
	loss, best := h.m.Engine.CrossEntropy(hidden, h.m.head.Weight.Var, labels)
	for i, label := range labels {
		if label != api.Ignore {
			h.m.counted++
			if best[i] == label {
				h.m.right++
			}
		}
	}
	return loss
}

func (h head) Argmax(hidden *api.Var) []int32 {
	return api.LogitsOutput(h.Logits(hidden.Detach())).Argmax()
}

// Tensors returns the base model's parameters as a checkpoint holds them, in
// the order of their names.
func (m *Model) Tensors(dtype checkpoint.Dtype) []checkpoint.Tensor {
	var ts []checkpoint.Tensor
	for _, p := range m.Params {
		if !p.Added {
			ts = append(ts, checkpoint.Tensor{Name: p.Name, Shape: p.Shape(), Data: p.Data(), Dtype: dtype})
		}
	}
	sort.Slice(ts, func(i, j int) bool { return ts[i].Name < ts[j].Name })
	return ts
}
