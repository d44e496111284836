package builtin

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// agentCases are ms-swift's own results for its own inputs.
type agentCases struct {
	Name   string
	Inputs struct {
		Tools []struct {
			ID     string
			Tools  []json.RawMessage
			System *string
			Wrap   bool                     `json:"prewrap"`
			User   struct{ Content string } `json:"user_message"`
		} `json:"format_tools"`
		Calls []struct {
			ID    string
			Calls []struct{ Content json.RawMessage } `json:"tool_calls"`
		} `json:"format_tool_calls"`
		Results []struct {
			ID   string
			Meta *struct {
				Prompt []string
				Sep    []string `json:"chat_sep"`
			} `json:"template_meta"`
			Assistant string `json:"assistant_content"`
			Tools     []struct {
				Name, Content string
				ID            string `json:"tool_call_id"`
			} `json:"tool_messages"`
		} `json:"format_tool_responses"`
		Parse []struct{ ID, Response string } `json:"get_toolcall"`
	}
	Expected struct {
		Tools []struct {
			Error string
			OK    struct {
				System string
				User   string `json:"user_content"`
			}
		} `json:"format_tools"`
		Calls []struct {
			Error string
			OK    string
		} `json:"format_tool_calls"`
		Results []struct {
			Error string
			OK    struct {
				Assistant string `json:"assistant_content"`
				Prompt    []string
			}
		} `json:"format_tool_responses"`
		Parse []struct {
			Error string
			OK    []api.ToolCall
		} `json:"get_toolcall"`
	}
}

// agentDeviations are the cases in which ms-swift is not followed, and why. See
// docs/ms-swift.md.
var agentDeviations = map[string]string{
	"gemma4 gemma4_nested": "a quote within a string loses all arguments",
}

// TestAgentVectors compares every agent template with all cases there are: the
// few in testdata, and the full files where they are at hand.
func TestAgentVectors(t *testing.T) {
	const full = "../../../shared/vectors/extensions"
	var all []agentCases
	vectors(t, "agents.json", &all)
	paths, err := filepath.Glob(full + "/agent_*.json")
	if err != nil || len(paths) == 0 {
		t.Logf("no vectors in %s: %v", full, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v agentCases
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, v)
	}
	counts := map[string]int{}
	seen := map[string]bool{}
	for _, v := range all {
		construct := Exports().AgentTemplates[v.Name]
		if construct == nil {
			t.Errorf("no agent template %s", v.Name)
			continue
		}
		seen[v.Name] = true
		a, err := construct(own(v.Name, nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(v.Name, func(t *testing.T) { v.compare(t, a, counts) })
	}
	for name := range Exports().AgentTemplates {
		if !seen[name] {
			t.Errorf("agent template %s is compared with nothing", name)
		}
	}
	for _, method := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%s: %d cases", method, counts[method])
	}
}

func (v *agentCases) compare(t *testing.T, a api.AgentTemplate, counts map[string]int) {
	skip := func(method, id string) bool {
		counts[method]++
		reason, ok := agentDeviations[v.Name+" "+id]
		if ok {
			t.Logf("%s: %s", id, reason)
		}
		return ok
	}
	same := func(id string, err error, wantErr string, equal bool, got, want any) {
		t.Helper()
		if (err != nil) != (wantErr != "") {
			t.Errorf("%s: error %v, want %q", id, err, wantErr)
		} else if err == nil && !equal {
			t.Errorf("%s: %q\nwant %q", id, got, want)
		}
	}
	for i, c := range v.Inputs.Tools {
		if skip("tools", c.ID) {
			continue
		}
		p := &api.ToolPrompt{System: c.System, User: c.User.Content}
		for _, text := range c.Tools {
			p.Tools = append(p.Tools, api.Tool{JSON: asHost(t, text, c.Wrap)})
		}
		system, err := a.FormatTools(p)
		want := v.Expected.Tools[i]
		same(c.ID, err, want.Error, system == want.OK.System && p.User == want.OK.User, system+p.User, want.OK.System+want.OK.User)
	}
	for i, c := range v.Inputs.Calls {
		if skip("calls", c.ID) {
			continue
		}
		var calls []api.ToolCall
		for _, x := range c.Calls {
			calls = append(calls, called(t, x.Content))
		}
		text, err := a.FormatCalls(calls)
		want := v.Expected.Calls[i]
		same(c.ID, err, want.Error, text == want.OK, text, want.OK)
	}
	for i, c := range v.Inputs.Results {
		if skip("results", c.ID) {
			continue
		}
		r := &api.ToolResults{Assistant: c.Assistant}
		if c.Meta != nil {
			r.Chat = api.Chat{Prompt: c.Meta.Prompt, Separator: c.Meta.Sep}
		}
		for _, x := range c.Tools {
			r.Results = append(r.Results, api.ToolResult{Name: x.Name, ID: x.ID, Content: x.Content})
		}
		prompt, err := a.FormatResults(r)
		want := v.Expected.Results[i]
		same(c.ID, err, want.Error, slices.Equal(prompt, want.OK.Prompt) && r.Assistant == want.OK.Assistant, append(prompt, r.Assistant), append(want.OK.Prompt, want.OK.Assistant))
	}
	for i, c := range v.Inputs.Parse {
		if skip("parse", c.ID) {
			continue
		}
		calls, _ := a.ParseCalls(c.Response)
		want := v.Expected.Parse[i]
		same(c.ID, nil, want.Error, slices.Equal(calls, want.OK), calls, want.OK)
	}
}

// asHost returns a tool as the host hands it over.
func asHost(t *testing.T, text json.RawMessage, wrap bool) json.RawMessage {
	t.Helper()
	o, err := decodeObject(text)
	if err != nil {
		t.Fatal(err)
	}
	if wrap {
		o = wrapped(o)
	}
	return json.RawMessage(dumps(o))
}

// called returns a call as the host makes it of a message.
func called(t *testing.T, content json.RawMessage) api.ToolCall {
	t.Helper()
	var text string
	if json.Unmarshal(content, &text) != nil {
		text = string(content)
	}
	c, err := ParseCall(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lossless are the agent templates whose calls are read as they were written.
// Of the others, those in words (react, qwen, toolbench, chatglm4, glm4) write
// arguments as Python prints them and read the text of that. Tags without types
// turn all values into strings (glm4_5 and later, seed_oss, Qwen's coder), or
// strings into what they look like (hy_v3, minimax_m2, minicpm5). minimax_m3
// knows no null and no empty list.
var lossless = []string{"hermes", "hunyuan_hermes", "youtu", "mistral", "llama3", "llama4", "deepseek_v3_1", "deepseek_v4", "gemma4", "kimi_k25", "kimi_k3"}

// TestAgentsConform takes all agent templates through the kit, and those that
// lose types without its calls: they must carry words.
func TestAgentsConform(t *testing.T) {
	for name, construct := range agentTemplates() {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(lossless, name) {
				apitest.AgentTemplate(t, construct)
				return
			}
			a := agentNamed(t, name)
			apitest.AgentTemplate(t, func(args *api.Args) (api.AgentTemplate, error) {
				a, err := construct(args)
				return withCalls{a, agentNamed(t, "hermes")}, err
			})
			calls := []api.ToolCall{{Name: "first", Arguments: `{"text": "some words"}`}, {Name: "second", Arguments: `{"other": "more"}`}}
			text, err := a.FormatCalls(calls)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.ParseCalls(text)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if v, err := decode(got[i].Arguments); err == nil { // a Python literal
					got[i].Arguments = dumps(v)
				}
			}
			if !slices.Equal(got, calls) {
				t.Errorf("%v are written as %q and read as %v", calls, text, got)
			}
		})
	}
}

// withCalls is an agent template whose calls are those of another.
type withCalls struct {
	api.AgentTemplate
	calls api.AgentTemplate
}

func (w withCalls) FormatCalls(calls []api.ToolCall) (string, error) {
	return w.calls.FormatCalls(calls)
}

func (w withCalls) ParseCalls(text string) ([]api.ToolCall, error) {
	if calls, _ := w.calls.ParseCalls(text); calls != nil {
		return calls, nil
	}
	return w.AgentTemplate.ParseCalls(text)
}

func agentNamed(t testing.TB, name string) api.AgentTemplate {
	t.Helper()
	a, err := agentTemplates()[name](own(name, nil))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAgentErrors has what ms-swift answers with a Python exception, or passes
// over in silence.
func TestAgentErrors(t *testing.T) {
	for _, c := range []struct{ agent, tool, want string }{
		{"hermes", `[]`, "tools[0] is no JSON object"},
		{"react_en", `{"name": "f"}`, "tools[0]: f has no description"},
		{"react_zh", `{"description": "d"}`, "tools[0]: a tool has no name"},
		{"toolbench", `{"type": "function", "function": "f"}`, "the function of a tool is"},
		{"qwen3_coder", `{"function": {"description": "d"}}`, "tools[0]: a function has no name"},
		{"qwen3_coder", `{"name": "f", "description": 1}`, "the description is 1, want a string"},
		{"qwen3_coder", `{"name": "f", "parameters": {"properties": {"x": 1}}}`, "the parameter x is 1, want a JSON schema"},
		{"kimi_k25", `{"name": "f", "parameters": {"properties": {"x": {"type": ["string", "null"]}}}}`, "f: the parameter x has the type"},
		{"kimi_k25", `{"name": "f", "parameters": []}`, "f: parameters is [], want a JSON object"},
		{"seed_oss", `{"name": "f", "parameters": {"properties": {"x": {"type": ["string"]}}}}`, "f: the parameter x has the type"},
		{"gemma4", `{"name": "f", "parameters": [1]}`, "f: parameters is [1], want a JSON object"},
	} {
		_, err := agentNamed(t, c.agent).FormatTools(&api.ToolPrompt{Tools: []api.Tool{{JSON: json.RawMessage(c.tool)}}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: tool %s: %v, want %q", c.agent, c.tool, err, c.want)
		}
	}
	for _, c := range []struct{ agent, text, want string }{
		{"hermes", `<tool_call>{"name": 1, "arguments": {}}</tool_call><tool_call>{"name": "f", "arguments": {}}</tool_call>`, "has the name 1, want a string"},
		{"youtu", `<tool_call>f</tool_call><tool_call>{"name": "f", "arguments": {}}</tool_call>`, "tool call"},
		{"mistral", "[TOOL_CALLS][\nf\n{\"name\": \"f\", \"arguments\": {}}\n]</s>", "tool call"},
		{"glm4_5", "<tool_call>g<arg_key>a</arg_key></tool_call><tool_call>f</tool_call>", "another number of keys"},
		{"qwen3_5", "<tool_call>g</tool_call><tool_call><function=f></function></tool_call>", "is no <function=…>"},
		{"hy_v3", "<tool_call:opensource>g</tool_call:opensource><tool_call:opensource>f<tool_sep:opensource></tool_call:opensource>", "after its name"},
		{"deepseek_v3_1", "<｜tool▁call▁begin｜>g<｜tool▁sep｜>x<｜tool▁call▁end｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜>", "the arguments of g"},
	} {
		calls, err := agentNamed(t, c.agent).ParseCalls(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || !slices.Equal(calls, []api.ToolCall{{Name: "f", Arguments: "{}"}}) {
			t.Errorf("%s: %q: %v, %v, want f() and %q", c.agent, c.text, calls, err, c.want)
		}
	}
}

func TestAgentWritesWhatIsNoJSON(t *testing.T) {
	text, err := agentNamed(t, "hermes").FormatCalls([]api.ToolCall{{Name: "say", Arguments: `hello "world"`}})
	if want := "<tool_call>\n{\"name\": \"say\", \"arguments\": \"hello \\\"world\\\"\"}\n</tool_call>"; err != nil || text != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
}

// TestGemmaReadsQuotes has the arguments that ms-swift loses.
func TestGemmaReadsQuotes(t *testing.T) {
	calls, err := agentNamed(t, "gemma4").ParseCalls(`<|tool_call>call:book{legs:[{from:<|"|>CDG<|"|>}],who:{name:<|"|>李, "雷"<|"|>}}<tool_call|>`)
	if want := []api.ToolCall{{Name: "book", Arguments: `{"legs": [{"from": "CDG"}], "who": {"name": "李, \"雷\""}}`}}; err != nil || !slices.Equal(calls, want) {
		t.Errorf("%q, %v, want %q", calls, err, want)
	}
}

func TestJoinCalls(t *testing.T) {
	for _, c := range []struct{ agent, before, want string }{
		{"hermes", "Let me see.", "CALL"},
		{"qwen3_5", "", "CALL"},
		{"qwen3_5", "Let me see.", "\n\nCALL"},
		{"qwen3_5", "<think>\nhm\n</think>\n\n", "CALL"},
		{"qwen3_5", "<think>\nhm\n</think>\n\nSo.", "\n\nCALL"},
		{"deepseek_v4", "", "\n\nCALL"},
		{"deepseek_v4", "Let me see.", "\n\nCALL"},
		{"kimi_k3", "", "<|close|>response<|sep|>CALL"},
		{"kimi_k3", "Let me see.", "CALL"},
	} {
		if got, err := agentNamed(t, c.agent).(api.CallJoiner).JoinCalls(c.before, "CALL"); err != nil || got != c.want {
			t.Errorf("%s after %q: %q, %v, want %q", c.agent, c.before, got, err, c.want)
		}
	}
}

// FuzzAgents has every agent template read a text, write again what it read,
// and read that.
func FuzzAgents(f *testing.F) {
	var all []agentCases
	vectors(f, "agents.json", &all)
	for _, v := range all {
		for _, c := range v.Inputs.Parse {
			f.Add(c.Response)
		}
	}
	for _, text := range []string{
		"<tool_call>{\"name\": 1}</tool_call>Action: b\nAction Input: {}\nObservation:", `<tool_call>{"name": "a", "arguments": null}</tool_call>`,
		`{"name": "a", "parameters": {"x": {"y": {"z": 1}}}}`, "<|tool_call>call:f{a:<|\"|>b<|\"|>,c:[1,{d:null}]}<tool_call|>",
		"<tool_call>{'name': 'a', 'arguments': {'x': (1, 0x1f, -.5e3, 'b' \"\\x41\")}}</tool_call>",
	} {
		f.Add(text)
	}
	agents := map[string]api.AgentTemplate{}
	for name := range agentTemplates() {
		agents[name] = agentNamed(f, name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, a := range agents {
			calls, _ := a.ParseCalls(text)
			again, err := a.FormatCalls(calls)
			if err != nil || len(calls) == 0 || !slices.Contains(lossless, name) || slices.ContainsFunc(calls, odd) {
				continue
			}
			if got, err := a.ParseCalls(again); !slices.EqualFunc(got, calls, sameCall) {
				t.Errorf("%s: %q has the calls\n%q, which are written as\n%q and read as\n%q, %v", name, text, calls, again, got, err)
			}
		}
	})
}

// odd reports whether a call cannot be expected to survive: it is none of a
// tool, or may have the marks of a family in it.
func odd(c api.ToolCall) bool {
	o, err := decodeObject([]byte(c.Arguments))
	return err != nil || !plainName.MatchString(c.Name) || strings.ContainsAny(c.Arguments, "<>") || strings.ContainsRune(c.Arguments, '\uFFFD') ||
		slices.ContainsFunc(o.keys, func(key string) bool { return !plainName.MatchString(key) })
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// sameCall compares calls but for the order of keys, which gemma4 sorts.
func sameCall(a, b api.ToolCall) bool {
	x, err1 := decodeJSON([]byte(a.Arguments))
	y, err2 := decodeJSON([]byte(b.Arguments))
	return a.Name == b.Name && err1 == nil && err2 == nil && dumps(deepSorted(x)) == dumps(deepSorted(y))
}
