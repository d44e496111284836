package builtin

import (
	"fmt"
	"strings"

	"swiftgo/api"
)

// The families whose calls are keywords in plain text: ReAct's words and those
// of the first Qwen models. They write arguments as Python prints them.
var (
	reactEn = worded(&reactWords, describedBy(`Answer the following questions as best you can. You have access to the following tools:

{{TOOLS}}

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [{{NAMES}}]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!
`, reactTool))

	reactZh = worded(&reactWords, describedBy(`尽可能地回答以下问题。你可以使用以下工具:

{{TOOLS}}

请按照以下格式进行:

Question: 需要你回答的输入问题
Thought: 你应该总是思考该做什么
Action: 需要使用的工具，应该是[{{NAMES}}]中的一个
Action Input: 传入工具的内容
Observation: 行动的结果
... (这个Thought/Action/Action Input/Observation可以重复N次)
Thought: 我现在知道最后的答案
Final Answer: 对原始输入问题的最终答案

现在开始！
`, "{{NAME}}: 调用此工具与 {{HUMAN}} API 进行交互。{{HUMAN}} 有什么用？{{DESCRIPTION}} 输入参数：{{PARAMETERS}} 此工具的输入应为JSON对象。"))

	reactGRPO = worded(&reactWords, describedBy(`A conversation for tool calling between User and Assistant. The user asks a question which may be solved by calling tools, and the Assistant solves it. The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning process should be enclosed within <think> </think>tags and answer should follow the ReACT format(Action:xxx
Action Input:xxx), i.e., <think> reasoning process here </think> Action: action here
Action Input: parameters here

Answer the following questions as best as you can. You have access to the following tools:

{{TOOLS}}

Use the following format:

<think>you should always think about what to do</think>
Action: the action to take, should be one of [{{NAMES}}]
Action Input: the input to the action
Observation: the result of the action, given by the actual calling
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Final Answer: the final answer to the original input question

Begin!
`, reactTool))

	toolBench = worded(&reactWords, func(tools []*object, _ *api.ToolPrompt) (string, error) {
		functions := make([]any, len(tools))
		for i, t := range tools {
			function, err := bare(t)
			if err != nil {
				return "", fmt.Errorf("tools[%d]: %w", i, err)
			}
			functions[i] = function
		}
		return toolBenchTools + dumps(functions), nil
	})

	qwenEn         = worded(&qwenWords, describedBy(qwenToolsEn+"\n## When you need to call a tool, please insert the following command in your reply, which can be called zero or multiple times according to your needs:\n\n✿FUNCTION✿: The tool to use, should be one of [{{NAMES}}]\n✿ARGS✿: The input of the tool\n✿RESULT✿: Tool results"+qwenEndEn, qwenToolEn))
	qwenZh         = worded(&qwenWords, describedBy(qwenToolsZh+"\n## 你可以在回复中插入零次、一次或多次以下命令以调用工具：\n\n✿FUNCTION✿: 工具名称，必须是[{{NAMES}}]之一。\n✿ARGS✿: 工具输入\n✿RESULT✿: 工具结果"+qwenEndZh, qwenToolZh))
	qwenEnParallel = worded(&qwenWords, describedBy(qwenToolsEn+`
## Insert the following command in your reply when you need to call N tools in parallel:

✿FUNCTION✿: The name of tool 1, should be one of [{{NAMES}}]
✿ARGS✿: The input of tool 1
✿FUNCTION✿: The name of tool 2
✿ARGS✿: The input of tool 2
...
✿FUNCTION✿: The name of tool N
✿ARGS✿: The input of tool N
✿RESULT✿: The result of tool 1
✿RESULT✿: The result of tool 2
...
✿RESULT✿: he result of tool N`+qwenEndEn, qwenToolEn))
	qwenZhParallel = worded(&qwenWords, describedBy(qwenToolsZh+`
## 你可以在回复中插入以下命令以并行调用N个工具：

✿FUNCTION✿: 工具1的名称，必须是[{{NAMES}}]之一
✿ARGS✿: 工具1的输入
✿FUNCTION✿: 工具2的名称
✿ARGS✿: 工具2的输入
...
✿FUNCTION✿: 工具N的名称
✿ARGS✿: 工具N的输入
✿RESULT✿: 工具1的结果
✿RESULT✿: 工具2的结果
...
✿RESULT✿: 工具N的结果`+qwenEndZh, qwenToolZh))
)

const (
	reactTool = "{{NAME}}: Call this tool to interact with the {{HUMAN}} API. What is the {{HUMAN}} API useful for? {{DESCRIPTION}} Parameters: {{PARAMETERS}} Format the arguments as a JSON object."

	qwenToolsEn = "{{SYSTEM}}\n\n# Tools\n\n## You have access to the following tools:\n\n{{TOOLS}}\n"
	qwenToolsZh = "{{SYSTEM}}\n\n# 工具\n\n## 你拥有如下工具：\n\n{{TOOLS}}\n"
	qwenToolEn  = "### {{HUMAN}}\n\n{{NAME}}: {{DESCRIPTION}} Parameters: {{PARAMETERS}} Format the arguments as a JSON object."
	qwenToolZh  = "### {{HUMAN}}\n\n{{NAME}}: {{DESCRIPTION}} 输入参数：{{PARAMETERS}} 此工具的输入应为JSON对象。"
	qwenEndEn   = "\n✿RETURN✿: Reply based on tool results. Images need to be rendered as ![](url)"
	qwenEndZh   = "\n✿RETURN✿: 根据工具结果进行回复，需将图片用![](url)渲染出来"

	toolBenchTools = `You can use many tools(functions) to do the following task.
First I will give you the task description, and your task start.
At each step, you need to give your thought to analyze the status now and what to do next, with a function call to actually execute your step. Your output should follow this format:
Thought:
Action:
Action Input:

After the call, you will get the call result, and you are now in a new state.
Then you will analyze your status now, then decide what to do next...
After many (Thought-call) pairs, you finally perform the task, then you can give your final answer.
Remember:
1.the state change is irreversible, you can't go back to one of the former state, if you want to restart the task, say "I give up and restart".
2.All the thought is short, at most in 5 sentence.
3.You can do more then one try, so if your plan is to continuously try some conditions, you can do one of the conditions per try.
Let's Begin!
Task description: You should use functions to help handle the real time user queries. Remember:
1.ALWAYS call "Finish" function at the end of the task. And the final answer should contain enough information to show to the user,If you can't handle the task, or you find that function calls always fail(the function is not valid now), use function Finish->give_up_and_restart.
2.Do not use origin tool names, use only subfunctions' names.
Specifically, you have access to the following APIs: `
)

// worded returns a family that calls in these words.
func worded(k *keywords, tools func([]*object, *api.ToolPrompt) (string, error)) agent {
	return agent{
		words: k,
		tools: tools,
		call:  k.write,
		calls: func(parts []string) string { return strings.Join(parts, "") + k.observation },
	}
}

// describedBy returns the tools of a family that describes them in prose. In
// text {{SYSTEM}} is the system prompt, which without it is dropped, {{TOOLS}}
// each tool by the text tool, {{NAMES}} their names.
func describedBy(text, tool string) func([]*object, *api.ToolPrompt) (string, error) {
	return func(tools []*object, p *api.ToolPrompt) (string, error) {
		var names []string
		descriptions, err := eachBare(tools, func(function *object) (string, error) {
			name, err := toolName(function)
			if err != nil {
				return "", err
			}
			names = append(names, name)
			return describe(function, name, tool)
		})
		if err != nil {
			return "", err
		}
		return strings.NewReplacer("{{SYSTEM}}", systemOf(p), "{{TOOLS}}", strings.Join(descriptions, "\n\n"), "{{NAMES}}", strings.Join(names, ",")).Replace(text), nil
	}
}

func describe(function *object, name, tool string) (string, error) {
	human := name
	if v := function.get("name_for_human"); truthy(v) {
		human = pythonStr(v)
	}
	description := function.get("description")
	if description == nil {
		description = function.get("description_for_model")
	}
	if description == nil {
		return "", fmt.Errorf("%s has no description, want one", name)
	}
	parameters := function.get("parameters")
	if !truthy(parameters) {
		parameters = &object{}
	}
	return strings.NewReplacer("{{NAME}}", name, "{{HUMAN}}", human, "{{DESCRIPTION}}", pythonStr(description), "{{PARAMETERS}}", textOr(parameters)).Replace(tool), nil
}
