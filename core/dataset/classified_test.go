package dataset

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swiftgo/core/model"
)

// TestClassified reads labels of each kind, from JSON and from a table, and sees
// what losses and metrics get.
func TestClassified(t *testing.T) {
	for _, c := range []struct {
		labels    Labels
		name, row string
		want      any
		last      int32
	}{
		{Labels{3, model.SingleLabel}, "a.jsonl", `{"query": "q", "label": 2}`, 2.0, 2},
		{Labels{2, model.SingleLabel}, "a.jsonl", `{"query": "q", "label": true}`, 1.0, 1},
		{Labels{3, model.SingleLabel}, "a.csv", "query,label\nq,2", 2.0, 2},
		{Labels{1, model.Regression}, "a.jsonl", `{"query": "q", "label": -3.5}`, -3.5, 0},
		{Labels{2, model.Regression}, "a.jsonl", `{"query": "q", "label": [1, 0.5]}`, []any{1.0, 0.5}, 0},
		{Labels{4, model.MultiLabel}, "a.jsonl", `{"query": "q", "label": [3, 0]}`, []any{3.0, 0.0}, 0},
		{Labels{4, model.MultiLabel}, "a.jsonl", `{"query": "q", "label": []}`, []any{}, 0},
		{Labels{4, model.MultiLabel}, "a.csv", "query,label\nq,\"[1, 2]\"", []any{1.0, 2.0}, 0},
	} {
		d := open(t, Options{Task: Classification, Labels: c.labels, Strict: true}, write(t, c.name, c.row+"\n"))
		batches, err := loader(t, d, Batching{Batch: 2, Accumulate: 1, Cache: filepath.Join(t.TempDir(), "tokens")}).Step(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := batches[0]
		if got := b.Rows[0]["label"]; !reflect.DeepEqual(got, c.want) || b.Items != 1 {
			t.Errorf("%s: label %v of %g, want %v of 1", c.row, got, b.Items, c.want)
		}
		if got := verdicts(t, b); !slices.Equal(got, []int32{c.last}) || !slices.Equal(texts(b), []string{"q>"}) {
			t.Errorf("%s: verdict %v of %q, want %d", c.row, got, texts(b), c.last)
		}
	}
}

// TestClassifiedWrong leaves out rows whose label is none.
func TestClassifiedWrong(t *testing.T) {
	for _, c := range []struct {
		labels    Labels
		row, want string
	}{
		{Labels{3, model.SingleLabel}, `{"query": "q", "label": 3}`, "label is 3, want the number of a class, from 0 to 2"},
		{Labels{3, model.SingleLabel}, `{"query": "q", "label": 0.5}`, "from 0 to 2"},
		{Labels{3, model.SingleLabel}, `{"query": "q", "label": "good"}`, "label is good"},
		{Labels{3, model.SingleLabel}, `{"query": "q", "label": [1]}`, "label is [1]"},
		{Labels{3, model.SingleLabel}, `{"query": "q"}`, "there is no column label"},
		{Labels{1, model.Regression}, `{"query": "q", "label": "x"}`, "want a number"},
		{Labels{2, model.Regression}, `{"query": "q", "label": [1]}`, "want a list of 2 numbers"},
		{Labels{4, model.MultiLabel}, `{"query": "q", "label": [4]}`, "want a list of the numbers of classes, from 0 to 3"},
		{Labels{4, model.MultiLabel}, `{"query": "q", "label": 1}`, "want a list"},
	} {
		d := open(t, Options{Task: Classification, Labels: c.labels}, write(t, "a.jsonl", c.row+"\n"+`{"query": "q"}`+"\n"))
		if _, err := NewLoader(d, encoder(0), Batching{Batch: 1, Accumulate: 1}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.row, err, c.want)
		}
	}
}
