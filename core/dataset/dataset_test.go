package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/template"
)

// write makes a file in a directory of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, o Options, specs ...string) *Dataset {
	t.Helper()
	d, err := Open(specs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// row reads row i.
func row(t *testing.T, d *Dataset, i int) *Row {
	t.Helper()
	r, err := d.Row(i)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// numbered returns n rows; the answer of row i is i and i letters.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"query\": \"q\", \"response\": \"%d%s\", \"i\": %d}\n", i, strings.Repeat("x", i), i)
	}
	return b.String()
}

func answers(t *testing.T, d *Dataset) []string {
	t.Helper()
	var out []string
	for i := range d.Len() {
		m := row(t, d, i).Messages
		out = append(out, strings.TrimRight(m[len(m)-1].Content, "x"))
	}
	return out
}

func TestOpen(t *testing.T) {
	good := `{"query": "q", "response": "a", "level": 3}`
	for _, c := range []struct{ name, text string }{
		{"a.jsonl", good + "\n\n" + good + "\n"},
		{"a.jsonl", "\uFEFF" + good + "\r\n  " + good},
		{"a.json", " [" + good + ",\n" + good + "]\n"},
		{"a.json", good + "\n" + good},
	} {
		d := open(t, Options{Strict: true}, write(t, c.name, c.text))
		if d.Len() != 2 || row(t, d, 1).Columns["level"] != 3.0 {
			t.Errorf("%q: %d rows, columns %v", c.text, d.Len(), row(t, d, 1).Columns)
		}
	}
	d := open(t, Options{}, write(t, "a.jsonl", good+"\n\n"+good), write(t, "b.json", "["+good+"]"))
	var sources []string
	for i := range d.Len() {
		sources = append(sources, filepath.Base(row(t, d, i).Source))
	}
	if want := []string{"a.jsonl:1", "a.jsonl:3", "b.json: element 1"}; !slices.Equal(sources, want) {
		t.Errorf("sources %q, want %q", sources, want)
	}
	d = open(t, Options{Pretraining: true}, write(t, "a.txt", "one\ntwo\n"))
	if d.Len() != 2 || row(t, d, 1).Messages[0] != (template.Message{Role: "assistant", Content: "two"}) {
		t.Errorf("rows of text: %v", row(t, d, 1))
	}
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{filepath.Join(t.TempDir(), "none.jsonl"), "there is no such file"},
		{"AI-ModelScope/alpaca#10", "there is no such file"},
		{t.TempDir(), "the folder has no file of rows"},
		{filepath.Join(t.TempDir(), "*.jsonl"), "no file fits"},
		{"hf::a/b", "not downloaded"},
		{write(t, "a.jsonl", ""), "has no rows"},
		{write(t, "a.jsonl", "\n \n"), "has no rows"},
		{write(t, "a.json", "[]"), "has no rows"},
		{write(t, "a.json", "[{}, 3"), "element 2"},
		{write(t, "a.json", `[{"query": "q", "response": "a"}`), "after element 1"},
		{write(t, "a.jsonl", "a\x00b"), "is not text"},
		{write(t, "a.jsonl", "\xff\xfe{"), "is not text"},
		{write(t, "a.csv", ""), "the header: unexpected EOF"},
		{write(t, "a.csv", "query,query\na,b\n"), `column 2 is called "query"`},
		{write(t, "a.csv", "query,response\n\"a,b\n"), "row 1: it has 1 fields, and the header 2"},
		{write(t, "a.parquet", "PAR1 and no more"), "no Parquet file"},
		{write(t, "a.txt", "text"), "a line of .txt is text to train on"},
		{write(t, "a.jsonl", numbered(1)) + "#0", "want 1 or more"},
		{write(t, "a.jsonl", numbered(1)) + "#x", `is "x", want 1 or more`},
		{write(t, "a.jsonl", "{\n{"), "2 not JSON; the first: "},
	} {
		if _, err := Open([]string{c.spec}, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
	if _, err := Open(nil, Options{}); err == nil {
		t.Error("no dataset is no error")
	}
}

func TestBadRowsAreLeftOut(t *testing.T) {
	path := write(t, "train.jsonl", numbered(2)+"{\n"+`{"messages": [{"role": "user", "content": "q"}, {"content": "a"}]}`+"\n"+`{"query": "q"}`+"\n[")
	d := open(t, Options{}, path)
	if d.Len() != 2 || d.dropped.String() != "1 no message of the assistant, 1 no role, 2 not JSON" {
		t.Errorf("%d rows, left out: %s", d.Len(), d.dropped)
	}
	_, err := Open([]string{path}, Options{Strict: true})
	if err == nil || !strings.Contains(err.Error(), "train.jsonl:3: not JSON") {
		t.Errorf("strict: %v", err)
	}
	if d := open(t, Options{Prompts: true}, path); d.Len() != 3 {
		t.Errorf("%d rows of prompts, want 3", d.Len())
	}
	_, err = Open([]string{write(t, "a.jsonl", `{"problem": "q", "answer": "4", "solution": "2+2=4"}`)}, Options{Strict: true})
	if err == nil || !strings.Contains(err.Error(), "answer, solution could be the response") {
		t.Errorf("two answers: %v", err)
	}
}

func TestDraw(t *testing.T) {
	path := write(t, "a.jsonl", numbered(20))
	five := answers(t, open(t, Options{Seed: 1}, path+"#5"))
	if again := answers(t, open(t, Options{Seed: 1}, path+"#5")); !slices.Equal(five, again) {
		t.Errorf("%v, then %v of one seed", five, again)
	}
	if other := answers(t, open(t, Options{Seed: 2}, path+"#5")); len(five) != 5 || slices.Equal(five, other) {
		t.Errorf("%v of two seeds", five)
	}
	if all := answers(t, open(t, Options{Seed: 1}, path)); all[7] != "7" {
		t.Errorf("without #n: %v", all)
	}
	count := map[string]int{}
	for _, a := range answers(t, open(t, Options{Seed: 1}, path+"#50")) {
		count[a]++
	}
	for a, n := range count {
		if n < 2 || n > 3 || len(count) != 20 {
			t.Errorf("row %s is drawn %d times of 50", a, n)
		}
	}
}

func TestSplit(t *testing.T) {
	d := open(t, Options{}, write(t, "a.jsonl", numbered(20)))
	train, val, err := d.Split(0.2, 3)
	if err != nil || train.Len() != 16 || val.Len() != 4 {
		t.Fatalf("%d and %d rows, %v", train.Len(), val.Len(), err)
	}
	both := append(answers(t, train), answers(t, val)...)
	slices.Sort(both)
	if len(slices.Compact(both)) != 20 {
		t.Errorf("a row is in neither part: %v", both)
	}
	if _, again, _ := d.Split(0.2, 3); !slices.Equal(answers(t, val), answers(t, again)) {
		t.Error("two parts of one seed")
	}
	if _, other, _ := d.Split(0.2, 4); slices.Equal(answers(t, val), answers(t, other)) {
		t.Error("one part of two seeds")
	}
	for _, ratio := range []float64{0, 1, -1} {
		if _, _, err := d.Split(ratio, 1); err == nil {
			t.Errorf("a share of %g is no error", ratio)
		}
	}
	if _, _, err := open(t, Options{}, write(t, "a.jsonl", numbered(1))).Split(0.5, 1); err == nil {
		t.Error("half of one row is no error")
	}
}

// toy has one token a code point.
type toy struct{}

func (toy) Encode(text string, _ bool) []int32 { return []rune(text) }
func (toy) Decode(ids []int32, _ bool) string  { return string(ids) }
func (toy) ID(string) (int32, bool)            { return 0, false }

// responses and their ends are trained on, twice as much from a row with an x.
type scale struct{}

func (scale) Strategy() {}
func (scale) Weigh(s api.Segment) []api.Piece {
	switch {
	case s.Role < api.Response:
		return s.Weigh(0)
	case strings.Contains(s.Text, "xxx"):
		return s.Weigh(2)
	}
	return s.Weigh(1)
}

func encoder(max int) *template.Encoder {
	chat := &template.Chat{Prompt: []string{"{{QUERY}}>"}, Separator: []string{"."}, Suffix: []string{"."}, EOS: -1}
	return &template.Encoder{Chat: chat, Tokenizer: toy{}, Scale: scale{}, MaxLength: max}
}

func loader(t *testing.T, d *Dataset, b Batching) *Loader {
	t.Helper()
	l, err := NewLoader(d, encoder(0), b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// epoch returns the column i of the rows of an epoch, in order.
func epoch(t *testing.T, l *Loader, n int) []int {
	t.Helper()
	var out []int
	for step := range l.StepsPerEpoch() {
		out = append(out, numbers(t, l, n, step)...)
	}
	return out
}

func numbers(t *testing.T, l *Loader, epoch, step int) []int {
	t.Helper()
	batches, err := l.Step(epoch, step)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, b := range batches {
		for _, row := range b.Rows {
			out = append(out, int(row["i"].(float64)))
		}
	}
	return out
}

func TestShuffle(t *testing.T) {
	d := open(t, Options{}, write(t, "a.jsonl", numbered(23)))
	l := loader(t, d, Batching{Batch: 2, Accumulate: 3, Shuffle: true, Seed: 7})
	first, second := epoch(t, l, 0), epoch(t, l, 1)
	sorted := slices.Sorted(slices.Values(first))
	if len(sorted) != 23 || sorted[22] != 22 || len(slices.Compact(sorted)) != 23 {
		t.Errorf("an epoch is %v", first)
	}
	if slices.Equal(first, second) || slices.IsSorted(first) {
		t.Errorf("two epochs are %v and %v", first, second)
	}
	again := loader(t, d, Batching{Batch: 2, Accumulate: 3, Shuffle: true, Seed: 7})
	if got := numbers(t, again, 1, 2); !slices.Equal(got, second[12:18]) {
		t.Errorf("step 2 of epoch 1 from the start is %v, on the way %v", got, second[12:18])
	}
	if got := epoch(t, l, 0); !slices.Equal(got, first) {
		t.Errorf("epoch 0 was %v and is %v", first, got)
	}
	if got := epoch(t, loader(t, d, Batching{Batch: 2, Accumulate: 3, Shuffle: true, Seed: 8}), 0); slices.Equal(got, first) {
		t.Error("two seeds, one order")
	}
	if got := epoch(t, loader(t, d, Batching{Batch: 4, Accumulate: 1, Seed: 7}), 3); !slices.IsSorted(got) {
		t.Errorf("unshuffled: %v", got)
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct{ rows, batch, accumulate, steps int }{
		{1, 1, 1, 1}, {1, 8, 4, 1}, {16, 2, 4, 2}, {17, 2, 4, 3}, {15, 2, 4, 2}, {9, 4, 2, 2}, {8, 4, 2, 1},
	} {
		d := open(t, Options{}, write(t, "a.jsonl", numbered(c.rows)))
		l := loader(t, d, Batching{Batch: c.batch, Accumulate: c.accumulate})
		if l.StepsPerEpoch() != c.steps || len(epoch(t, l, 0)) != c.rows {
			t.Errorf("%+v: %d steps", c, l.StepsPerEpoch())
		}
		if _, err := l.Step(0, c.steps); err == nil {
			t.Errorf("%+v: a step too many is no error", c)
		}
	}
	d := open(t, Options{}, write(t, "a.jsonl", numbered(1)))
	if _, err := NewLoader(d, encoder(0), Batching{}); err == nil {
		t.Error("batches of no rows are no error")
	}
}

func TestBatch(t *testing.T) {
	d := open(t, Options{}, write(t, "a.jsonl", numbered(4)))
	l := loader(t, d, Batching{Batch: 2, Accumulate: 2})
	batches, err := l.Step(0, 0)
	if err != nil || len(batches) != 2 {
		t.Fatal(batches, err)
	}
	b := batches[0]
	if string(b.IDs) != "q>0.q>1x." || !slices.Equal(b.Starts, []int32{0, 4}) || b.Scale != nil {
		t.Errorf("tokens %q, starts %v, scale %v", string(b.IDs), b.Starts, b.Scale)
	}
	const no = api.Ignore
	if want := []int32{no, '0', '.', no, no, '1', 'x', '.', no}; !slices.Equal(b.Labels, want) {
		t.Errorf("labels %v, want %v", b.Labels, want)
	}
	if b.Items != 2+3+4+5 || batches[1].Items != b.Items {
		t.Errorf("items %g and %g, want 14", b.Items, batches[1].Items)
	}
	// Row 2 has the weight 1 and row 3 the weight 2, so both have a scale.
	if want := []float32{1, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 1, 0}; !slices.Equal(batches[1].Scale, want) {
		t.Errorf("scale %v, want %v", batches[1].Scale, want)
	}
	sources, err := l.Sources(0, 0)
	if err != nil || len(sources) != 4 || !strings.HasSuffix(sources[3], "a.jsonl:4") {
		t.Errorf("sources %v, %v", sources, err)
	}
}

func TestLeftOutByLength(t *testing.T) {
	rows := numbered(6) + `{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "loss": false}, {"role": "user", "content": "q"}]}` + "\n{\n"
	d := open(t, Options{}, write(t, "a.jsonl", rows))
	l, err := NewLoader(d, encoder(7), Batching{Batch: 1, Accumulate: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := epoch(t, l, 0); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("rows %v", got)
	}
	s := l.Stats()
	if s.Rows != 4 || s.Tokens != 4+5+6+7 || s.Trained != 2+3+4+5 || s.P50 != 5 || s.P95 != 7 || s.Max != 7 {
		t.Errorf("stats %+v", s)
	}
	if !strings.Contains(l.Summary(), "left out: 2 longer than max_length, 1 not JSON, 1 nothing to train on") {
		t.Errorf("summary %q", l.Summary())
	}
	d = open(t, Options{}, write(t, "a.jsonl", numbered(6)))
	_, err = NewLoader(d, encoder(3), Batching{Batch: 1, Accumulate: 1})
	if err == nil || !strings.Contains(err.Error(), "max_length 3 is smaller than every row (shortest: 4 tokens)") {
		t.Errorf("all too long: %v", err)
	}
}

func TestNoneLeft(t *testing.T) {
	silent := `{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "q"}]}`
	d := open(t, Options{}, write(t, "a.jsonl", strings.ReplaceAll(silent, `"a"}`, `"a", "loss": false}`)))
	_, err := NewLoader(d, encoder(0), Batching{Batch: 1, Accumulate: 1})
	if err == nil || !strings.Contains(err.Error(), "none of 1 rows can be trained on: 1 nothing to train on") {
		t.Errorf("nothing to train on: %v", err)
	}
	tools := `{"query": "q", "response": "a", "tools": [{"name": "f"}]}`
	d = open(t, Options{}, write(t, "a.jsonl", numbered(3)+tools))
	_, err = NewLoader(d, encoder(0), Batching{Batch: 1, Accumulate: 1})
	if !errors.Is(err, template.ErrNoAgentTemplate) || !strings.Contains(err.Error(), "a.jsonl:4: ") {
		t.Errorf("tools without an agent template: %v", err)
	}
	odd := `{"messages": [{"role": "user", "content": "q"}, {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]}`
	d = open(t, Options{}, write(t, "a.jsonl", numbered(1)+odd))
	if l := loader(t, d, Batching{Batch: 1, Accumulate: 1}); !strings.Contains(l.Summary(), "1 cannot be written") {
		t.Errorf("summary %q", l.Summary())
	}
	d = open(t, Options{Strict: true}, write(t, "a.jsonl", numbered(1)+odd))
	if _, err := NewLoader(d, encoder(0), Batching{Batch: 1, Accumulate: 1}); err == nil || !strings.Contains(err.Error(), "a.jsonl:2: messages[1]") {
		t.Errorf("strict: %v", err)
	}
}

// TestMaterial reads real datasets.
func TestMaterial(t *testing.T) {
	dir := "../../../shared/material/datasets"
	for name, rows := range map[string]int{"self_cognition.jsonl": 91, "agent_toolcall_zh.jsonl": 300, "gsm8k_test.jsonl": 1319, "kto_en.jsonl": 300} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			t.Skip("needs the shared datasets beside the repository: ", err)
		}
		if d := open(t, Options{Strict: true}, path); d.Len() != rows {
			t.Errorf("%s: %d rows, want %d", name, d.Len(), rows)
		}
	}
}
