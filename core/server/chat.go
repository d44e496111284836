package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"swiftgo/api"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
)

// chatRequest is what POST /v1/chat/completions is sent.
type chatRequest struct {
	common
	Messages          json.RawMessage `json:"messages"`
	Tools             json.RawMessage `json:"tools"`
	ToolChoice        json.RawMessage `json:"tool_choice"`
	ParallelToolCalls *bool           `json:"parallel_tool_calls"`
	Logprobs          bool            `json:"logprobs"`
	TopLogprobs       int             `json:"top_logprobs"`
}

// offers reports whether the model may call tools.
func (q *chatRequest) offers() (bool, error) {
	var none []json.RawMessage
	if q.Tools == nil || string(q.Tools) == "null" || json.Unmarshal(q.Tools, &none) == nil && len(none) == 0 {
		return false, nil
	}
	switch string(q.ToolChoice) {
	case "", "null", `"auto"`:
		return true, nil
	case `"none"`:
		return false, nil
	}
	return false, bad("tool_choice is %.60s, want auto or none: a model cannot be made to call a tool", q.ToolChoice)
}

// object is a chat completion or a completion, or a chunk of one.
type object[choice any] struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
}

type chatChoice struct {
	Index        int                `json:"index"`
	Message      *chatMessage       `json:"message,omitempty"` // of a whole answer
	Delta        *chatMessage       `json:"delta,omitempty"`   // of a chunk
	Logprobs     *generate.Logprobs `json:"logprobs"`
	FinishReason *string            `json:"finish_reason"`
}

// chatMessage is a message of the assistant, or what is new of it.
type chatMessage struct {
	Role      string     `json:"role,omitempty"`
	Content   *string    `json:"content,omitempty"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	Index    *int         `json:"index,omitempty"` // in a chunk
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function api.ToolCall `json:"function"`
}

// chat answers a conversation.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) error {
	var q chatRequest
	if err := read(w, r, &q, &q.common); err != nil {
		return err
	}
	offers, err := q.offers()
	if err != nil {
		return err
	}
	if q.TopLogprobs < 0 || q.TopLogprobs > mostLogprobs || q.TopLogprobs > 0 && !q.Logprobs {
		return bad("top_logprobs is %d, want a number from 0 to %d, and logprobs", q.TopLogprobs, mostLogprobs)
	}
	logprobs := -1
	if q.Logprobs {
		logprobs = q.TopLogprobs
	}
	request, err := s.request(&q.common, logprobs)
	if err != nil {
		return err
	}
	tools := q.Tools
	if !offers {
		tools = nil
	}
	c, err := conversation(q.Messages, tools)
	if err != nil {
		return err
	}
	if request.Prompt, err = s.Chat.Prompt(c); err != nil {
		return badPrompt(err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	answer, err := s.ask(ctx, request)
	if err != nil {
		return err
	}
	a := &chatAnswer{s: s, q: &q, answer: answer, parse: offers,
		object: object[chatChoice]{ID: newID("chatcmpl-"), Created: time.Now().Unix(), Model: s.Models[request.Model]}}
	if q.Stream {
		return a.stream(s.newStream(w))
	}
	return a.whole(w)
}

// mostLogprobs is OpenAI's limit.
const mostLogprobs = 20

// badPrompt is the error of a conversation that cannot be written, which is the
// client's unless an extension failed.
func badPrompt(err error) error {
	var x *registry.ExtensionError
	if errors.As(err, &x) {
		return err
	}
	return bad("%v", err)
}

// ask puts a request in line.
func (s *Server) ask(ctx context.Context, r generate.Request) (*generate.Answer, error) {
	a, err := s.Generator.Ask(ctx, r)
	if err == nil || errors.Is(err, generate.ErrBusy) || errors.Is(err, generate.ErrClosed) {
		return a, err
	}
	return nil, bad("%v", err)
}

// chatAnswer is an answer on its way to a client.
type chatAnswer struct {
	s      *Server
	q      *chatRequest
	answer *generate.Answer
	object object[chatChoice]
	parse  bool // for calls of tools
}

// whole writes the answer when it is complete.
func (a *chatAnswer) whole(w http.ResponseWriter) error {
	choices, err := a.answer.Wait()
	if err != nil {
		return err
	}
	a.object.Object, a.object.Usage = "chat.completion", &usage{}
	a.object.Usage.add(len(a.answer.Prompt), 0)
	for i, c := range choices {
		m, reason := a.message(c.Text, c.Ended)
		m.Role = "assistant"
		choice := chatChoice{Index: i, Message: m, FinishReason: reason}
		if a.q.Logprobs {
			choice.Logprobs = generate.NewLogprobs(a.s.Tokenizer, c.Tokens)
		}
		a.object.Usage.add(0, len(c.Tokens))
		a.object.Choices = append(a.object.Choices, choice)
	}
	a.s.deadline(w)
	writeJSON(w, a.object)
	return nil
}

// message returns the message of an answer, with the calls in it.
func (a *chatAnswer) message(text string, ended model.Ending) (*chatMessage, *string) {
	reason := finish(ended)
	if !a.parse {
		return &chatMessage{Content: &text}, reason
	}
	calls, _ := a.s.Chat.Tools.ParseCalls(text) // what it has not understood stays text
	if len(calls) == 0 {
		return &chatMessage{Content: &text}, reason
	}
	m := &chatMessage{}
	if before := a.s.Chat.BeforeCalls(text, calls); before != "" {
		m.Content = &before
	}
	if p := a.q.ParallelToolCalls; p != nil && !*p {
		calls = calls[:1]
	}
	for _, c := range calls {
		m.ToolCalls = append(m.ToolCalls, toolCall{ID: newID("call_"), Type: "function", Function: c})
	}
	if ended == model.EndStop {
		called := "tool_calls"
		reason = &called
	}
	return m, reason
}

// stream writes the answer as it grows. Where tools may be called, text is kept
// until the end, since only the whole shows whether it is a call.
func (a *chatAnswer) stream(out *stream) error {
	a.object.Object = "chat.completion.chunk"
	total := &usage{}
	total.add(len(a.answer.Prompt), 0)
	kept := make([]strings.Builder, a.answer.N)
	send := func(c chatChoice) error {
		chunk := a.object
		chunk.Choices = []chatChoice{c}
		return out.send(chunk)
	}
	began := make([]bool, a.answer.N)
	for {
		p, err := a.answer.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return out.fail(err)
		}
		if !began[p.Choice] {
			began[p.Choice] = true
			nothing := ""
			if err := send(chatChoice{Index: p.Choice, Delta: &chatMessage{Role: "assistant", Content: &nothing}}); err != nil {
				return err
			}
		}
		total.add(0, len(p.Tokens))
		c := chatChoice{Index: p.Choice, Delta: &chatMessage{}, FinishReason: finish(p.Ended)}
		if a.q.Logprobs && len(p.Tokens) > 0 {
			c.Logprobs = generate.NewLogprobs(a.s.Tokenizer, p.Tokens)
		}
		switch {
		case a.parse:
			kept[p.Choice].WriteString(p.Text)
			if p.Ended != "" {
				if c.Delta, c.FinishReason = a.message(kept[p.Choice].String(), p.Ended); c.Delta.ToolCalls != nil {
					c.Delta.ToolCalls = indexed(c.Delta.ToolCalls)
				}
			}
		case p.Text != "":
			c.Delta.Content = &p.Text
		}
		if c.Delta.Content == nil && c.Delta.ToolCalls == nil && c.Logprobs == nil && c.FinishReason == nil {
			continue
		}
		// The reason comes in a chunk of its own, as clients expect.
		reason := c.FinishReason
		if c.Delta.Content != nil || c.Delta.ToolCalls != nil || c.Logprobs != nil {
			c.FinishReason = nil
			if err := send(c); err != nil {
				return err
			}
		}
		if reason != nil {
			if err := send(chatChoice{Index: p.Choice, Delta: &chatMessage{}, FinishReason: reason}); err != nil {
				return err
			}
		}
	}
	if o := a.q.StreamOptions; o != nil && o.IncludeUsage {
		a.object.Choices, a.object.Usage = []chatChoice{}, total
		if err := out.send(a.object); err != nil {
			return err
		}
	}
	return out.done()
}

// indexed numbers calls, as chunks have them.
func indexed(calls []toolCall) []toolCall {
	calls = slices.Clone(calls)
	for i := range calls {
		calls[i].Index = &i
	}
	return calls
}
