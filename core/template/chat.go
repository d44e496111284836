// Package template turns a conversation into token ids, labels and weights.
//
// Read [Encoder.Encode] first; the files follow its course. A [Conversation]
// becomes turns, its tools written by an agent template (conversation.go,
// thinking.go); the turns become segments of text, written by the [Chat] template
// (chat.go, families.go, render.go) or by the Jinja template that the model brings
// (own.go); the loss scale weighs the segments (scale.go); stretches of equal
// weight become tokens (encode.go). The results are those of ms-swift.
package template

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"swiftgo/core/tokenizer"
)

// Chat is the way one family of models was trained to read a conversation. In
// its pieces {{SYSTEM}} and {{QUERY}} stand for the system prompt and the
// user's message, a piece {{BOS}} of a prefix and {{EOS}} of Suffix for the
// tokenizer's own, and {{DATE}} for today.
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
	Thinking     Thinking // what else there is to thoughts

	AgentTemplate string // the agent template that the family was trained with

	BOS, EOS int32 // the tokens of {{BOS}} and {{EOS}}, -1 if there is none

	// prepare changes turns and the system prompt before tools are offered in
	// it, and finish does after that. Both may be nil, as the system prompt.
	prepare func(e *Encoder, turns []turn, system *string) *string
	finish  func(turns []turn, system *string, tools bool) *string

	trim        bool // read messages as trimmed returns them
	trimNewline bool // write the text as trimNewlines does

	own *own // writes conversations in place of all this, if it is not nil
}

// Rounds reports whether a conversation may have several rounds. If not, the
// last one is all that is read.
func (c *Chat) Rounds() bool { return c.Separator != nil }

// WritesTools reports whether the template writes tools and their calls itself,
// without an agent template.
func (c *Chat) WritesTools() bool { return c.own != nil }

// The pieces of a Chat that are whole tokens.
const (
	bosPiece = "{{BOS}}"
	eosPiece = "{{EOS}}"
)

// now is the time, for the date that some system prompts begin with.
var now = time.Now

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
// text. Without a name it guesses one from the tokenizer: where the family is
// unknown, it is that of the model itself, and where it has none that can be
// used, "default", and that is logged. Without use of chat templates it is the
// template "none".
func Find(name string, useChatTemplate bool, tok *tokenizer.Tokenizer) (*Chat, error) {
	switch {
	case !useChatTemplate:
		name = "none"
	case name == "":
		name = Guess(tok.ChatTemplate, func(token string) bool { _, ok := tok.ID(token); return ok })
		if name == "default" {
			own, err := Own(tok)
			if err == nil {
				return own, nil
			}
			slog.Warn("conversations are written as plain text", "template", name, "because", err)
		}
	}
	c, ok := chats[name]
	if !ok {
		return nil, fmt.Errorf("--template is %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	c.Name, c.BOS, c.EOS = name, tok.BOS, tok.EOS
	today := now().Format("02 Jan 2006")
	c.Prefix, c.SystemPrefix = fill(c.Prefix, "{{DATE}}", today), fill(c.SystemPrefix, "{{DATE}}", today)
	if c.BOS < 0 && slices.Contains(c.Prefix, bosPiece) {
		return nil, fmt.Errorf("template %s begins conversations with the begin of text, and the tokenizer names no bos_token; name it in tokenizer_config.json or choose another --template", name)
	}
	if c.EOS < 0 && slices.Contains(c.Suffix, eosPiece) {
		return nil, fmt.Errorf("template %s ends answers with the end of text, and the tokenizer names no eos_token; name it in tokenizer_config.json or choose another --template", name)
	}
	return &c, nil
}

// marks tell the families apart by what only their chat templates say, the more
// special first. All texts of a row must be there.
var marks = []struct {
	chat  string
	texts []string
}{
	{"deepseek_v4", []string{"<｜User｜>", "｜DSML｜"}},
	{"deepseek_v3_1", []string{"<｜User｜>", "thinking is defined"}},
	{"deepseek_r1", []string{"<｜User｜>", "</think>"}},
	{"deepseek_v2_5", []string{"<｜User｜>"}},
	{"llama3_2", []string{"<|start_header_id|>", "<|eot_id|>", "date_string"}},
	{"llama3", []string{"<|start_header_id|>"}},
	{"llama4", []string{"<|header_start|>", "<|eot|>"}},
	{"glm5_1", []string{"[gMASK]<sop>", "<arg_key>", "else '<think>'"}},
	{"glm4_7", []string{"[gMASK]<sop>", "<arg_key>", "{function-name}<arg_key>"}},
	{"glm4_5", []string{"[gMASK]<sop>", "<arg_key>"}},
	{"glm4", []string{"[gMASK]<sop>"}},
	{"minimax_m2", []string{"]~b]", "You are MiniMax-M2,"}},
	{"minimax_m2_1", []string{"]~b]", "MiniMax-M2.1"}},
	{"minimax_m2_5", []string{"]~b]", "MiniMax-M2.5"}},
	{"minimax_m2_7", []string{"]~b]", "MiniMax-M2.7"}},
	{"seed_oss", []string{"<seed:bos>"}},
	{"hy_v3", []string{"hy_User", ":opensource"}},
	{"hy_v3_preview", []string{"hy_User", "reasoning_mode"}},
	{"hunyuan", []string{"<｜hy_User｜>", "hy_place▁holder▁no▁2"}},
	{"youtu_llm", []string{"<|begin_of_tool_description|>", "<|User|>"}},
	{"kimi_k25", []string{"<|im_middle|>", "tool_declare", "<think></think>", "media_begin"}},
	{"gemma4", []string{"<|turn>", "<|channel>thought"}},
	{"gemma4_nothinking", []string{"<|turn>", "<turn|>"}},
	{"gemma3_text", []string{"<start_of_turn>", "first_user_prefix"}},
	{"gemma", []string{"<start_of_turn>"}},
	{"phi4", []string{"<|im_sep|>", "<|im_start|>"}},
	{"phi3", []string{"<|user|>", "<|assistant|>", "<|end|>"}},
	{"llama", []string{"[INST]", "<<SYS>>", "<</SYS>>"}},
	{"minicpm5", []string{"<|im_start|>", "<function name="}},
	{"qwen3_coder", []string{"<|im_start|>", "<function=", "You are Qwen, a helpful AI assistant that can interact with a computer"}},
	{"qwen3_5", []string{"<|im_start|>", "<function=", "multi_step_tool"}},
	{"qwen3", []string{"<|im_start|>", `<think>\n\n</think>\n\n`}},
	{"qwen2_5", []string{"<|im_start|>", "You are Qwen, created by Alibaba Cloud"}},
	{"qwen", []string{"<|im_start|>", "You are a helpful assistant"}},
	{"chatml", []string{"<|im_start|>"}},
}

// Guess returns the name of the chat template that fits a model, from the text
// of its chat template, or, where that is "", from the tokens it has; "default"
// if none does.
func Guess(chatTemplate string, has func(token string) bool) string {
	switch {
	case chatTemplate != "":
	case has("<|im_start|>") && has("<|im_end|>"):
		return "chatml"
	case has("<|start_header_id|>") && has("<|eot_id|>"):
		return "llama3"
	}
	for _, m := range marks {
		if !slices.ContainsFunc(m.texts, func(text string) bool { return !strings.Contains(chatTemplate, text) }) {
			return m.chat
		}
	}
	return "default"
}
