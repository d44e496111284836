package api

import "encoding/json"

// AgentTemplate writes tools and their use the way one family of models was
// trained to read them, and reads back what the model wrote.
//
// Its methods may be called from several goroutines at a time.
type AgentTemplate interface {
	// FormatTools returns the system prompt that offers the tools. It may
	// rewrite p.User, for families that offer tools in the user's turn.
	FormatTools(p *ToolPrompt) (system string, err error)

	// FormatCalls returns the assistant's text that makes the calls.
	FormatCalls(calls []ToolCall) (string, error)

	// FormatResults returns the pieces of text that stand for the tools' turn,
	// in place of the chat template's user turn. It may change r.Assistant,
	// the text before it.
	FormatResults(r *ToolResults) (prompt []string, err error)

	// ParseCalls returns the calls in an assistant's text, nil if it made
	// none. With an error come the calls that it did understand.
	ParseCalls(text string) ([]ToolCall, error)
}

// CallJoiner is optional for an AgentTemplate: without it calls follow what the
// assistant wrote before them in the same turn directly.
type CallJoiner interface {
	// JoinCalls returns the text of calls as it follows the text before, which
	// is "" where the turn begins with the calls: what stands between the two,
	// and then the calls.
	JoinCalls(before, calls string) (string, error)
}

// ToolPrompt is where a conversation offers tools.
type ToolPrompt struct {
	Tools  []Tool
	System *string // the system prompt so far; nil if there is none
	User   string  // the first message of the user
}

// Tool is a function that the model may call.
type Tool struct {
	Name        string
	Description string
	Parameters  json.RawMessage // a JSON schema, or nil

	// JSON is the whole tool as the dataset has it, in its order of keys,
	// inside {"type": "function", "function": …}.
	JSON json.RawMessage
}

// ToolCall is one use of a tool.
type ToolCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, unless a model wrote something else
}

// ToolResults is what tools answered in one turn.
type ToolResults struct {
	Assistant string // the text of the assistant's turn before
	Results   []ToolResult
	Chat      Chat
}

// ToolResult is the answer of one tool.
type ToolResult struct {
	Name    string // of the tool, or ""
	ID      string // of the call that it answers, or ""
	Content string
}

// Chat is what a template of tools may need to know of the chat template.
type Chat struct {
	Prompt    []string // the pieces of a user's turn, with {{QUERY}} where the message goes
	Separator []string // the pieces between an assistant's turn and the next user's
}
