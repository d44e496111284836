package dataset

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
)

const judgedRows = `{"query": "q", "positive_messages": [[{"role": "user", "content": "yes"}], [{"role": "user", "content": "also"}]], "negative_messages": [[{"role": "user", "content": "no"}]], "i": 1}
{"messages": [{"role": "user", "content": "r"}], "positive_messages": [{"role": "assistant", "content": "half"}], "label": 0.5, "i": 2}
`

// texts returns the sequences of a batch as text.
func texts(b *api.Batch) []string {
	var all []string
	for i := range b.Starts {
		from, to := b.Sequence(i)
		text := ""
		for _, id := range b.IDs[from:to] {
			text += string(rune(id))
		}
		all = append(all, text)
	}
	return all
}

// verdicts returns the labels of the last tokens, and wants no other.
func verdicts(t *testing.T, b *api.Batch) []int32 {
	t.Helper()
	var all []int32
	for i := range b.Starts {
		from, to := b.Sequence(i)
		for k := from; k < to-1; k++ {
			if b.Labels[k] != api.Ignore {
				t.Errorf("token %d of sequence %d has label %d", k-from, i, b.Labels[k])
			}
		}
		all = append(all, b.Labels[to-1])
	}
	return all
}

// TestDocuments reads the documents of a query, for a reranker to judge.
func TestDocuments(t *testing.T) {
	d := open(t, Options{Prompts: true, Strict: true}, write(t, "a.jsonl", judgedRows+`{"query": "alone"}`+"\n"))
	for i, want := range [][]string{{"q yes", "q also", "q no"}, {"r half"}, nil} {
		row, err := d.Row(i)
		if err != nil {
			t.Fatal(err)
		}
		documents, err := row.Documents()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range documents {
			got = append(got, c.Messages[0].Content+" "+c.Messages[1].Content)
		}
		if !slices.Equal(got, want) {
			t.Errorf("row %d has the documents %q, want %q", i, got, want)
		}
	}
}

func TestJudged(t *testing.T) {
	const no = api.Ignore
	for _, c := range []struct {
		task   Task
		texts  []string
		labels []int32
		rows   []map[string]any
		items  float64
	}{
		{
			Embedding, []string{"q>", "yes>", "no>", "r>", ">half."}, []int32{no, 1, 0, no, 1},
			[]map[string]any{{"i": 1.0}, {"i": 1.0, "label": 1.0}, {"i": 1.0, "label": 0.0}, {"i": 2.0}, {"i": 2.0, "label": 0.5}}, 3,
		},
		{
			Reranking, []string{"qyes>", "qno>", "qalso>", "qno>", "r>half."}, []int32{1, 0, 1, 0, 1},
			[]map[string]any{{"i": 1.0, "label": 1.0}, {"i": 1.0, "label": 0.0}, {"i": 1.0, "label": 1.0}, {"i": 1.0, "label": 0.0}, {"i": 2.0, "label": 1.0}}, 5,
		},
	} {
		cache := filepath.Join(t.TempDir(), "tokens")
		for range 2 { // made, and read again
			d := open(t, Options{Task: c.task, Strict: true}, write(t, "a.jsonl", judgedRows))
			l := loader(t, d, Batching{Batch: 2, Accumulate: 1, Cache: cache})
			if l.StepsPerEpoch() != 1 {
				t.Fatalf("%d steps, want the two rows in one", l.StepsPerEpoch())
			}
			batches, err := l.Step(0, 0)
			if err != nil || len(batches) != 1 {
				t.Fatalf("%d batches, %v", len(batches), err)
			}
			b := batches[0]
			if got := texts(b); !slices.Equal(got, c.texts) {
				t.Errorf("%s: texts %q, want %q", c.task, got, c.texts)
			}
			if got := verdicts(t, b); !slices.Equal(got, c.labels) || b.Items != c.items {
				t.Errorf("%s: labels %v of %g, want %v of %g", c.task, got, b.Items, c.labels, c.items)
			}
			if !reflect.DeepEqual(b.Rows, c.rows) {
				t.Errorf("%s: rows %v, want %v", c.task, b.Rows, c.rows)
			}
			if !strings.HasPrefix(l.Summary(), "2 rows of 5 texts") {
				t.Error(l.Summary())
			}
		}
	}
}

// TestJudgedTogether sees the sequences of a row in one micro-batch, whatever
// the order.
func TestJudgedTogether(t *testing.T) {
	d := open(t, Options{Task: Embedding}, write(t, "a.jsonl", strings.Repeat(judgedRows, 5)))
	l := loader(t, d, Batching{Batch: 3, Accumulate: 2, Shuffle: true, Seed: 4})
	rows := 0
	for _, step := range steps(t, l, l.StepsPerEpoch()) {
		for _, b := range step {
			if b.Rows[0]["label"] != nil {
				t.Errorf("a batch begins in the middle of a row: %q", texts(b))
			}
			for _, r := range b.Rows {
				rows += map[bool]int{true: 1}[r["label"] == nil]
			}
		}
	}
	if rows != 10 {
		t.Errorf("%d rows, want 10", rows)
	}
}

func TestJudgedErrors(t *testing.T) {
	for _, c := range []struct{ row, want string }{
		{`{"query": "q", "response": "a"}`, "no column positive_messages"},
		{`{"query": "q", "positive_messages": []}`, "no column positive_messages"},
		{`{"query": "q", "positive_messages": "text"}`, "positive_messages is text, want a list of conversations"},
		{`{"query": "q", "positive_messages": [[{"content": "a"}]]}`, "positive_messages[0] has no role"},
		{`{"query": "q", "positive_messages": [["a"]]}`, "positive_messages[0] is"},
		{`{"query": "q", "positive_messages": [[{"role": "user", "content": "a"}]], "negative_messages": [[]]}`, "negative_messages is empty"},
		{`{"query": "q", "positive_messages": [[{"role": "user", "content": "a"}]], "label": "b"}`, "label is b, want a number"},
	} {
		_, err := NewLoader(open(t, Options{Task: Embedding, Strict: true}, write(t, "a.jsonl", c.row)), encoder(0), Batching{Batch: 1, Accumulate: 1})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "a.jsonl:1") {
			t.Errorf("%s: %v, want %q", c.row, err, c.want)
		}
	}
	d := open(t, Options{Task: Embedding}, write(t, "a.jsonl", judgedRows))
	if _, err := NewLoader(d, encoder(2), Batching{Batch: 1, Accumulate: 1}); err == nil || !strings.Contains(err.Error(), "max_length 2 is smaller than every row") {
		t.Errorf("texts that are too long: %v", err)
	}
	enc := encoder(2)
	enc.Truncation = "left"
	l, err := NewLoader(d, enc, Batching{Batch: 1, Accumulate: 1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Step(0, 0)
	if err != nil || !slices.Equal(texts(b[0]), []string{"q>", "s>", "o>"}) {
		t.Errorf("%q, %v", texts(b[0]), err)
	}
}
