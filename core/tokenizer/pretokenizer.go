package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// piece is a part of the text on its way to become a word.
type piece struct {
	text  string
	start bool // stands at the start of the whole text
}

// preTokenizer is one step of cutting text into words.
type preTokenizer interface {
	split(in []piece) []piece
}

type preTokenSpec struct {
	Type             string         `json:"type"`
	Pretokenizers    []preTokenSpec `json:"pretokenizers"`
	Pattern          patternSpec    `json:"pattern"`
	Behavior         string         `json:"behavior"`
	Invert           bool           `json:"invert"`
	AddPrefixSpace   *bool          `json:"add_prefix_space"`
	UseRegex         *bool          `json:"use_regex"`
	IndividualDigits bool           `json:"individual_digits"`
	Replacement      string         `json:"replacement"`
	PrependScheme    string         `json:"prepend_scheme"`
	Split            *bool          `json:"split"`
}

func newPreTokenizers(spec *preTokenSpec) ([]preTokenizer, error) {
	if spec == nil {
		return nil, nil
	}
	switch spec.Type {
	case "Sequence":
		var all []preTokenizer
		for i := range spec.Pretokenizers {
			steps, err := newPreTokenizers(&spec.Pretokenizers[i])
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			all = append(all, steps...)
		}
		return all, nil
	case "Split":
		find, err := newPattern(spec.Pattern)
		if err != nil {
			return nil, err
		}
		if arrangements[spec.Behavior] == nil {
			return nil, fmt.Errorf("behavior %q, want Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", spec.Behavior)
		}
		return []preTokenizer{&splitter{find, spec.Behavior, spec.Invert}}, nil
	case "Digits":
		behavior := "Contiguous"
		if spec.IndividualDigits {
			behavior = "Isolated"
		}
		return []preTokenizer{&splitter{find: digits, behavior: behavior}}, nil
	case "ByteLevel":
		var steps []preTokenizer
		if spec.AddPrefixSpace == nil || *spec.AddPrefixSpace {
			steps = append(steps, prefixSpace{})
		}
		if spec.UseRegex == nil || *spec.UseRegex {
			steps = append(steps, &splitter{find: scanWith(scanGPT2), behavior: "Isolated"})
		}
		return append(steps, byteLevel{}), nil
	case "Metaspace":
		m, err := newMetaspace(spec.Replacement, spec.PrependScheme, spec.AddPrefixSpace)
		if err != nil {
			return nil, err
		}
		steps := []preTokenizer{m}
		if spec.Split == nil || *spec.Split {
			steps = append(steps, &splitter{find: literal(m.mark), behavior: "MergedWithNext"})
		}
		return steps, nil
	}
	return nil, fmt.Errorf("type %q, want Sequence, Split, Digits, ByteLevel or Metaspace", spec.Type)
}

// splitter cuts at the matches of a pattern.
type splitter struct {
	find     pattern
	behavior string
	invert   bool
}

func (s *splitter) split(in []piece) []piece {
	size := len(in)
	for _, p := range in {
		size += len(p.text) / 4 // about as many words as that
	}
	out, spans := make([]piece, 0, size), make([]span, 0, size)
	arrange := arrangements[s.behavior]
	for _, p := range in {
		spans = s.find(spans[:0], p.text)
		if s.invert {
			for i := range spans {
				spans[i].match = !spans[i].match
			}
		}
		for _, at := range arrange(spans) {
			if at.start < at.end {
				out = append(out, piece{p.text[at.start:at.end], p.start && at.start == 0})
			}
		}
	}
	return out
}

// arrangements say, by the name of the behaviour, what becomes of matches.
// They may reuse their argument.
var arrangements = map[string]func([]span) []span{
	"Isolated": func(spans []span) []span { return spans },
	"Removed": func(spans []span) []span {
		out := spans[:0]
		for _, s := range spans {
			if !s.match {
				out = append(out, s)
			}
		}
		return out
	},
	"Contiguous": func(spans []span) []span {
		return joinSpans(spans, func(last, s span) bool { return last.match == s.match })
	},
	"MergedWithPrevious": func(spans []span) []span {
		return joinSpans(spans, func(last, s span) bool { return s.match && !last.match })
	},
	"MergedWithNext": func(spans []span) []span {
		return joinSpans(spans, func(last, s span) bool { return last.match && !s.match })
	},
}

// joinSpans joins each span to the one before where join says so of the two.
func joinSpans(spans []span, join func(last, s span) bool) []span {
	out := spans[:0]
	var last span
	for i, s := range spans {
		if i > 0 && join(last, s) {
			out[len(out)-1].end = s.end
		} else {
			out = append(out, s)
		}
		last = s
	}
	return out
}

// prefixSpace puts a space before every piece that has none.
type prefixSpace struct{}

func (prefixSpace) split(in []piece) []piece {
	for i, p := range in {
		if !strings.HasPrefix(p.text, " ") {
			in[i].text = " " + p.text
		}
	}
	return in
}

// byteLevel writes every piece in the letters of its bytes.
type byteLevel struct{}

func (byteLevel) split(in []piece) []piece {
	for i := range in {
		in[i].text = byteLetters(in[i].text)
	}
	return in
}

var (
	letterOfByte [256]rune
	byteOfLetter = map[rune]byte{}
)

func init() {
	next := rune(256)
	for b := range letterOfByte {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = next
			next++
		}
		letterOfByte[b] = r
		byteOfLetter[r] = byte(b)
	}
}

func letterByte(r rune) (byte, bool) {
	b, ok := byteOfLetter[r]
	return b, ok
}

// byteLetters writes every byte as a printable letter: itself where it is a
// visible character of Latin-1, else one from U+0100 on.
func byteLetters(text string) string {
	all := make([]byte, 0, 2*len(text))
	for i := range len(text) {
		all = utf8.AppendRune(all, letterOfByte[text[i]])
	}
	return string(all)
}

// metaspace writes spaces as a mark, most often U+2581, and puts one before.
type metaspace struct {
	mark   string
	scheme string // "always", "first" or "never": which pieces get a mark before
}

func newMetaspace(mark, scheme string, addPrefixSpace *bool) (*metaspace, error) {
	if utf8.RuneCountInString(mark) != 1 {
		return nil, fmt.Errorf("of type \"Metaspace\" has replacement %q, want one character", mark)
	}
	switch scheme {
	case "":
		scheme = "always"
	case "always", "first", "never":
	default:
		return nil, fmt.Errorf("of type \"Metaspace\" has prepend_scheme %q, want always, first or never", scheme)
	}
	if addPrefixSpace != nil && !*addPrefixSpace && scheme != "never" {
		return nil, errors.New("of type \"Metaspace\" has add_prefix_space false, which wants prepend_scheme \"never\"")
	}
	return &metaspace{mark, scheme}, nil
}

func (m *metaspace) split(in []piece) []piece {
	for i, p := range in {
		text := strings.ReplaceAll(p.text, " ", m.mark)
		if (m.scheme == "always" || m.scheme == "first" && p.start) && !strings.HasPrefix(text, m.mark) {
			text = m.mark + text
		}
		in[i].text = text
	}
	return in
}

// decode is the way back; the first token loses its marks.
func (m *metaspace) decode(tokens []string) []string {
	for i, token := range tokens {
		space := " "
		if i == 0 && m.scheme != "never" {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(token, m.mark, space)
	}
	return tokens
}
