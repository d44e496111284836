package model

import (
	"slices"

	"swiftgo/api"
)

// sequence is a prompt and its continuation, with the keys and values that its
// tokens left in each layer.
type sequence struct {
	index  int     // among the prompts
	length int     // tokens whose keys and values are kept
	next   []int32 // tokens that are not
	keys   [][]float32
	values [][]float32 // of each layer, [length, kvHeads·headDim]
}

// Generate continues each prompt with the most likely tokens until one of stop
// or limit tokens, and returns the new tokens without the stop. An empty prompt
// gets nothing.
func (m *Model) Generate(prompts [][]int32, limit int, stop []int32) [][]int32 {
	m.Training = false
	out := make([][]int32, len(prompts))
	var open []*sequence
	for i, p := range prompts {
		if len(p) > 0 && len(p) < m.Config.MaxLength() {
			open = append(open, &sequence{index: i, next: p, keys: make([][]float32, m.Layers), values: make([][]float32, m.Layers)})
		}
	}
	for range limit {
		if len(open) == 0 {
			break
		}
		tokens := m.advance(open)
		still := open[:0]
		for k, s := range open {
			if slices.Contains(stop, tokens[k]) {
				continue
			}
			out[s.index] = append(out[s.index], tokens[k])
			s.next = []int32{tokens[k]}
			if s.length+1 < m.Config.MaxLength() {
				still = append(still, s)
			}
		}
		open = still
	}
	return out
}

// advance reads the next tokens of every sequence, keeps their keys and values,
// and returns the most likely token after each.
func (m *Model) advance(open []*sequence) []int32 {
	m.Engine.Reset()
	var ids, positions, last []int32
	for _, s := range open {
		for i := range s.next {
			positions = append(positions, int32(s.length+i))
		}
		ids = append(ids, s.next...)
		last = append(last, int32(len(ids)-1))
	}
	m.reach(positions)
	c := m.Config
	out := m.forward(m.Engine.Embedding(m.embed.Var, ids), positions, func(layer int, q, k, v *api.Var) *api.Var {
		o := m.Engine.New(q.Shape()...)
		from, wide, narrow := 0, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		for _, s := range open {
			to := from + len(s.next)
			s.keys[layer] = append(s.keys[layer], k.Data()[from*narrow:to*narrow]...)
			s.values[layer] = append(s.values[layer], v.Data()[from*narrow:to*narrow]...)
			m.Engine.AttendCached(c.Heads, c.KVHeads, c.HeadDim, q.Data()[from*wide:to*wide], s.keys[layer], s.values[layer], o.Float32s()[from*wide:to*wide])
			from = to
		}
		return api.Const(o)
	})
	for _, s := range open {
		s.length += len(s.next)
	}
	return head{m}.Argmax(out.Hidden().Detach().Gather(last))
}
