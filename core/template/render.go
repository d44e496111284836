package template

import (
	"log/slog"
	"slices"
	"strings"
	"sync"

	"swiftgo/api"
)

// segment is a stretch of the rendered conversation.
type segment struct {
	api.Segment
	ids   []int32 // in place of text, for tokens that text cannot spell
	loss  *bool   // the message's own word on it
	scale *float64
}

var onlyLastRound sync.Once

// render writes the conversation; answered says that its last answer is whole,
// history that thoughts stay in the rounds before the last.
func (e *Encoder) render(c *Conversation, answered, history bool) ([]segment, error) {
	if e.Chat.own != nil {
		return e.Chat.own.render(e, c, answered)
	}
	turns, system, err := e.turns(c, history)
	if err != nil {
		return nil, err
	}
	if !e.Chat.Rounds() && len(turns) > 1 {
		onlyLastRound.Do(func() {
			slog.Warn("the template knows only one round; of longer conversations the last round is read", "template", e.Chat.Name)
		})
		turns = turns[len(turns)-1:]
	}
	w := &writer{e: e}
	var after []int32
	if e.Chat.AddBOS {
		var before []int32
		before, after = e.around()
		w.tokens(segment{}, before)
	}
	prefix, text := e.Chat.Prefix, ""
	if system != nil && *system != "" && e.Chat.SystemPrefix != nil {
		prefix, text = e.Chat.SystemPrefix, *system
	}
	for _, piece := range prefix {
		if piece == bosPiece {
			w.tokens(segment{}, []int32{e.Chat.BOS})
			continue
		}
		w.text(segment{}, strings.ReplaceAll(piece, "{{SYSTEM}}", text))
	}
	for i, t := range turns {
		prompt := t.prompt
		if prompt == nil {
			prompt = fill(e.Chat.Prompt, "{{QUERY}}", t.query)
		}
		user := segment{Segment: api.Segment{Role: api.User, LastRound: t.last && t.results != nil}}
		suffix := segment{Segment: api.Segment{Role: api.Suffix, LastRound: t.last}}
		w.text(user, prompt...)
		for _, p := range t.answer {
			w.text(segment{api.Segment{Role: api.Response, Query: t.query, LastRound: t.last}, nil, p.loss, p.scale}, p.text)
		}
		switch {
		case i+1 < len(turns):
			if turns[i+1].results == nil {
				w.text(user, e.Chat.Separator...)
			}
		case t.answer == nil:
			w.text(user, t.start)
		case !answered:
		case len(after) > 0:
			w.tokens(suffix, after)
		case !e.ended(t.answer[len(t.answer)-1].text):
			w.text(suffix, e.Chat.Suffix...)
		}
	}
	if e.Chat.trimNewline {
		trimNewlines(w.out)
	}
	return w.out, nil
}

// trimNewlines takes the new line off the text that a call follows, or nothing,
// as GLM writes it.
func trimNewlines(segments []segment) {
	for i := range segments {
		s := &segments[i]
		if !strings.HasSuffix(s.Text, "<|assistant|>\n") && !strings.HasSuffix(s.Text, "<think></think>\n") {
			continue
		}
		if i+1 == len(segments) || strings.Contains(segments[i+1].Text, "<|observation|>") {
			s.Text = strings.TrimSuffix(s.Text, "\n")
		}
	}
}

// writer collects segments, none of them empty.
type writer struct {
	e   *Encoder
	out []segment
}

func (w *writer) text(s segment, pieces ...string) {
	for _, s.Text = range pieces {
		switch {
		case s.Text == eosPiece && s.Role == api.Suffix:
			w.tokens(s, []int32{w.e.Chat.EOS})
		case s.Text != "":
			w.out = append(w.out, s)
		}
	}
}

func (w *writer) tokens(s segment, ids []int32) {
	if len(ids) > 0 {
		s.ids, s.Text = ids, w.e.Tokenizer.Decode(ids, false)
		w.out = append(w.out, s)
	}
}

// fill returns the pieces with text for every mark.
func fill(pieces []string, mark, text string) []string {
	var out []string // nil if pieces are
	for _, p := range pieces {
		out = append(out, strings.ReplaceAll(p, mark, text))
	}
	return out
}

// ended reports whether the text of an answer ends itself already.
func (e *Encoder) ended(answer string) bool {
	for _, stop := range slices.Concat(e.Chat.Suffix, e.Chat.Stop) {
		if strings.HasSuffix(answer, stop) {
			return true
		}
	}
	return false
}

// around returns the tokens that the tokenizer puts before and after a text.
func (e *Encoder) around() (before, after []int32) {
	plain, whole := e.Tokenizer.Encode("a", false), e.Tokenizer.Encode("a", true)
	for i := 0; i+len(plain) <= len(whole); i++ {
		if slices.Equal(whole[i:i+len(plain)], plain) {
			return whole[:i], whole[i+len(plain):]
		}
	}
	return nil, nil
}
