package builtin

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"swiftgo/api"
)

// ranked are the scores that a reranker gave the documents of a batch.
type ranked struct {
	scores *api.Var // [documents]
	labels []float64
}

func newRanked(out *api.Output, b *api.Batch) (*ranked, error) {
	r := &ranked{}
	for i := range b.Starts {
		y, doc, err := label(b, i)
		if err != nil {
			return nil, err
		}
		if !doc {
			return nil, fmt.Errorf("sequence %d has no label; use it with --task_type generative_reranker or reranker", i)
		}
		r.labels = append(r.labels, y)
	}
	logits := out.Logits()
	if logits.Shape()[1] != 1 {
		return nil, fmt.Errorf("the model gives %d logits a token, want one score; use it with --task_type generative_reranker or reranker", logits.Shape()[1])
	}
	r.scores = logits.Gather(last(b)).Reshape(len(r.labels))
	return r, nil
}

// groups returns where the documents of each query begin, the positive one
// first, and where they end. Those before the first positive one have none.
func (r *ranked) groups() [][2]int {
	var groups [][2]int
	for i, y := range r.labels {
		if y == 1 {
			groups = append(groups, [2]int{i, i})
		}
		if len(groups) > 0 {
			groups[len(groups)-1][1] = i + 1
		}
	}
	return groups
}

func newPointwiseReranker(args *api.Args) (api.Loss, error) {
	return api.LossFunc(pointwiseReranker), args.Decode(&none{})
}

// pointwiseReranker is the mean over the documents of the binary cross entropy
// of the score, a logit, and the label.
func pointwiseReranker(out *api.Output, b *api.Batch) (*api.Var, error) {
	r, err := newRanked(out, b)
	if err != nil {
		return nil, err
	}
	truth := make([]float32, len(r.labels))
	for i, y := range r.labels {
		truth[i] = float32(y)
	}
	return binaryCrossEntropy(r.scores, truth).Scale(share(b)), nil
}

// listwiseReranker is the cross entropy of finding a query's positive document
// among its documents by their scores, the mean over the queries.
type listwiseReranker struct {
	Temperature  float64 `json:"temperature"`
	MinGroupSize int     `json:"min_group_size"` // queries with fewer documents are left out
}

func newListwiseReranker(args *api.Args) (api.Loss, error) {
	l := &listwiseReranker{Temperature: 1, MinGroupSize: 2}
	if err := args.Decode(l); err != nil {
		return nil, err
	}
	switch {
	case !(l.Temperature > 0):
		return nil, fmt.Errorf("temperature is %g, want more than 0", l.Temperature)
	case l.MinGroupSize < 1:
		return nil, errors.New("min_group_size is less than 1")
	}
	return l, nil
}

// Compute returns a single value, 0 where no query is large enough.
func (l *listwiseReranker) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	r, err := newRanked(out, b)
	if err != nil {
		return nil, err
	}
	var groups [][2]int
	longest := 0
	for _, g := range r.groups() {
		if size := g[1] - g[0]; size >= l.MinGroupSize {
			groups, longest = append(groups, g), max(longest, size)
		}
	}
	if len(groups) == 0 {
		return r.scores.Scale(0).Sum(), nil
	}
	at := make([]int32, len(groups)*longest)     // documents of each query, [queries, longest]
	mask := make([]float32, len(groups)*longest) // -∞ where there is none
	for i, g := range groups {
		for k := range longest {
			if g[0]+k < g[1] {
				at[i*longest+k] = int32(g[0] + k)
			} else {
				mask[i*longest+k] = float32(math.Inf(-1))
			}
		}
	}
	lists := r.scores.Gather(at).Reshape(len(groups), longest).Scale(1 / l.Temperature).Add(constant(mask, len(groups), longest))
	return api.CrossEntropy(lists, make([]int32, len(groups))).Mean().Scale(share(b)), nil
}

// rerankerMetric measures at which place by its score a query's positive document
// is among its documents: mrr, the mean reciprocal rank, and ndcg, the normalised
// discounted cumulative gain of Järvelin and Kekäläinen 2002. A query with one
// document does not count.
type rerankerMetric struct{ mrr, ndcg, n float64 }

func newRerankerMetric(args *api.Args) (api.Metric, error) {
	return &rerankerMetric{}, args.Decode(&none{})
}

// Add takes in the queries of a batch.
func (m *rerankerMetric) Add(out *api.Output, b *api.Batch) error {
	r, err := newRanked(out, b)
	if err != nil {
		return err
	}
	for _, g := range r.groups() {
		if g[1]-g[0] < 2 {
			continue
		}
		scores, gains := r.scores.Data()[g[0]:g[1]], r.labels[g[0]:g[1]]
		order := make([]int, len(scores))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
		ranked := make([]float64, len(gains))
		for place, i := range order {
			ranked[place] = gains[i]
		}
		ideal := slices.Clone(gains)
		slices.SortFunc(ideal, func(a, b float64) int { return cmp.Compare(b, a) })
		m.mrr += 1 / float64(slices.Index(order, 0)+1)
		m.ndcg += dcg(ranked) / dcg(ideal)
		m.n++
	}
	return nil
}

// dcg is the discounted cumulative gain of documents in that order.
func dcg(gains []float64) float64 {
	sum := 0.0
	for place, gain := range gains {
		sum += (math.Exp2(gain) - 1) / math.Log2(float64(place+2))
	}
	return sum
}

// Result returns mrr and ndcg, which are 0 where nothing was counted.
func (m *rerankerMetric) Result() (map[string]float64, error) {
	return map[string]float64{"mrr": m.mrr / max(1, m.n), "ndcg": m.ndcg / max(1, m.n)}, nil
}
