package main

import (
	"encoding/json"
	"fmt"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// judgedBatch reads a line of the losses and metrics of embeddings and rerankers:
// sequences of one token, with their states or scores, and the labels of those
// that are documents. It returns nil if the line is another one.
func judgedBatch(line []byte) (*api.Batch, *tensor.Dense, error) {
	var l struct {
		Hidden     [][]float32     `json:"last_hidden_state"`
		Embeddings [][]float32     `json:"embeddings"`
		Logits     json.RawMessage `json:"logits"`
		Labels     []float64       `json:"labels"`
	}
	if json.Unmarshal(line, &l) != nil || len(l.Labels) == 0 || l.Hidden == nil && l.Embeddings == nil && l.Logits == nil {
		return nil, nil, nil
	}
	rows := append(l.Hidden, l.Embeddings...)
	queries := len(rows) - len(l.Labels)
	if rows == nil {
		var flat []float32
		if json.Unmarshal(l.Logits, &rows) != nil {
			if err := json.Unmarshal(l.Logits, &flat); err != nil {
				return nil, nil, fmt.Errorf("logits: %w; want one of each document", err)
			}
			rows = nil
			for _, x := range flat {
				rows = append(rows, []float32{x})
			}
		}
		queries = 0
	}
	b := &api.Batch{Items: float64(len(l.Labels))}
	add := func(label int32, row map[string]any) {
		b.Starts, b.IDs, b.Labels, b.Rows = append(b.Starts, int32(len(b.Starts))), append(b.IDs, 0), append(b.Labels, label), append(b.Rows, row)
	}
	for _, y := range l.Labels {
		if queries == len(l.Labels) || queries > 0 && y != 0 { // pairs, or groups that begin with the positive document
			add(api.Ignore, nil)
		}
		verdict := int32(0)
		if y > 0 {
			verdict = 1
		}
		add(verdict, map[string]any{"label": y})
	}
	if len(rows) != len(b.Starts) {
		return nil, nil, fmt.Errorf("%d rows of numbers, want %d: one of each label, and in an embedding one of each query before", len(rows), len(b.Starts))
	}
	states := api.Full(0, len(rows), len(rows[0]))
	for i, row := range rows {
		if len(row) != len(rows[0]) {
			return nil, nil, fmt.Errorf("row %d has %d numbers, want %d as row 0", i, len(row), len(rows[0]))
		}
		copy(states.Float32s()[i*len(row):], row)
	}
	return b, states, nil
}

// generatedBatch reads a line of the metrics of generated answers. It returns nil
// if the line is another one.
func generatedBatch(line []byte) *api.Batch {
	var l struct {
		Prediction *string `json:"prediction"`
		Label      *string `json:"label"`
	}
	if json.Unmarshal(line, &l) != nil || l.Prediction == nil || l.Label == nil {
		return nil
	}
	return &api.Batch{IDs: []int32{0}, Labels: []int32{api.Ignore}, Starts: []int32{0}, Rows: []map[string]any{{"response": *l.Prediction, "labels": *l.Label}}}
}

// metricOf returns the result of a metric of judged states or of generated answers,
// nil if the line is another one.
func metricOf(x *trial, line []byte) (map[string]float64, error) {
	b, states, err := judgedBatch(line)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if b = generatedBatch(line); b == nil {
			return nil, nil
		}
		states = api.Full(0, 1, 1)
	}
	b.Decode = x.decode
	metric, err := x.reg.Metric(x.name)
	if err != nil {
		return nil, err
	}
	if err := metric.Add(api.LogitsOutput(api.Const(states)), b); err != nil {
		return nil, err
	}
	return metric.Result()
}
