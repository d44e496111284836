package model

// Generate continues each prompt with the most likely tokens until one of stop
// or limit tokens, and returns the new tokens without the stop. A prompt that is
// empty, or as long as all that the model can read, gets nothing. For more, see
// Session.
func (m *Model) Generate(prompts [][]int32, limit int, stop []int32) [][]int32 {
	out := make([][]int32, len(prompts))
	if limit <= 0 {
		return out
	}
	s := m.NewSession()
	sequences := make([]*Sequence, len(prompts))
	for i, p := range prompts {
		if all, err := s.Add(p, 1, Sampling{MaxTokens: limit, Stop: stop, Logprobs: -1}); err == nil {
			sequences[i] = all[0]
		}
	}
	for s.Len() > 0 {
		s.Step()
	}
	for i, q := range sequences {
		if q != nil {
			out[i] = q.New()
		}
	}
	return out
}
