// Package template turns a conversation into token ids, labels and weights.
//
// Read [Encoder.Encode] first; the files follow its course. A [Conversation]
// becomes turns, its tools written by an agent template (conversation.go); the
// turns become segments of text, written by the [Chat] template (chat.go,
// render.go); the loss scale weighs the segments (scale.go); stretches of equal
// weight become tokens (encode.go). The results are those of ms-swift.
package template

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"swiftgo/core/tokenizer"
)

// Chat is the way one family of models was trained to read a conversation. In
// its pieces {{SYSTEM}} and {{QUERY}} stand for the system prompt and the
// user's message, and a piece {{EOS}} of Suffix for the tokenizer's end of text.
type Chat struct {
	Name         string
	Prefix       []string // begins a conversation without a system prompt
	SystemPrefix []string // begins one with; nil if the model knows none
	Prompt       []string // the user's turn, up to where the assistant begins
	Separator    []string // between an answer and the next user's turn; nil if there is only one round
	Suffix       []string // ends the last answer
	System       string   // the system prompt where nobody gives one
	Stop         []string // tokens that end an answer, besides the tokenizer's end of text
	AddBOS       bool     // begin with what the tokenizer puts before a text
	EmptyThought string   // the thought of a hybrid thinking model that does not think

	AgentTemplate string // the agent template that the family was trained with

	EOS int32 // the token of {{EOS}}, -1 if there is none
}

// Rounds reports whether a conversation may have several rounds. If not, the
// last one is all that is read.
func (c *Chat) Rounds() bool { return c.Separator != nil }

const eosPiece = "{{EOS}}"

var chats = map[string]Chat{
	"chatml":  chatML(""),
	"qwen":    qwen("You are a helpful assistant.", ""),
	"qwen2_5": qwen("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", ""),
	"qwen3":   qwen("", "<think>\n\n</think>\n\n"),
	"llama3": {
		Prefix:        []string{"<|begin_of_text|>"},
		SystemPrefix:  []string{"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{{SYSTEM}}<|eot_id|>"},
		Prompt:        []string{"<|start_header_id|>user<|end_header_id|>\n\n{{QUERY}}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
		Separator:     []string{"<|eot_id|>"},
		Suffix:        []string{"<|eot_id|>"},
		Stop:          []string{"<|eot_id|>", "<|eom_id|>"},
		AgentTemplate: "llama3",
	},
	// For models that were never taught a chat template: plain text that any
	// tokenizer can write, as ms-swift's template of the same name.
	"default": {
		SystemPrefix: []string{"{{SYSTEM}}\n\n"},
		Prompt:       []string{"### Human:\n{{QUERY}}\n\n### Assistant:\n"},
		Separator:    []string{"\n\n"},
		Suffix:       []string{eosPiece},
		System:       "You are a helpful assistant.",
		AddBOS:       true,
	},
	// For pre-training: the text alone.
	"none": {
		Prompt: []string{"{{QUERY}}"},
		Suffix: []string{eosPiece},
		AddBOS: true,
	},
}

func chatML(system string) Chat {
	return Chat{
		SystemPrefix: []string{"<|im_start|>system\n{{SYSTEM}}<|im_end|>\n"},
		Prompt:       []string{"<|im_start|>user\n{{QUERY}}<|im_end|>\n<|im_start|>assistant\n"},
		Separator:    []string{"<|im_end|>\n"},
		Suffix:       []string{"<|im_end|>\n"},
		System:       system,
		Stop:         []string{"<|im_end|>", "<|endoftext|>"},
		AddBOS:       true,
	}
}

func qwen(system, emptyThought string) Chat {
	c := chatML(system)
	c.EmptyThought, c.AgentTemplate, c.AddBOS = emptyThought, "hermes", false
	return c
}

// Names returns the names of the chat templates.
func Names() []string {
	var names []string
	for name := range chats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Find returns the chat template of that name, with the tokenizer's end of
// text. Without a name it guesses one from the tokenizer, and logs where that
// found none; without use of chat templates it is the template "none".
func Find(name string, useChatTemplate bool, tok *tokenizer.Tokenizer) (*Chat, error) {
	switch {
	case !useChatTemplate:
		name = "none"
	case name == "":
		name = Guess(tok.ChatTemplate, func(token string) bool { _, ok := tok.ID(token); return ok })
		if name == "default" {
			why := "the model has no chat template"
			if tok.ChatTemplate != "" {
				why = "the model's chat template is of a family unknown here"
			}
			slog.Warn(why+"; its conversations are written as plain text", "template", name)
		}
	}
	c, ok := chats[name]
	if !ok {
		return nil, fmt.Errorf("--template is %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	c.Name, c.EOS = name, tok.EOS
	if c.EOS < 0 && slices.Contains(c.Suffix, eosPiece) {
		return nil, fmt.Errorf("template %s ends answers with the end of text, and the tokenizer names no eos_token; name it in tokenizer_config.json or choose another --template", name)
	}
	return &c, nil
}

// Guess returns the name of the chat template that fits a model, from the text
// of its chat template, or, where that is "", from the tokens it has; "default"
// if none does.
func Guess(chatTemplate string, has func(token string) bool) string {
	switch text := chatTemplate; {
	case text == "" && has("<|im_start|>") && has("<|im_end|>"):
		return "chatml"
	case text == "" && has("<|start_header_id|>") && has("<|eot_id|>"), strings.Contains(text, "<|start_header_id|>"):
		return "llama3"
	case !strings.Contains(text, "<|im_start|>"):
		return "default"
	case strings.Contains(text, `<think>\n\n</think>\n\n`):
		return "qwen3"
	case strings.Contains(text, "You are Qwen, created by Alibaba Cloud"):
		return "qwen2_5"
	case strings.Contains(text, "You are a helpful assistant"):
		return "qwen"
	}
	return "chatml"
}
