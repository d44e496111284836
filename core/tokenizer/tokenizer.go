// Package tokenizer reads a Hugging Face tokenizer directory and turns text
// into token ids and back, id for id as the Rust tokenizers library does.
//
// Read [Load] and [Tokenizer.Encode] first. A text passes through the rooms
// in this order, one file each: added tokens are cut out (added.go), the rest
// is normalised (normalizer.go), split into words (pretokenizer.go, with
// pattern.go and scanner.go for the regular expressions), each word is merged
// by BPE (bpe.go), and special tokens are put around the whole
// (postprocessor.go). Decoding runs decoder.go; stream.go does it token by
// token. config.go reads what stands beside tokenizer.json.
package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Tokenizer encodes and decodes. It is immutable after Load and safe for
// concurrent use.
type Tokenizer struct {
	// BOS, EOS, PAD and UNK are the ids of the tokens that the configuration
	// names, -1 where it names none or one that is not in the vocabulary.
	BOS, EOS, PAD, UNK int32

	// ChatTemplate is the default chat template, "" where there is none.
	ChatTemplate string
	// ChatTemplates holds every template by name where the configuration
	// gives several; "default" is ChatTemplate.
	ChatTemplates map[string]string

	// MaxLength is model_max_length in tokens, 0 where none is given.
	MaxLength int
	// AddBOS and AddEOS are add_bos_token and add_eos_token of the
	// configuration. Encode does not read them: it follows tokenizer.json.
	AddBOS, AddEOS bool

	model     *bpe
	normalize normalizer
	split     []preTokenizer
	raw       addedMatcher // added tokens looked for in the text as it came
	cooked    addedMatcher // added tokens looked for in the normalised text
	added     map[int32]addedToken
	addedID   map[string]int32
	before    []int32 // put before an encoded text by the post-processor
	after     []int32
	decoders  []decoder
	hasChain  bool // tokenizer.json names a decoder
	size      int

	files map[string][]byte // as read, for Save
}

const tokenizerFile = "tokenizer.json"

// fileNames are the files a tokenizer consists of, all but the first optional.
var fileNames = []string{tokenizerFile, configFile, specialTokensFile, templateFile}

// Load reads dir/tokenizer.json and, where present, tokenizer_config.json,
// special_tokens_map.json and chat_template.jinja. The truncation and padding
// that tokenizer.json may carry are left to the caller.
func Load(dir string) (*Tokenizer, error) {
	files := map[string][]byte{}
	for _, name := range fileNames {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name != tokenizerFile {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		files[name] = data
	}
	t, err := parse(files)
	if err != nil {
		return nil, fmt.Errorf("tokenizer in %s: %w", dir, err)
	}
	return t, nil
}

func parse(files map[string][]byte) (*Tokenizer, error) {
	t := &Tokenizer{files: files}
	if err := t.parseTokenizer(files[tokenizerFile]); err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	if err := t.parseConfig(files); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tokenizer) parseTokenizer(data []byte) error {
	var file struct {
		Version       *string          `json:"version"`
		AddedTokens   []addedToken     `json:"added_tokens"`
		Normalizer    *normalizerSpec  `json:"normalizer"`
		PreTokenizer  *preTokenSpec    `json:"pre_tokenizer"`
		PostProcessor *postProcessSpec `json:"post_processor"`
		Decoder       *decoderSpec     `json:"decoder"`
		Model         *bpeSpec         `json:"model"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	if file.Version != nil && *file.Version != "1.0" {
		return fmt.Errorf("version %q, want \"1.0\"", *file.Version)
	}
	if file.Model == nil {
		return errors.New("model is missing")
	}
	var err error
	if t.model, err = newBPE(file.Model); err != nil {
		return fmt.Errorf("model %w", err)
	}
	if t.normalize, err = newNormalizer(file.Normalizer); err != nil {
		return fmt.Errorf("normalizer %w", err)
	}
	if t.split, err = newPreTokenizers(file.PreTokenizer); err != nil {
		return fmt.Errorf("pre_tokenizer %w", err)
	}
	if n := len(t.split); n > 0 && t.split[n-1] == (byteLevel{}) { // the model does it for words that it has not seen
		t.split, t.model.byteLevel = t.split[:n-1], true
	}
	if t.before, t.after, err = newPostProcessor(file.PostProcessor); err != nil {
		return fmt.Errorf("post_processor %w", err)
	}
	if t.decoders, err = newDecoders(file.Decoder); err != nil {
		return fmt.Errorf("decoder %w", err)
	}
	t.hasChain = file.Decoder != nil
	t.addTokens(file.AddedTokens)
	return nil
}

// Encode returns the ids of text. Added tokens are recognised wherever they
// stand in it. With special, the post-processor of tokenizer.json puts its
// tokens around the result, as encode(add_special_tokens=True) does.
func (t *Tokenizer) Encode(text string, special bool) []int32 {
	if !utf8.ValidString(text) {
		text = lossy([]byte(text))
	}
	ids := make([]int32, 0, len(text)/3+len(t.before)+len(t.after))
	if special {
		ids = append(ids, t.before...)
	}
	start := true
	t.raw.cut(text, func(part string, id int32) {
		if id >= 0 {
			ids = append(ids, id)
		} else {
			ids = t.encodePlain(ids, part, start)
		}
		start = false
	})
	if special {
		ids = append(ids, t.after...)
	}
	return ids
}

// encodePlain encodes a stretch that holds no added token of the raw kind;
// start says that it stands at the start of the text.
func (t *Tokenizer) encodePlain(ids []int32, text string, start bool) []int32 {
	if t.normalize != nil {
		text = t.normalize(text)
	}
	var pieces []piece
	t.cooked.cut(text, func(part string, id int32) {
		if id >= 0 {
			ids = append(ids, id)
		} else {
			pieces = append(pieces[:0], piece{part, start})
			for _, stage := range t.split {
				pieces = stage.split(pieces)
			}
			for _, word := range pieces {
				ids = t.model.encode(ids, word.text)
			}
		}
		start = false
	})
	return ids
}

// Decode returns the text of ids. Ids without a token are left out, with
// skipSpecial the special tokens too. Bytes that form no valid UTF-8 become
// U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		token, ok := t.token(id)
		if ok && !(skipSpecial && t.IsSpecial(id)) {
			tokens = append(tokens, token)
		}
	}
	if !t.hasChain {
		return strings.Join(tokens, " ")
	}
	for _, d := range t.decoders {
		tokens = d(tokens)
	}
	return strings.Join(tokens, "")
}

// ID returns the id of a token as it is written in the vocabulary.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.addedID[token]; ok {
		return id, true
	}
	id, ok := t.model.vocab[token]
	return id, ok
}

// Token returns the token of an id as it is written in the vocabulary, ""
// where the id has none.
func (t *Tokenizer) Token(id int32) string {
	token, _ := t.token(id)
	return token
}

func (t *Tokenizer) token(id int32) (string, bool) {
	if a, ok := t.added[id]; ok {
		return a.Content, true
	}
	token, ok := t.model.tokens[id]
	return token, ok
}

// Size is the largest id plus one: the rows an embedding must have.
func (t *Tokenizer) Size() int { return t.size }

// IsSpecial reports whether id is a special token, one that
// Decode(ids, true) leaves out.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.added[id].Special }

// Save writes the files that Load read, byte for byte, into dir, which it
// creates where it is missing.
func (t *Tokenizer) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save tokenizer: %w", err)
	}
	for name, data := range t.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("save tokenizer: %w", err)
		}
	}
	return nil
}

// lossy returns b as text with one U+FFFD for each maximal ill-formed part,
// as Unicode recommends and Rust's from_utf8_lossy does. strings.ToValidUTF8
// would make one of a whole run.
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = illFormed(b)
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

// illFormed is the length of the maximal ill-formed part that b starts with:
// the longest start of a well-formed sequence, or one byte.
func illFormed(b []byte) int {
	need, low, high := 0, byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= need && n < len(b) && b[n] >= low && b[n] <= high {
		n++
		low, high = 0x80, 0xBF
	}
	return n
}
