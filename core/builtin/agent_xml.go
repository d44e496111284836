package builtin

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"swiftgo/api"
)

// The families that write each argument in XML tags, strings as they are and
// all else as JSON.
var (
	qwen3Coder = agent{
		tools: qwenCoderTools,
		call: func(_ int, name string, arguments any) (string, error) {
			return tagged(arguments, true, "<tool_call>\n<function="+name+">\n", "</function>\n</tool_call>", func(key string, v any) string {
				return "<parameter=" + key + ">\n" + qwenValue(v) + "\n</parameter>\n"
			}, "")
		},
		results: func(r *api.ToolResults) ([]string, error) {
			return asUser(r.Chat, chatML, strings.Join(contents(r, "<tool_response>\n%s\n</tool_response>\n"), "")), nil
		},
		parse: parseQwenCoder,
	}

	qwen35 = agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			lines, err := whole(tools)
			text := "# Tools\n\nYou have access to the following functions:\n\n<tools>\n" + strings.Join(lines, "\n") + "\n" + qwenCoderFormat
			if system := systemOf(p); system != "" {
				text += "\n\n" + system
			}
			return text, err
		},
		call:    qwen3Coder.call,
		results: hermes.results,
		parse:   parseQwenCoder,
		join: func(before string) string {
			if i := strings.LastIndex(before, "</think>"); i >= 0 {
				before = before[i+len("</think>"):]
			}
			if strings.TrimSpace(before) == "" {
				return ""
			}
			return "\n\n"
		},
	}

	seedOSS = agent{
		tools: seedTools,
		call: func(_ int, name string, arguments any) (string, error) {
			return tagged(arguments, true, "<seed:tool_call>\n<function="+name+">\n", "</function>\n</seed:tool_call>", func(key string, v any) string {
				return "<parameter=" + key + ">" + textOr(v) + "</parameter>\n"
			}, "")
		},
		results: func(r *api.ToolResults) ([]string, error) {
			return []string{"<seed:eos>", strings.Join(contents(r, "<seed:bos>tool\n%s<seed:eos>"), "") + "<seed:bos>assistant\n"}, nil
		},
		parse: func(text string) ([]api.ToolCall, []error) {
			return parseTagged(text, seedCall, seedName, seedParameter, func(value string) any { return value })
		},
		plain: func(text string) bool { return !seedCall.MatchString(text) },
	}

	miniMaxM2 = agent{
		tools: listed(inner, "", miniMaxTools, "<tool>%s</tool>", `
</tools>

When making tool calls, use XML format to invoke tools and pass parameters:

<minimax:tool_call>
<invoke name="tool-name-1">
<parameter name="param-key-1">param-value-1</parameter>
<parameter name="param-key-2">param-value-2</parameter>
...
</invoke>
</minimax:tool_call>`),
		call: func(_ int, name string, arguments any) (string, error) {
			return tagged(arguments, true, `<invoke name="`+name+"\">\n", "\n</invoke>", func(key string, v any) string {
				return `<parameter name="` + key + `">` + textOr(v) + "</parameter>"
			}, "\n")
		},
		calls: func(parts []string) string {
			return "<minimax:tool_call>\n" + strings.Join(parts, "\n") + "\n</minimax:tool_call>"
		},
		results: miniMaxResults(api.Chat{Prompt: []string{"]~b]tool\n{{QUERY}}[e~[\n"}, Separator: []string{"[e~[\n"}}),
		parse: func(text string) (calls []api.ToolCall, failed []error) {
			for _, block := range miniMaxBlock.FindAllStringSubmatch(text, -1) {
				more, wrong := parseTagged(block[1], miniMaxCall, miniMaxName, miniMaxParameter, func(value string) any {
					return valueOr(strings.TrimSpace(value))
				})
				calls, failed = append(calls, more...), append(failed, wrong...)
			}
			return calls, failed
		},
	}

	miniCPM5 = agent{
		tools: listed(whole, "\n\n", "# Tools\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n", "%s", `
</tools>

Tool usage guidelines:
- You may call zero or more functions. If no function calls are needed, just answer normally and do not include any <function ... </function>.
- When calling a function, return an XML object within <function ... </function> using:
<function name="function-name"><param name="param-name">param-value</param></function>
- param-value may be multi-line. If it contains <, & or newline characters, wrap it in a CDATA block: <param name="param-name"><![CDATA[...multi-line value...]]></param>`),
		call: func(_ int, name string, arguments any) (string, error) {
			return tagged(arguments, false, `<function name="`+name+`">`, "</function>", func(key string, v any) string {
				text := textOr(v)
				if _, ok := v.(string); ok && strings.ContainsAny(text, "<&\n") {
					text = "<![CDATA[" + text + "]]>"
				}
				return `<param name="` + key + `">` + text + "</param>"
			}, "")
		},
		results: hermes.results,
		parse: func(text string) ([]api.ToolCall, []error) {
			return parseTagged(text, miniCPMCall, miniCPMName, miniCPMParameter, jsonOr)
		},
	}

	hyV3Preview = hunyuan("")
	hyV3        = hunyuan(":opensource")

	deepSeekV4 = agent{
		tools: listed(inner, "\n\n", deepSeekV4Tools, "%s", "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n"),
		call: func(_ int, name string, arguments any) (string, error) {
			return tagged(arguments, true, `<｜DSML｜invoke name="`+name+"\">\n", "\n</｜DSML｜invoke>", func(key string, v any) string {
				_, isText := v.(string)
				return fmt.Sprintf(`<｜DSML｜parameter name="%s" string="%t">%s</｜DSML｜parameter>`, key, isText, textOr(v))
			}, "\n")
		},
		calls: func(parts []string) string {
			return "<｜DSML｜tool_calls>\n" + strings.Join(parts, "\n") + "\n</｜DSML｜tool_calls>"
		},
		results: func(r *api.ToolResults) ([]string, error) {
			return []string{"<｜end▁of▁sentence｜><｜User｜>", strings.Join(contents(r, "<tool_result>%s</tool_result>"), "\n\n"), "<｜Assistant｜>"}, nil
		},
		parse: func(text string) (calls []api.ToolCall, _ []error) {
			for _, m := range deepSeekV4Call.FindAllStringSubmatch(text, -1) {
				arguments := &object{}
				for _, p := range deepSeekV4Parameter.FindAllStringSubmatch(m[2], -1) {
					if arguments.set(p[1], p[3]); p[2] == "false" {
						arguments.set(p[1], jsonOr(p[3]))
					}
				}
				calls = append(calls, newCall(m[1], arguments))
			}
			return calls, nil
		},
		join: func(string) string { return "\n\n" },
	}
)

const (
	qwenCoderFormat = `</tools>

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell the user about function calls
</IMPORTANT>`

	miniMaxTools = `

# Tools
You may call one or more tools to assist with the user query.
Here are the tools available in JSONSchema format:

<tools>
`

	deepSeekV4Tools = `## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<｜DSML｜tool_calls>" block like the following:

<｜DSML｜tool_calls>
<｜DSML｜invoke name="$TOOL_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$TOOL_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜tool_calls>

String parameters should be specified as is and set ` + "`string=\"true\"`" + `. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set ` + "`string=\"false\"`" + `.

If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside <think>...</think> BEFORE any tool calls or final response.

Otherwise, output directly after </think> with tool calls or final response.

### Available Tool Schemas

`
)

var (
	qwenCoderParameter  = matcher(`<parameter=([^>]+)>\s*(.*?)\s*</parameter>`)
	functionName        = matcher(`<function=([^>]+)>`)
	seedCall            = matcher(`<seed:tool_call>(.+?)</seed:tool_call>`)
	seedName            = functionName
	seedParameter       = matcher(`<parameter=([^>]+)>(.*?)</parameter>`)
	miniMaxBlock        = matcher(`<minimax:tool_call>(.*?)</minimax:tool_call>`)
	miniMaxCall         = matcher(`(<invoke name="[^"]+">.*?)</invoke>`)
	miniMaxName         = matcher(`<invoke name="([^"]+)">`)
	miniMaxParameter    = matcher(`<parameter name="([^"]+)">(.*?)</parameter>`)
	miniCPMCall         = matcher(`(<function\s+name="[^"]+">.*?)</function>`)
	miniCPMName         = matcher(`<function\s+name="([^"]+)">`)
	miniCPMParameter    = matcher(`<param\s+name="([^"]+)">(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))</param>`)
	deepSeekV4Call      = matcher(`<｜DSML｜invoke\s+name="([^"]+)">\s*(.*?)\s*</｜DSML｜invoke>`)
	deepSeekV4Parameter = matcher(`<｜DSML｜parameter\s+name="([^"]+)"\s+string="(true|false)">(.*?)</｜DSML｜parameter>`)
)

// tagged writes the arguments one by one between before and after, with gap
// between them. Where they must be an object, others are an error, and are
// left out elsewhere.
func tagged(arguments any, must bool, before, after string, parameter func(key string, v any) string, gap string) (string, error) {
	o, err := asObject(arguments)
	if err != nil && must {
		return "", err
	}
	var parts []string
	if o != nil {
		for _, key := range o.keys {
			parts = append(parts, parameter(key, o.get(key)))
		}
	}
	return before + strings.Join(parts, gap) + after, nil
}

// parseTagged reads the calls in a text by the patterns of a call, of the name
// within it and of its parameters, of which the last group that matched is the
// value.
func parseTagged(text string, call, name, parameter *regexp.Regexp, value func(string) any) (calls []api.ToolCall, failed []error) {
	for _, m := range call.FindAllStringSubmatch(text, -1) {
		function := name.FindStringSubmatch(m[1])
		if function == nil {
			failed = append(failed, fmt.Errorf("tool call %.60q has no name", m[1]))
			continue
		}
		arguments := &object{}
		for _, p := range parameter.FindAllStringSubmatch(m[1], -1) {
			arguments.set(p[1], value(strings.Join(p[2:], ""))) // one of the groups
		}
		calls = append(calls, newCall(function[1], arguments))
	}
	return calls, failed
}

// jsonOr reads JSON, and what is none as the text that it is.
func jsonOr(text string) any {
	if v, err := decodeJSON([]byte(text)); err == nil {
		return v
	}
	return text
}

// qwenValue writes a list or an object as JSON and all else as Python prints it.
func qwenValue(v any) string {
	switch v.(type) {
	case []any, *object:
		return dumps(v)
	}
	return pythonStr(v)
}

func parseQwenCoder(text string) (calls []api.ToolCall, failed []error) {
	for _, m := range glmCall.FindAllStringSubmatch(text, -1) {
		content := strings.TrimSpace(m[1])
		name := functionName.FindStringSubmatch(content)
		if name == nil || !strings.HasPrefix(content, "<function=") || !strings.HasSuffix(content, "</function>") {
			failed = append(failed, fmt.Errorf("tool call %.60q is no <function=…> to </function>", content))
			continue
		}
		arguments := &object{}
		for _, p := range qwenCoderParameter.FindAllStringSubmatch(content, -1) {
			arguments.set(strings.TrimSpace(p[1]), strings.TrimSpace(p[2]))
		}
		calls = append(calls, newCall(name[1], arguments))
	}
	return calls, failed
}

// qwenCoderTools describes each function and its parameters in tags.
func qwenCoderTools(tools []*object, p *api.ToolPrompt) (string, error) {
	system := "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
	if p.System != nil {
		system = *p.System
	}
	parts := []string{system + "\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>"}
	for i, t := range tools {
		if t.has("function") {
			function, ok := t.get("function").(*object)
			if !ok {
				return "", fmt.Errorf("tools[%d]: the function is %.60s, want a JSON object", i, dumps(t.get("function")))
			}
			t = function
		}
		text, err := qwenCoderTool(t)
		if err != nil {
			return "", fmt.Errorf("tools[%d]: %w", i, err)
		}
		parts = append(parts, text)
	}
	return strings.Join(append(parts, qwenCoderFormat), "\n"), nil
}

func qwenCoderTool(function *object) (string, error) {
	if !function.has("name") {
		return "", errors.New("a function has no name")
	}
	var b strings.Builder
	b.WriteString("<function>\n<name>" + pythonStr(function.get("name")) + "</name>")
	if err := qwenDescription(&b, function); err != nil {
		return "", err
	}
	b.WriteString("\n<parameters>")
	parameters, _ := function.get("parameters").(*object)
	if parameters != nil {
		if properties, ok := parameters.get("properties").(*object); ok {
			for _, key := range properties.keys {
				schema, ok := properties.get(key).(*object)
				if !ok {
					return "", fmt.Errorf("the parameter %s is %.60s, want a JSON schema", key, dumps(properties.get(key)))
				}
				b.WriteString("\n<parameter>\n<name>" + key + "</name>")
				if schema.has("type") {
					b.WriteString("\n<type>" + pythonStr(schema.get("type")) + "</type>")
				}
				if err := qwenDescription(&b, schema); err != nil {
					return "", fmt.Errorf("the parameter %s: %w", key, err)
				}
				qwenOthers(&b, schema, "name", "type", "description")
				b.WriteString("\n</parameter>")
			}
		}
		qwenOthers(&b, parameters, "type", "properties")
	}
	b.WriteString("\n</parameters>")
	qwenOthers(&b, function, "type", "name", "description", "parameters")
	b.WriteString("\n</function>")
	return b.String(), nil
}

func qwenDescription(b *strings.Builder, o *object) error {
	if !o.has("description") {
		return nil
	}
	text, ok := o.get("description").(string)
	if !ok {
		return fmt.Errorf("the description is %.60s, want a string", dumps(o.get("description")))
	}
	b.WriteString("\n<description>" + strings.TrimSpace(text) + "</description>")
	return nil
}

// qwenOthers writes all keys but the given ones.
func qwenOthers(b *strings.Builder, o *object, but ...string) {
	for _, key := range o.keys {
		if !slices.Contains(but, key) {
			b.WriteString("\n<" + key + ">" + dumps(o.get(key)) + "</" + key + ">")
		}
	}
}

// seedTools writes each function as one of Python's, with its documentation.
func seedTools(tools []*object, p *api.ToolPrompt) (string, error) {
	var texts []string
	for i, t := range tools {
		t = wrapped(t)
		if t.get("type") != "function" {
			continue
		}
		text, err := seedTool(t)
		if err != nil {
			return "", fmt.Errorf("tools[%d]: %w", i, err)
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	const split = "<seed:eos><seed:bos>system"
	before, after := "You are Doubao, a helpful AI assistant. You may call one or more functions to assist with the user query.", "\n"+systemOf(p)
	if own, rest, ok := strings.Cut(systemOf(p), split); ok {
		before, after = own, rest
	}
	return before + "\n\n" + strings.Join(texts, "\n\n") + `
工具调用请遵循如下格式:
<seed:tool_call>
<function=example_function_name>
<parameter=example_parameter_1>value_1</parameter>
<parameter=example_parameter_2>This is the value for the second parameter
that can span
multiple lines</parameter>
</function>
</seed:tool_call>
` + split + after, nil
}

var seedTypes = map[string]string{"string": "str", "number": "int", "integer": "int", "boolean": "bool", "array": "list"}

func seedTool(tool *object) (string, error) {
	function, err := objectAt(tool, "function")
	if err != nil || !truthy(function.get("name")) {
		return "", err
	}
	name := pythonStr(function.get("name"))
	parameters, err := objectAt(function, "parameters")
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	arguments, signature, err := seedArguments(parameters, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	returns, err := objectAt(function, "returns")
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	results, _, err := seedArguments(returns, false)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	description := ""
	if function.has("description") {
		var ok bool
		if description, ok = function.get("description").(string); !ok {
			return "", fmt.Errorf("%s: the description is %.60s, want a string", name, dumps(function.get("description")))
		}
	}
	text := "Function:\ndef " + name + "(" + strings.Join(signature, ",") + "):\n    \"\"\"\n    " + strings.TrimSpace(description)
	if arguments != nil {
		text += "\n\n    Args:\n" + strings.Join(arguments, "\n")
	}
	if results != nil {
		text += "\n\n    Returns:\n" + strings.Join(results, "\n")
	}
	return text + "\n\n    \"\"\"", nil
}

// seedArguments returns a line for each property of a schema, and its place in
// a signature. It returns nil where there are no properties.
func seedArguments(schema *object, asked bool) (lines, signature []string, err error) {
	properties, err := objectAt(schema, "properties")
	if err != nil || len(properties.keys) == 0 {
		return nil, nil, err
	}
	required, _ := schema.get("required").([]any)
	lines = []string{}
	for _, key := range properties.keys {
		property, ok := properties.get(key).(*object)
		if !ok {
			continue
		}
		kind, err := schemaType(key, property, seedTypes, "Any")
		if err != nil {
			return nil, nil, err
		}
		need := ""
		if asked {
			need = " [选填]"
			if slices.Contains(required, any(key)) {
				need = " [必填]"
			}
		}
		description := ""
		if property.has("description") {
			description = pythonStr(property.get("description"))
		}
		lines = append(lines, "    - "+key+" ("+kind+")"+need+": "+description)
		signature = append(signature, key+": "+kind)
	}
	return lines, signature, nil
}

// miniMaxResults writes results as the user's turn with the word tool in place
// of user.
func miniMaxResults(own api.Chat) func(r *api.ToolResults) ([]string, error) {
	return func(r *api.ToolResults) ([]string, error) {
		chat := r.Chat
		if chat.Prompt != nil {
			chat.Prompt = make([]string, len(r.Chat.Prompt))
			for i, piece := range r.Chat.Prompt {
				chat.Prompt[i] = strings.ReplaceAll(piece, "user", "tool")
			}
		}
		return asUser(chat, own, strings.Join(contents(r, "<response>%s</response>"), "\n")), nil
	}
}

// hunyuan returns the family of Tencent's Hy models, whose tags end in mark.
func hunyuan(mark string) agent {
	tags := func(text string) string { return strings.ReplaceAll(text, "~", mark) }
	call := matcher(tags(`<tool_call~>(.*?)</tool_call~>`))
	pair := matcher(tags(`<arg_key~>(.*?)</arg_key~>\s*<arg_value~>(.*?)</arg_value~>`))
	return agent{
		tools: listed(whole, "\n\n", hermesTools[2:], "%s", tags(`
</tools>

For function call returns, you should first print <tool_calls~>
For each function call, you should return object like:
<tool_call~>{function-name}<tool_sep~>
<arg_key~>{arg-key-1}</arg_key~>
<arg_value~>{arg-value-1}</arg_value~>
<arg_key~>{arg-key-2}</arg_key~>
<arg_value~>{arg-value-2}</arg_value~>
...
</tool_call~>
At the end of function call returns, you should print </tool_calls~>`)),
		call: func(_ int, name string, arguments any) (string, error) {
			return tagged(arguments, false, tags("<tool_call~>")+name+tags("<tool_sep~>\n"), tags("\n</tool_call~>"), func(key string, v any) string {
				return tags("<arg_key~>") + key + tags("</arg_key~>\n<arg_value~>") + textOr(v) + tags("</arg_value~>")
			}, "\n")
		},
		calls: func(parts []string) string {
			return tags("<tool_calls~>\n") + strings.Join(parts, "\n") + tags("\n</tool_calls~>")
		},
		results: func(r *api.ToolResults) ([]string, error) {
			responses := strings.Join(contents(r, tags("<tool_response~>\n%s\n</tool_response~>")), "\n")
			return []string{tags("<｜hy_eos~｜>"), tags("<tool_responses~>\n") + responses + tags("\n</tool_responses~>"), tags("<｜hy_Assistant~｜>")}, nil
		},
		parse: func(text string) (calls []api.ToolCall, failed []error) {
			for _, m := range call.FindAllStringSubmatch(text, -1) {
				name, _, ok := strings.Cut(m[1], tags("<tool_sep~>"))
				if !ok {
					failed = append(failed, fmt.Errorf("tool call %.60q has no %s after its name", m[1], tags("<tool_sep~>")))
					continue
				}
				arguments := &object{}
				for _, p := range pair.FindAllStringSubmatch(m[1], -1) {
					arguments.set(strings.TrimSpace(p[1]), valueOr(strings.TrimSpace(p[2])))
				}
				calls = append(calls, newCall(name, arguments))
			}
			return calls, failed
		},
	}
}
