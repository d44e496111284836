package builtin

import (
	"errors"
	"fmt"
	"strings"

	"swiftgo/api"
)

// The families of Zhipu's GLM: a name and the arguments below it, and since 4.5
// each argument in XML tags.
var (
	chatGLM4 = glm4With("你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n")
	glm4     = glm4With("")

	glm45 = glmXML(glmFormat{given, "<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>\n<arg_key>{arg-key-2}</arg_key>\n<arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>", "\n", "", "\n<tool_response>\n%s\n</tool_response>", "<|assistant|>\n"})
	glm47 = glmXML(glmFormat{given, glmLine, "", "\n", "<tool_response>%s</tool_response>", "<|assistant|>"})
	glm51 = glmXML(glmFormat{inner, glmLine, "", "\n", "<tool_response>%s</tool_response>", "<|assistant|>"})
)

const glmLine = "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value><arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>"

// glm4With returns the family of GLM-4, which drops the system prompt for its
// own.
func glm4With(system string) agent {
	return agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			texts, err := eachBare(tools, func(function *object) (string, error) {
				name, err := toolName(function)
				return "## " + name + "\n\n" + dumpsIndented(function) + "\n在调用上述函数时，请使用 Json 格式表示调用的参数。", err
			})
			return system + "# 可用工具\n\n" + strings.Join(texts, "\n"), err
		},
		call: func(_ int, name string, arguments any) (string, error) {
			return name + "\n" + pythonStr(arguments), nil
		},
		calls: func(parts []string) string { return strings.Join(parts, "<|assistant|>") + "<|observation|>" },
		results: func(r *api.ToolResults) ([]string, error) {
			prompt := []string{"\n"}
			for i, x := range r.Results {
				if i > 0 {
					prompt = append(prompt, "<|observation|>\n")
				}
				prompt = append(prompt, x.Content)
			}
			return append(prompt, "<|assistant|>\n"), nil
		},
		parse: func(text string) (calls []api.ToolCall, _ []error) {
			for _, part := range strings.Split(text, "<|assistant|>") {
				if m := glm4Call.FindStringSubmatch(strings.ReplaceAll(part, "<|observation|>", "")); m != nil {
					calls = append(calls, newCall(m[1], m[2]))
				}
			}
			return calls, nil
		},
	}
}

var (
	glm4Call  = matcher("([^\n`]*?)\n(\\{.*?\\})(?:[\\pL\\pN_]*\n|$)")
	glmCall   = matcher(`<tool_call>(.*?)</tool_call>`)
	glmName   = matcher(`^([^\n<]+)`)
	glmKeys   = matcher(`<arg_key>(.*?)</arg_key>`)
	glmValues = matcher(`<arg_value>(.*?)</arg_value>`)
)

// glmFormat is what the families of GLM-4.5 and later do each in their way.
type glmFormat struct {
	tools    func([]*object) ([]string, error)
	call     string // an example
	gap      string // between the parts of a call
	lonely   string // before the tools where there is no system prompt
	response string
	answer   string // where the assistant goes on
}

func glmXML(f glmFormat) agent {
	return agent{
		tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
			lines, err := f.tools(tools)
			text := "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" +
				strings.Join(lines, "\n") + "\n</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n" + f.call
			if system := strings.TrimSpace(systemOf(p)); system != "" {
				return text + "<|system|>\n" + system, err
			}
			return f.lonely + text, err
		},
		call: func(_ int, name string, arguments any) (string, error) {
			o, err := asObject(arguments)
			if err != nil {
				return "", err
			}
			parts := []string{"<tool_call>" + name}
			for _, key := range o.keys {
				parts = append(parts, "<arg_key>"+key+"</arg_key>", "<arg_value>"+pythonStr(o.get(key))+"</arg_value>")
			}
			return strings.Join(append(parts, "</tool_call>"), f.gap), nil
		},
		calls:   func(parts []string) string { return strings.Join(parts, f.gap) + "<|observation|>" },
		results: func(r *api.ToolResults) ([]string, error) { return append(contents(r, f.response), f.answer), nil },
		parse: func(text string) (calls []api.ToolCall, failed []error) {
			for _, m := range glmCall.FindAllStringSubmatch(text, -1) {
				c, err := parseGLM(strings.TrimSpace(m[1]))
				calls, failed = collect(calls, failed, c, err)
			}
			return calls, failed
		},
	}
}

// parseGLM reads the inside of a <tool_call>. Its values have no types: all are
// strings.
func parseGLM(text string) (api.ToolCall, error) {
	name := glmName.FindString(text)
	if name == "" {
		return api.ToolCall{}, fmt.Errorf("tool call %.60q has no name", text)
	}
	keys, values := glmKeys.FindAllStringSubmatch(text, -1), glmValues.FindAllStringSubmatch(text, -1)
	if len(keys) != len(values) {
		return api.ToolCall{}, errors.New("tool call " + name + " has another number of keys than of values")
	}
	arguments := &object{}
	for i, key := range keys {
		arguments.set(strings.TrimSpace(key[1]), strings.TrimSpace(values[i][1]))
	}
	return newCall(name, arguments), nil
}
