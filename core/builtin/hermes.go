package builtin

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"swiftgo/api"
)

// hermes is the format of NousResearch's Hermes models, which Qwen 2.5 and 3
// share: JSON between XML tags.
type hermes struct{}

func newHermes(args *api.Args) (api.AgentTemplate, error) { return hermes{}, args.Decode(&none{}) }

const hermesTools = `

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
%s
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>`

// FormatTools puts the signatures after the system prompt.
func (hermes) FormatTools(p *api.ToolPrompt) (string, error) {
	var lines []string
	for _, t := range p.Tools {
		line, err := pythonJSON(t.JSON)
		if err != nil {
			return "", fmt.Errorf("tool %s: %w", t.Name, err)
		}
		lines = append(lines, line)
	}
	system := ""
	if p.System != nil {
		system = *p.System
	}
	return system + fmt.Sprintf(hermesTools, strings.Join(lines, "\n")), nil
}

// FormatCalls writes a <tool_call> for each call.
func (hermes) FormatCalls(calls []api.ToolCall) (string, error) {
	var parts []string
	for _, c := range calls {
		var line strings.Builder
		line.WriteString(`{"name": `)
		pythonString(&line, c.Name)
		line.WriteString(`, "arguments": `)
		if arguments, err := pythonJSON([]byte(c.Arguments)); err == nil {
			line.WriteString(arguments)
		} else {
			pythonString(&line, c.Arguments)
		}
		parts = append(parts, "<tool_call>\n"+line.String()+"}\n</tool_call>")
	}
	return strings.Join(parts, "\n"), nil
}

// FormatResults writes the results as a turn of the user. After a call in the
// words of ReAct they follow as its observations.
func (hermes) FormatResults(r *api.ToolResults) ([]string, error) {
	if strings.Contains(r.Assistant, reactAction) && strings.Contains(r.Assistant, reactInput) {
		return reactResults(r), nil
	}
	var parts []string
	for _, x := range r.Results {
		parts = append(parts, "<tool_response>\n"+x.Content+"\n</tool_response>")
	}
	query := strings.Join(parts, "\n")
	prompt := append([]string{}, r.Chat.Separator...)
	for _, piece := range r.Chat.Prompt {
		prompt = append(prompt, strings.ReplaceAll(piece, "{{QUERY}}", query))
	}
	return prompt, nil
}

var hermesCall = regexp.MustCompile(`(?s)<tool_call>(.+?)</tool_call>`)

// ParseCalls reads each <tool_call>, and where there is none that it
// understands, calls in the words of ReAct.
func (hermes) ParseCalls(text string) ([]api.ToolCall, error) {
	var calls []api.ToolCall
	var failed []error
	for _, m := range hermesCall.FindAllStringSubmatch(text, -1) {
		c, err := parseCall(m[1])
		if err != nil {
			failed = append(failed, fmt.Errorf("tool call %q: %w", m[1], err))
			continue
		}
		calls = append(calls, c)
	}
	if calls == nil {
		calls = reactCalls(text)
	}
	return calls, errors.Join(failed...)
}

// parseCall reads a JSON object with name and arguments.
func parseCall(text string) (api.ToolCall, error) {
	var object map[string]json.RawMessage // and not a struct, which would take "Name" too
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return api.ToolCall{}, err
	}
	var name, arguments string
	if json.Unmarshal(object["name"], &name) != nil {
		return api.ToolCall{}, errors.New("no name, want an object with name and arguments")
	}
	if object["arguments"] == nil {
		return api.ToolCall{}, errors.New("no arguments, want an object with name and arguments")
	}
	if json.Unmarshal(object["arguments"], &arguments) != nil || string(object["arguments"]) == "null" {
		var err error
		if arguments, err = pythonJSON(object["arguments"]); err != nil {
			return api.ToolCall{}, err
		}
	}
	return api.ToolCall{Name: strings.TrimSpace(name), Arguments: strings.TrimSpace(arguments)}, nil
}

// The words of ReAct (Yao et al. 2023), which every agent template of ms-swift
// understands beside its own.
const (
	reactAction      = "Action:"
	reactInput       = "Action Input:"
	reactObservation = "Observation:"
)

// reactResults ends the assistant's text with the word Observation and returns
// what follows it.
func reactResults(r *api.ToolResults) []string {
	if !strings.HasSuffix(r.Assistant, reactObservation) {
		if !strings.HasSuffix(r.Assistant, "\n") {
			r.Assistant += "\n"
		}
		r.Assistant += reactObservation
	}
	var prompt []string
	for i, x := range r.Results {
		if i > 0 {
			prompt = append(prompt, reactObservation)
		}
		prompt = append(prompt, x.Content)
		if !strings.HasSuffix(x.Content, "\n") {
			prompt = append(prompt, "\n")
		}
	}
	return prompt
}

var reactWord = regexp.MustCompile(`Action:|Action Input:|Observation:`)

// reactCalls pairs each Action with the next Action Input.
func reactCalls(text string) []api.ToolCall {
	var calls []api.ToolCall
	var name *string
	words := reactWord.FindAllStringIndex(text, -1)
	for i, word := range words {
		end := len(text)
		if i+1 < len(words) {
			end = words[i+1][0]
		}
		content := strings.TrimSpace(text[word[1]:end])
		switch key := text[word[0]:word[1]]; {
		case key == reactAction && name == nil:
			name = &content
		case key == reactInput && name != nil:
			calls = append(calls, api.ToolCall{Name: *name, Arguments: content})
			name = nil
		}
	}
	return calls
}
