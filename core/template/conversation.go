package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/core/builtin"
)

// The roles of messages.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
	ToolCall  = "tool_call" // JSON, {"name": …, "arguments": …}
	Tool      = "tool"      // what a tool answered
)

// Roles is all of them.
var Roles = []string{System, User, Assistant, ToolCall, Tool}

// Conversation is one row of a dataset, or what a model is asked.
type Conversation struct {
	Messages []Message
	Tools    []api.Tool // on offer
}

// Message is one message of a conversation. Loss and LossScale, read on
// messages of the assistant and tool calls only, overrule the loss scale: Loss
// whether the message is trained on, LossScale its weight if it is.
type Message struct {
	Role      string
	Content   string
	Loss      *bool
	LossScale *float64
}

// Cut returns the conversation without the assistant's messages at its end,
// and their text: what a model would be asked, and the answer that is known.
func (c *Conversation) Cut() (question *Conversation, answer string) {
	n := len(c.Messages)
	for n > 0 && (c.Messages[n-1].Role == Assistant || c.Messages[n-1].Role == ToolCall) {
		n--
		if c.Messages[n].Role == Assistant {
			answer = c.Messages[n].Content + answer
		}
	}
	return &Conversation{Messages: c.Messages[:n], Tools: c.Tools}, answer
}

// ErrNoAgentTemplate is returned for a conversation with tools by an Encoder
// without an agent template.
var ErrNoAgentTemplate = errors.New("the conversation has tools, and nothing says how they are written; give --agent_template")

// turn is a message of the user, or what tools answered, and the answer to it.
type turn struct {
	at      int      // index of its first message
	query   string   // the user's text, or what the tools answered
	prompt  []string // a tools' turn as it is written; nil in a user's turn
	results []api.ToolResult
	answer  []part // nil if there is none yet
	start   string // what the model is given of the answer that it is to write
	last    bool   // comes after the last message of the user, or is its turn
}

// part is one message of the assistant.
type part struct {
	text  string
	loss  *bool
	scale *float64
}

// turns returns the conversation's turns, tools and all as they are written,
// and the system prompt, nil if there is none. With history false, thoughts
// are left out of the rounds before the last.
func (e *Encoder) turns(c *Conversation, history bool) ([]turn, *string, error) {
	if e.Chat.trim {
		c = &Conversation{Messages: trimmed(c.Messages), Tools: c.Tools}
	}
	messages, system, err := c.split()
	if err != nil {
		return nil, nil, err
	}
	tools := len(c.Tools) > 0 || slices.ContainsFunc(messages, func(m Message) bool { return m.Role == ToolCall || m.Role == Tool })
	switch {
	case tools && !e.Chat.Rounds():
		return nil, nil, fmt.Errorf("the conversation has tools, which chat template %s cannot write; choose another --template", e.Chat.Name)
	case tools && e.Tools == nil:
		return nil, nil, ErrNoAgentTemplate
	}
	turns, err := e.pair(messages, len(c.Messages)-len(messages))
	if err != nil {
		return nil, nil, err
	}
	markLast(turns)
	if err := e.formatResults(turns); err != nil {
		return nil, nil, err
	}
	e.Chat.think(turns, history || e.Chat.Thinking.WithTools && len(c.Tools) > 0, history)
	if system == nil {
		system = e.system()
	}
	if e.Chat.prepare != nil {
		system = e.Chat.prepare(e, turns, system)
	}
	if len(c.Tools) > 0 {
		p := &api.ToolPrompt{Tools: c.Tools, System: system, User: turns[0].query}
		offer, err := e.Tools.FormatTools(p)
		if err != nil {
			return nil, nil, fmt.Errorf("agent template: %w", err)
		}
		system, turns[0].query = &offer, p.User
	}
	if e.Chat.finish != nil {
		system = e.Chat.finish(turns, system, len(c.Tools) > 0)
	}
	return turns, system, nil
}

// trimmed returns messages without the space around them and their thoughts, as
// Qwen 3.5 was trained to read them.
func trimmed(messages []Message) []Message {
	messages = slices.Clone(messages)
	for i := range messages {
		m := &messages[i]
		if m.Role != ToolCall {
			m.Content = strings.TrimSpace(m.Content)
		}
		thought, answer, ok := strings.Cut(m.Content, "</think>")
		if m.Role != Assistant || !ok || !strings.Contains(m.Content, "<think>") {
			continue
		}
		if i := strings.LastIndex(thought, "<think>"); i >= 0 {
			thought = thought[i+len("<think>"):]
		}
		m.Content = "<think>\n" + strings.TrimSpace(thought) + "\n</think>\n\n" + strings.TrimLeft(answer, "\n")
	}
	return messages
}

// split returns the messages without the system prompt, and the system prompt.
func (c *Conversation) split() ([]Message, *string, error) {
	messages := c.Messages
	var system *string
	if len(messages) > 0 && messages[0].Role == System {
		system, messages = &messages[0].Content, messages[1:]
	}
	if len(messages) == 0 {
		return nil, nil, errors.New("the conversation has no message of a user or an assistant")
	}
	return messages, system, nil
}

// pair joins neighbouring messages of one author and pairs them up into turns.
// Message i of messages is message i+offset of the conversation.
func (e *Encoder) pair(messages []Message, offset int) ([]turn, error) {
	var turns []turn
	before := ""
	for i := 0; i < len(messages); i++ {
		m, at := messages[i], i+offset
		role := m.Role
		switch {
		case role == User && before == User:
			turns[len(turns)-1].query += m.Content
		case role == User && before == Tool:
			return nil, fmt.Errorf("messages[%d] is the user's and comes after a tool's; want one of the assistant", at)
		case role == User:
			turns = append(turns, turn{at: at, query: m.Content})
		case role == Tool:
			if before != Assistant && before != Tool {
				return nil, fmt.Errorf("messages[%d] is a tool's; want a tool_call or a message of the assistant before it", at)
			}
			if before == Assistant {
				turns = append(turns, turn{at: at})
			}
			last := &turns[len(turns)-1]
			last.results = append(last.results, api.ToolResult{Content: m.Content})
		case role == ToolCall || role == Assistant:
			p := part{m.Content, m.Loss, m.LossScale}
			if role == ToolCall {
				n := 1
				for i+n < len(messages) && messages[i+n].Role == ToolCall {
					n++
				}
				var err error
				text := ""
				if before == Assistant {
					answer := turns[len(turns)-1].answer
					text = answer[len(answer)-1].text
				}
				if p.text, err = e.formatCalls(messages[i:i+n], at, text); err != nil {
					return nil, err
				}
				i += n - 1
			}
			if len(turns) == 0 {
				turns = append(turns, turn{at: at})
			}
			last := &turns[len(turns)-1]
			last.answer = append(last.answer, p)
			role = Assistant
		default:
			return nil, fmt.Errorf("messages[%d] has role %q, want user, assistant, tool_call or tool here", at, role)
		}
		before = role
	}
	return turns, nil
}

func markLast(turns []turn) {
	for i := len(turns) - 1; i >= 0; i-- {
		turns[i].last = true
		if turns[i].results == nil {
			return
		}
	}
}

// formatCalls returns the text of neighbouring tool calls, the first of which
// is message at, after what the assistant wrote before them in the same turn.
func (e *Encoder) formatCalls(messages []Message, at int, before string) (string, error) {
	calls := make([]api.ToolCall, len(messages))
	for i, m := range messages {
		call, err := ParseToolCall(m.Content)
		if err != nil {
			return "", fmt.Errorf("messages[%d]: %w", at+i, err)
		}
		calls[i] = call
	}
	text, err := e.Tools.FormatCalls(calls)
	if joiner, ok := e.Tools.(api.CallJoiner); ok && err == nil {
		text, err = joiner.JoinCalls(before, text)
	}
	if err != nil {
		return "", fmt.Errorf("agent template: messages[%d]: %w", at, err)
	}
	return text, nil
}

// ParseToolCall reads the content of a tool_call message: JSON, or a Python
// literal, with name and arguments or parameters.
func ParseToolCall(text string) (api.ToolCall, error) {
	call, err := builtin.ParseCall(text)
	if err != nil {
		return call, fmt.Errorf(`tool_call is %.60q, want {"name": …, "arguments": …}: %w`, text, err)
	}
	return call, nil
}

// formatResults writes what tools answered.
func (e *Encoder) formatResults(turns []turn) error {
	for i := range turns {
		t := &turns[i]
		if t.results == nil {
			continue
		}
		before := turns[i-1].answer
		call := &before[len(before)-1]
		contents := make([]string, len(t.results))
		for k, r := range t.results {
			contents[k] = r.Content
		}
		r := &api.ToolResults{Assistant: call.text, Results: t.results, Chat: api.Chat{Prompt: e.Chat.Prompt, Separator: e.Chat.Separator}}
		prompt, err := e.Tools.FormatResults(r)
		if err != nil {
			return fmt.Errorf("agent template: messages[%d]: %w", t.at, err)
		}
		call.text, t.query, t.prompt = r.Assistant, strings.Join(contents, "\n"), prompt
	}
	return nil
}

// system returns the system prompt of a conversation without one of its own.
func (e *Encoder) system() *string {
	switch {
	case e.System != "":
		return &e.System
	case e.Chat.System != "":
		return &e.Chat.System
	}
	return nil
}

// NewToolCall returns the message that makes a call.
func NewToolCall(call api.ToolCall) Message {
	arguments := json.RawMessage(call.Arguments)
	if !json.Valid(arguments) { // a model's slip: it stays a text
		arguments, _ = json.Marshal(call.Arguments)
	}
	text, _ := json.Marshal(struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}{call.Name, arguments}) // texts and valid JSON cannot fail
	return Message{Role: ToolCall, Content: string(text)}
}

// BeforeCalls returns what an answer says before the calls in it, "" if it does
// not end with them as the agent template writes them.
func (e *Encoder) BeforeCalls(answer string, calls []api.ToolCall) string {
	written, err := e.Tools.FormatCalls(calls)
	if err != nil {
		return ""
	}
	before, ok := strings.CutSuffix(strings.TrimSpace(answer), strings.TrimSpace(written))
	if !ok {
		return ""
	}
	return strings.TrimSpace(before)
}
