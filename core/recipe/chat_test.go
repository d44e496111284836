package recipe

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// scripted returns a talk with a model that says the texts of script, one an
// answer, and what it prints.
func scripted(t *testing.T, tools string, script ...string) (*talk, *strings.Builder) {
	t.Helper()
	dir := filepath.Join("..", "model", "testdata", "qwen2")
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dir, e)
	if err != nil {
		t.Fatal(err)
	}
	m.Config.MaxPositions = 4096
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for _, text := range script {
		ids = append(append(ids, tok.Encode(text, false)...), tok.EOS)
	}
	m.Linears[len(m.Linears)-1].Wrap(func(x *api.Var, next api.Forward) *api.Var {
		out := tensor.New(tensor.WithShape(1, m.Config.VocabSize), tensor.Of(tensor.Float32))
		out.Float32s()[ids[0]] = 50
		ids = ids[1:]
		return api.Const(out)
	})
	reg := registry.New(api.Args{}, nil)
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		t.Fatal(err)
	}
	a := &answering{models: []*model.Model{m}, tok: tok, enc: &template.Encoder{Tokenizer: tok, Vocab: m.Config.VocabSize}}
	if a.enc.Chat, err = template.Find("qwen", true, tok); err != nil {
		t.Fatal(err)
	}
	if a.enc.Tools, err = reg.AgentTemplate("hermes"); err != nil {
		t.Fatal(err)
	}
	a.sampling.Stop = a.enc.Stop()
	g := a.generator(1, 0, reg)
	t.Cleanup(func() { g.Close(context.Background()) })
	offered, err := ReadTools([]byte(tools))
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	var out strings.Builder
	return &talk{answering: a, generator: g, options: InferOptions{Logprobs: -1}, config: &c, talk: template.Conversation{Tools: offered},
		ChatOptions: ChatOptions{Out: &out, Answering: context.WithCancel}}, &out
}

// TestTalkTools shows calls as calls, takes the lines after them for what the
// tools answer, and gives the model all of it.
func TestTalkTools(t *testing.T) {
	const call = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"
	talk, out := scripted(t, `{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}`,
		"First.\n"+call+"\n"+call, "It is <b>2</b>.", "no <tool_call> at all")
	talk.In = strings.NewReader("add\n2\n3\nthanks\n")
	if err := talk.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := "First.\ncalls add({\"a\": 1})\ncalls add({\"a\": 1})\nIt is <b>2</b>.\nno <tool_call> at all\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
	var roles []string
	for _, m := range talk.talk.Messages {
		roles = append(roles, m.Role)
	}
	if got := strings.Join(roles, " "); got != "user assistant tool_call tool_call tool tool assistant user assistant" {
		t.Errorf("the conversation is %s", got)
	}
	ids, err := talk.enc.Prompt(&template.Conversation{Messages: talk.talk.Messages[:6], Tools: talk.talk.Tools})
	if text := talk.tok.Decode(ids, false); err != nil || !strings.Contains(text, "First."+call+"\n"+call) || !strings.Contains(text, "<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>") {
		t.Errorf("%v: the model has read %q", err, text)
	}
}

// TestTalkPrompt writes prompts only where somebody asks for them.
func TestTalkPrompt(t *testing.T) {
	talk, out := scripted(t, `[]`, "hello")
	talk.In, talk.Ask = strings.NewReader("hi"), true
	if err := talk.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if want := chatHelp + "\n> hello\n> \n"; out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestSettingsOver(t *testing.T) {
	zero, one, k := 0.0, 1.0, -1
	o := InferOptions{Settings: generate.Settings{Temperature: &zero, TopK: &k}, MaxNewTokens: 5, Logprobs: 2}
	c := Default()
	p := o.sampling(&c, model.Sampling{Temperature: 0.6, TopK: 20, TopP: 0.9})
	if p.Temperature != 0 || p.TopK != 0 || p.TopP != 0.9 || p.MaxTokens != 5 || p.Logprobs != 2 || p.Seed != 42 {
		t.Errorf("%+v", p)
	}
	o.Temperature = &one
	if p := o.sampling(&c, model.Sampling{}); p.Temperature != 1 {
		t.Errorf("%+v", p)
	}
}
