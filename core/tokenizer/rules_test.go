package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// rule is a small tokenizer with what the Rust library (0.23.2) makes of some
// texts: one for each rule that the big tokenizers leave out.
type rule struct {
	Name      string                     `json:"name"`
	Tokenizer map[string]json.RawMessage `json:"tokenizer"`
	Cases     []vector                   `json:"cases"`
}

func TestRules(t *testing.T) {
	for _, r := range readLines[rule](t, "testdata/rules.jsonl") {
		t.Run(r.Name, func(t *testing.T) {
			tk := r.load(t)
			for _, v := range r.Cases {
				v.check(t, tk)
			}
		})
	}
}

// load builds the tokenizer. Its model is written as what differs from one
// of testdata/models.json: the name of one or fields for "chars".
func (r rule) load(t testing.TB) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile("testdata/models.json")
	if err != nil {
		t.Fatal(err)
	}
	var models map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &models); err != nil {
		t.Fatal(err)
	}
	model := models["chars"]
	if own := r.Tokenizer["model"]; string(own) == `"bytes"` {
		model = models["bytes"]
	} else if own != nil {
		if err := json.Unmarshal(own, &model); err != nil {
			t.Fatal(err)
		}
	}
	if r.Tokenizer["model"], err = json.Marshal(model); err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(r.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	tk, err := parse(map[string][]byte{tokenizerFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// TestRegex compares expressions with what Oniguruma cuts.
func TestRegex(t *testing.T) {
	type expression struct {
		Name, Regex string
		Cuts        [][2]json.RawMessage // text, pieces
	}
	for _, e := range readLines[expression](t, "testdata/regex.jsonl") {
		t.Run(e.Name, func(t *testing.T) {
			find, err := newRegex(e.Regex)
			if err != nil {
				t.Fatal(err)
			}
			for _, cut := range e.Cuts {
				var text string
				var want, got []string
				if json.Unmarshal(cut[0], &text) != nil || json.Unmarshal(cut[1], &want) != nil {
					t.Fatalf("bad case %s", cut)
				}
				for _, s := range find(nil, text) {
					if s.start < s.end {
						got = append(got, text[s.start:s.end])
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%q on %q: got %q, want %q", e.Regex, text, got, want)
				}
			}
		})
	}
}
