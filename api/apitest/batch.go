package apitest

import (
	"fmt"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

const vocab = 7

// batch returns a micro-batch of two sequences, of which some tokens do not
// count, and the logits of a model that half knows it.
func batch(seed uint64) (*api.Batch, *tensor.Dense) {
	r := newRand(seed)
	labels := []int32{api.Ignore, 3, 1, api.Ignore, 6, api.Ignore, api.Ignore, 0, 2, 5, api.Ignore}
	b := &api.Batch{
		Labels: labels, Starts: []int32{0, 6}, Items: 6,
		Rows:   []map[string]any{{"answer": "3"}, {"answer": "5"}},
		Decode: func(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") },
	}
	logits := normal(r, len(labels)*vocab)
	for i, label := range labels {
		b.IDs = append(b.IDs, int32(r.IntN(vocab)))
		if label != api.Ignore && i%2 == 0 {
			logits[i*vocab+int(label)] += 3
		}
	}
	return b, tensor.New(tensor.WithShape(len(labels), vocab), tensor.WithBacking(logits))
}
