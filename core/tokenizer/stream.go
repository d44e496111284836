package tokenizer

import "strings"

// Stream decodes a growing sequence of ids, special tokens left out, without
// ever giving half a character. It is for one goroutine.
type Stream struct {
	t   *Tokenizer
	ids []int32
	// ids[:shown] are given out already; they are kept because the text of a
	// token may depend on whether it stands first.
	shown int
}

// NewStream starts an empty sequence.
func NewStream(t *Tokenizer) *Stream { return &Stream{t: t} }

// Push appends an id and returns the text that became complete, "" while a
// character still lacks bytes.
func (s *Stream) Push(id int32) string {
	s.ids = append(s.ids, id)
	return s.take(false)
}

// Flush returns what is left, unfinished characters as U+FFFD, and starts
// over.
func (s *Stream) Flush() string {
	text := s.take(true)
	s.ids, s.shown = s.ids[:0], 0
	return text
}

func (s *Stream) take(all bool) string {
	old := s.t.Decode(s.ids[:s.shown], true)
	text := s.t.Decode(s.ids, true)
	if len(text) <= len(old) || strings.HasSuffix(text, "\uFFFD") && !all {
		return ""
	}
	s.ids = append(s.ids[:0], s.ids[s.shown:]...)
	s.shown = len(s.ids)
	if !strings.HasPrefix(text, old) {
		// A byte that fits nowhere made a whole run of byte tokens invalid,
		// part of which is given out already.
		return s.t.Decode(s.ids, true)
	}
	return text[len(old):]
}
