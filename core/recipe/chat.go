package recipe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/generate"
	"swiftgo/core/registry"
	"swiftgo/core/template"
)

// ChatOptions say whom Chat talks with.
type ChatOptions struct {
	Tools string // file of tools on offer, JSON; "" for none
	In    io.Reader
	Out   io.Writer
	Ask   bool // write a prompt before each line that is read: In is a terminal

	// Answering returns a context for one answer that ends when the answer is to
	// stop, and a function for when it has.
	Answering func(context.Context) (context.Context, context.CancelFunc)
}

const chatHelp = `/clear forgets the conversation, /system TEXT begins one with another system prompt, /exit ends`

// Chat answers the lines that are typed, as one conversation.
func Chat(ctx context.Context, c Config, o InferOptions, with ChatOptions, reg *registry.Registry) error {
	if err := o.check(); err != nil {
		return err
	}
	var tools []api.Tool
	if with.Tools != "" {
		text, err := os.ReadFile(with.Tools)
		if err != nil {
			return fmt.Errorf("--tools: %w", err)
		}
		if tools, err = ReadTools(text); err != nil {
			return fmt.Errorf("--tools %s: %w", with.Tools, err)
		}
	}
	a, err := alone(&c, writes, reg)
	if err != nil {
		return err
	}
	if len(tools) > 0 && a.enc.Tools == nil {
		return fmt.Errorf("--tools is given, and nothing says how tools are written for this model; give --agent_template")
	}
	g := a.generator(1, 0, reg)
	ctx, cancel := context.WithCancel(ctx)
	defer g.Close(ctx)
	defer cancel()
	t := &talk{answering: a, generator: g, options: o, config: &c, ChatOptions: with, talk: template.Conversation{Tools: tools}}
	return t.run(ctx)
}

// ReadTools reads a list of tools in JSON, or one.
func ReadTools(text []byte) ([]api.Tool, error) {
	if !json.Valid(text) {
		return nil, errors.New(`no JSON; want a list of {"type": "function", "function": {"name": …, "description": …, "parameters": …}}`)
	}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		text = []byte("[" + string(text) + "]")
	}
	return dataset.ParseTools(text)
}

// talk is a conversation that goes on.
type talk struct {
	*answering
	ChatOptions
	generator *generate.Generator
	options   InferOptions
	config    *Config
	talk      template.Conversation
	calls     []api.ToolCall // whose results are still wanted
}

func (t *talk) run(ctx context.Context) error {
	t.prompt(chatHelp + "\n")
	lines := readLines(t.In)
	for {
		question := "> "
		if len(t.calls) > 0 {
			question = "result of " + t.calls[0].Name + "> "
		}
		t.prompt(question)
		var line typed
		select {
		case line = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		if line.err == io.EOF {
			t.prompt("\n")
			return nil
		}
		if line.err != nil {
			return fmt.Errorf("reading what is asked: %w", line.err)
		}
		end, err := t.take(ctx, line.text)
		if end || err != nil {
			return err
		}
	}
}

// prompt writes what only somebody at a terminal wants to see.
func (t *talk) prompt(text string) {
	if t.Ask {
		fmt.Fprint(t.Out, text)
	}
}

// typed is a line, or why there is none.
type typed struct {
	text string
	err  error
}

// readLines returns the lines of r. Its goroutine waits for one when the
// conversation is over, and ends with the program.
func readLines(r io.Reader) <-chan typed {
	lines := make(chan typed)
	go func() {
		in := bufio.NewReader(r)
		for {
			text, err := in.ReadString('\n')
			if text != "" {
				lines <- typed{strings.TrimRight(text, "\r\n"), nil}
			}
			if err != nil {
				lines <- typed{"", err}
				return
			}
		}
	}()
	return lines
}

// take does what a line says. It reports whether the conversation is over.
func (t *talk) take(ctx context.Context, line string) (end bool, err error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case word == "/exit":
		return true, nil
	case word == "/clear":
		t.clear()
		return false, nil
	case word == "/system":
		t.config.System = strings.TrimSpace(rest)
		t.enc.System = t.config.System
		t.clear()
		return false, nil
	case strings.HasPrefix(word, "/"):
		fmt.Fprintf(t.Out, "there is no %s; %s\n", word, chatHelp)
		return false, nil
	case len(t.calls) > 0:
		t.talk.Messages = append(t.talk.Messages, template.Message{Role: template.Tool, Content: line})
		if t.calls = t.calls[1:]; len(t.calls) > 0 {
			return false, nil
		}
	case word == "":
		return false, nil
	default:
		if !t.enc.Chat.Rounds() {
			t.clear()
		}
		t.talk.Messages = append(t.talk.Messages, template.Message{Role: template.User, Content: line})
	}
	return false, t.answer(ctx)
}

func (t *talk) clear() { t.talk.Messages, t.calls = nil, nil }

// answer writes the answer to the conversation as it grows. One that is stopped
// stays as far as it has come; what cannot be answered is taken back.
func (t *talk) answer(ctx context.Context) error {
	ids, err := t.enc.Prompt(&t.talk)
	if err == nil {
		err = t.models[0].Config.CheckPrompt(ids)
	}
	if err != nil {
		fmt.Fprintf(t.Out, "%v; /clear begins again\n", err)
		t.talk.Messages = t.talk.Messages[:len(t.talk.Messages)-1]
		return nil
	}
	during, done := t.Answering(ctx)
	defer done()
	p := t.options.sampling(t.config, t.sampling)
	p.Seed += int64(len(t.talk.Messages)) // else all answers draw the same numbers
	answer, err := t.generator.Ask(during, generate.Request{Prompt: ids, Sampling: p, StopWords: t.options.StopWords})
	if err != nil {
		return err
	}
	var said strings.Builder
	for {
		p, err := answer.Next()
		if err == io.EOF {
			break
		}
		if err != nil && during.Err() != nil && ctx.Err() == nil {
			fmt.Fprint(t.Out, " (stopped)")
			break
		}
		if err != nil {
			return err
		}
		said.WriteString(p.Text)
		if len(t.talk.Tools) == 0 { // else it may be a call, which is shown as one
			fmt.Fprint(t.Out, p.Text)
		}
	}
	t.said(said.String())
	return nil
}

// said takes an answer into the conversation, and shows the calls in it.
func (t *talk) said(text string) {
	if len(t.talk.Tools) > 0 {
		t.calls, _ = t.enc.Tools.ParseCalls(text) // what it has not understood is shown as text
		if len(t.calls) == 0 {
			fmt.Fprint(t.Out, text)
		}
	}
	if len(t.calls) == 0 {
		fmt.Fprintln(t.Out)
		t.talk.Messages = append(t.talk.Messages, template.Message{Role: template.Assistant, Content: text})
		return
	}
	if before := t.enc.BeforeCalls(text, t.calls); before != "" {
		fmt.Fprintln(t.Out, before)
		t.talk.Messages = append(t.talk.Messages, template.Message{Role: template.Assistant, Content: before})
	}
	for _, call := range t.calls {
		fmt.Fprintf(t.Out, "calls %s(%s)\n", call.Name, call.Arguments)
		t.talk.Messages = append(t.talk.Messages, template.NewToolCall(call))
	}
}
