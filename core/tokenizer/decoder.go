package tokenizer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder is one step from tokens to text.
type decoder func(tokens []string) []string

type decoderSpec struct {
	Type           string        `json:"type"`
	Decoders       []decoderSpec `json:"decoders"`
	Pattern        patternSpec   `json:"pattern"`
	Content        string        `json:"content"`
	Start          int           `json:"start"`
	Stop           int           `json:"stop"`
	Replacement    string        `json:"replacement"`
	PrependScheme  string        `json:"prepend_scheme"`
	AddPrefixSpace *bool         `json:"add_prefix_space"`
}

func newDecoders(spec *decoderSpec) ([]decoder, error) {
	if spec == nil {
		return nil, nil
	}
	switch spec.Type {
	case "Sequence":
		var all []decoder
		for i := range spec.Decoders {
			steps, err := newDecoders(&spec.Decoders[i])
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			all = append(all, steps...)
		}
		return all, nil
	case "ByteLevel":
		return []decoder{decodeByteLevel}, nil
	case "ByteFallback":
		return []decoder{decodeByteFallback}, nil
	case "Fuse":
		return []decoder{func(tokens []string) []string {
			return []string{strings.Join(tokens, "")}
		}}, nil
	case "Replace":
		replace, err := newReplacer(spec.Pattern, spec.Content)
		return []decoder{eachToken(replace)}, err
	case "Strip":
		if utf8.RuneCountInString(spec.Content) != 1 || spec.Start < 0 || spec.Stop < 0 {
			return nil, errors.New("of type \"Strip\" wants a content of one character and no negative start or stop")
		}
		return []decoder{eachToken(spec.strip)}, nil
	case "Metaspace":
		m, err := newMetaspace(spec.Replacement, spec.PrependScheme, spec.AddPrefixSpace)
		if err != nil {
			return nil, err
		}
		return []decoder{m.decode}, nil
	}
	return nil, fmt.Errorf("type %q, want Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip or Metaspace", spec.Type)
}

func eachToken(change func(string) string) decoder {
	return func(tokens []string) []string {
		for i, token := range tokens {
			tokens[i] = change(token)
		}
		return tokens
	}
}

// strip takes up to Start times the content from the front of a token and up
// to Stop times from its end.
func (spec *decoderSpec) strip(token string) string {
	for range min(spec.Start, len(token)) {
		token = strings.TrimPrefix(token, spec.Content)
	}
	for range min(spec.Stop, len(token)) {
		token = strings.TrimSuffix(token, spec.Content)
	}
	return token
}

// decodeByteLevel turns the byte alphabet back into bytes. A token with any
// other character stands for itself.
func decodeByteLevel(tokens []string) []string {
	var text []byte
	for _, token := range tokens {
		start := len(text)
		for _, r := range token {
			b, ok := letterByte(r)
			if !ok {
				text = append(text[:start], token...)
				break
			}
			text = append(text, b)
		}
	}
	return []string{lossy(text)}
}

// decodeByteFallback turns runs of tokens like <0xE4> into the text of their
// bytes, or into one U+FFFD a byte where they are no valid UTF-8.
func decodeByteFallback(tokens []string) []string {
	out := make([]string, 0, len(tokens))
	var run []byte
	flush := func() {
		if utf8.Valid(run) {
			out = append(out, string(run))
		} else {
			out = append(out, strings.Repeat("\uFFFD", len(run)))
		}
		run = run[:0]
	}
	for _, token := range tokens {
		if b, ok := fallbackByte(token); ok {
			run = append(run, b)
			continue
		}
		if len(run) > 0 {
			flush()
		}
		out = append(out, token)
	}
	if len(run) > 0 {
		flush()
	}
	return out
}

func fallbackByte(token string) (byte, bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(b), err == nil
}
