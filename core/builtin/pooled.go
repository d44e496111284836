package builtin

import (
	"errors"
	"fmt"

	"swiftgo/api"
)

// The losses and metrics of --task_type embedding, reranker, generative_reranker
// and seq_cls (classification.go) read the last token of each sequence. Of the
// first three a sequence that is judged, a document, has a number in the column
// label: how well it answers, from 0 to 1. One without is a query:
//
//	embedding  query, document, document, …, query, document, …
//	rerankers  document, document, …  (each with its query before it)
//
// The first document of a query is its positive one.

// last returns the index of each sequence's last token.
func last(b *api.Batch) []int32 {
	at := make([]int32, len(b.Starts))
	for i := range at {
		_, to := b.Sequence(i)
		at[i] = int32(to - 1)
	}
	return at
}

// label returns the label of sequence i; ok is false for a query.
func label(b *api.Batch, i int) (y float64, ok bool, err error) {
	if i >= len(b.Rows) || b.Rows[i]["label"] == nil {
		return 0, false, nil
	}
	switch x := b.Rows[i]["label"].(type) {
	case float64:
		return x, true, nil
	case bool:
		return float64(btoi(x)), true, nil
	}
	return 0, false, fmt.Errorf("the label of sequence %d is %v, want a number", i, b.Rows[i]["label"])
}

// embeddings are what an embedding model made of a batch.
type embeddings struct {
	states *api.Var // [sequences, dim]
	groups []group
	docs   []int32   // sequences that are documents
	labels []float64 // of the documents
}

// group is a query and its documents, all by their place among the documents
// but the query.
type group struct {
	query    int32
	from, to int
}

func newEmbeddings(out *api.Output, b *api.Batch) (*embeddings, error) {
	e := &embeddings{}
	for i := range b.Starts {
		y, doc, err := label(b, i)
		if err != nil {
			return nil, err
		}
		switch {
		case !doc:
			e.groups = append(e.groups, group{int32(i), len(e.docs), len(e.docs)})
			continue
		case len(e.groups) == 0:
			return nil, errors.New("the batch begins with a document, want a query, a sequence without a label; use it with --task_type embedding")
		}
		e.docs, e.labels = append(e.docs, int32(i)), append(e.labels, y)
		e.groups[len(e.groups)-1].to = len(e.docs)
	}
	for _, g := range e.groups {
		if g.from == g.to {
			return nil, fmt.Errorf("sequence %d is a query without a document, one with a label; use it with --task_type embedding", g.query)
		}
	}
	if len(e.groups) == 0 {
		return nil, errors.New("the batch has no sequence")
	}
	e.states = out.Hidden().Gather(last(b))
	return e, nil
}

// pairs returns the query and the document of each group, which must be one,
// both [pairs, dim].
func (e *embeddings) pairs() (queries, docs *api.Var, err error) {
	for _, g := range e.groups {
		if n := g.to - g.from; n != 1 {
			return nil, nil, fmt.Errorf("a query has %d documents, want pairs, one positive_messages and a label a row; for more there is infonce", n)
		}
	}
	return e.queries(), e.states.Gather(e.docs), nil
}

func (e *embeddings) queries() *api.Var {
	at := make([]int32, len(e.groups))
	for i, g := range e.groups {
		at[i] = g.query
	}
	return e.states.Gather(at)
}

// share is the part of the step that a micro-batch is, by its labels: what the
// mean over a micro-batch is to be weighed by.
func share(b *api.Batch) float64 {
	if b.Items == 0 {
		return 1
	}
	n := 0
	for _, l := range b.Labels {
		n += btoi(l != api.Ignore)
	}
	return float64(n) / b.Items
}

// constant returns xs as a constant of that shape.
func constant(xs []float32, shape ...int) *api.Var {
	t := api.Full(0, shape...)
	copy(t.Float32s(), xs)
	return api.Const(t)
}
