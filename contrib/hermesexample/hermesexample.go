// Hermesexample is a plugin with one agent template, hermes_example, in the
// format of NousResearch's Hermes models: JSON between XML tags. The built-in
// hermes does the same to the letter of ms-swift; this one is as short as a
// template can be.
//
//	swiftgo sft --agent_template hermes_example --dataset tools.jsonl …
//
// It shows what an agent template is: four functions, of which the first three
// write tools, calls and results into the conversation that the model is
// trained on, and the last reads back the calls of a model that was.
package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"swiftgo/api"
)

// AgentTemplates is what the host looks for.
var AgentTemplates = api.AgentTemplates{"hermes_example": newHermes}

type hermes struct{}

func newHermes(args *api.Args) (api.AgentTemplate, error) { return hermes{}, args.Decode(&hermes{}) }

// FormatTools lists the tools below the system prompt.
func (hermes) FormatTools(p *api.ToolPrompt) (string, error) {
	var b strings.Builder
	if p.System != nil {
		b.WriteString(*p.System)
	}
	b.WriteString("\n\n# Tools\n\nYou may call these functions:\n<tools>\n")
	for _, t := range p.Tools {
		b.Write(t.JSON)
		b.WriteByte('\n')
	}
	b.WriteString("</tools>\n\nTo call one, write <tool_call>\n{\"name\": …, \"arguments\": {…}}\n</tool_call>")
	return b.String(), nil
}

// FormatCalls writes the calls of one turn.
func (hermes) FormatCalls(calls []api.ToolCall) (string, error) {
	var parts []string
	for _, c := range calls {
		if !json.Valid([]byte(c.Arguments)) {
			return "", fmt.Errorf("arguments %q of tool %s are not JSON", c.Arguments, c.Name)
		}
		name, _ := json.Marshal(c.Name) // a text cannot fail
		parts = append(parts, fmt.Sprintf("<tool_call>\n{\"name\": %s, \"arguments\": %s}\n</tool_call>", name, c.Arguments))
	}
	return strings.Join(parts, "\n"), nil
}

// FormatResults puts the results where a message of the user would be.
func (hermes) FormatResults(r *api.ToolResults) ([]string, error) {
	var parts []string
	for _, x := range r.Results {
		parts = append(parts, "<tool_response>\n"+x.Content+"\n</tool_response>")
	}
	turn := strings.ReplaceAll(strings.Join(r.Chat.Prompt, ""), "{{QUERY}}", strings.Join(parts, "\n"))
	return append(append([]string{}, r.Chat.Separator...), turn), nil
}

var call = regexp.MustCompile(`(?s)<tool_call>(.+?)</tool_call>`)

// ParseCalls reads the calls up to the first that it does not understand.
func (hermes) ParseCalls(text string) ([]api.ToolCall, error) {
	var calls []api.ToolCall
	for _, m := range call.FindAllStringSubmatch(text, -1) {
		var c struct {
			Name      string
			Arguments json.RawMessage
		}
		if err := json.Unmarshal([]byte(m[1]), &c); err != nil {
			return calls, fmt.Errorf("tool call %q: %w", m[1], err)
		}
		calls = append(calls, api.ToolCall{Name: c.Name, Arguments: string(c.Arguments)})
	}
	return calls, nil
}

func main() {}
