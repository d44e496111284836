package dataset

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

	"swiftgo/core/template"
)

// roles are the roles that datasets write, and ours.
var roles = map[string]string{
	"system": template.System, "user": template.User, "human": template.User,
	"assistant": template.Assistant, "gpt": template.Assistant, "bot": template.Assistant,
	"tool_call": template.ToolCall, "function_call": template.ToolCall,
	"tool": template.Tool, "tool_response": template.Tool, "function_response": template.Tool, "observation": template.Tool, "observations": template.Tool,
}

// message is a message as datasets write it: with role and content or with
// from and value, and with the calls of tools in OpenAI's way.
type message struct {
	Role, From     *string
	Content, Value json.RawMessage
	Loss           *bool
	LossScale      *float64 `json:"loss_scale"`
	ToolCalls      []struct {
		Function *struct {
			Name      *string
			Arguments json.RawMessage
		}
	} `json:"tool_calls"`
}

// block is a part of a content that is a list, in OpenAI's or Anthropic's way.
type block struct {
	Type     string
	Text     *string
	Image    string // of image
	ImageURL struct {
		URL string
	} `json:"image_url"`
	Name    string          // of tool_use
	Input   json.RawMessage // of tool_use
	Content json.RawMessage // of tool_result
}

// imageMark stands in a text for an image.
const imageMark = "<image>"

// parseMessages reads the column name, a list of messages or its text, and adds
// the images in them.
func parseMessages(name string, raw json.RawMessage, images *[]image) ([]template.Message, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(literal(raw), &list); err != nil {
		return nil, bad("messages is no list", "%s is %.40s, want a list of messages", name, raw)
	}
	if len(list) == 0 {
		return nil, bad("no messages", "%s is empty, want at least one message", name)
	}
	var out []template.Message
	for i, raw := range list {
		var m message
		if err := json.Unmarshal(raw, &m); err != nil || raw[0] != '{' {
			return nil, bad("bad message", "%s[%d] is %.60s, want an object with role and content", name, i, raw)
		}
		messages, err := m.read(images)
		if err != nil {
			e := err.(*rowError)
			return nil, bad(e.reason, "%s[%d] %s", name, i, e.text)
		}
		out = append(out, messages...)
	}
	return out, nil
}

// read returns the messages that m stands for: more than one if it calls tools
// besides saying something.
func (m *message) read(images *[]image) ([]template.Message, error) {
	word := m.Role
	if word == nil {
		word = m.From
	}
	if word == nil {
		return nil, bad("no role", "has no role; want one of %s", strings.Join(template.Roles, ", "))
	}
	role, ok := roles[strings.ReplaceAll(*word, "-", "_")]
	if !ok {
		return nil, bad("unknown role", "has role %q, want one of %s", *word, strings.Join(template.Roles, ", "))
	}
	one := func(role, text string) template.Message {
		return template.Message{Role: role, Content: text, Loss: m.Loss, LossScale: m.LossScale}
	}
	content := m.Content
	if content == nil {
		content = m.Value
	}
	var out []template.Message
	switch empty := content == nil || string(content) == "null"; {
	case empty && m.ToolCalls == nil:
		return nil, bad("no content", "has no content; want text")
	case empty:
	case content[0] == '[':
		var blocks []block
		if err := json.Unmarshal(content, &blocks); err != nil {
			return nil, bad("bad content", "has content %.60s, want text or a list of {\"type\": \"text\", \"text\": …}", content)
		}
		for _, b := range blocks {
			role, text, err := b.read(role)
			if err != nil {
				return nil, err
			}
			if url := cmp.Or(b.Image, b.ImageURL.URL); text == imageMark && url != "" {
				*images = append(*images, image{Path: &url})
			}
			if n := len(out); n > 0 && out[n-1].Role == role && role != template.ToolCall && role != template.Tool {
				out[n-1].Content += text
				continue
			}
			out = append(out, one(role, text))
		}
	default:
		text, err := textOf(role, content)
		if err != nil {
			return nil, err
		}
		out = append(out, one(role, text))
	}
	for _, call := range m.ToolCalls {
		f := call.Function
		if f == nil || f.Name == nil {
			return nil, bad("bad tool_calls", "has a call of no function; want {\"function\": {\"name\": …, \"arguments\": …}}")
		}
		out = append(out, one(template.ToolCall, callText(*f.Name, unquoted(f.Arguments))))
	}
	if len(out) == 0 {
		return nil, bad("no content", "has no content; want text")
	}
	return out, nil
}

// read returns the role and the text of a block in a message of role.
func (b *block) read(role string) (string, string, error) {
	switch {
	case b.Type == "text" && b.Text != nil:
		return role, *b.Text, nil
	case b.Type == "image" && b.Image != "", b.Type == "image_url" && b.ImageURL.URL != "":
		return role, imageMark, nil
	case b.Type == "tool_use" && role == template.Assistant:
		return template.ToolCall, callText(b.Name, b.Input), nil
	case b.Type == "tool_result" && b.Content != nil:
		var parts []block
		if json.Unmarshal(b.Content, &parts) != nil {
			text, err := textOf(template.Tool, b.Content)
			return template.Tool, text, err
		}
		var text strings.Builder
		for _, p := range parts {
			if p.Text != nil {
				text.WriteString(*p.Text)
			}
		}
		return template.Tool, text.String(), nil
	}
	return "", "", bad("bad content", "has content of type %q, want {\"type\": \"text\", \"text\": …}", b.Type)
}

// textOf returns the content of a message: text, or, where tools are called or
// answer, any JSON.
func textOf(role string, content json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text, nil
	}
	if role == template.ToolCall || role == template.Tool {
		return pythonJSON(content), nil
	}
	return "", bad("bad content", "has content %.60s, want text", content)
}

// callText returns the content of a tool call.
func callText(name string, arguments json.RawMessage) string {
	if arguments == nil {
		arguments = json.RawMessage("{}")
	}
	quoted, _ := json.Marshal(name)
	var b bytes.Buffer
	b.WriteString(`{"name":`)
	b.Write(quoted)
	b.WriteString(`,"arguments":`)
	b.Write(arguments)
	b.WriteString("}")
	return pythonJSON(b.Bytes())
}

// unquoted returns the JSON in a string of JSON; other JSON as it is.
func unquoted(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) == nil && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return raw
}
