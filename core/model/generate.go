package model

import "slices"

// Generate continues each prompt with the most likely tokens until one of stop
// or max tokens, and returns the new tokens without the stop. Prompts go through
// the model together, end to end. With an empty prompt there is nothing to
// continue; it gets nothing.
func (m *Model) Generate(prompts [][]int32, max int, stop []int32) [][]int32 {
	m.Training = false
	out := make([][]int32, len(prompts))
	var open []int // prompts that go on
	for i, p := range prompts {
		if len(p) > 0 {
			open = append(open, i)
		}
	}
	for range max {
		if len(open) == 0 {
			break
		}
		next := m.next(prompts, out, open)
		var still []int
		for k, i := range open {
			if slices.Contains(stop, next[k]) {
				continue
			}
			out[i] = append(out[i], next[k])
			if len(prompts[i])+len(out[i]) < m.Config.MaxLength() {
				still = append(still, i)
			}
		}
		open = still
	}
	return out
}

// next returns the most likely next token of each open sequence.
func (m *Model) next(prompts, out [][]int32, open []int) []int32 {
	var ids, starts, last []int32
	for _, i := range open {
		starts = append(starts, int32(len(ids)))
		ids = append(append(ids, prompts[i]...), out[i]...)
		last = append(last, int32(len(ids)-1))
	}
	m.Engine.Reset()
	hidden := m.Forward(ids, starts).Hidden().Detach().Gather(last)
	return head{m}.Argmax(hidden)
}
