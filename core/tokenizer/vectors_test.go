package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// shared holds the big sets, beside the repository.
const shared = "../../../shared"

var vectorTokenizers = map[string]string{
	"deepseek-v3":     "material/tokenizers/deepseek-v3",
	"gpt-oss":         "material/tokenizers/gpt-oss",
	"gpt2":            "material/tokenizers/gpt2",
	"minimind":        "material/tokenizers/minimind",
	"mistral-7b-v0.1": "material/tokenizers/mistral-7b-v0.1",
	"qwen3":           "material/tokenizers/qwen3",
	"stories260K":     "material/models/stories260K/hf",
}

// vector is what the Rust library made of a text. The decoded texts are those
// of IDs, and left out where the library shows an added token as normalised.
type vector struct {
	I           int     `json:"i"`
	Text        string  `json:"text"`
	IDs         []int32 `json:"ids"`
	IDsSpecial  []int32 `json:"ids_special"`
	Decoded     *string `json:"decoded"`
	DecodedSkip *string `json:"decoded_skip"`
}

func (v vector) check(t *testing.T, tk *Tokenizer) {
	t.Helper()
	if got := tk.Encode(v.Text, false); !slices.Equal(got, v.IDs) {
		t.Errorf("case %d: Encode(%q, false)\n got %v\nwant %v", v.I, v.Text, got, v.IDs)
	}
	got := tk.Encode(v.Text, true)
	if !slices.Equal(got, v.IDsSpecial) {
		t.Errorf("case %d: Encode(%q, true)\n got %v\nwant %v", v.I, v.Text, got, v.IDsSpecial)
	}
	for skip, want := range map[bool]*string{false: v.Decoded, true: v.DecodedSkip} {
		if want == nil {
			continue
		}
		if got := tk.Decode(v.IDs, skip); got != *want {
			t.Errorf("case %d: Decode(%v, %v)\n got %q\nwant %q", v.I, v.IDs, skip, got, *want)
		}
	}
}

func TestVectors(t *testing.T) {
	texts := readLines[vector](t, sharedFile(t, "vectors/tokenizers/cases.jsonl"))
	for name := range vectorTokenizers {
		t.Run(name, func(t *testing.T) {
			tk := loadShared(t, name)
			vectors := readLines[vector](t, sharedFile(t, "vectors/tokenizers/"+name+".cases.jsonl"))
			if len(vectors) != len(texts) {
				t.Fatalf("%d cases, want one for each of %d texts", len(vectors), len(texts))
			}
			for k, v := range vectors {
				v.Text = texts[k].Text
				v.check(t, tk)
			}
		})
	}
}

func loadShared(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tk, err := Load(sharedFile(t, vectorTokenizers[name]))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// sharedFile returns the path of a file or folder of the big sets and skips
// the test where it is absent.
func sharedFile(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(shared, name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs the shared vectors beside the repository: ", err)
	}
	return path
}

func readLines[T any](t testing.TB, path string) []T {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out []T
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
