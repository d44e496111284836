package builtin

import (
	"fmt"
	"math"
	"slices"

	"swiftgo/api"
)

// infoNCE is the loss of van den Oord et al. 2018: cross entropy of finding a
// query's positive document among the documents, by the product of their states.
// Its settings are ms-swift's variables INFONCE_*.
type infoNCE struct {
	Temperature   float64 `json:"temperature"`
	UseBatch      bool    `json:"use_batch"`          // among the documents of all queries of the micro-batch
	HardNegatives int     `json:"hard_negatives"`     // of each query, repeated or left out to be as many; 0 is all
	MaskFake      bool    `json:"mask_fake_negative"` // leave out what is nearer to the query than the positive by more than the margin
	FakeMargin    float64 `json:"fake_neg_margin"`
	IncludeQQ     bool    `json:"include_qq"` // among the other queries too
	IncludeDD     bool    `json:"include_dd"` // and the positive document is no nearer to the other documents
}

func infoNCESettings(args *api.Args) (*infoNCE, error) {
	n := &infoNCE{Temperature: 0.1, UseBatch: true, FakeMargin: 0.1}
	if err := args.Decode(n); err != nil {
		return nil, err
	}
	switch {
	case !(n.Temperature > 0):
		return nil, fmt.Errorf("temperature is %g, want more than 0", n.Temperature)
	case n.HardNegatives < 0:
		return nil, fmt.Errorf("hard_negatives is %d, want 0 or more", n.HardNegatives)
	case !(n.FakeMargin >= 0):
		return nil, fmt.Errorf("fake_neg_margin is %g, want 0 or more", n.FakeMargin)
	case !n.UseBatch && (n.IncludeQQ || n.IncludeDD || n.MaskFake):
		return nil, fmt.Errorf("include_qq, include_dd and mask_fake_negative compare within the batch; they want use_batch true")
	}
	return n, nil
}

func newInfoNCE(args *api.Args) (api.Loss, error) {
	n, err := infoNCESettings(args)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Compute returns a single value.
func (n *infoNCE) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	e, err := newEmbeddings(out, b)
	if err != nil {
		return nil, err
	}
	if err := n.choose(e); err != nil {
		return nil, err
	}
	queries, docs := e.queries(), e.states.Gather(e.docs)
	positive := make([]int32, len(e.groups))
	for i, g := range e.groups {
		positive[i] = int32(g.from)
	}
	scores := queries.MatMulT(docs) // [queries, documents]
	x, most := scores.Data(), make([]float32, len(e.groups))
	for i := range most {
		most[i] = x[i*len(e.docs)+e.groups[i].from] + float32(n.FakeMargin)
	}
	blocks := []*api.Var{without(scores, func(i, j int, x float32) bool {
		return !n.UseBatch && (j < e.groups[i].from || j >= e.groups[i].to) || n.MaskFake && x > most[i]
	})}
	if n.IncludeQQ {
		blocks = append(blocks, without(queries.MatMulT(queries), func(i, j int, x float32) bool { return i == j || n.MaskFake && x > most[i] }))
	}
	if n.IncludeDD {
		blocks = append(blocks, without(docs.Gather(positive).MatMulT(docs), func(i, j int, _ float32) bool { return j == e.groups[i].from }))
	}
	logits := api.Concat(1, blocks...).Scale(1 / n.Temperature)
	return api.CrossEntropy(logits, positive).Mean().Scale(share(b)), nil
}

// choose keeps of each query as many negative documents as the settings say. Of
// too few it repeats them from the first on, where ms-swift draws some at random.
func (n *infoNCE) choose(e *embeddings) error {
	if n.HardNegatives == 0 {
		return nil
	}
	var docs []int32
	var labels []float64
	for i, g := range e.groups {
		negatives := g.to - g.from - 1
		if negatives == 0 {
			return fmt.Errorf("hard_negatives is %d, and a query has no negative document", n.HardNegatives)
		}
		e.groups[i].from = len(docs)
		docs, labels = append(docs, e.docs[g.from]), append(labels, e.labels[g.from])
		for k := range n.HardNegatives {
			at := g.from + 1 + k%negatives
			docs, labels = append(docs, e.docs[at]), append(labels, e.labels[at])
		}
		e.groups[i].to = len(docs)
	}
	e.docs, e.labels = docs, labels
	return nil
}

// without returns a matrix whose elements that drop names are -∞.
func without(v *api.Var, drop func(i, j int, x float32) bool) *api.Var {
	rows, cols := v.Shape()[0], v.Shape()[1]
	mask := api.Full(0, rows, cols)
	m, x := mask.Float32s(), v.Data()
	for k := range m {
		if drop(k/cols, k%cols, x[k]) {
			m[k] = float32(math.Inf(-1))
		}
	}
	if !slices.Contains(m, float32(math.Inf(-1))) {
		return v
	}
	return v.Add(api.Const(mask))
}
