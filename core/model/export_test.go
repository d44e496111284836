package model

import "math"

// NoiseOf returns the largest and the mean of what embeddings in training have
// over those outside, by sequence.
func (m *Model) NoiseOf(ids, starts []int32) (most, mean []float64) {
	noisy := m.embedded(ids, starts).Data()
	plain := m.Engine.Embedding(m.embed.Var, ids).Data()
	dim := m.Config.HiddenSize
	for i, start := range starts {
		end := len(ids)
		if i+1 < len(starts) {
			end = int(starts[i+1])
		}
		var high, sum float64
		for k := int(start) * dim; k < end*dim; k++ {
			x := float64(noisy[k]) - float64(plain[k])
			high, sum = max(high, math.Abs(x)), sum+x
		}
		most, mean = append(most, high), append(mean, sum/float64((end-int(start))*dim))
	}
	return most, mean
}
