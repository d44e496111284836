package template

import (
	"slices"
	"strings"
)

// Thinking is how a family of models thinks before it answers.
type Thinking struct {
	Begin, End string // around a thought; <think> and </think> if they are ""
	Start      string // begins an answer of a model that always thinks, where it is to be written
	Past       string // stands for a thought that is left out

	AfterUser bool // only answers to the user begin with a thought, those to tools do not
	WithTools bool // where tools are on offer, the thoughts of earlier rounds stay
	OnlyLast  bool // only the last answer has a thought, or those from the first call on
	Answer    bool // what counts of an answer of an earlier round is in <answer> tags
}

// think gives the answers of a hybrid model without a thought the empty one
// that the model would write. With keep false it leaves the thoughts out of all
// rounds but the last, and with all false gives no other round an empty one.
func (c *Chat) think(turns []turn, keep, all bool) {
	t, empty := &c.Thinking, c.EmptyThought
	switch last := &turns[len(turns)-1]; {
	case empty == "" && t.Start == "":
		return
	case last.answer != nil:
	case t.Start != "":
		last.start = t.Start
	default:
		last.start = empty
	}
	if t.OnlyLast {
		t.onlyLast(turns, empty)
		return
	}
	begin, _ := t.tags()
	for i := range turns {
		for k := range turns[i].answer {
			p := &turns[i].answer[k]
			switch {
			case !keep && !turns[i].last:
				p.text = t.without(p.text, k == 0)
			case k > 0 || !all && !turns[i].last || turns[i].results != nil && t.AfterUser:
			case !strings.HasPrefix(p.text, begin) && !strings.HasPrefix(p.text, empty):
				p.text = empty + p.text
			}
		}
	}
}

// onlyLast is think for the family where only the last answer has a thought.
func (t *Thinking) onlyLast(turns []turn, empty string) {
	for i := len(turns) - 1; i >= 0; i-- {
		if answer := turns[i].answer; len(answer) > 0 {
			if begin, end := t.tags(); !strings.Contains(answer[0].text, begin) && !strings.Contains(answer[0].text, end) {
				answer[0].text = empty + answer[0].text
			}
			break
		}
	}
	until := slices.IndexFunc(turns, func(t turn) bool { return t.results != nil }) - 1 // the turn with the first call
	if until < 0 {
		until = len(turns)
		if turns[until-1].answer != nil {
			until-- // the answer that ends the conversation
		}
	}
	for i := range turns[:until] {
		for k := range turns[i].answer {
			p := &turns[i].answer[k]
			p.text = t.without(p.text, k == 0)
		}
	}
}

func (t *Thinking) tags() (begin, end string) {
	if t.Begin == "" {
		return "<think>", "</think>"
	}
	return t.Begin, t.End
}

// without returns a message of an earlier round without its thought. Only the
// first of a turn can have one that is missing.
func (t *Thinking) without(text string, first bool) string {
	_, end := t.tags()
	if t.Answer {
		end = "<answer>"
	}
	i := strings.LastIndex(text, end)
	if i < 0 && !first {
		return text
	}
	if i >= 0 {
		text = text[i+len(end):]
	}
	if t.Answer {
		text = strings.TrimSuffix(strings.TrimSpace(text), "</answer>")
	}
	text = strings.TrimSpace(text)
	if first {
		text = t.Past + text
	}
	return text
}
