package apitest

import (
	"encoding/json"
	"strings"
	"testing"

	"swiftgo/api"
)

// lines writes a call a line.
type lines struct {
	format  func(text string) string
	parse   func(calls []api.ToolCall) []api.ToolCall
	results func(r *api.ToolResults) []string
}

func (l lines) FormatTools(p *api.ToolPrompt) (string, error) {
	text := ""
	for _, x := range p.Tools {
		text += string(x.JSON) + "\n"
	}
	if l.format != nil {
		text = l.format(text)
	}
	return text, nil
}

func (lines) FormatCalls(calls []api.ToolCall) (string, error) {
	var parts []string
	for _, c := range calls {
		parts = append(parts, "CALL "+c.Name+" "+c.Arguments)
	}
	return strings.Join(parts, "\n"), nil
}

func (l lines) FormatResults(r *api.ToolResults) ([]string, error) {
	if l.results != nil {
		return l.results(r), nil
	}
	prompt := []string{}
	for _, x := range r.Results {
		prompt = append(prompt, x.Content)
	}
	return prompt, nil
}

func (l lines) ParseCalls(text string) ([]api.ToolCall, error) {
	var calls []api.ToolCall
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "CALL "); ok {
			name, arguments, _ := strings.Cut(rest, " ")
			calls = append(calls, api.ToolCall{Name: name, Arguments: arguments})
		}
	}
	if l.parse != nil {
		calls = l.parse(calls)
	}
	return calls, nil
}

func TestAgentTemplateFindsMistakes(t *testing.T) {
	for _, c := range []struct {
		name, want string
		template   lines
	}{
		{"right", "", lines{}},
		{"no tools", "is offered neither", lines{format: func(string) string { return "You have tools." }}},
		{"one call only", "are written as", lines{parse: func(calls []api.ToolCall) []api.ToolCall { return calls[:min(1, len(calls))] }}},
		{"numbers as floats", "are written as", lines{parse: func(calls []api.ToolCall) []api.ToolCall {
			for i, c := range calls {
				var x any
				json.Unmarshal([]byte(c.Arguments), &x)
				text, _ := json.Marshal(x)
				calls[i].Arguments = string(text)
			}
			return calls
		}}},
		{"not nil", "want nil", lines{parse: func(calls []api.ToolCall) []api.ToolCall { return append([]api.ToolCall{}, calls...) }}},
		{"a lost result", "is not in the prompt", lines{results: func(r *api.ToolResults) []string { return []string{r.Results[0].Content} }}},
		{"a chat template as it is", "still has", lines{results: func(r *api.ToolResults) []string {
			return append(r.Chat.Prompt, r.Results[0].Content, r.Results[1].Content)
		}}},
		{"a lost text", "has become", lines{results: func(r *api.ToolResults) []string {
			r.Assistant = ""
			return []string{r.Results[0].Content, r.Results[1].Content}
		}}},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { AgentTemplate(t, maker(func() api.AgentTemplate { return c.template })) })
	}
}
