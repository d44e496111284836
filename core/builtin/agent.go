package builtin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"swiftgo/api"
)

// agent is an agent template by its parts. What all of ms-swift's have in
// common is written here once: they read tools and arguments as Python reads
// JSON, and beside their own format they know calls in the words of ReAct.
type agent struct {
	// tools returns the system prompt that offers tools, and may rewrite p.User.
	tools func(tools []*object, p *api.ToolPrompt) (string, error)

	// call writes the i-th call.
	call func(i int, name string, arguments any) (string, error)

	// calls joins what call wrote; nil joins them by new lines.
	calls func(parts []string) string

	// results writes what tools answered; nil writes the bare answers.
	results func(r *api.ToolResults) ([]string, error)

	// parse returns the calls in a text, and what it did not understand of it.
	parse func(text string) (calls []api.ToolCall, failed []error)

	// plain reports whether a text without a call in the family's format may
	// have some in the words of ReAct; nil is always.
	plain func(text string) bool

	// join returns what stands between the text of a turn and its calls.
	join func(before string) string

	words    *keywords // of a call in plain text; nil are ReAct's
	wordless bool      // after a call in those words too, results are written by results
}

// agentTemplates returns the constructors of all families, by the names that
// ms-swift has for them.
func agentTemplates() api.AgentTemplates {
	constructors := api.AgentTemplates{}
	for name, a := range map[string]agent{
		"react_en": reactEn, "react_zh": reactZh, "react_grpo": reactGRPO, "toolbench": toolBench,
		"qwen_en": qwenEn, "qwen_zh": qwenZh, "qwen_en_parallel": qwenEnParallel, "qwen_zh_parallel": qwenZhParallel,
		"hermes": hermes, "hunyuan_hermes": hunyuanHermes, "youtu": youtu,
		"mistral": mistral, "llama3": llama3, "llama4": llama4, "deepseek_v3_1": deepSeekV31, "kimi_k25": kimiK25,
		"chatglm4": chatGLM4, "glm4": glm4, "glm4_5": glm45, "glm4_7": glm47, "glm5_1": glm51,
		"qwen3_coder": qwen3Coder, "qwen3_5": qwen35, "seed_oss": seedOSS, "minimax_m2": miniMaxM2, "minicpm5": miniCPM5,
		"hy_v3_preview": hyV3Preview, "hy_v3": hyV3, "deepseek_v4": deepSeekV4,
		"minimax_m3": miniMaxM3, "kimi_k3": kimiK3, "gemma4": gemma4,
	} {
		constructors[name] = newAgent(a)
	}
	return constructors
}

// newAgent returns the constructor of an agent template.
func newAgent(a agent) func(*api.Args) (api.AgentTemplate, error) {
	if a.words == nil {
		a.words = &reactWords
	}
	return func(args *api.Args) (api.AgentTemplate, error) { return &a, args.Decode(&none{}) }
}

// FormatTools reads the tools and has the family write them.
func (a *agent) FormatTools(p *api.ToolPrompt) (string, error) {
	tools := make([]*object, len(p.Tools))
	for i, t := range p.Tools {
		var err error
		if tools[i], err = decodeObject(t.JSON); err != nil {
			return "", fmt.Errorf("tools[%d] is no JSON object: %w", i, err)
		}
	}
	return a.tools(tools, p)
}

// FormatCalls writes each call and joins them.
func (a *agent) FormatCalls(calls []api.ToolCall) (string, error) {
	parts := make([]string, len(calls))
	for i, c := range calls {
		arguments, err := decode(c.Arguments)
		if err != nil { // what a model wrote
			arguments = c.Arguments
		}
		if parts[i], err = a.call(i, c.Name, arguments); err != nil {
			return "", fmt.Errorf("call of %s: %w", c.Name, err)
		}
	}
	if a.calls == nil {
		return strings.Join(parts, "\n"), nil
	}
	return a.calls(parts), nil
}

// JoinCalls puts what the family wants between a text and the calls after it.
func (a *agent) JoinCalls(before, calls string) (string, error) {
	if a.join == nil {
		return calls, nil
	}
	return a.join(before) + calls, nil
}

// FormatResults writes the results as the family does, and after a call in
// plain words as observations that follow it.
func (a *agent) FormatResults(r *api.ToolResults) ([]string, error) {
	switch {
	case !a.wordless && a.words.call(r.Assistant):
		return a.words.results(r), nil
	case a.results != nil:
		return a.results(r)
	}
	return contents(r, "%s"), nil
}

// ParseCalls reads calls in the family's format and, where there is none that
// it understands, in plain words.
func (a *agent) ParseCalls(text string) ([]api.ToolCall, error) {
	var calls []api.ToolCall
	var failed []error
	if a.parse != nil {
		calls, failed = a.parse(text)
	}
	if calls == nil && (a.plain == nil || a.plain(text)) {
		if calls = a.words.calls(text); calls == nil {
			calls = reactWords.calls(text)
		}
	}
	return calls, errors.Join(failed...)
}

// keywords are the words of a call in plain text.
type keywords struct {
	action, input, observation string
	any                        *regexp.Regexp
}

// The words of ReAct (Yao et al. 2023), and those that the first Qwen models
// put in their place.
var (
	reactWords = newKeywords("Action:", "Action Input:", "Observation:")
	qwenWords  = newKeywords("✿FUNCTION✿:", "✿ARGS✿:", "✿RESULT✿:")
)

func newKeywords(action, input, observation string) keywords {
	return keywords{action, input, observation, regexp.MustCompile(action + "|" + input + "|" + observation)}
}

// call reports whether a text has a call in it.
func (k *keywords) call(text string) bool {
	return strings.Contains(text, k.action) && strings.Contains(text, k.input)
}

// calls pairs each action with the next input.
func (k *keywords) calls(text string) []api.ToolCall {
	var calls []api.ToolCall
	var name *string
	words := k.any.FindAllStringIndex(text, -1)
	for i, word := range words {
		end := len(text)
		if i+1 < len(words) {
			end = words[i+1][0]
		}
		content := text[word[1]:end]
		switch key := text[word[0]:word[1]]; {
		case key == k.action && name == nil:
			name = &content
		case key == k.input && name != nil:
			calls = append(calls, newCall(*name, content))
			name = nil
		}
	}
	return calls
}

// results ends the assistant's text with the word for an observation and
// returns what follows it.
func (k *keywords) results(r *api.ToolResults) []string {
	if !strings.HasSuffix(r.Assistant, k.observation) {
		if !strings.HasSuffix(r.Assistant, "\n") {
			r.Assistant += "\n"
		}
		r.Assistant += k.observation
	}
	var prompt []string
	for i, x := range r.Results {
		if i > 0 {
			prompt = append(prompt, k.observation)
		}
		prompt = append(prompt, x.Content)
		if !strings.HasSuffix(x.Content, "\n") {
			prompt = append(prompt, "\n")
		}
	}
	return prompt
}

// write is the call of a family that writes in these words.
func (k *keywords) write(_ int, name string, arguments any) (string, error) {
	return k.action + " " + name + "\n" + k.input + " " + pythonStr(arguments) + "\n", nil
}

// newCall returns a call that a model wrote.
func newCall(name string, arguments any) api.ToolCall {
	text, ok := arguments.(string)
	if !ok {
		text = dumps(arguments)
	}
	return api.ToolCall{Name: strings.TrimSpace(name), Arguments: strings.TrimSpace(text)}
}

// namedCall reads an object with a name and arguments, under the key of that
// name.
func namedCall(text, arguments string) (api.ToolCall, error) {
	v, err := decode(text)
	if err != nil {
		return api.ToolCall{}, fmt.Errorf("tool call %.60q: %w", text, err)
	}
	o, _ := v.(*object)
	if o == nil || !o.has("name") || !o.has(arguments) {
		return api.ToolCall{}, fmt.Errorf("tool call %.60q is no object with name and %s", text, arguments)
	}
	name, ok := o.get("name").(string)
	if !ok {
		return api.ToolCall{}, fmt.Errorf("tool call %.60q has the name %s, want a string", text, dumps(o.get("name")))
	}
	return newCall(name, o.get(arguments)), nil
}

// ParseCall reads a call as a dataset has it: JSON, or a Python literal, of an
// object with name and arguments, or parameters. The arguments may be a string
// of their own JSON.
func ParseCall(text string) (api.ToolCall, error) {
	v, err := decode(text)
	o, ok := v.(*object)
	if err != nil || !ok {
		return api.ToolCall{}, errors.New("it is no JSON object")
	}
	name, ok := o.get("name").(string)
	if !ok {
		return api.ToolCall{}, errors.New("it has no name")
	}
	arguments := o.get("arguments")
	if arguments == nil {
		arguments = o.get("parameters")
	}
	if text, ok := arguments.(string); ok {
		if arguments, err = decode(text); err != nil {
			return api.ToolCall{Name: name, Arguments: text}, nil
		}
	}
	if arguments == nil {
		return api.ToolCall{}, errors.New("it has no arguments")
	}
	return api.ToolCall{Name: name, Arguments: dumps(arguments)}, nil
}

// collect adds a call to calls, or why there is none to failed.
func collect(calls []api.ToolCall, failed []error, c api.ToolCall, err error) ([]api.ToolCall, []error) {
	if err != nil {
		return calls, append(failed, err)
	}
	return append(calls, c), failed
}

// callObject writes a call as an object with name and arguments, under the key
// of that name.
func callObject(name, key string, arguments any) string {
	o := &object{}
	o.set("name", name)
	o.set(key, arguments)
	return dumps(o)
}

// asObject returns the arguments of a family that writes them one by one.
func asObject(arguments any) (*object, error) {
	o, ok := arguments.(*object)
	if !ok {
		return nil, fmt.Errorf("the arguments are %.60s, want a JSON object", dumps(arguments))
	}
	return o, nil
}

// textOr writes a string as it is and all else as JSON.
func textOr(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return dumps(v)
}

// valueOr reads JSON or a Python literal, and what is neither, or None, as the
// text that it is.
func valueOr(text string) any {
	if v, err := decode(text); err == nil && v != nil {
		return v
	}
	return text
}

// contents writes each answer by a format.
func contents(r *api.ToolResults, format string) []string {
	parts := make([]string, len(r.Results))
	for i, x := range r.Results {
		parts[i] = fmt.Sprintf(format, x.Content)
	}
	return parts
}

// asUser writes text as a turn of the user after one of the assistant. A host
// without a chat template gets the family's own.
func asUser(chat, own api.Chat, text string) []string {
	if chat.Prompt == nil {
		chat = own
	}
	prompt := append([]string{}, chat.Separator...)
	for _, piece := range chat.Prompt {
		prompt = append(prompt, strings.ReplaceAll(piece, "{{QUERY}}", text))
	}
	return prompt
}

var chatML = api.Chat{
	Prompt:    []string{"<|im_start|>user\n{{QUERY}}<|im_end|>\n<|im_start|>assistant\n"},
	Separator: []string{"<|im_end|>\n"},
}

// wrapped returns a tool inside {"type": "function", "function": …}.
func wrapped(tool *object) *object {
	if tool.has("type") || tool.has("function") {
		return tool
	}
	o := &object{}
	o.set("type", "function")
	o.set("function", tool)
	return o
}

// bare returns the function of a tool.
func bare(tool *object) (*object, error) {
	if !tool.has("type") || !tool.has("function") {
		return tool, nil
	}
	o, ok := tool.get("function").(*object)
	if !ok {
		return nil, fmt.Errorf("the function of a tool is %.60s, want a JSON object", dumps(tool.get("function")))
	}
	return o, nil
}

// toolName returns the name of a function.
func toolName(function *object) (string, error) {
	for _, key := range []string{"name_for_model", "name"} {
		if v := function.get(key); truthy(v) {
			return pythonStr(v), nil
		}
	}
	return "", fmt.Errorf("a tool has no name: %.60s", dumps(function))
}

// eachBare writes the function of every tool by write.
func eachBare(tools []*object, write func(function *object) (string, error)) ([]string, error) {
	lines := make([]string, len(tools))
	for i, t := range tools {
		function, err := bare(t)
		if err == nil {
			lines[i], err = write(function)
		}
		if err != nil {
			return nil, fmt.Errorf("tools[%d]: %w", i, err)
		}
	}
	return lines, nil
}

// given, whole and inner are the forms of a tool as JSON on a line: as it is,
// wrapped, and its function alone.
func given(tools []*object) ([]string, error) {
	lines := make([]string, len(tools))
	for i, t := range tools {
		lines[i] = dumps(t)
	}
	return lines, nil
}

func whole(tools []*object) ([]string, error) {
	lines := make([]string, len(tools))
	for i, t := range tools {
		lines[i] = dumps(wrapped(t))
	}
	return lines, nil
}

func inner(tools []*object) ([]string, error) {
	return eachBare(tools, func(function *object) (string, error) { return dumps(function), nil })
}

// listed returns the tools of a family that lists them between two texts, after
// the system prompt and, if there is one, gap.
func listed(lines func([]*object) ([]string, error), gap, before, line, after string) func([]*object, *api.ToolPrompt) (string, error) {
	return func(tools []*object, p *api.ToolPrompt) (string, error) {
		texts, err := lines(tools)
		if err != nil {
			return "", err
		}
		for i, text := range texts {
			texts[i] = strings.ReplaceAll(line, "%s", text)
		}
		system := systemOf(p)
		if system != "" {
			system += gap
		}
		return system + before + strings.Join(texts, "\n") + after, nil
	}
}

func systemOf(p *api.ToolPrompt) string {
	if p.System == nil {
		return ""
	}
	return *p.System
}

// matcher compiles a pattern that Python would apply with re.DOTALL.
func matcher(pattern string) *regexp.Regexp { return regexp.MustCompile("(?s)" + pythonSpace(pattern)) }
