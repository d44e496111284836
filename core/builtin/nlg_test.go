package builtin

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
)

// TestNLGVectors compares words and scores with ms-swift's, one answer at a time.
func TestNLGVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			Prediction, Label string
			Said              []string `json:"prediction_tokens"`
			Truth             []string `json:"label_tokens"`
		}
		Expected []map[string]any
	}
	vectors(t, "metric_nlg.json", &v)
	for i, c := range v.Inputs {
		if got := cutTrimmed(c.Prediction); !slices.Equal(got, c.Said) {
			t.Errorf("words of %q: %q, want %q", c.Prediction, got, c.Said)
		}
		if got := cutTrimmed(c.Label); !slices.Equal(got, c.Truth) {
			t.Errorf("words of %q: %q, want %q", c.Label, got, c.Truth)
		}
		m, err := newNLG(own("nlg", nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(nil, &api.Batch{Rows: []map[string]any{{"response": c.Prediction, "labels": c.Label}}}); err != nil {
			t.Fatal(err)
		}
		got, err := m.Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range nlgNames {
			want, ok := v.Expected[i][name].(float64)
			if !ok { // an error of ms-swift's: there are only full stops
				if name != "bleu-4" && got[name] != 0 {
					t.Errorf("%s of %q and %q is %g, want 0", name, c.Prediction, c.Label, got[name])
				}
				continue
			}
			if math.Abs(got[name]-want) > 1.5e-6 { // both are rounded to 6 places
				t.Errorf("%s of %q and %q is %g, want %g", name, c.Prediction, c.Label, got[name], want)
			}
		}
	}
}

// TestNLGGolden compares with the 307 pairs of the big set, 614 texts.
func TestNLGGolden(t *testing.T) {
	f, err := os.Open("../../../shared/vectors/nlg-metrics/golden.jsonl")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs the shared vectors beside the repository: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	pairs, texts, equal := 0, 0, 0
	for lines.Scan() {
		var c struct {
			Pred, Label string
			Said        []string `json:"jieba_pred"`
			Truth       []string `json:"jieba_label"`
			Rouge       map[string]float64
			Bleu        float64 `json:"bleu-4"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		for k, text := range []string{c.Pred, c.Label} {
			texts++
			if got, want := cutTrimmed(text), [][]string{c.Said, c.Truth}[k]; slices.Equal(got, want) {
				equal++
			} else {
				t.Errorf("words of %.60q: %q, want %q", text, got, want)
			}
		}
		c.Rouge["bleu-4"] = c.Bleu
		for i, got := range compareWords(c.Said, c.Truth) {
			if want := c.Rouge[nlgNames[i]]; math.Abs(got-want) > 1e-9 {
				t.Errorf("pair %d: %s is %g, want %g", pairs, nlgNames[i], got, want)
			}
		}
		pairs++
	}
	if err := lines.Err(); err != nil || pairs == 0 {
		t.Fatalf("%d pairs, %v", pairs, err)
	}
	t.Logf("%d pairs; %d of %d texts have the same words", pairs, equal, texts)
}

func TestNLGMean(t *testing.T) {
	m, err := newNLG(own("nlg", nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Result(); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	if err := m.Add(nil, &api.Batch{Rows: []map[string]any{{"question": "?"}}}); err == nil || !strings.Contains(err.Error(), "--predict_with_generate") {
		t.Errorf("without an answer: %v", err)
	}
	rows := []map[string]any{{"response": "a b", "labels": "a b"}, {"response": "c", "labels": "d"}, {"response": "", "labels": "e"}, {"response": "f", "labels": " "}}
	if err := m.Add(nil, &api.Batch{Rows: rows}); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Result(); err != nil || math.Abs(got["rouge-1"]-50) > 1e-6 {
		t.Errorf("%v, %v, want a mean over two answers", got, err)
	}
}

// FuzzCutWords checks that the words are the text.
func FuzzCutWords(f *testing.F) {
	for _, text := range []string{"", "小明硕士毕业于中国科学院计算所\r\n", "龘龘a.5%b-#\xff", "B超 3.14.15%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := strings.Join(cutWords(text), ""); got != strings.ToValidUTF8(text, "\uFFFD") && got != text {
			t.Errorf("%q: %q", text, got)
		}
	})
}
