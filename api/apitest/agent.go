package apitest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"

	"swiftgo/api"
)

// AgentTemplate checks that a template reads the calls that it writes, sees
// none in plain text, offers every tool with the system prompt and without,
// loses neither the user's message nor a tool's answer, and works from several
// goroutines at a time.
func AgentTemplate(t testing.TB, new func(*api.Args) (api.AgentTemplate, error), options ...Option) {
	t.Helper()
	a := &agentCheck{TB: t, template: construct(t, new, options)()}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(a.calls)
	}
	wg.Wait()
	a.plain()
	a.tools()
	a.results()
}

type agentCheck struct {
	testing.TB
	template api.AgentTemplate
}

// calls writes calls and reads them.
func (a *agentCheck) calls() {
	a.Helper()
	for _, calls := range [][]api.ToolCall{
		{{Name: "now", Arguments: `{}`}},
		{{Name: "get_weather", Arguments: `{"city": "Paris", "unit": "c"}`}},
		{{Name: "search_news", Arguments: `{"关键词": "人工智能 🚀", "quote": "a \"b\" \\ c\nd & <e>"}`}},
		{{Name: "book_trip", Arguments: `{"legs": [{"from": "CDG", "to": "OSL", "seats": 2}, {"from": "OSL"}], "who": {"name": "李雷", "vip": true, "card": null}, "budget": 99.5, "id": 9007199254740993}`}},
		{{Name: "a", Arguments: `{"x": 1}`}, {Name: "b", Arguments: `{"y": [1, [2, []]]}`}, {Name: "a", Arguments: `{"x": 2}`}},
	} {
		text, err := a.template.FormatCalls(calls)
		if err != nil {
			a.Errorf("format of calls %v: %v", calls, err)
			continue
		}
		got, err := a.template.ParseCalls(text)
		if err != nil {
			a.Errorf("parse of the calls in %q: %v", text, err)
			continue
		}
		if !sameCalls(got, calls) {
			a.Errorf("the calls %v are written as %q and read as %v", calls, text, got)
		}
		joiner, ok := a.template.(api.CallJoiner)
		if !ok {
			continue
		}
		joined, err := joiner.JoinCalls("Let me look.", text)
		if err != nil || !strings.HasSuffix(joined, text) {
			a.Errorf("the calls %q are joined to a text as %q, %v, want something that ends in them", text, joined, err)
		}
	}
}

func sameCalls(a, b []api.ToolCall) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, ok1 := value(a[i].Arguments)
		y, ok2 := value(b[i].Arguments)
		if a[i].Name != b[i].Name || !ok1 || !ok2 || !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

// value returns what JSON says, with numbers as they are written.
func value(text string) (any, bool) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var x any
	return x, d.Decode(&x) == nil
}

func (a *agentCheck) plain() {
	a.Helper()
	for _, text := range []string{"", "The capital of France is Paris.", "巴黎是法国的首都。\n\n1. 铁塔\n2. 塞纳河", "<think>\nNo tool can help.\n</think>\n\nI do not know; 1 < 2 & 3 > 2."} {
		if calls, err := a.template.ParseCalls(text); calls != nil || err != nil {
			a.Errorf("parse of the calls in %q gives %v and the error %v, want nil and none", text, calls, err)
		}
	}
}

func (a *agentCheck) tools() {
	a.Helper()
	tools := []api.Tool{
		tool("get_weather", "Weather of one city", `{"type": "object", "properties": {"city": {"type": "string", "description": "城市"}}, "required": ["city"]}`),
		tool("now", "The time", ""),
	}
	given, empty := "You are careful.", ""
	for _, system := range []*string{nil, &empty, &given} {
		const user = "What is the weather in 北京?"
		p := &api.ToolPrompt{Tools: tools, System: system, User: user}
		text, err := a.template.FormatTools(p)
		if err != nil {
			a.Errorf("format of tools: %v", err)
			continue
		}
		for _, x := range tools {
			if !strings.Contains(text+p.User, x.Name) {
				a.Errorf("the tool %s is offered neither in the system prompt %q nor in the user's message %q", x.Name, text, p.User)
			}
		}
		if !strings.Contains(p.User, user) {
			a.Errorf("the user's message %q has become %q", user, p.User)
		}
	}
}

// tool returns a tool as a dataset has it.
func tool(name, description, parameters string) api.Tool {
	t := api.Tool{Name: name, Description: description}
	function := `{"name": "` + name + `", "description": "` + description + `"`
	if parameters != "" {
		t.Parameters = json.RawMessage(parameters)
		function += `, "parameters": ` + parameters
	}
	t.JSON = json.RawMessage(`{"type": "function", "function": ` + function + `}}`)
	return t
}

func (a *agentCheck) results() {
	a.Helper()
	const before = "Let me look."
	r := &api.ToolResults{
		Assistant: before,
		Results:   []api.ToolResult{{Name: "get_weather", Content: `{"temp": 21, "天气": "晴"}`}, {Content: "two\nlines\n"}},
		Chat: api.Chat{
			Prompt:    []string{"<|im_start|>user\n", "{{QUERY}}", "<|im_end|>\n<|im_start|>assistant\n"},
			Separator: []string{"<|im_end|>\n"},
		},
	}
	prompt, err := a.template.FormatResults(r)
	if err != nil {
		a.Errorf("format of results: %v", err)
		return
	}
	text := strings.Join(prompt, "")
	for _, x := range r.Results {
		if !strings.Contains(text, strings.TrimSpace(x.Content)) && !strings.Contains(text, quoted(x.Content)) {
			a.Errorf("the result %q is not in the prompt %q", x.Content, text)
		}
	}
	if strings.Contains(text, "{{QUERY}}") {
		a.Errorf("the prompt %q still has {{QUERY}} in it", text)
	}
	if !strings.Contains(r.Assistant, before) {
		a.Errorf("the assistant's text %q has become %q", before, r.Assistant)
	}
}

// quoted is text as a string of JSON.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(text) != nil {
		return text
	}
	return strings.TrimSuffix(b.String(), "\n")
}
