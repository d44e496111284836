package builtin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"swiftgo/api"
)

// The families that write the arguments of a call as JSON between marks of
// their own: Mistral, Llama 3 and 4, DeepSeek V3.1, Kimi K2.5.
var (
	mistral = agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			lines, err := whole(tools)
			return systemOf(p) + "[AVAILABLE_TOOLS]" + strings.Join(lines, " ") + "[/AVAILABLE_TOOLS]", err
		},
		call: func(_ int, name string, arguments any) (string, error) {
			return callObject(name, "arguments", arguments), nil
		},
		calls: func(parts []string) string { return "[TOOL_CALLS][\n" + strings.Join(parts, "\n") + "\n]</s>" },
		results: func(r *api.ToolResults) ([]string, error) {
			if r.Chat.Prompt == nil {
				return nil, errors.New("there is no chat template, whose user's turn takes the results")
			}
			parts := make([]string, len(r.Results))
			for i, x := range r.Results {
				o := &object{}
				o.set("content", x.Content)
				parts[i] = "[TOOL_RESULTS]" + dumps(o) + "[/TOOL_RESULTS]"
			}
			return asUser(r.Chat, api.Chat{}, strings.Join(parts, "\n")), nil
		},
		parse:    parseMistral,
		plain:    mistralCalls.MatchString,
		wordless: true,
	}

	llama3 = llama("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>")
	llama4 = llama("<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>")

	deepSeekV31 = agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			texts, err := eachBare(tools, func(function *object) (string, error) {
				name, err := toolName(function)
				description, parameters := any(""), any(&object{})
				if function.has("description") {
					description = function.get("description")
				}
				if function.has("parameters") {
					parameters = function.get("parameters")
				}
				return "### " + name + "\nDescription: " + pythonStr(description) + "\n\nParameters: " + dumps(parameters), err
			})
			return systemOf(p) + "\n\n## Tools\nYou have access to the following tools:\n\n" + strings.Join(texts, "\n\n") + deepSeekFormat, err
		},
		call: func(_ int, name string, arguments any) (string, error) {
			return "<｜tool▁call▁begin｜>" + name + "<｜tool▁sep｜>" + dumps(arguments) + "<｜tool▁call▁end｜>", nil
		},
		calls: func(parts []string) string {
			return "<｜tool▁calls▁begin｜>" + strings.Join(parts, "") + "<｜tool▁calls▁end｜>"
		},
		results: func(r *api.ToolResults) ([]string, error) {
			return []string{"<｜end▁of▁sentence｜>", strings.Join(contents(r, "<｜tool▁output▁begin｜>%s<｜tool▁output▁end｜>"), "")}, nil
		},
		parse: func(text string) (calls []api.ToolCall, failed []error) {
			for _, m := range deepSeekCall.FindAllStringSubmatch(text, -1) {
				arguments, err := decode(strings.TrimSpace(m[2]))
				if err != nil || arguments == nil {
					failed = append(failed, fmt.Errorf("the arguments of %s are %.60q, want JSON", m[1], m[2]))
					continue
				}
				calls = append(calls, newCall(m[1], arguments))
			}
			return calls, failed
		},
	}

	kimiK25 = agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			texts, err := eachBare(tools, typeScript)
			system := "tool_declare<|im_middle|># Tools\n\n## functions\nnamespace functions {\n" + strings.Join(texts, "\n") + "\n}\n"
			if s := systemOf(p); s != "" {
				system += "<|im_end|><|im_system|>system<|im_middle|>" + s
			}
			return system, err
		},
		call: func(_ int, name string, arguments any) (string, error) {
			return "<|tool_call_begin|>" + name + "<|tool_call_argument_begin|>" + dumps(arguments) + "<|tool_call_end|>", nil
		},
		calls: func(parts []string) string {
			return "<|tool_calls_section_begin|>" + strings.Join(parts, "") + "<|tool_calls_section_end|>"
		},
		results: func(r *api.ToolResults) ([]string, error) {
			prompt := []string{"<|im_end|>"}
			for _, x := range r.Results {
				prompt = append(prompt, "<|im_system|>tool<|im_middle|>## Return of "+x.ID+"\n"+x.Content+"<|im_end|>")
			}
			return append(prompt, "<|im_assistant|>assistant<|im_middle|>"), nil
		},
		parse: func(text string) (calls []api.ToolCall, failed []error) {
			for _, m := range kimiCall.FindAllStringSubmatch(text, -1) {
				calls = append(calls, newCall(m[1], valueOr(strings.TrimSpace(m[2]))))
			}
			return calls, nil
		},
	}
)

const deepSeekFormat = `

IMPORTANT: ALWAYS adhere to this exact format for tool use:
<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>{additional_tool_calls}<｜tool▁calls▁end｜>

Where:
- ` + "`tool_call_name`" + ` must be an exact match to one of the available tools
- ` + "`tool_call_arguments`" + ` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces`

var (
	mistralCalls = matcher(`\[TOOL_CALLS\]\[(.*?)\]</s>`)
	llamaCall    = matcher(`\{[^{]*?"name":.*?"parameters":\s*?\{.*?\}\s*?\}`)
	deepSeekCall = matcher(`<｜tool▁call▁begin｜>(.*?)<｜tool▁sep｜>(.*?)<｜tool▁call▁end｜>`)
	kimiCall     = matcher(`<\|tool_call_begin\|>(.*?)<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>`)
)

// parseMistral reads the lines of the first list of calls.
func parseMistral(text string) (calls []api.ToolCall, failed []error) {
	m := mistralCalls.FindStringSubmatch(text)
	if m == nil {
		return nil, nil
	}
	for _, line := range strings.Split(strings.TrimSpace(m[1]), "\n") {
		items := []any{nil}
		if v, err := decode(line); err != nil {
			failed = append(failed, fmt.Errorf("tool call %.60q: %w", line, err))
			continue
		} else if list, ok := v.([]any); ok {
			items = list
		} else {
			items[0] = v
		}
		for _, item := range items {
			c, err := namedCall(dumps(item), "arguments")
			calls, failed = collect(calls, failed, c, err)
		}
	}
	return calls, failed
}

// llama returns the family of Llama with these marks.
func llama(start, end, endOfTurn, endOfMessage string) agent {
	return agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			texts := make([]string, len(tools))
			for i, t := range tools {
				texts[i] = dumpsIndented(t)
			}
			p.User = `Given the following functions, please respond with a JSON for a function call with its proper arguments that best answers the given prompt.

Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}. Do not use variables.

` + strings.Join(texts, "\n\n") + "\n\n" + p.User
			return systemOf(p), nil
		},
		call: func(_ int, name string, arguments any) (string, error) {
			return callObject(name, "parameters", arguments), nil
		},
		results: func(r *api.ToolResults) ([]string, error) {
			prompt := append([]string{endOfTurn}, contents(r, start+"tool"+end+"\n\n%s"+endOfTurn)...)
			return append(prompt, start+"assistant"+end+"\n\n"), nil
		},
		parse: func(text string) ([]api.ToolCall, []error) { return parseLlama(strings.TrimSuffix(text, endOfMessage)) },
	}
}

// parseLlama reads objects with name and parameters, wherever they are. The
// pattern ends at the first two braces; where that is too early the object goes
// on to where JSON ends.
func parseLlama(text string) (calls []api.ToolCall, failed []error) {
	for {
		at := llamaCall.FindStringIndex(text)
		if at == nil {
			return calls, failed
		}
		c, err := namedCall(text[at[0]:at[1]], "parameters")
		if err != nil {
			var object json.RawMessage
			d := json.NewDecoder(strings.NewReader(text[at[0]:]))
			if d.Decode(&object) == nil {
				at[1] = at[0] + int(d.InputOffset())
				c, err = namedCall(string(bytes.TrimSpace(object)), "parameters")
			}
		}
		calls, failed = collect(calls, failed, c, err)
		text = text[at[1]:]
	}
}

// typeScript writes a function as a type of TypeScript.
func typeScript(function *object) (string, error) {
	name, err := toolName(function)
	if err != nil {
		return "", err
	}
	properties, err := propertiesOf(function)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	var b strings.Builder
	if v := function.get("description"); truthy(v) {
		b.WriteString("// " + pythonStr(v) + "\n")
	}
	if len(properties.keys) == 0 {
		b.WriteString("type " + name + " = (_: {}) => any;")
		return b.String(), nil
	}
	b.WriteString("type " + name + " = (_: {\n")
	for i, key := range properties.keys {
		schema, ok := properties.get(key).(*object)
		if !ok {
			return "", fmt.Errorf("%s: the parameter %s is %.60s, want a JSON schema", name, key, dumps(properties.get(key)))
		}
		kind, err := schemaType(key, schema, typeScriptTypes, "any")
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if v := schema.get("description"); truthy(v) {
			b.WriteString("  // " + pythonStr(v) + "\n")
		}
		b.WriteString("  " + key + ": " + kind)
		if i < len(properties.keys)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("}) => any;")
	return b.String(), nil
}

var typeScriptTypes = map[string]string{
	"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "array": "any[]", "object": "object", "null": "null",
}

// propertiesOf returns the properties of a function's parameters, none if it
// has none.
func propertiesOf(function *object) (*object, error) {
	return objectAt(function, "parameters", "properties")
}

// objectAt returns the object under keys, an empty one where a key is missing.
func objectAt(o *object, keys ...string) (*object, error) {
	for _, key := range keys {
		if !o.has(key) {
			return &object{}, nil
		}
		inner, ok := o.get(key).(*object)
		if !ok {
			return nil, fmt.Errorf("%s is %.60s, want a JSON object", key, dumps(o.get(key)))
		}
		o = inner
	}
	return o, nil
}

// schemaType returns the name that names has for the type of a schema, or other.
func schemaType(key string, schema *object, names map[string]string, other string) (string, error) {
	switch kind := schema.get("type").(type) {
	case string:
		if name, ok := names[kind]; ok {
			return name, nil
		}
	case []any, *object:
		return "", fmt.Errorf("the parameter %s has the type %.60s, want one type by name", key, dumps(kind))
	}
	return other, nil
}
