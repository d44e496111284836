package dataset

import (
	"encoding/json"
	"maps"
	"slices"

	"swiftgo/api"
	"swiftgo/core/model"
	"swiftgo/core/template"
)

// Task is what is made of a row.
type Task string

// The tasks. Embedding and Reranking read the columns positive_messages and
// negative_messages, each a list of conversations, beside the row's own, the
// query: they make several sequences of a row, which stay together. Those that
// are judged, documents, have a number in the column label: in an embedding that of
// the row for the positive one, 1 if it has none; else 1, and 0 for negative ones.
const (
	Answer    Task = ""          // a conversation, whose answers are trained on
	Embedding Task = "embedding" // the query, the first positive document, the negative ones
	Reranking Task = "reranking" // each positive document and after it the negative ones, all of them after the query

	Classification Task = "classification" // the conversation, with what Options.Labels says in the column label
)

// judged encodes the sequences of a row.
func (e *encoding) judged(row *Row) ([]*Sequence, error) {
	columns := maps.Clone(row.Columns)
	positive, err := takeConversations(columns, "positive_messages")
	if err != nil {
		return nil, err
	}
	negative, err := takeConversations(columns, "negative_messages")
	if err != nil {
		return nil, err
	}
	if len(positive) == 0 {
		return nil, bad("no positive_messages", "there is no column positive_messages, want a list of conversations that belong to the query")
	}
	label := 1.0
	switch y := columns["label"].(type) {
	case float64:
		label = y
	case bool:
		if !y {
			label = 0
		}
	case nil:
	default:
		return nil, bad("bad label", "label is %v, want a number", y)
	}
	delete(columns, "label")
	var all []*Sequence
	add := func(c *template.Conversation, columns map[string]any) error {
		q, err := e.unlabelled(c, row, columns)
		all = append(all, q)
		return err
	}
	document := func(messages []template.Message, label float64) error {
		with := map[string]any{"label": label}
		maps.Copy(with, columns)
		if e.rows.options.Task == Reranking {
			messages = slices.Concat(row.Messages, messages)
		}
		return add(&template.Conversation{Messages: messages, Tools: row.Tools}, with)
	}
	if e.rows.options.Task == Embedding {
		if err := add(&row.Conversation, columns); err != nil {
			return nil, err
		}
		positive = positive[:1] // as ms-swift
	} else {
		label = 1
	}
	for _, m := range positive {
		if err := document(m, label); err != nil {
			return nil, err
		}
		for _, m := range negative {
			if err := document(m, 0); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// Documents returns what a reranker reads of a row: its positive documents and
// then the negative ones, each after the query. There are none in a row without
// those columns.
func (r *Row) Documents() ([]*template.Conversation, error) {
	var all []*template.Conversation
	columns := maps.Clone(r.Columns)
	for _, name := range []string{"positive_messages", "negative_messages"} {
		documents, err := takeConversations(columns, name)
		if err != nil {
			return nil, err
		}
		for _, messages := range documents {
			all = append(all, &template.Conversation{Messages: slices.Concat(r.Messages, messages), Tools: r.Tools})
		}
	}
	return all, nil
}

// unlabelled returns a conversation of a row as a sequence that no token of is
// trained on.
func (e *encoding) unlabelled(c *template.Conversation, row *Row, columns map[string]any) (*Sequence, error) {
	ids, err := e.enc.Text(c)
	if err != nil {
		return nil, err
	}
	labels := slices.Repeat([]int32{api.Ignore}, len(ids))
	return &Sequence{Encoded: template.Encoded{IDs: ids, Labels: labels}, Source: row.Source, Columns: columns}, nil
}

// takeConversations takes a list of conversations out of columns, or one, which
// is a list of messages.
func takeConversations(columns map[string]any, name string) ([][]template.Message, error) {
	value, ok := columns[name]
	if !ok {
		return nil, nil
	}
	delete(columns, name)
	list, ok := value.([]any)
	if !ok {
		return nil, bad("bad "+name, "%s is %v, want a list of conversations", name, value)
	}
	if len(list) > 0 {
		if _, one := list[0].(map[string]any); one {
			list = []any{list}
		}
	}
	var all [][]template.Message
	for _, one := range list {
		raw, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		var images []image
		messages, err := parseMessages(name, raw, &images)
		if err != nil {
			return nil, err
		}
		if images != nil {
			return nil, errImages
		}
		all = append(all, messages)
	}
	return all, nil
}

// verdict is the label of the last token of a sequence that is judged: its class,
// of a document whether it belongs to the query, and api.Ignore for a query. Of
// other labels, which no token has, it is 0.
func (o *Options) verdict(q *Sequence) int32 {
	y, one := q.Columns["label"].(float64)
	switch {
	case o.Task == Classification && o.Labels.Problem == model.SingleLabel:
		return int32(y)
	case o.Task == Classification:
		return 0
	case !one:
		return api.Ignore
	case y > 0:
		return 1
	}
	return 0
}
