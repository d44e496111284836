package main

import (
	"encoding/json"
	"slices"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) { apitest.AgentTemplate(t, newHermes) }

// TestTexts has what a Qwen 2.5 model reads and writes.
func TestTexts(t *testing.T) {
	system := "Be brief."
	text, err := hermes{}.FormatTools(&api.ToolPrompt{System: &system, Tools: []api.Tool{{JSON: json.RawMessage(`{"type": "function"}`)}}})
	want := "Be brief.\n\n# Tools\n\nYou may call these functions:\n<tools>\n{\"type\": \"function\"}\n</tools>\n\n" +
		"To call one, write <tool_call>\n{\"name\": …, \"arguments\": {…}}\n</tool_call>"
	if err != nil || text != want {
		t.Errorf("tools %q, %v, want %q", text, err, want)
	}

	text, err = hermes{}.FormatCalls([]api.ToolCall{{Name: "f", Arguments: `{"x": 1}`}, {Name: "g", Arguments: `{}`}})
	want = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"
	if err != nil || text != want {
		t.Errorf("calls %q, %v, want %q", text, err, want)
	}

	prompt, err := hermes{}.FormatResults(&api.ToolResults{
		Results: []api.ToolResult{{Content: "21"}, {Content: "晴"}},
		Chat:    api.Chat{Prompt: []string{"<|im_start|>user\n{{QUERY}}<|im_end|>\n"}, Separator: []string{"<|im_end|>\n"}},
	})
	turns := []string{"<|im_end|>\n", "<|im_start|>user\n<tool_response>\n21\n</tool_response>\n<tool_response>\n晴\n</tool_response><|im_end|>\n"}
	if err != nil || !slices.Equal(prompt, turns) {
		t.Errorf("results %q, %v, want %q", prompt, err, turns)
	}
}

func TestErrors(t *testing.T) {
	if _, err := (hermes{}).FormatCalls([]api.ToolCall{{Name: "f", Arguments: "x = 1"}}); err == nil {
		t.Error("arguments that are not JSON are no error")
	}
	calls, err := hermes{}.ParseCalls("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><tool_call>f()</tool_call>")
	if len(calls) != 1 || err == nil {
		t.Errorf("one good call and one bad: %v, %v, want the good one and an error", calls, err)
	}
}
