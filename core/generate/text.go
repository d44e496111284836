package generate

import (
	"strings"

	"swiftgo/core/tokenizer"
)

// text turns tokens into text, up to the first stop word. What may be the
// beginning of one is held back.
type text struct {
	stream *tokenizer.Stream
	stops  []string
	held   string
}

func newText(t *tokenizer.Tokenizer, stops []string) *text {
	return &text{stream: tokenizer.NewStream(t), stops: stops}
}

// push returns the text that id completes, and whether a stop word ends it.
func (t *text) push(id int32) (string, bool) {
	t.held += t.stream.Push(id)
	out, stopped := t.cut()
	if stopped {
		return out, true
	}
	keep := 0
	for _, stop := range t.stops {
		for n := min(len(stop)-1, len(out)); n > keep; n-- {
			if strings.HasSuffix(out, stop[:n]) {
				keep = n
			}
		}
	}
	t.held = out[len(out)-keep:]
	return out[:len(out)-keep], false
}

// flush returns the text that is left.
func (t *text) flush() (string, bool) {
	t.held += t.stream.Flush()
	out, stopped := t.cut()
	t.held = ""
	return out, stopped
}

// cut returns what is held up to the first stop word, and whether there is one.
func (t *text) cut() (string, bool) {
	end := -1
	for _, stop := range t.stops {
		if i := strings.Index(t.held, stop); i >= 0 && (end < 0 || i < end) {
			end = i
		}
	}
	if end < 0 {
		return t.held, false
	}
	return t.held[:end], true
}
