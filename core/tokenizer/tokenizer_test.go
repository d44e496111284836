package tokenizer

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// small is a tokenizer of one token a byte and 16 special tokens.
const small = "testdata/bytes"

func loadSmall(t testing.TB) *Tokenizer {
	t.Helper()
	tk, err := Load(small)
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func TestSmall(t *testing.T) {
	tk := loadSmall(t)
	ids := tk.Encode("aé<|im_end|>", true)
	if want := []int32{'a', 0xC3, 0xA9, 259}; !slices.Equal(ids, want) {
		t.Errorf("Encode: got %v, want %v", ids, want)
	}
	if got := tk.Decode(ids, true); got != "aé" {
		t.Errorf("Decode: got %q", got)
	}
	if got := tk.Decode([]int32{-1, 0xC3, 'a', 272, 0xE4, 0xBD, 1 << 30}, false); got != "\uFFFDa\uFFFD" {
		t.Errorf("Decode of broken ids: got %q", got)
	}
	if got := tk.Encode("a\xE4\xBDb\xFF", false); !slices.Equal(got, tk.Encode("a\uFFFDb\uFFFD", false)) {
		t.Errorf("Encode of invalid UTF-8: got %v", got)
	}
	if id, ok := tk.ID("<|im_end|>"); id != 259 || !ok || tk.Token(259) != "<|im_end|>" || !tk.IsSpecial(259) || tk.IsSpecial('a') {
		t.Error("<|im_end|> is not the special token 259")
	}
	if _, ok := tk.ID("no such token"); ok || tk.Token(-1) != "" || tk.Size() != 272 {
		t.Errorf("Size %d, want 272", tk.Size())
	}
	if tk.BOS != 256 || tk.EOS != 259 || tk.PAD != 257 || tk.UNK != -1 || tk.AddBOS || tk.MaxLength != 256 {
		t.Errorf("configuration: got BOS %d EOS %d PAD %d UNK %d AddBOS %v MaxLength %d", tk.BOS, tk.EOS, tk.PAD, tk.UNK, tk.AddBOS, tk.MaxLength)
	}
}

func TestConfig(t *testing.T) {
	tokenizer, err := os.ReadFile(filepath.Join(small, tokenizerFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, config, special, jinja string
		want                         Tokenizer
		templates                    map[string]string
	}{{
		name: "none",
		want: Tokenizer{BOS: -1, EOS: -1, PAD: -1, UNK: -1},
	}, {
		name: "both forms of a token",
		config: `{"bos_token": {"content": "<|bos|>"}, "eos_token": "<|im_end|>", "pad_token": null, "unk_token": "<nope>",
			"model_max_length": 1000000000000000019884624838656, "add_bos_token": true, "add_eos_token": null, "chat_template": "hi"}`,
		special:   `{"eos_token": "<|bos|>", "pad_token": {"content": "<|endoftext|>", "lstrip": false}}`,
		want:      Tokenizer{BOS: 256, EOS: 259, PAD: 257, UNK: -1, AddBOS: true, ChatTemplate: "hi"},
		templates: map[string]string{"default": "hi"},
	}, {
		name:      "named templates",
		config:    `{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}], "model_max_length": 32768}`,
		want:      Tokenizer{BOS: -1, EOS: -1, PAD: -1, UNK: -1, ChatTemplate: "d", MaxLength: 32768},
		templates: map[string]string{"default": "d", "tool_use": "t"},
	}, {
		name:      "a template file wins",
		config:    `{"chat_template": "old"}`,
		jinja:     "new",
		want:      Tokenizer{BOS: -1, EOS: -1, PAD: -1, UNK: -1, ChatTemplate: "new"},
		templates: map[string]string{"default": "new"},
	}} {
		files := map[string][]byte{tokenizerFile: tokenizer}
		for name, text := range map[string]string{configFile: c.config, specialTokensFile: c.special, templateFile: c.jinja} {
			if text != "" {
				files[name] = []byte(text)
			}
		}
		tk, err := parse(files)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, w := tk, c.want
		if got.BOS != w.BOS || got.EOS != w.EOS || got.PAD != w.PAD || got.UNK != w.UNK || got.AddBOS != w.AddBOS || got.AddEOS != w.AddEOS ||
			got.ChatTemplate != w.ChatTemplate || got.MaxLength != w.MaxLength || !maps.Equal(got.ChatTemplates, c.templates) {
			t.Errorf("%s: got BOS %d EOS %d PAD %d UNK %d AddBOS %v MaxLength %d templates %q", c.name, got.BOS, got.EOS, got.PAD, got.UNK, got.AddBOS, got.MaxLength, got.ChatTemplates)
		}
	}
}

func TestErrors(t *testing.T) {
	model := `{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}`
	with := func(field, value string) string { return `{"model": ` + model + `, "` + field + `": ` + value + `}` }
	bpe := func(rest string) string { return `{"model": {"type": "BPE", ` + rest + `}}` }
	for _, c := range []struct{ json, want string }{
		{``, `tokenizer.json: unexpected end of JSON input`},
		{`{"model": `, `unexpected end of JSON input`},
		{`[]`, `cannot unmarshal array`},
		{`{}`, `tokenizer.json: model is missing`},
		{`{"model": {"type": "WordPiece"}}`, `tokenizer.json: model type "WordPiece", want "BPE"`},
		{with("version", `"2.0"`), `tokenizer.json: version "2.0", want "1.0"`},
		{bpe(`"merges": []`), `model lacks vocab or merges`},
		{bpe(`"vocab": ["a"], "merges": []`), `model vocab: json: cannot unmarshal array`},
		{bpe(`"vocab": {"a": null}, "merges": []`), `model vocab: "null" is no token id`},
		{bpe(`"vocab": {"a": -1}, "merges": []`), `model vocab: "-1" is no token id`},
		{bpe(`"vocab": {"a": 0.5}, "merges": []`), `model vocab: "0.5" is no token id`},
		{bpe(`"vocab": {"a": 2147483648}, "merges": []`), `model vocab: "2147483648" is no token id`},
		{bpe(`"vocab": {"a": 0}, "merges": {}`), `model merges: json: cannot unmarshal object`},
		{bpe(`"vocab": {"a": 0}, "merges": [3]`), `model merges: json: cannot unmarshal number`},
		{bpe(`"vocab": {"a": 0}, "merges": ["aa"]`), `model merges[0]: "aa" is not two tokens`},
		{bpe(`"vocab": {"a": 0}, "merges": [["a"]]`), `model merges[0]: "a" is not two tokens`},
		{bpe(`"vocab": {"a": 0}, "merges": ["a b"]`), `model merges[0]: "b" is not in vocab`},
		{bpe(`"vocab": {"a": 0}, "merges": [["a", "a"]]`), `model merges[0]: "aa" is not in vocab`},
		{bpe(`"vocab": {"a": 0}, "merges": [], "unk_token": "u"`), `model unk_token "u" is not in vocab`},
		{bpe(`"vocab": {"a": 0}, "merges": [], "dropout": 0.1`), `model dropout 0.1, want none`},
		{bpe(`"vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"`), `end_of_word_suffix "</w>", want none`},
		{with("normalizer", `{"type": "NFD"}`), `normalizer type "NFD", want Sequence, NFC`},
		{with("normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "content": ""}]}`), `normalizer 1: pattern wants either String or Regex`},
		{with("normalizer", `{"type": "Replace", "pattern": {"Regex": "("}, "content": ""}`), `normalizer pattern "(": unmatched (`},
		{with("pre_tokenizer", `{"type": "BertPreTokenizer"}`), `pre_tokenizer type "BertPreTokenizer", want Sequence, Split`},
		{with("pre_tokenizer", `{"type": "Split", "pattern": {"Regex": "a"}, "behavior": "isolated"}`), `pre_tokenizer behavior "isolated", want Removed`},
		{with("pre_tokenizer", `{"type": "Metaspace", "replacement": "__"}`), `has replacement "__", want one character`},
		{with("pre_tokenizer", `{"type": "Metaspace", "replacement": "_", "add_prefix_space": false}`), `wants prepend_scheme "never"`},
		{with("post_processor", `{"type": "BertProcessing"}`), `post_processor type "BertProcessing", want TemplateProcessing`},
		{with("post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}`), `special_tokens lacks "<s>"`},
		{with("post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}]}`), `single[0] is neither`},
		{with("post_processor", `{"type": "TemplateProcessing", "single": []}`), `the Sequence A exactly once`},
		{with("decoder", `{"type": "WordPiece"}`), `decoder type "WordPiece", want Sequence, ByteLevel`},
		{with("decoder", `{"type": "Strip", "content": ""}`), `decoder of type "Strip" wants a content of one character`},
		{with("added_tokens", `[{"content": 3}]`), `added_tokens.content`},
	} {
		_, err := parse(map[string][]byte{tokenizerFile: []byte(c.json)})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), tokenizerFile+": ") {
			t.Errorf("%s:\n got %v\nwant %s", c.json, err, c.want)
		}
	}
	for name, text := range map[string]string{configFile: `{"bos_token": 3}`, specialTokensFile: `nope`} {
		_, err := parse(map[string][]byte{tokenizerFile: []byte(`{"model": ` + model + `}`), name: []byte(text)})
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s with %s: got %v", name, text, err)
		}
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), tokenizerFile) {
		t.Errorf("Load of an empty folder: got %v", err)
	}
}

func TestRegexErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`a)`:                      "unmatched )",
		`(a`:                      "unmatched (",
		`*a`:                      "* has nothing to repeat",
		`[a`:                      "] is missing",
		`[b-a]`:                   "two characters in order",
		`[[:nope:]]`:              "[:nope:] is not supported",
		`\p{Nope}`:                `\p{Nope} is not supported`,
		`\p{L`:                    "} is missing",
		`\`:                       `it ends in \`,
		`(a)\1`:                   `\1 is not supported`,
		`a\Xb`:                    `\X is not supported`,
		`(?x: a )`:                "(?x is not supported",
		`a{2,1}`:                  "{2,1} is no interval",
		`a{99999999}`:             "is no interval",
		`\x{110000}`:              "is no character code",
		strings.Repeat("(", 1000): "nested too deep",
		strings.Repeat("a", 2000): "more than 1000 characters",
	} {
		if _, err := newRegex(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %s", expression, err, want)
		}
	}
}

func TestLossy(t *testing.T) {
	for in, want := range map[string]string{
		"a\xF1\x80\x80\xE1\x80\xC2b\x80c\x80\xBFd": "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd", // of the Unicode standard, 3.9
		"\xF0\x90\x80":                 "\uFFFD",
		"\xF0\x80\x80":                 "\uFFFD\uFFFD\uFFFD",
		"\xE0\xA0\xE0\x80":             "\uFFFD\uFFFD\uFFFD",
		"\xED\xA0\x80":                 "\uFFFD\uFFFD\uFFFD",
		"\xF4\x8F\xBF\xF4\x90\xF5\xC0": "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
		"\uFFFDé":                      "\uFFFDé",
	} {
		if got := lossy([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestCache encodes more words than are remembered, some of them again.
func TestCache(t *testing.T) {
	tk := loadSmall(t)
	for round := range 2 {
		for i := range 3 * cachedWords {
			word := strconv.Itoa(i % (2 * cachedWords))
			if got, want := tk.model.encode(nil, word), tk.model.word(word); !slices.Equal(got, want) {
				t.Fatalf("round %d: %s is %v, want %v", round, word, got, want)
			}
		}
	}
}

func TestSave(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new", "folder")
	files := map[string][]byte{configFile: []byte("{ }\n"), templateFile: []byte("{{ messages }}")}
	var err error
	if files[tokenizerFile], err = os.ReadFile(filepath.Join(small, tokenizerFile)); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(from, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tk, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Save(to); err != nil {
		t.Fatal(err)
	}
	for _, name := range fileNames {
		got, err := os.ReadFile(filepath.Join(to, name))
		if want, ok := files[name]; ok != (err == nil) || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
}

// TestStream checks that the pieces are whole characters and make the text.
func TestStream(t *testing.T) {
	tk := loadSmall(t)
	s := NewStream(tk)
	var pieces []string
	for _, id := range []int32{'a', 0xE4, 0xBD, 0xA0, 259, 0xC3, 'b', 0xF0, 0x9F} {
		pieces = append(pieces, s.Push(id))
	}
	pieces = append(pieces, s.Flush())
	if want := []string{"a", "", "", "你", "", "", "\uFFFDb", "", "", "\uFFFD"}; !slices.Equal(pieces, want) {
		t.Errorf("got %q, want %q", pieces, want)
	}
	if got := s.Push('c') + s.Flush(); got != "c" {
		t.Errorf("after Flush: got %q, want \"c\"", got)
	}
}

// TestStreamFirstSpace has tokens whose text depends on whether they stand
// first, and byte tokens, one of them fitting nowhere.
func TestStreamFirstSpace(t *testing.T) {
	tk := loadRule(t, "byte fallback")
	for _, text := range []string{"a b  c", " a", "你 ab你b", "é😀"} {
		s, got := NewStream(tk), ""
		for _, id := range tk.Encode("▁"+text, true) {
			got += s.Push(id)
		}
		if got += s.Flush(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	s, got := NewStream(tk), ""
	for _, token := range []string{"<0xC3>", "<0xA9>", "<0xF0>", "a"} {
		id, _ := tk.ID(token)
		got += s.Push(id)
	}
	if got != "é\uFFFDa" {
		t.Errorf("got %q, want %q", got, "é\uFFFDa")
	}
}

// TestMergeNaive compares the heap with merging as it is defined.
func TestMergeNaive(t *testing.T) {
	tk := loadRule(t, "plain")
	letters := []int32{}
	for _, token := range []string{"a", "b", "c", "1", "2", "▁", "f", "i"} {
		id, _ := tk.ID(token)
		letters = append(letters, id)
	}
	random := newRandom()
	for range 2000 {
		word := make([]int32, random.IntN(30))
		for i := range word {
			word[i] = letters[random.IntN(len(letters))]
		}
		want := mergeNaive(tk.model.merges, slices.Clone(word))
		if got := tk.model.merge(slices.Clone(word)); !slices.Equal(got, want) {
			t.Fatalf("%v: got %v, want %v", word, got, want)
		}
	}
}

func mergeNaive(merges map[pair]merge, ids []int32) []int32 {
	for {
		best, at := merge{rank: 1 << 30}, -1
		for i := range len(ids) - 1 {
			if m, ok := merges[pairOf(ids[i], ids[i+1])]; ok && m.rank < best.rank {
				best, at = m, i
			}
		}
		if at < 0 {
			return ids
		}
		ids[at] = best.id
		ids = slices.Delete(ids, at+1, at+2)
	}
}

// TestLongWord would take hours if merging took quadratic time.
func TestLongWord(t *testing.T) {
	tk := loadRule(t, "byte fallback")
	text := strings.Repeat("12", 1<<19)
	if got := len(tk.Encode(text, false)); got != 1<<19 {
		t.Errorf("got %d tokens, want %d", got, 1<<19)
	}
}

// TestConcurrent is for the race detector; the words fill the cache often.
func TestConcurrent(t *testing.T) {
	tk := loadRule(t, "byte level truetrue")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			random := newRandom()
			for range 2000 {
				text := randomText(random, 40)
				// The rule puts a space before the text.
				if got := strings.TrimPrefix(tk.Decode(tk.Encode(text, false), false), " "); got != strings.TrimPrefix(text, " ") {
					t.Errorf("%q came back as %q", text, got)
				}
			}
		})
	}
	wait.Wait()
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{tokenizerFile, configFile} {
		data, err := os.ReadFile(filepath.Join(small, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte("{}"), "a b")
	}
	model := `{"model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "unk_token": "a", "byte_fallback": true}`
	f.Add([]byte(model+`, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a+(?i:b)|[^\\p{L}]{1,2}"}, "behavior": "Removed"}}`), []byte(`{"chat_template": [{}]}`), "ab é")
	f.Add([]byte(model+`, "added_tokens": [{"content": " a", "lstrip": true, "rstrip": true, "single_word": true}], "decoder": {"type": "Strip", "content": "a", "start": 9, "stop": 9}}`), []byte(`{"bos_token": {"content": "a"}}`), "b a a")
	f.Add([]byte(model+`, "normalizer": {"type": "Prepend", "prepend": "_"}, "pre_tokenizer": {"type": "Metaspace", "replacement": "_"}, "decoder": {"type": "ByteFallback"}}`), []byte(`{"model_max_length": -1e300}`), "\xff")
	f.Fuzz(func(t *testing.T, file, config []byte, text string) {
		tk, err := parse(map[string][]byte{tokenizerFile: file, configFile: config})
		if err != nil {
			return
		}
		ids := tk.Encode(text[:min(len(text), 64)], true)
		tk.Decode(ids, true)
		s := NewStream(tk)
		for _, id := range ids {
			s.Push(id)
		}
		s.Flush()
	})
}

// TestStreamOfNoCharacters streams bytes that are no characters, with some that
// are among them: what waits must not grow.
func TestStreamOfNoCharacters(t *testing.T) {
	tk := loadSmall(t)
	for _, text := range []string{strings.Repeat("\uFFFD", 3000), strings.Repeat("\uFFFD", 20) + "好" + strings.Repeat("\uFFFD", 9) + "\U0001F600\uFFFDa"} {
		s, got := NewStream(tk), ""
		for _, id := range tk.Encode(text, false) {
			if got += s.Push(id); len(s.ids) > 40 {
				t.Fatalf("%d ids wait", len(s.ids))
			}
		}
		if got += s.Flush(); got != text {
			t.Errorf("%.60q streamed as %.60q", text, got)
		}
	}
}

func FuzzEncodeDecode(f *testing.F) {
	tk := loadSmall(f)
	f.Add("hello <|im_end|> wörld 你好 \U0001F600\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			text = lossy([]byte(text))
		}
		ids := tk.Encode(text, false)
		if got := tk.Decode(ids, false); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
		s, got := NewStream(tk), ""
		for _, id := range ids {
			piece := s.Push(id)
			if !utf8.ValidString(piece) {
				t.Errorf("Push gave %q of %q", piece, text)
			}
			got += piece
		}
		if got += s.Flush(); got != tk.Decode(ids, true) {
			t.Errorf("%q streamed as %q", text, got)
		}
	})
}

func loadRule(t testing.TB, name string) *Tokenizer {
	t.Helper()
	for _, r := range readLines[rule](t, "testdata/rules.jsonl") {
		if r.Name == name {
			return r.load(t)
		}
	}
	t.Fatalf("testdata/rules.jsonl has no rule %q", name)
	return nil
}
