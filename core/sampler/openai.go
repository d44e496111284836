package sampler

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"swiftgo/core/template"
)

// openAI returns a conversation and its tools in the form of OpenAI's protocol.
func openAI(c *template.Conversation) (messages, tools any, err error) {
	type object = map[string]any
	var all []object
	var open []string // calls without an answer yet
	calls := 0
	for i, m := range c.Messages {
		switch m.Role {
		case template.ToolCall:
			call, err := template.ParseToolCall(m.Content)
			if err != nil {
				return nil, nil, fmt.Errorf("messages[%d]: %w", i, err)
			}
			calls++
			id := fmt.Sprintf("call_%d", calls)
			open = append(open, id)
			made := object{"id": id, "type": "function", "function": object{"name": call.Name, "arguments": call.Arguments}}
			if n := len(all) - 1; n >= 0 && i > 0 && (c.Messages[i-1].Role == template.ToolCall || c.Messages[i-1].Role == template.Assistant) {
				list, _ := all[n]["tool_calls"].([]object)
				all[n]["tool_calls"] = append(list, made)
				continue
			}
			all = append(all, object{"role": template.Assistant, "content": nil, "tool_calls": []object{made}})
		case template.Tool:
			if len(open) == 0 {
				return nil, nil, fmt.Errorf("messages[%d] is a tool's, and no tool was called before it", i)
			}
			all = append(all, object{"role": template.Tool, "content": m.Content, "tool_call_id": open[0]})
			open = open[1:]
		default:
			all = append(all, object{"role": m.Role, "content": m.Content})
		}
	}
	var offered []json.RawMessage
	for _, t := range c.Tools {
		offered = append(offered, t.JSON)
	}
	if offered == nil {
		return all, nil, nil
	}
	return all, offered, nil
}

// answers reads the choices of a response. With distill the reasoning stands
// before the answer, as a thought.
func answers(text []byte, distill bool) ([]Answer, error) {
	type choice struct {
		Index        int    `json:"index"`
		FinishReason string `json:"finish_reason"`
		Message      *struct {
			Content          *string         `json:"content"`
			ReasoningContent string          `json:"reasoning_content"`
			Reasoning        string          `json:"reasoning"` // newer servers' name of it
			ToolCalls        json.RawMessage `json:"tool_calls"`
		} `json:"message"`
	}
	var res struct {
		Choices []choice `json:"choices"`
		Usage   struct {
			CompletionTokens int `json:"completion_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(text, &res); err != nil {
		return nil, &refusal{text: fmt.Sprintf("the response is no JSON of a chat completion: %v", err), passing: true}
	}
	if len(res.Choices) == 0 {
		message, _ := errorOf(text)
		return nil, &refusal{text: "the response has no choices: " + message, passing: true}
	}
	slices.SortStableFunc(res.Choices, func(a, b choice) int { return cmp.Compare(a.Index, b.Index) })
	var all []Answer
	empty := 0
	for _, c := range res.Choices {
		a := Answer{Truncated: c.FinishReason == "length"}
		if len(res.Choices) == 1 {
			a.Tokens = res.Usage.CompletionTokens
		}
		if c.Message == nil {
			return nil, &refusal{text: "a choice of the response has no message", passing: true}
		}
		if c.Message.Content != nil {
			a.Text = *c.Message.Content
		}
		if a.Text == "" {
			empty++
			if empty < len(res.Choices) { // the others are asked for instead
				continue
			}
			if calls := string(c.Message.ToolCalls); calls != "" && calls != "null" && calls != "[]" {
				return nil, &refusal{text: "the model calls a tool instead of answering", row: true}
			}
			if a.Truncated {
				return nil, &refusal{text: "the answer is empty, as the token limit was reached before it; raise --max_new_tokens", row: true}
			}
			return nil, &refusal{text: fmt.Sprintf("the answer is empty (finish_reason %q)", c.FinishReason), passing: true, row: true}
		}
		thought := c.Message.ReasoningContent
		if thought == "" {
			thought = c.Message.Reasoning
		}
		if distill && thought != "" {
			a.Text = "<think>" + thought + "</think>\n\n" + a.Text
		}
		all = append(all, a)
	}
	return all, nil
}

// errorOf returns what a response that is an error says, and its code.
func errorOf(text []byte) (message, code string) {
	var e struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(text, &e) == nil {
		var inner struct {
			Message string `json:"message"`
			Code    any    `json:"code"`
			Type    string `json:"type"`
		}
		var plain string
		switch {
		case json.Unmarshal(e.Error, &inner) == nil && inner.Message != "":
			if code, _ = inner.Code.(string); code == "" {
				code = inner.Type
			}
			return inner.Message, code
		case json.Unmarshal(e.Error, &plain) == nil && plain != "":
			return plain, ""
		case e.Message != "":
			return e.Message, ""
		case len(e.Detail) > 0:
			return string(e.Detail), ""
		}
	}
	return strings.TrimSpace(string(text)), ""
}
