package template

import (
	"errors"
	"fmt"
	"strings"

	"swiftgo/api"
	"swiftgo/core/jinja"
	"swiftgo/core/tokenizer"
)

// own writes conversations in the Jinja template that the model itself brings.
//
// Such a template writes a whole conversation, and says only seldom, with
// generation tags, what of it is the assistant's. Elsewhere an answer is what comes
// after the conversation before it, written with the invitation to answer.
type own struct {
	plain, tools *jinja.Template // tools: with tools on offer
	bos, eos     string
	suffix       string // ends the last answer
}

// Own returns the chat template that the model brings.
func Own(tok *tokenizer.Tokenizer) (*Chat, error) {
	if tok.ChatTemplate == "" {
		return nil, errors.New("the model has no chat template of its own, in tokenizer_config.json or chat_template.jinja; want --template_backend swift")
	}
	o := &own{bos: tok.Token(tok.BOS), eos: tok.Token(tok.EOS)}
	var err error
	if o.plain, err = jinja.Parse("chat_template", tok.ChatTemplate); err != nil {
		return nil, err
	}
	o.tools = o.plain
	if text, ok := tok.ChatTemplates["tool_use"]; ok {
		if o.tools, err = jinja.Parse("chat_template tool_use", text); err != nil {
			return nil, err
		}
	}
	if err := o.learnSuffix(); err != nil {
		return nil, fmt.Errorf("chat_template: %w; want --template_backend swift", err)
	}
	c := &Chat{Name: "of the model", own: o, Separator: []string{}, BOS: tok.BOS, EOS: tok.EOS}
	if ids := tok.Encode(o.suffix, false); len(ids) > 0 && tok.IsSpecial(ids[0]) {
		c.Stop = []string{tok.Token(ids[0])}
	}
	return c, nil
}

// learnSuffix finds out what ends an answer.
func (o *own) learnSuffix() error {
	const question, answer = "a question", "an answer"
	after := func(what string, invite bool, messages ...jinja.Value) (string, error) {
		text, err := o.write(messages, nil, invite)
		if err != nil {
			return "", err
		}
		at := strings.LastIndex(text.Text, what)
		if at < 0 {
			return "", fmt.Errorf("%q is not in what it writes of it", what)
		}
		return text.Text[at+len(what):], nil
	}
	asked, err := after(question, true, said(User, question))
	if err != nil {
		return err
	}
	if o.suffix, err = after(answer, false, said(User, question), said(Assistant, answer)); err != nil {
		return err
	}
	next, err := after(answer, false, said(User, question), said(Assistant, answer), said(User, "another"))
	if err != nil {
		return err
	}
	if o.suffix == asked && !strings.HasPrefix(next, asked) {
		return errors.New("it asks for an answer after the last one too, so what ends an answer cannot be told")
	}
	return nil
}

// said is a message as templates read it.
func said(role, content string) jinja.Value {
	m := jinja.NewDict()
	m.Set("role", role)
	m.Set("content", content)
	return m
}

// write writes messages; with invite, up to where the assistant begins.
func (o *own) write(messages []jinja.Value, tools jinja.Value, invite bool) (jinja.Result, error) {
	vars := jinja.NewDict()
	for name, v := range map[string]any{"messages": jinja.NewList(messages...), "tools": tools, "documents": nil,
		"add_generation_prompt": invite, "bos_token": o.bos, "eos_token": o.eos} {
		if err := vars.Set(name, v); err != nil {
			return jinja.Result{}, err
		}
	}
	t := o.plain
	if tools != nil {
		t = o.tools
	}
	return t.Execute(vars, jinja.Options{})
}

// script is a conversation as templates read it.
type script struct {
	messages []jinja.Value
	tools    jinja.Value // nil if there are none
	answers  []answer
	lastUser int // index of the last message of the user
}

// answer is a message of the script that is the assistant's, with its calls.
type answer struct {
	at    int // index
	query string
	loss  *bool
	scale *float64
}

// script returns the conversation as templates read it: calls are part of a
// message, and have ids that the tools' answers name.
func (e *Encoder) script(c *Conversation) (*script, error) {
	s := &script{lastUser: -1}
	messages, system, err := c.split()
	if err != nil {
		return nil, err
	}
	if system == nil {
		system = e.system()
	}
	if system != nil {
		s.messages = append(s.messages, said(System, *system))
	}
	if len(c.Tools) > 0 {
		var tools []jinja.Value
		for _, t := range c.Tools {
			v, err := jinja.DecodeJSON(t.JSON)
			if err != nil {
				return nil, fmt.Errorf("tool %s: %w", t.Name, err)
			}
			tools = append(tools, v)
		}
		s.tools = jinja.NewList(tools...)
	}
	var calls []jinja.Value // of the last message
	answered, query := 0, ""
	for i, m := range messages {
		at := len(c.Messages) - len(messages) + i
		last := len(s.messages) - 1
		mine := len(s.answers) > 0 && s.answers[len(s.answers)-1].at == last
		switch m.Role {
		case User:
			s.lastUser, query = last+1, m.Content
			s.messages = append(s.messages, said(User, m.Content))
		case Assistant:
			calls, answered = nil, 0
			s.answers = append(s.answers, answer{last + 1, query, m.Loss, m.LossScale})
			s.messages = append(s.messages, said(Assistant, m.Content))
		case ToolCall:
			call, err := called(m.Content, len(s.messages)*100+len(calls))
			if err != nil {
				return nil, fmt.Errorf("messages[%d]: %w", at, err)
			}
			if !mine {
				calls, answered = nil, 0
				s.answers = append(s.answers, answer{last + 1, query, m.Loss, m.LossScale})
				s.messages = append(s.messages, said(Assistant, ""))
			}
			calls = append(calls, call)
			s.messages[len(s.messages)-1].(*jinja.Dict).Set("tool_calls", jinja.NewList(calls...))
		case Tool:
			if len(s.answers) == 0 {
				return nil, fmt.Errorf("messages[%d] is a tool's; want a tool_call or a message of the assistant before it", at)
			}
			query = m.Content
			result := said(Tool, m.Content).(*jinja.Dict)
			if answered < len(calls) {
				id, _ := calls[answered].(*jinja.Dict).Get("id")
				function, _ := calls[answered].(*jinja.Dict).Get("function")
				name, _ := function.(*jinja.Dict).Get("name")
				result.Set("name", name)
				result.Set("tool_call_id", id)
				answered++
			}
			s.messages = append(s.messages, result)
		default:
			return nil, fmt.Errorf("messages[%d] has role %q, want user, assistant, tool_call or tool here", at, m.Role)
		}
	}
	return s, nil
}

// called returns a call as templates read it, with an id of the nine letters and
// digits that Mistral's templates insist on.
func called(content string, n int) (jinja.Value, error) {
	call, err := ParseToolCall(content)
	if err != nil {
		return nil, err
	}
	var arguments jinja.Value = call.Arguments
	if v, err := jinja.DecodeJSON([]byte(call.Arguments)); err == nil {
		arguments = v
	}
	function, c := jinja.NewDict(), jinja.NewDict()
	function.Set("name", call.Name)
	function.Set("arguments", arguments)
	c.Set("type", "function")
	c.Set("id", fmt.Sprintf("call%05d", n%100000))
	c.Set("function", function)
	return c, nil
}

// render writes the conversation in the model's own template. Of an answer that
// is not whole the end is left out.
func (o *own) render(e *Encoder, c *Conversation, whole bool) ([]segment, error) {
	s, err := e.script(c)
	if err != nil {
		return nil, err
	}
	n := len(s.answers)
	open := n == 0 || s.answers[n-1].at < len(s.messages)-1 // the assistant is to answer
	all, err := o.write(s.messages, s.tools, open)
	if err != nil {
		return nil, err
	}
	if s.tools != nil {
		if without, err := o.write(s.messages, nil, open); err == nil && without.Text == all.Text {
			return nil, errors.New("the conversation offers tools, and the model's chat template does not write them; want --template_backend swift")
		}
	}
	spans := all.Generations
	if len(spans) == 0 || all.Unplaced {
		if spans, err = o.find(all.Text, s); err != nil {
			return nil, err
		}
	}
	last, err := o.reach(all.Text, s.messages[:s.lastUser+1], s.tools, true)
	if err != nil {
		return nil, err
	}
	w := &writer{e: e}
	from := 0
	for i, at := range spans {
		a := answer{}
		if len(spans) == n {
			a = s.answers[i]
		}
		text := all.Text[at[0]:at[1]]
		suffix := ""
		if o.suffix != "" && strings.HasSuffix(text, o.suffix) {
			text, suffix = strings.TrimSuffix(text, o.suffix), o.suffix
		}
		if i == len(spans)-1 && !open && !whole {
			suffix, all.Text = "", all.Text[:at[1]]
		}
		w.text(segment{}, all.Text[from:at[0]])
		w.text(segment{api.Segment{Role: api.Response, Query: a.query, LastRound: at[0] >= last}, nil, a.loss, a.scale}, text)
		w.text(segment{Segment: api.Segment{Role: api.Suffix, LastRound: at[0] >= last}, loss: a.loss}, suffix)
		from = at[1]
	}
	w.text(segment{}, all.Text[from:])
	return w.out, nil
}

// reach returns how far text begins as the messages do, with the invitation to
// answer them or without.
func (o *own) reach(text string, messages []jinja.Value, tools jinja.Value, invite bool) (int, error) {
	if len(messages) == 0 {
		return 0, nil
	}
	before, err := o.write(messages, tools, invite)
	if err != nil {
		return 0, err
	}
	n := 0
	for n < min(len(text), len(before.Text)) && text[n] == before.Text[n] {
		n++
	}
	return n, nil
}

// errUnclear is the error of a template that does not let its answers be found.
var errUnclear = errors.New("the model's chat template writes what comes before an answer in another way once it is answered, and has no generation tags, so what is the assistant's cannot be told; want --template_backend swift")

// find returns where in text the answers are, each with what ends it.
func (o *own) find(text string, s *script) ([][2]int, error) {
	var spans [][2]int
	for i, a := range s.answers {
		begin, err := o.reach(text, s.messages[:a.at], s.tools, true)
		if err != nil {
			return nil, err
		}
		end := len(text)
		if i < len(s.answers)-1 || a.at < len(s.messages)-1 {
			if end, err = o.end(text, begin, s, a.at); err != nil {
				return nil, err
			}
		}
		if i > 0 && begin < spans[i-1][1] || begin >= end || s.mixed(text[begin:end], a.at) {
			return nil, errUnclear
		}
		spans = append(spans, [2]int{begin, end})
	}
	return spans, nil
}

// end returns where the answer at begin ends: where the conversation up to it
// does, as far as it is written so; if the answer itself is not, after the next
// suffix.
func (o *own) end(text string, begin int, s *script, at int) (int, error) {
	n, err := o.reach(text, s.messages[:at+1], s.tools, false)
	if err != nil {
		return 0, err
	}
	content := strings.TrimSpace(s.content(at))
	if content == "" {
		content = s.firstCall(at)
	}
	if i := strings.Index(text[begin:max(begin, n)], content); i >= 0 {
		over := begin + i + len(content) // n may be within a token that only begins as the other does
		return over + strings.LastIndexAny(text[over:n], ">]\n") + 1, nil
	}
	for _, suffix := range []string{o.suffix, strings.TrimSpace(o.suffix)} {
		if i := strings.Index(text[begin:], suffix); suffix != "" && i >= 0 {
			return begin + i + len(suffix), nil
		}
	}
	return 0, errUnclear
}

func (s *script) content(i int) string {
	v, _ := s.messages[i].(*jinja.Dict).Get("content")
	return v.(string)
}

// firstCall returns the name of the first tool that message i calls.
func (s *script) firstCall(i int) string {
	calls, ok := s.messages[i].(*jinja.Dict).Get("tool_calls")
	if !ok {
		return ""
	}
	function, _ := calls.(*jinja.List).Items()[0].(*jinja.Dict).Get("function")
	name, _ := function.(*jinja.Dict).Get("name")
	return name.(string)
}

// mixed reports whether what should be the answer at holds a message beside it.
func (s *script) mixed(text string, at int) bool {
	for _, i := range []int{at - 1, at + 1} {
		if i < 0 || i >= len(s.messages) {
			continue
		}
		if other := strings.TrimSpace(s.content(i)); other != "" && strings.Contains(text, other) && !strings.Contains(s.content(at), other) {
			return true
		}
	}
	return false
}
