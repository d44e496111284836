package builtin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
)

// hermesCases are ms-swift's own results for its own inputs.
type hermesCases struct {
	Inputs struct {
		Tools []struct {
			ID     string
			Tools  []json.RawMessage
			System *string
			User   struct{ Content string } `json:"user_message"`
		} `json:"format_tools"`
		Calls []struct {
			ID    string
			Calls []struct{ Content json.RawMessage } `json:"tool_calls"`
		} `json:"format_tool_calls"`
		Results []struct {
			ID   string
			Meta *struct {
				Prompt []string
				Sep    []string `json:"chat_sep"`
			} `json:"template_meta"`
			Assistant string                           `json:"assistant_content"`
			Tools     []struct{ Name, Content string } `json:"tool_messages"`
		} `json:"format_tool_responses"`
		Parse []struct{ ID, Response string } `json:"get_toolcall"`
	}
	Expected struct {
		Tools []struct {
			OK struct {
				System string
				User   string `json:"user_content"`
			}
		} `json:"format_tools"`
		Calls   []struct{ OK string } `json:"format_tool_calls"`
		Results []struct {
			OK struct {
				Assistant string `json:"assistant_content"`
				Prompt    []string
			}
		} `json:"format_tool_responses"`
		Parse []struct{ OK []api.ToolCall } `json:"get_toolcall"`
	}
}

func TestHermesVectors(t *testing.T) {
	var v hermesCases
	vectors(t, "agent_hermes.json", &v)
	for i, c := range v.Inputs.Tools {
		p := &api.ToolPrompt{System: c.System, User: c.User.Content}
		for _, text := range c.Tools {
			p.Tools = append(p.Tools, wrapped(t, text))
		}
		system, err := hermes{}.FormatTools(p)
		if want := v.Expected.Tools[i].OK; err != nil || system != want.System || p.User != want.User {
			t.Errorf("tools %s: %q, %v\nwant %q", c.ID, system, err, want.System)
		}
	}
	for i, c := range v.Inputs.Calls {
		var calls []api.ToolCall
		for _, x := range c.Calls {
			calls = append(calls, called(t, x.Content))
		}
		text, err := hermes{}.FormatCalls(calls)
		if want := v.Expected.Calls[i].OK; err != nil || text != want {
			t.Errorf("calls %s: %q, %v\nwant %q", c.ID, text, err, want)
		}
	}
	for i, c := range v.Inputs.Results {
		r := &api.ToolResults{Assistant: c.Assistant, Chat: api.Chat{ // ChatML, unless the case has another
			Prompt:    []string{"<|im_start|>user\n{{QUERY}}<|im_end|>\n<|im_start|>assistant\n"},
			Separator: []string{"<|im_end|>\n"},
		}}
		if c.Meta != nil {
			r.Chat = api.Chat{Prompt: c.Meta.Prompt, Separator: c.Meta.Sep}
		}
		for _, x := range c.Tools {
			r.Results = append(r.Results, api.ToolResult{Name: x.Name, Content: x.Content})
		}
		prompt, err := hermes{}.FormatResults(r)
		if want := v.Expected.Results[i].OK; err != nil || !slices.Equal(prompt, want.Prompt) || r.Assistant != want.Assistant {
			t.Errorf("results %s: %q after %q, %v\nwant %q after %q", c.ID, prompt, r.Assistant, err, want.Prompt, want.Assistant)
		}
	}
	for i, c := range v.Inputs.Parse {
		calls, err := hermes{}.ParseCalls(c.Response)
		if want := v.Expected.Parse[i].OK; !slices.Equal(calls, want) {
			t.Errorf("parse %s: %q, %v\nwant %q", c.ID, calls, err, want)
		}
		// What ms-swift passes over in silence is an error here, and nothing else is.
		if tried := strings.Contains(c.Response, "<tool_call>") && strings.Contains(c.Response, "</tool_call>"); err != nil && !tried {
			t.Errorf("parse %s: %v", c.ID, err)
		} else if tried && err == nil && len(calls) == 0 {
			t.Errorf("parse %s: no call and no error", c.ID)
		}
	}
}

// wrapped returns a tool as the host hands it over.
func wrapped(t *testing.T, text json.RawMessage) api.Tool {
	var x struct {
		Type     string
		Function json.RawMessage
	}
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatal(err)
	}
	if x.Function == nil {
		text = json.RawMessage(`{"type": "function", "function": ` + string(text) + `}`)
	}
	return api.Tool{JSON: text}
}

// called returns a call as the host makes it of a message.
func called(t *testing.T, content json.RawMessage) api.ToolCall {
	var text string
	if json.Unmarshal(content, &text) == nil {
		if strings.HasPrefix(text, "{'") { // a literal of Python
			text = strings.NewReplacer("'", `"`, "True", "true").Replace(text)
		}
		content = json.RawMessage(text)
	}
	var x struct {
		Name                  string
		Arguments, Parameters json.RawMessage
	}
	if err := json.Unmarshal(content, &x); err != nil {
		t.Fatal(err)
	}
	if x.Arguments == nil {
		x.Arguments = x.Parameters
	}
	c := api.ToolCall{Name: x.Name, Arguments: string(x.Arguments)}
	if json.Unmarshal(x.Arguments, &text) == nil {
		c.Arguments = text
	}
	return c
}

func TestHermesWritesWhatIsNoJSON(t *testing.T) {
	text, err := hermes{}.FormatCalls([]api.ToolCall{{Name: "say", Arguments: `hello "world"`}})
	if want := "<tool_call>\n{\"name\": \"say\", \"arguments\": \"hello \\\"world\\\"\"}\n</tool_call>"; err != nil || text != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
}

func FuzzHermesParseCalls(f *testing.F) {
	f.Add("<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>")
	f.Add("<tool_call>{\"name\": 1}</tool_call>Action: b\nAction Input: {}\nObservation:")
	f.Add(`<tool_call>{"name": "a", "arguments": null}</tool_call>`)
	f.Fuzz(func(t *testing.T, text string) {
		calls, _ := hermes{}.ParseCalls(text)
		again, err := hermes{}.FormatCalls(calls)
		if err != nil {
			t.Errorf("calls %q: %v", calls, err)
		}
		if strings.Contains(again, "</tool_call>") != (len(calls) > 0) {
			t.Errorf("calls %q are written as %q", calls, again)
		}
	})
}
