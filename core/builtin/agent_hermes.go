package builtin

import (
	"strings"

	"swiftgo/api"
)

// The family of NousResearch's Hermes models, which Qwen 2.5 and 3 share: JSON
// between XML tags.
var (
	hermes = agent{
		tools: listed(whole, "", hermesTools, "%s", `
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>`),
		call: func(_ int, name string, arguments any) (string, error) {
			return "<tool_call>\n" + callObject(name, "arguments", arguments) + "\n</tool_call>", nil
		},
		results: func(r *api.ToolResults) ([]string, error) {
			return asUser(r.Chat, chatML, strings.Join(contents(r, "<tool_response>\n%s\n</tool_response>"), "\n")), nil
		},
		parse: parseHermes,
	}

	hunyuanHermes = agent{
		tools: listed(whole, "\n\n", hermesTools[2:], "%s", `
</tools>

For function call returns, you should first print <tool_calls>For each function call, you should return object like:
<tool_call>function_name
`+"```json\nfunction_arguments_in_json_format\n```"+`</tool_call>At the end of function call returns, you should print </tool_calls>`),
		call:  hermes.call,
		calls: func(parts []string) string { return "<tool_calls>\n" + strings.Join(parts, "\n") + "\n</tool_calls>" },
		results: func(r *api.ToolResults) ([]string, error) {
			text := strings.Join(contents(r, "<tool_response>%s</tool_response>"), "\n")
			return asUser(r.Chat, chatML, "<tool_responses>"+text+"</tool_responses>"), nil
		},
		parse: func(text string) ([]api.ToolCall, []error) {
			var calls []api.ToolCall
			for _, m := range hunyuanCall.FindAllStringSubmatch(text, -1) {
				arguments, err := decode(m[2])
				if err != nil {
					arguments = nil
				}
				calls = append(calls, newCall(m[1], arguments))
			}
			if calls != nil {
				return calls, nil
			}
			return parseHermes(text)
		},
	}

	youtu = agent{
		tools: listed(whole, "\n\n", `<|begin_of_tool_description|>Tool calling capabilities.
You may call one or more functions to assist with the user query. You have the following functions available:
`, "```json\n%s\n```", `
For tool call returns, you MUST use the following format:
<tool_call>{"name": "function-name", "arguments": {"param1": "value1", "param2": "value2"}}</tool_call>
<|end_of_tool_description|>`),
		call: func(_ int, name string, arguments any) (string, error) {
			return "<tool_call>" + callObject(name, "arguments", arguments) + "</tool_call>", nil
		},
		calls: func(parts []string) string { return strings.Join(parts, "") },
		results: func(r *api.ToolResults) ([]string, error) {
			own := api.Chat{Prompt: []string{"<|User|>{{QUERY}}<|Assistant|>"}, Separator: []string{"<|end_of_text|>"}}
			return asUser(r.Chat, own, strings.Join(contents(r, "<tool_response>%s</tool_response>"), "\n")), nil
		},
		parse: parseHermes,
	}
)

const hermesTools = `

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
`

var (
	hermesCall  = matcher(`<tool_call>(.+?)</tool_call>`)
	hunyuanCall = matcher("<tool_call>(.+?)\n```json(.+?)```</tool_call>")
)

// parseHermes reads the JSON of each <tool_call>.
func parseHermes(text string) (calls []api.ToolCall, failed []error) {
	for _, m := range hermesCall.FindAllStringSubmatch(text, -1) {
		c, err := namedCall(m[1], "arguments")
		calls, failed = collect(calls, failed, c, err)
	}
	return calls, failed
}
