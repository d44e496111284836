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

// longestWait is how many ids may wait for the rest of a character. It has four
// bytes at most, so where more wait, all but the last few are no character.
const longestWait = 8

func (s *Stream) take(all bool) string {
	old := s.t.Decode(s.ids[:s.shown], true)
	text := s.t.Decode(s.ids, true)
	end := len(s.ids)
	if strings.HasSuffix(text, "\uFFFD") && !all {
		if end-s.shown < longestWait {
			return ""
		}
		if end, text = s.whole(text); end == 0 {
			return ""
		}
	}
	if len(text) <= len(old) {
		return ""
	}
	was := s.shown
	s.ids = append(s.ids[:0], s.ids[was:]...)
	s.shown = end - was
	if !strings.HasPrefix(text, old) {
		// A byte that fits nowhere made a whole run of byte tokens invalid,
		// part of which is given out already.
		return s.t.Decode(s.ids[:s.shown], true)
	}
	return text[len(old):]
}

// whole returns how many of the ids can be given out, and the text of those: all
// but three, in which a character may have begun, or less, so that none is cut in
// two. It is 0 if there is no such place.
func (s *Stream) whole(text string) (int, string) {
	for end := len(s.ids) - 3; end > s.shown && end >= len(s.ids)-6; end-- {
		if part := s.t.Decode(s.ids[:end], true); strings.HasPrefix(text, part) {
			return end, part
		}
	}
	return 0, ""
}
