package template

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/builtin"
	"swiftgo/core/registry"
	"swiftgo/core/tokenizer"
)

func chat(messages ...string) *Conversation {
	c := &Conversation{}
	for _, m := range messages {
		role, text, _ := strings.Cut(m, ":")
		c.Messages = append(c.Messages, Message{Role: role, Content: text})
	}
	return c
}

// weights is a scale that gives each letter its weight.
type weights map[rune]float64

func (w weights) Weigh(s api.Segment) []api.Piece {
	var out []api.Piece
	for _, r := range s.Text {
		x, ok := w[r]
		if !ok {
			x = 1
		}
		out = append(out, api.Piece{Text: string(r), Weight: x})
	}
	return out
}

func TestChainMultiplies(t *testing.T) {
	half := weights{'x': 0.5, 'o': 0}
	got := Chain(strategies["default"], half, weights{'x': 3, 'o': 7}).Weigh(api.Segment{Text: "axo", Role: api.Response})
	if want := []api.Piece{{Text: "a", Weight: 1}, {Text: "x", Weight: 1.5}, {Text: "o", Weight: 0}}; !slices.Equal(got, want) {
		t.Errorf("pieces %v, want %v", got, want)
	}
	if got := Chain(strategies["default"], half).Weigh(api.Segment{Text: "ax", Role: api.User}); !slices.Equal(got, []api.Piece{{Text: "ax"}}) {
		t.Errorf("pieces of what is not trained on: %v", got)
	}
}

func TestWeightsOfMessages(t *testing.T) {
	c := chat("user:q", "assistant:aa", "user:q", "assistant:xb")
	half, yes := 0.5, true
	c.Messages[1].LossScale = &half
	e := &Encoder{Chat: find(t, "chatml"), Tokenizer: toy{}, Scale: Chain(strategies["last_round"], weights{'x': 2, 'b': -1})}
	trained := func() (text []string, w []float32) {
		enc, err := single(e, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range enc.Runs(func(ids []int32) string { return toy{}.Decode(ids, false) }) {
			if r.Trained {
				text, w = append(text, r.Text), append(w, r.Weight)
			}
		}
		return text, w
	}
	end := "<|im_end|>\n"
	if text, w := trained(); !slices.Equal(text, []string{"x", end}) || !slices.Equal(w, []float32{2, 1}) {
		t.Errorf("last round: trained %q with %v", text, w)
	}
	c.Messages[1].Loss = &yes
	if text, w := trained(); !slices.Equal(text, []string{"aa", end, "x", end}) || !slices.Equal(w, []float32{0.5, 1, 2, 1}) {
		t.Errorf("with loss true: trained %q with %v", text, w)
	}
	c.Messages[1].LossScale = nil
	c.Messages[1].Content = "x"
	if text, w := trained(); !slices.Equal(text, []string{"x", end, "x", end}) || !slices.Equal(w, []float32{2, 1, 2, 1}) {
		t.Errorf("with loss true and no weight: trained %q with %v", text, w)
	}
}

// badScale returns pieces of its own.
type badScale []api.Piece

func (badScale) Strategy()                       {}
func (b badScale) Weigh(api.Segment) []api.Piece { return b }

func TestBadScales(t *testing.T) {
	for _, b := range []badScale{nil, {{Text: "x", Weight: 1}}, {{Text: "<", Weight: math.NaN()}}} {
		e := &Encoder{Chat: find(t, "chatml"), Tokenizer: toy{}, Scale: b}
		if _, err := e.Encode(chat("user:q", "assistant:a")); err == nil || !strings.Contains(err.Error(), "loss scale") {
			t.Errorf("%v: %v, want an error of the loss scale", b, err)
		}
	}
}

// TestJoin checks that pieces of equal weight are one text to the tokenizer.
func TestJoin(t *testing.T) {
	var texts []string
	e := &Encoder{Chat: find(t, "chatml"), Tokenizer: toy{noting: &texts}, Scale: strategies["default"], System: "s"}
	if _, err := e.Encode(chat("user:q", "assistant:b")); err != nil {
		t.Fatal(err)
	}
	want := []string{"<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", "b<|im_end|>\n", "<|im_end|>\n"}
	if !slices.Equal(texts, want) {
		t.Errorf("texts %q, want %q", texts, want)
	}
}

func TestBeginAndEnd(t *testing.T) {
	marks := map[string]int32{"<|im_end|>": 7}
	for _, c := range []struct {
		chat string
		tok  toy
		want string
	}{
		{"default", toy{words: marks}, "<BOS>You are a helpful assistant.\n\n### Human:\nq\n\n### Assistant:\nb<EOS>"},
		{"default", toy{words: marks, eos: true}, "<BOS>You are a helpful assistant.\n\n### Human:\nq\n\n### Assistant:\nb<EOS>"},
		{"none", toy{words: marks}, "<BOS>qb<EOS>"},
		{"qwen3", toy{words: marks}, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nb<|im_end|>\n"},
		{"llama3", toy{words: marks}, "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>"},
	} {
		e := &Encoder{Chat: find(t, c.chat), Tokenizer: c.tok, Scale: strategies["default"]}
		enc, err := single(e, chat("user:q", "assistant:b"))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.tok.Decode(enc.IDs, false); got != c.want {
			t.Errorf("%s: %q, want %q", c.chat, got, c.want)
		}
		prompt, err := e.Prompt(chat("user:q"))
		if text := c.tok.Decode(prompt, false); err != nil || !strings.HasPrefix(c.want, text) || !strings.HasPrefix(c.want[len(text):], "b") {
			t.Errorf("%s: prompt %q, %v", c.chat, text, err)
		}
	}
	e := &Encoder{Chat: find(t, "chatml"), Tokenizer: toy{words: marks}, Scale: strategies["default"]}
	enc, err := single(e, chat("user:q", "assistant:b<|im_end|>\n"))
	if text := (toy{}).Decode(enc.IDs, false); err != nil || strings.Count(text, "<|im_end|>") != 2 {
		t.Errorf("an answer that ends itself: %q, %v", text, err)
	}
	if stop := e.Stop(); !slices.Equal(stop, []int32{toyEOS, 7}) {
		t.Errorf("stop %v", stop)
	}
}

// single encodes a conversation that is one sequence.
func single(e *Encoder, c *Conversation) (*Encoded, error) {
	all, err := e.Encode(c)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func TestBadConversations(t *testing.T) {
	e := &Encoder{Chat: find(t, "qwen2_5"), Tokenizer: toy{}, Scale: strategies["default"], Tools: agent(t, "hermes")}
	for _, c := range []struct {
		c    *Conversation
		want string
	}{
		{chat(), "no message"},
		{chat("system:s"), "no message"},
		{chat("user:q", "system:s", "assistant:a"), `messages[1] has role "system"`},
		{chat("system:s", "user:q", "poet:a"), `messages[2] has role "poet"`},
		{chat("user:q", "tool:r", "assistant:a"), "messages[1] is a tool's"},
		{chat("user:q", "tool_call:{\"name\":\"f\",\"arguments\":{}}", "tool:r", "user:q"), "messages[3] is the user's"},
		{chat("user:q", "tool_call:f(x)"), "messages[1]: tool_call is"},
		{chat("user:q", "tool_call:{}"), "it has no name"},
		{chat("user:q", `tool_call:{"name": "f"}`), "it has no arguments"},
	} {
		if _, err := e.Encode(c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.c.Messages, err, c.want)
		}
	}
	e.Tools = nil
	if _, err := e.Encode(chat("user:q", "tool_call:{\"name\":\"f\",\"arguments\":{}}")); !errors.Is(err, ErrNoAgentTemplate) || !strings.Contains(err.Error(), "--agent_template") {
		t.Errorf("no agent template: %v", err)
	}
	if _, err := e.Encode(chat("user:q")); !errors.Is(err, ErrNothingTrained) {
		t.Errorf("no answer: %v", err)
	}
}

// TestThoughtsOfHistory checks that a hybrid thinking model sees its thoughts
// of earlier rounds only where it is trained on them.
func TestThoughtsOfHistory(t *testing.T) {
	c := chat("user:q", "assistant:<think>\nr1\n</think>\n\na1", "user:q", "assistant:a2", "user:q")
	for _, x := range []struct {
		scale  string
		answer []string
	}{
		{"last_round", []string{"a1", "a2"}},
		{"default", []string{"<think>\nr1\n</think>\n\na1", "<think>\n\n</think>\n\na2"}},
	} {
		e := &Encoder{Chat: find(t, "qwen3"), Tokenizer: toy{}, Scale: Chain(strategies[x.scale])}
		pieces, err := e.Pieces(c)
		if err != nil {
			t.Fatal(err)
		}
		var answers []string
		for _, p := range pieces {
			if p.Role == api.Response {
				answers = append(answers, p.Text)
			}
		}
		if !slices.Equal(answers, x.answer) {
			t.Errorf("%s: answers %q, want %q", x.scale, answers, x.answer)
		}
		prompt, err := e.Prompt(c)
		if text := (toy{}).Decode(prompt, false); err != nil || strings.Contains(text, "r1") || !strings.HasSuffix(text, "<think>\n\n</think>\n\n") {
			t.Errorf("prompt %q, %v", text, err)
		}
	}
}

// TestTurnEndsOnce checks that only the end of the answer is trained on where
// the next turn begins with the same text.
func TestTurnEndsOnce(t *testing.T) {
	c := &Chat{Prompt: []string{".{{QUERY}}>"}, Separator: []string{"."}, Suffix: []string{"."}, EOS: -1}
	e := &Encoder{Chat: c, Tokenizer: toy{}, Scale: strategies["default"]}
	enc, err := single(e, chat("user:q", "assistant:a", "user:q", "assistant:b"))
	if err != nil {
		t.Fatal(err)
	}
	const no = api.Ignore
	if want := []int32{no, no, no, 'a', '.', no, no, no, 'b', '.'}; !slices.Equal(enc.Labels, want) {
		t.Errorf("labels of %q: %v, want %v", string(enc.IDs), enc.Labels, want)
	}
}

// observing is an agent template that ends a call's text itself.
type observing struct{ api.AgentTemplate }

func (observing) FormatResults(r *api.ToolResults) ([]string, error) {
	r.Assistant += " ->"
	return []string{r.Results[0].Content, "+", r.Results[1].Content, ";"}, nil
}

func TestToolResults(t *testing.T) {
	var queries []string
	see := strategy(func(s api.Segment) bool {
		if s.Role == api.Response {
			queries = append(queries, s.Query)
		}
		return s.Role == api.Response
	})
	e := &Encoder{Chat: find(t, "chatml"), Tokenizer: toy{}, Scale: see, Tools: observing{agent(t, "hermes")}}
	pieces, err := e.Pieces(chat("user:q", "assistant:I", "assistant:call", "tool:1", "tool:2", "assistant:a"))
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, p := range pieces[1:] {
		text = append(text, p.Text)
	}
	if want := []string{"I", "call ->", "1", "+", "2", ";", "a", "<|im_end|>\n"}; !slices.Equal(text, want) {
		t.Errorf("pieces %q, want %q", text, want)
	}
	if want := []string{"q", "q", "1\n2"}; !slices.Equal(queries[len(queries)-3:], want) {
		t.Errorf("queries %q, want %q", queries, want)
	}
}

func TestCut(t *testing.T) {
	c := chat("user:q", "assistant:a", "tool_call:{}", "tool:r", "assistant:b", "assistant:c")
	question, answer := c.Cut()
	if len(question.Messages) != 4 || answer != "bc" {
		t.Errorf("%v, %q", question.Messages, answer)
	}
	if _, answer := question.Cut(); answer != "" {
		t.Errorf("answer %q of a question", answer)
	}
}

func TestShift(t *testing.T) {
	enc := &Encoded{IDs: []int32{5, 6, 7}, Labels: []int32{api.Ignore, 6, 7}, Scale: []float32{0, 1, 2}}
	labels, scale := enc.Shift()
	if !slices.Equal(labels, []int32{6, 7, api.Ignore}) || !slices.Equal(scale, []float32{1, 2, 0}) {
		t.Errorf("labels %v, scale %v", labels, scale)
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct{ template, tokens, want string }{
		{"{{'<|im_start|>'}} You are Qwen, created by Alibaba Cloud.", "", "qwen2_5"},
		{"{{'<|im_start|>'}} You are a helpful assistant", "", "qwen"},
		{`{{'<|im_start|>'}} {{- '<think>\n\n</think>\n\n' }}`, "", "qwen3"},
		{"{{'<|im_start|>'}}", "", "chatml"},
		{"{{'<|start_header_id|>'}}", "", "llama3"},
		{"{{'<|start_header_id|>'}}{{date_string}}<|eot_id|>", "", "llama3_2"},
		{"<|header_start|>user<|header_end|><|eot|>", "", "llama4"},
		{"[gMASK]<sop><|user|>", "", "glm4"},
		{"[gMASK]<sop><tool_call>{function-name}\n<arg_key>", "", "glm4_5"},
		{"[gMASK]<sop><tool_call>{function-name}<arg_key>", "", "glm4_7"},
		{"<｜User｜>{% if not thinking is defined %}</think>", "", "deepseek_v3_1"},
		{"]~b]system\nYou are MiniMax-M2, a", "", "minimax_m2"},
		{"<seed:bos>", "", "seed_oss"},
		{"<｜hy_User:opensource｜>", "", "hy_v3"},
		{"<|im_start|><function name=", "", "minicpm5"},
		{"<|im_start|><function=You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks.", "", "qwen3_coder"},
		{"<|im_middle|>tool_declare<think></think><|media_begin|>", "", "kimi_k25"},
		{"[INST]", "<|im_start|><|im_end|>", "default"},
		{"", "<|im_start|><|im_end|>", "chatml"},
		{"", "<|start_header_id|><|eot_id|>", "llama3"},
		{"", "<s></s>", "default"},
	} {
		if got := Guess(c.template, func(token string) bool { return strings.Contains(c.tokens, token) }); got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.template, c.tokens, got, c.want)
		}
	}
	if _, err := Find("chatlm", true, &tokenizer.Tokenizer{}); err == nil || !strings.Contains(err.Error(), "chatglm4, chatml, deepseek_r1") {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := Find("none", true, &tokenizer.Tokenizer{EOS: -1}); err == nil || !strings.Contains(err.Error(), "eos_token") {
		t.Errorf("no end of text: %v", err)
	}
	if c, err := Find("qwen3", false, &tokenizer.Tokenizer{EOS: 3}); err != nil || c.Name != "none" || c.EOS != 3 {
		t.Errorf("without chat template: %v, %v", c, err)
	}
}

// TestGuess reads the chat templates of real models.
func TestGuess(t *testing.T) {
	const dir = "../../../shared/vectors/chat-templates/templates"
	for name, want := range map[string]string{
		"ardan-DeepSeek-V4-Flash": "deepseek_v4", "deepseek-v3": "deepseek_v2_5", "hfjs-deepseek-ai_DeepSeek-R1": "deepseek_r1",
		"hfjs-meta-llama_Llama-3.1-8B-Instruct": "llama3_2", "lcpp-meta-llama-Llama-3.2-3B-Instruct": "llama3_2", "llama3.1": "llama3",
		"ardan-Qwen3.5-35B-A3B-Q8_0": "qwen3_5", "hfjs-Qwen_Qwen3.5-4B": "qwen3_5", "qwen3": "qwen3", "qwen2.5": "qwen2_5", "hfjs-Qwen_Qwen1.5-72B-Chat": "qwen",
		"hfjs-zai-org_GLM-5.1": "glm5_1", "gemma3": "gemma3_text", "lcpp-google-gemma-2-2b-it": "gemma", "ardan-gemma-4-26B-A4B-it-UD-Q8_K_XL": "gemma4",
		"lcpp-microsoft-Phi-3.5-mini-instruct": "phi3", "minimind": "qwen3", "hfjs-llama": "llama",
		// Not one of those above:
		"ardan-gpt-oss-20b-Q8_0": "default", "ardan-NVIDIA-Nemotron-3-Super": "chatml", "hfjs-openbmb_MiniCPM3-4B": "chatml", "hfjs-HuggingFaceTB_SmolLM3-3B": "chatml",
		"hfjs-moonshotai_Kimi-K2-Thinking": "default", "hfjs-mistralai_Mistral-Nemo-Instruct-2407": "default", "hfjs-CohereForAI_c4ai-command-r-v01": "default",
		"hfjs-HuggingFaceH4_zephyr-7b-gemma-v0.1": "chatml", "lcpp-NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "chatml",
	} {
		text, err := os.ReadFile(dir + "/" + name + ".jinja")
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("needs the shared chat templates beside the repository: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := Guess(string(text), nil); got != want {
			t.Errorf("%s is taken for %s, want %s", name, got, want)
		}
	}
}

// TestMarks checks that every family that is told by its chat template is there.
func TestMarks(t *testing.T) {
	for _, m := range marks {
		if _, ok := chats[m.chat]; !ok {
			t.Errorf("no chat template %s", m.chat)
		}
	}
}

// TestJoinedCalls has a guarded agent template say what stands before its calls.
func TestJoinedCalls(t *testing.T) {
	r := registry.New(api.Args{}, nil)
	if err := r.Add(registry.Origin{}, builtin.Exports()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"qwen3_5": "See.\n\n<tool_call>", "hermes": "See.<tool_call>"} {
		tools, err := r.AgentTemplate(name)
		if err != nil {
			t.Fatal(err)
		}
		e := &Encoder{Chat: find(t, "qwen2_5"), Tokenizer: toy{}, Scale: strategies["default"], Tools: tools}
		enc, err := single(e, chat("user:q", "assistant:See.", `tool_call:{"name": "f", "arguments": {}}`))
		if err != nil {
			t.Fatal(err)
		}
		if text := (toy{}).Decode(enc.IDs, false); !strings.Contains(text, want) {
			t.Errorf("%s: %q, want %q in it", name, text, want)
		}
	}
}

func TestParseToolCall(t *testing.T) {
	for text, want := range map[string]api.ToolCall{
		`{"name": "f", "arguments": {"x": 1.50}}`:            {Name: "f", Arguments: `{"x": 1.5}`},
		`{"name": "f", "arguments": "{\"x\": 1}"}`:           {Name: "f", Arguments: `{"x": 1}`},
		`{"name": "f", "parameters": {"x": 1}}`:              {Name: "f", Arguments: `{"x": 1}`},
		`{'name': 'f', 'arguments': {'x': True, 'y': None}}`: {Name: "f", Arguments: `{"x": true, "y": null}`},
		`{"name": "f", "arguments": [1]}`:                    {Name: "f", Arguments: `[1]`},
		`{"name": "f", "arguments": "hello"}`:                {Name: "f", Arguments: `hello`},
	} {
		if got, err := ParseToolCall(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

// TestThoughts renders thoughts for an answer, where those of earlier rounds
// are left out.
func TestThoughts(t *testing.T) {
	c := chat("user:q", "assistant:<think>a</think>\n\nb ", "user:r", "assistant:c", "user:s")
	for name, want := range map[string]string{
		"qwen2_5":   "<think>a</think>\n\nb ",
		"qwen3":     "assistant\nb<|im_end|>",
		"qwq":       "assistant\nb<|im_end|>",
		"qwen3_5":   "assistant\nb<|im_end|>",
		"glm4_5":    "<|assistant|>\n<think></think>\nb<|user|>",
		"hy_v3":     "<｜hy_Assistant:opensource｜><think:opensource></think:opensource><think>a</think>\n\nb<｜hy_eos:opensource｜>",
		"youtu_llm": "<|Assistant|>b<|end_of_text|><|User|>r<|Assistant|>c<|end_of_text|>",
		"seed_oss":  "<seed:think>a</seed:think>\n\nb <seed:eos>",
	} {
		e := &Encoder{Chat: find(t, name), Tokenizer: toy{}}
		ids, err := e.Prompt(c)
		if text := (toy{}).Decode(ids, false); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %q, %v, want %q in it", name, text, err, want)
		}
	}
	answer := chat("user:q", "assistant:<think>a</think>\n<answer>\nb\n</answer>", "user:s")
	e := &Encoder{Chat: find(t, "hunyuan"), Tokenizer: toy{}}
	ids, err := e.Prompt(answer)
	if text := (toy{}).Decode(ids, false); err != nil || !strings.Contains(text, "<｜hy_Assistant｜>b<｜hy_place▁holder▁no▁2｜>") {
		t.Errorf("hunyuan: %q, %v", text, err)
	}
}

func TestTrimmedMessages(t *testing.T) {
	e := &Encoder{Chat: find(t, "qwen3_5"), Tokenizer: toy{}, Scale: strategies["default"]}
	enc, err := single(e, chat("system: s\n", "user: q ", "assistant: <think> a\n\n</think>b \n"))
	want := "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>\na\n</think>\n\nb<|im_end|>\n"
	if err != nil {
		t.Fatal(err)
	}
	if got := (toy{}).Decode(enc.IDs, false); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSeedBudget has Seed-OSS think for as many tokens as the longest thought.
func TestSeedBudget(t *testing.T) {
	e := &Encoder{Chat: find(t, "seed_oss"), Tokenizer: toy{}}
	ids, err := e.Prompt(chat("system:Be brief.", "user:q", "assistant:<think>"+strings.Repeat("a", 600)+"</think>b", "user:r", "assistant:c", "user:s"))
	text := (toy{}).Decode(ids, false)
	for _, want := range []string{"<seed:bos>system\nBe brief.<seed:eos><seed:bos>system\nYou are an intelligent", "which is 1024.", "every 256 tokens", "assistant\n<seed:think></seed:think>c<seed:eos>"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%q, %v, want %q in it", text, err, want)
		}
	}
	if !strings.HasSuffix(text, "assistant\n") {
		t.Errorf("%q, want room for a thought at the end", text)
	}
}

// TestSystemPrompts renders what the families put into the system prompt.
func TestSystemPrompts(t *testing.T) {
	c := chat("system:Be brief.", "user:q")
	for name, want := range map[string]string{
		"kimi_k25":    "<|im_system|>system<|im_middle|>Be brief.<|im_end|>",
		"hy_v3":       "<｜hy_begin_of_sentence:opensource｜>Be brief.<｜reasoning_mode:opensource｜>reasoning_effort:no_think<｜hy_User",
		"gemma3_text": "<bos><start_of_turn>user\nBe brief.\n\nq<end_of_turn>",
		"gemma":       "<bos><start_of_turn>system\nBe brief.<end_of_turn>\n<start_of_turn>user\nq",
		"llama":       "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nq [/INST]",
		"youtu_llm":   "<BOS>Be brief.<|User|>q<|Assistant|>",
	} {
		e := &Encoder{Chat: find(t, name), Tokenizer: toy{}}
		ids, err := e.Prompt(c)
		if text := (toy{}).Decode(ids, false); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %q, %v, want %q in it", name, text, err, want)
		}
	}
	if _, err := Find("youtu_llm", true, &tokenizer.Tokenizer{BOS: -1, EOS: 2}); err == nil || !strings.Contains(err.Error(), "bos_token") {
		t.Errorf("no begin of text: %v", err)
	}
}

// TestPlainModel encodes for a model that knows no chat template.
func TestPlainModel(t *testing.T) {
	dir := "../../../shared/material/models/stories260K/hf"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("needs the shared model stories260K beside the repository: ", err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Find("", true, tok)
	if err != nil {
		t.Fatal(err)
	}
	e := &Encoder{Chat: c, Tokenizer: tok, Scale: strategies["default"]}
	enc, err := single(e, chat("user:Who is Lily?", "assistant:A girl."))
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := e.Prompt(chat("user:Who is Lily?"))
	if err != nil || !slices.Equal(enc.IDs[:len(prompt)], prompt) {
		t.Errorf("the prompt %v is not the start of %v", prompt, enc.IDs)
	}
	if enc.IDs[0] != tok.BOS || enc.IDs[len(enc.IDs)-1] != tok.EOS || enc.Labels[len(prompt)-1] != api.Ignore || enc.Labels[len(prompt)] == api.Ignore {
		t.Errorf("ids %v, labels %v", enc.IDs, enc.Labels)
	}
	if got := tok.Decode(enc.IDs, true); !strings.Contains(got, "### Human:\nWho is Lily?\n\n### Assistant:\n A girl.") {
		t.Errorf("decoded %q", got)
	}
}

// TestText reads texts that are not continued: what ends with the user ends where
// the assistant would begin, with the tokenizer's end of text if it writes one.
func TestText(t *testing.T) {
	for _, c := range []struct {
		template string
		eos      bool
		read     *Conversation
		max      int
		cut      string
		want     string
	}{
		{"chatml", false, chat("user:q"), 0, "delete", "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"},
		{"chatml", true, chat("user:q"), 0, "delete", "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<EOS>"},
		{"chatml", false, chat("user:q", "assistant:a"), 0, "delete", "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"},
		{"qwen2_5", true, chat("system:s", "user:q"), 0, "delete", "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"},
		{"none", true, chat("user:text"), 0, "delete", "text<EOS>"},
		{"none", true, chat("user:text"), 3, "left", "xt<EOS>"},
		{"none", true, chat("user:text"), 3, "right", "tex"},
	} {
		e := &Encoder{Chat: find(t, c.template), Tokenizer: toy{eos: c.eos}, MaxLength: c.max, Truncation: c.cut}
		ids, err := e.Text(c.read)
		if got := (toy{}).Decode(ids, false); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.template, got, err, c.want)
		}
	}
	e := &Encoder{Chat: find(t, "none"), Tokenizer: toy{}, MaxLength: 3, Truncation: "delete"}
	var long *TooLongError
	if _, err := e.Text(chat("user:text")); !errors.As(err, &long) || long.Length != 4 {
		t.Errorf("a text that is too long: %v", err)
	}
	if _, err := e.Text(chat("user:")); err == nil || !strings.Contains(err.Error(), "there is no text") {
		t.Errorf("no text: %v", err)
	}
}
