package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a text before it is split. A nil one changes nothing.
type normalizer func(string) string

type normalizerSpec struct {
	Type        string           `json:"type"`
	Normalizers []normalizerSpec `json:"normalizers"`
	Prepend     string           `json:"prepend"`
	Pattern     patternSpec      `json:"pattern"`
	Content     string           `json:"content"`
	StripLeft   bool             `json:"strip_left"`
	StripRight  bool             `json:"strip_right"`
}

func newNormalizer(spec *normalizerSpec) (normalizer, error) {
	if spec == nil {
		return nil, nil
	}
	switch spec.Type {
	case "Sequence":
		return newNormalizerSequence(spec.Normalizers)
	case "NFC":
		return unicodeForm(norm.NFC), nil
	case "NFKC":
		return unicodeForm(norm.NFKC), nil
	case "Lowercase":
		return lowercase, nil
	case "Strip":
		return func(s string) string {
			if spec.StripLeft {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if spec.StripRight {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}, nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return ""
			}
			return spec.Prepend + s
		}, nil
	case "Replace":
		return newReplacer(spec.Pattern, spec.Content)
	}
	return nil, fmt.Errorf("type %q, want Sequence, NFC, NFKC, Lowercase, Strip, Prepend or Replace", spec.Type)
}

func newNormalizerSequence(specs []normalizerSpec) (normalizer, error) {
	var steps []normalizer
	for i := range specs {
		step, err := newNormalizer(&specs[i])
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i, err)
		}
		if step != nil {
			steps = append(steps, step)
		}
	}
	if len(steps) == 0 {
		return nil, nil
	}
	return func(s string) string {
		for _, step := range steps {
			s = step(s)
		}
		return s
	}, nil
}

// newReplacer puts content, taken literally, in the place of every match.
func newReplacer(spec patternSpec, content string) (func(string) string, error) {
	if spec.String != nil {
		return func(s string) string { return strings.ReplaceAll(s, *spec.String, content) }, nil
	}
	find, err := newPattern(spec)
	if err != nil {
		return nil, err
	}
	return func(s string) string {
		var out strings.Builder
		for _, p := range find(nil, s) {
			if p.match {
				out.WriteString(content)
			} else {
				out.WriteString(s[p.start:p.end])
			}
		}
		return out.String()
	}, nil
}

// lowercase maps each character on its own; the only one that grows is İ.
func lowercase(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307"))
}

// unicodeForm normalises as Unicode 10 does, which is what the Rust library
// carries: characters that later versions gave a decomposition or a combining
// class pass through and, as they combine with nothing there, part the text.
func unicodeForm(form norm.Form) normalizer {
	return func(s string) string {
		if form.IsNormalString(s) { // then so are all parts of it
			return s
		}
		var out strings.Builder
		for s != "" {
			i := strings.IndexFunc(s, isInert)
			if i < 0 {
				i = len(s)
			}
			out.WriteString(form.String(s[:i]))
			_, n := utf8.DecodeRuneInString(s[i:])
			out.WriteString(s[i : i+n])
			s = s[i+n:]
		}
		return out.String()
	}
}

func isInert(r rune) bool { return r >= 0x7FD && unicode.Is(inert, r) }
