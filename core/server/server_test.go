package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/server"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// served is a server on loopback with the small random model of
// core/model/testdata, whose tokens are bytes.
type served struct {
	url    string
	client openai.Client
	model  *model.Model
	tok    *tokenizer.Tokenizer
	gen    *generate.Generator
	stop   func() // and wait until it has

	mu     sync.Mutex
	script []int32 // what the model says next, whatever it is asked; empty: as it is
	gate   chan struct{}
	gated  atomic.Bool // every step waits at the gate
}

func serve(t testing.TB, o server.Options, g generate.Options) *served {
	t.Helper()
	dir := filepath.Join("..", "model", "testdata", "qwen2")
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{gate: make(chan struct{})}
	if s.model, err = model.Load(dir, e); err != nil {
		t.Fatal(err)
	}
	s.model.Config.MaxPositions = 4096
	if s.tok, err = tokenizer.Load(dir); err != nil {
		t.Fatal(err)
	}
	s.model.Linears[len(s.model.Linears)-1].Wrap(s.head)
	reg := registry.New(api.Args{}, nil)
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		t.Fatal(err)
	}
	o.Chat = &template.Encoder{Tokenizer: s.tok, Vocab: s.model.Config.VocabSize}
	if o.Chat.Chat, err = template.Find("qwen", true, s.tok); err != nil {
		t.Fatal(err)
	}
	if o.Chat.Tools, err = reg.AgentTemplate("hermes"); err != nil {
		t.Fatal(err)
	}
	plain, err := template.Find("none", true, s.tok)
	if err != nil {
		t.Fatal(err)
	}
	g.Batch = max(g.Batch, 8)
	s.gen = generate.New([]*model.Model{s.model}, s.tok, g)
	o.Plain, o.Tokenizer, o.Generator = &template.Encoder{Chat: plain, Tokenizer: s.tok}, s.tok, s.gen
	o.Sampling.Stop = append(o.Chat.Stop(), o.Sampling.Stop...)
	o.Models = []string{"small"}
	if o.MaxTokens == 0 {
		o.MaxTokens = 64
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.New(o).Serve(ctx, narrow{l}) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	s.url = "http://" + l.Addr().String()
	s.client = openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(o.APIKey), option.WithMaxRetries(0))
	return s
}

// narrow gives connections little memory for what a client does not read.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(1 << 12)
	}
	return conn, err
}

// head is the output projection, as the test wants it.
func (s *served) head(x *api.Var, next api.Forward) *api.Var {
	if s.gated.Load() {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) == 0 {
		return next(x)
	}
	out := tensor.New(tensor.WithShape(x.Shape()[0], s.model.Config.VocabSize), tensor.Of(tensor.Float32))
	for row := range x.Shape()[0] {
		out.Float32s()[row*s.model.Config.VocabSize+int(s.script[0])] = 50
	}
	s.script = s.script[1:]
	return api.Const(out)
}

// say makes the model say text next, and end.
func (s *served) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.tok.Encode(text, false), s.tok.EOS)
}

// post sends a body and returns the status, the body and the headers.
func (s *served) post(t testing.TB, path, body string) (int, string, http.Header) {
	t.Helper()
	r, err := http.Post(s.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text), r.Header
}

func ask(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: "small", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

// TestChat asks with OpenAI's client: whole and streamed answers are the same,
// with several choices, log probabilities, stop words and usage.
func TestChat(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	ctx := context.Background()
	p := ask("hello")
	p.Temperature, p.TopP, p.Seed = openai.Float(1), openai.Float(0.9), openai.Int(7)
	p.N, p.MaxCompletionTokens = openai.Int(3), openai.Int(20)
	p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(4)
	whole, err := s.client.Chat.Completions.New(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 3 || whole.Choices[0].Message.Content == whole.Choices[1].Message.Content {
		t.Fatalf("%+v, want three different choices", whole.Choices)
	}
	tokens := 0
	for _, c := range whole.Choices {
		tokens += len(c.Logprobs.Content)
		for _, token := range c.Logprobs.Content {
			if len(token.TopLogprobs) != 4 || token.TopLogprobs[0].Logprob < token.Logprob || token.Logprob > 0 {
				t.Fatalf("log probabilities %+v", token)
			}
		}
	}
	if u := whole.Usage; u.CompletionTokens != int64(tokens) || u.TotalTokens != u.PromptTokens+u.CompletionTokens || u.PromptTokens < 30 {
		t.Errorf("usage %+v, want %d tokens of answers", u, tokens)
	}
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := s.client.Chat.Completions.NewStreaming(ctx, p)
	acc := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for i, c := range whole.Choices {
		got := acc.Choices[i]
		if got.Message.Content != c.Message.Content || got.FinishReason != c.FinishReason || len(got.Logprobs.Content) != len(c.Logprobs.Content) || c.Message.Role != "assistant" {
			t.Errorf("streamed %+v, whole %+v", got, c)
		}
	}
	if acc.Usage.TotalTokens != whole.Usage.TotalTokens {
		t.Errorf("usage streamed %+v, whole %+v", acc.Usage, whole.Usage)
	}
	s.say("one two three four")
	p = ask("count")
	p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{"five", "e f"}}
	if whole, err = s.client.Chat.Completions.New(ctx, p); err != nil || whole.Choices[0].Message.Content != "one two thre" || whole.Choices[0].FinishReason != "stop" {
		t.Errorf("%v, %+v; want the text before the stop word", err, whole)
	}
	s.say("one")
	p.MaxTokens = openai.Int(2)
	if whole, err = s.client.Chat.Completions.New(ctx, p); err != nil || whole.Choices[0].Message.Content != "on" || whole.Choices[0].FinishReason != "length" {
		t.Errorf("%v, %+v; want two tokens", err, whole)
	}
	s.mu.Lock()
	s.script = nil
	s.mu.Unlock()
}

// TestLogprobs compares the log probabilities of a completion with log softmax
// of the logits of its whole text.
func TestLogprobs(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	c, err := s.client.Completions.New(context.Background(), openai.CompletionNewParams{Model: "small", MaxTokens: openai.Int(8), Logprobs: openai.Int(3),
		Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("some text")}})
	if err != nil {
		t.Fatal(err)
	}
	s.stop() // the model is ours again
	text := s.tok.Encode("some text", false)
	l := c.Choices[0].Logprobs
	for i, token := range l.Tokens {
		s.model.Engine.Reset()
		logits := s.model.Forward(text, []int32{0}).Logits().Data()
		logits = logits[len(logits)-s.model.Config.VocabSize:]
		sum := 0.0
		for _, x := range logits {
			sum += math.Exp(float64(x))
		}
		id := int32(0)
		for k, x := range logits {
			if x > logits[id] {
				id = int32(k)
			}
		}
		if want := float64(logits[id]) - math.Log(sum); math.Abs(l.TokenLogprobs[i]-want) > 1e-4 || token != s.tok.Decode([]int32{id}, false) || len(l.TopLogprobs[i]) == 0 { // tokens that are no text of their own have one name
			t.Errorf("token %d is %q with %g (%v), want %q with %g", i, token, l.TokenLogprobs[i], l.TopLogprobs[i], s.tok.Decode([]int32{id}, false), want)
		}
		text = append(text, id)
	}
}

// TestTools has the model call tools, and gives it their results back.
func TestTools(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 1000}, generate.Options{})
	ctx := context.Background()
	p := ask("weather in Bonn and Rome?")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "weather", Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}}})}
	const calls = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bonn\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>"
	for _, c := range []struct{ said, content string }{{calls, ""}, {"Let me see.\n" + calls, "Let me see."}} {
		s.say(c.said)
		whole, err := s.client.Chat.Completions.New(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		s.say(c.said)
		stream := s.client.Chat.Completions.NewStreaming(ctx, p)
		acc := openai.ChatCompletionAccumulator{}
		for stream.Next() {
			acc.AddChunk(stream.Current())
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		for _, m := range []openai.ChatCompletionChoice{whole.Choices[0], acc.Choices[0]} {
			if m.FinishReason != "tool_calls" || m.Message.Content != c.content || len(m.Message.ToolCalls) != 2 {
				t.Fatalf("%+v, want two calls after %q", m, c.content)
			}
			for i, city := range []string{"Bonn", "Rome"} {
				f := m.Message.ToolCalls[i]
				if f.Function.Name != "weather" || f.Function.Arguments != `{"city": "`+city+`"}` || !strings.HasPrefix(f.ID, "call_") {
					t.Errorf("call %+v", f)
				}
			}
		}
		more := p
		more.Messages = append(slices.Clone(p.Messages), whole.Choices[0].Message.ToParam(), openai.ToolMessage("sunny", whole.Choices[0].Message.ToolCalls[0].ID), openai.ToolMessage("rain", whole.Choices[0].Message.ToolCalls[1].ID))
		s.say("Sun and rain.")
		answer, err := s.client.Chat.Completions.New(ctx, more)
		if err != nil || answer.Choices[0].Message.Content != "Sun and rain." || answer.Choices[0].FinishReason != "stop" {
			t.Errorf("%v, %+v", err, answer)
		}
	}
	s.say("No <tool_call> of mine")
	whole, err := s.client.Chat.Completions.New(ctx, p)
	if err != nil || whole.Choices[0].Message.Content != "No <tool_call> of mine" {
		t.Errorf("%v, %+v", err, whole)
	}
	s.say(calls)
	p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("none")}
	if whole, err = s.client.Chat.Completions.New(ctx, p); err != nil || whole.Choices[0].Message.Content != calls {
		t.Errorf("no tools on offer: %v, %+v", err, whole)
	}
}

// TestCompletions continues several texts at once, whole and streamed.
func TestCompletions(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	p := openai.CompletionNewParams{Model: "small", MaxTokens: openai.Int(6), N: openai.Int(2), Temperature: openai.Float(1), Seed: openai.Int(3),
		Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"one", "two", "three"}}}
	whole, err := s.client.Completions.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 6 || whole.Usage.PromptTokens != 11 {
		t.Fatalf("%d choices, usage %+v; want 6 of 11 tokens", len(whole.Choices), whole.Usage)
	}
	texts := map[int64]string{}
	stream := s.client.Completions.NewStreaming(context.Background(), p)
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			texts[c.Index] += c.Text
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for i, c := range whole.Choices {
		if c.Index != int64(i) || texts[c.Index] != c.Text {
			t.Errorf("choice %d is %q, streamed %q", c.Index, c.Text, texts[c.Index])
		}
	}
	ids, _ := json.Marshal([][]int32{s.tok.Encode("one", false), s.tok.Encode("two", false)})
	_, byIDs, _ := s.post(t, "/v1/completions", fmt.Sprintf(`{"prompt": %s, "max_tokens": 6, "n": 2, "temperature": 1, "seed": 3}`, ids))
	var got openai.Completion
	if err := json.Unmarshal([]byte(byIDs), &got); err != nil || len(got.Choices) != 4 || got.Choices[3].Text != whole.Choices[3].Text {
		t.Errorf("%v: by ids %s, by text %+v", err, byIDs, whole.Choices)
	}
}

func TestModels(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	all, err := s.client.Models.List(context.Background())
	if err != nil || len(all.Data) != 1 || all.Data[0].ID != "small" {
		t.Errorf("%v, %+v", err, all)
	}
	if m, err := s.client.Models.Get(context.Background(), "small"); err != nil || m.ID != "small" {
		t.Errorf("%v, %+v", err, m)
	}
	var e *openai.Error
	if _, err := s.client.Models.Get(context.Background(), "other"); !errors.As(err, &e) || e.StatusCode != 404 || e.Code != "model_not_found" {
		t.Errorf("%v", err)
	}
}

// TestHostile sends what is wrong; each gets a clear 4xx, and the server goes on.
func TestHostile(t *testing.T) {
	s := serve(t, server.Options{MaxBody: 1 << 16}, generate.Options{})
	const user = `"messages": [{"role": "user", "content": "x"}]`
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"chat/completions", ``, 400, "no JSON"},
		{"chat/completions", `{`, 400, "no JSON"},
		{"chat/completions", `[]`, 400, "no JSON"},
		{"chat/completions", `{"messages": "x"}`, 400, "messages is"},
		{"chat/completions", `{}`, 400, "messages is missing"},
		{"chat/completions", `{"messages": []}`, 400, "messages is []"},
		{"chat/completions", `{"messages": [null]}`, 400, "messages"},
		{"chat/completions", `{"messages": [{"role": "king", "content": "x"}]}`, 400, "king"},
		{"chat/completions", `{"messages": [{"role": "user"}]}`, 400, "content"},
		{"chat/completions", `{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}`, 400, "image_url"},
		{"chat/completions", `{"messages": [{"role": "tool", "content": "x"}]}`, 400, "tool"},
		{"chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}", 400, "not UTF-8"},
		{"chat/completions", `{"model": "gpt", ` + user + `}`, 404, `no model \"gpt\"; there is small`},
		{"chat/completions", `{"temperature": -1, ` + user + `}`, 400, "temperature is -1"},
		{"chat/completions", `{"temperature": "hot", ` + user + `}`, 400, "temperature"},
		{"chat/completions", `{"temperature": 1e999, ` + user + `}`, 400, "temperature"},
		{"chat/completions", `{"top_p": 1.5, ` + user + `}`, 400, "top_p is 1.5"},
		{"chat/completions", `{"max_tokens": 0, ` + user + `}`, 400, "max_tokens is 0"},
		{"chat/completions", `{"max_tokens": 65, ` + user + `}`, 400, "max_tokens is 65, want a number from 1 to 64"},
		{"chat/completions", `{"n": 0, ` + user + `}`, 400, "n is 0"},
		{"chat/completions", `{"n": 1000000, ` + user + `}`, 400, "1000000 answers"},
		{"chat/completions", `{"stop": [""], ` + user + `}`, 400, "empty"},
		{"chat/completions", `{"stop": {"a": 1}, ` + user + `}`, 400, "no JSON as wanted"},
		{"chat/completions", `{"stop": ["` + strings.Repeat(`a","`, 20) + `"], ` + user + `}`, 400, "stop has 21"},
		{"chat/completions", `{"top_logprobs": 3, ` + user + `}`, 400, "top_logprobs"},
		{"chat/completions", `{"logprobs": true, "top_logprobs": 21, ` + user + `}`, 400, "top_logprobs is 21"},
		{"chat/completions", `{"frequency_penalty": 1, ` + user + `}`, 400, "not supported"},
		{"chat/completions", `{"response_format": {"type": "json_object"}, ` + user + `}`, 400, "json_object is not supported"},
		{"chat/completions", `{"tools": 5, ` + user + `}`, 400, "tools"},
		{"chat/completions", `{"tools": [{"type": "function"}], ` + user + `}`, 400, "tools[0]"},
		{"chat/completions", `{"tools": [{"name": "f"}], "tool_choice": "required", ` + user + `}`, 400, "tool_choice"},
		{"chat/completions", `{"messages": [{"role": "user", "content": "` + strings.Repeat("long ", 1000) + `"}]}`, 400, "reads at most 4096"},
		{"chat/completions", `{"messages": [{"role": "user", "content": "` + strings.Repeat("long ", 1<<14) + `"}]}`, 413, "more than 65536 bytes"},
		{"completions", `{"prompt": 5}`, 400, "prompt is 5"},
		{"completions", `{}`, 400, "prompt is missing"},
		{"completions", `{"prompt": []}`, 400, "prompt is []"},
		{"completions", `{"prompt": ""}`, 400, "empty"},
		{"completions", `{"prompt": [99999]}`, 400, "vocabulary"},
		{"completions", `{"prompt": [-1]}`, 400, "vocabulary"},
		{"completions", `{"prompt": "x", "logprobs": 50}`, 400, "logprobs is 50"},
		{"completions", `{"prompt": "x", "echo": true}`, 400, "not supported"},
		{"completions", `{"prompt": [` + strings.Repeat(`"x",`, 64) + `"x"]}`, 400, "65 prompts"},
		{"nothing", `{}`, 404, ""},
	} {
		status, body, header := s.post(t, "/v1/"+c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%.80s: %d %s, want %d with %q", c.body, status, body, c.status, c.want)
		}
		if status == 400 {
			var e struct {
				Error struct{ Message, Type string }
			}
			if json.Unmarshal([]byte(body), &e) != nil || e.Error.Type != "invalid_request_error" || header.Get("Content-Type") != "application/json" {
				t.Errorf("%.80s: the error is %s", c.body, body)
			}
		}
	}
	if r, err := http.Get(s.url + "/v1/chat/completions"); err != nil || r.StatusCode != 405 {
		t.Errorf("GET: %v", err)
	}
	if status, body, _ := s.post(t, "/v1/chat/completions", `{`+user+`, "max_tokens": 2}`); status != 200 {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

// FuzzRequest sends anything: no request is the server's fault.
func FuzzRequest(f *testing.F) {
	s := serve(f, server.Options{MaxTokens: 2}, generate.Options{})
	for _, body := range []string{`{"messages": [{"role": "user", "content": "x"}], "stream": true}`, `{"prompt": ["a", "b"], "n": 2, "logprobs": 1}`,
		`{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "y"}], "tools": [{"type": "function", "function": {"name": "f"}}]}`,
		`{"prompt": [[1, 2], [3]], "stop": "a", "temperature": 1e300, "top_p": 0.1, "min_p": 1, "repetition_penalty": 1e-300, "seed": -1}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			if status, text, _ := s.post(t, path, body); status >= 500 {
				t.Errorf("%s %s: %d %s", path, body, status, text)
			}
		}
	})
}

// warm answers one request, which starts what stays, and returns the number of
// goroutines after it.
func (s *served) warm(t *testing.T) int {
	t.Helper()
	if status, text, _ := s.post(t, "/v1/completions", `{"prompt": "x", "max_tokens": 1}`); status != 200 {
		t.Fatal(status, text)
	}
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond) // the connection's own take a moment to go
	return runtime.NumGoroutine()
}

// settled waits until nothing runs and the goroutines are as many as before.
func (s *served) settled(t *testing.T, before int) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stats, now := s.gen.Stats(), runtime.NumGoroutine()
		if stats.Running == 0 && stats.Waiting == 0 && now <= before {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%+v and %d goroutines, %d before\n%s", stats, now, before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestDisconnect has clients leave in the middle of streams, of answers and of
// requests: their places are free, and no goroutine stays.
func TestDisconnect(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 3000}, generate.Options{Batch: 16})
	before := s.warm(t)
	for _, c := range []struct {
		body string
		read int // bytes of the answer
	}{
		{`{"prompt": "x", "stream": true, "ignored": 1}`, 300}, {`{"prompt": ["x", "y", "z"], "stream": true}`, 700}, {`{"prompt": "x"}`, 0}, {`{"prompt": "x", "n": 8}`, 0}, {`{"prompt": "x`, 0},
	} {
		for range 4 {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			length := len(c.body)
			if !json.Valid([]byte(c.body)) {
				length += 10 // that never come
			}
			fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", length, c.body)
			if c.read > 0 {
				if _, err := io.CopyN(io.Discard, conn, int64(c.read)); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close()
		}
	}
	s.settled(t, before)
}

// TestSlowReader has a client read nothing of a long stream: it is cut off, and
// its place given to others.
func TestSlowReader(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 4000, WriteTimeout: 200 * time.Millisecond}, generate.Options{Batch: 16})
	before := s.warm(t)
	s.script = slices.Repeat(s.tok.Encode("a", false), 4096) // else it may end early
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(1 << 12)
	body := `{"prompt": "x", "n": 8, "logprobs": 20, "stream": true, "temperature": 1}`
	fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	s.waitFor(t, func(g generate.Stats) bool { return g.Running > 0 })
	s.settled(t, before)
	if text, _ := io.ReadAll(conn); bytes.Contains(text, []byte("[DONE]")) {
		t.Errorf("all of an answer of %d bytes was taken", len(text))
	}
	_, metrics := s.get(t, "/metrics")
	if line := `swiftgo_requests_total{route="completions",code="499"} 1`; !strings.Contains(metrics, line) {
		t.Errorf("no %q in the metrics\n%s", line, metrics)
	}
}

// hold lets steps of the model wait until the function it returns is called.
func (s *served) hold() (release func()) {
	s.gated.Store(true)
	return sync.OnceFunc(func() {
		s.gated.Store(false)
		close(s.gate)
	})
}

// waitFor waits until the generator is as wanted.
func (s *served) waitFor(t *testing.T, ok func(generate.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(s.gen.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s.gen.Stats())
		}
	}
}

// TestBusy fills the places and the queue: what comes then is refused, with the
// time to wait.
func TestBusy(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{Batch: 8, Queue: 2})
	release := s.hold()
	defer release()
	const body = `{"prompt": "x", "n": 8, "max_tokens": 3}`
	statuses := make(chan int, 3)
	for i := range 3 {
		go func() {
			r, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(body))
			if err != nil {
				statuses <- 0
				return
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			statuses <- r.StatusCode
		}()
		s.waitFor(t, func(g generate.Stats) bool { return g.Running == 8 && g.Waiting == i })
	}
	status, text, header := s.post(t, "/v1/completions", body)
	if status != 429 || header.Get("Retry-After") == "" || !strings.Contains(text, "waiting") {
		t.Errorf("%d %s, Retry-After %q", status, text, header.Get("Retry-After"))
	}
	_, metrics := s.get(t, "/metrics")
	for _, line := range []string{"swiftgo_queue_length 2", "swiftgo_running_sequences 8", `swiftgo_requests_total{route="completions",code="429"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %q in the metrics\n%s", line, metrics)
		}
	}
	release()
	for range 3 {
		if status := <-statuses; status != 200 {
			t.Errorf("one that waited got %d", status)
		}
	}
	_, metrics = s.get(t, "/metrics")
	for _, line := range []string{"swiftgo_queue_length 0", "swiftgo_prompt_tokens_total 3", "swiftgo_completion_tokens_total 72", `swiftgo_requests_total{route="completions",code="200"} 3`,
		`swiftgo_request_duration_seconds_count{route="completions"} 4`, `swiftgo_request_duration_seconds_bucket{route="completions",le="+Inf"} 4`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %q in the metrics\n%s", line, metrics)
		}
	}
}

func (s *served) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

func TestKey(t *testing.T) {
	s := serve(t, server.Options{APIKey: "secret"}, generate.Options{})
	if _, err := s.client.Models.List(context.Background()); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"", "Secret", "secret ", "secre", "secrets"} {
		r, err := http.NewRequest("GET", s.url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 401 && key != "secret " { // net/http trims
			t.Errorf("key %q gets %d", key, answer.StatusCode)
		}
	}
	if status, _ := s.get(t, "/metrics"); status != 401 {
		t.Errorf("/metrics without the key: %d", status)
	}
	if status, _ := s.get(t, "/health"); status != 200 {
		t.Errorf("/health: %d", status)
	}
}

// TestShutdown ends the server in the middle of an answer: that one is given
// whole, and no other begins.
func TestShutdown(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	release := s.hold()
	defer release()
	whole := make(chan string, 1)
	go func() {
		r, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(`{"prompt": "x", "max_tokens": 5, "stream": true}`))
		if err != nil {
			whole <- err.Error()
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		whole <- fmt.Sprint(string(text), err)
	}()
	s.waitFor(t, func(g generate.Stats) bool { return g.Running == 1 })
	ended := make(chan struct{})
	go func() {
		s.stop()
		close(ended)
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server that ends takes in connections")
		}
	}
	select {
	case <-ended:
		t.Fatal("the server has ended in the middle of an answer")
	default:
	}
	release()
	if text := <-whole; !strings.HasSuffix(text, "data: [DONE]\n\n<nil>") || !strings.Contains(text, `"finish_reason":"length"`) {
		t.Errorf("the answer that was going on is %s", text)
	}
	<-ended
}

// TestSoak has 64 clients stream at the same time, some of whom leave early.
func TestSoak(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 200}, generate.Options{Batch: 32})
	before := s.warm(t)
	const clients, requests = 64, 4
	var all sync.WaitGroup
	var whole atomic.Int64
	for i := range clients {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for k := range requests {
				body := fmt.Sprintf(`{"messages": [{"role": "user", "content": "client %d, request %d"}], "stream": true, "max_tokens": %d, "temperature": 1, "n": %d}`, i, k, 1+(i*7+k)%40, 1+k%3)
				r, err := client.Post(s.url+"/v1/chat/completions", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				lines := bufio.NewScanner(r.Body)
				last := ""
				for n := 0; lines.Scan(); n++ {
					if lines.Text() != "" {
						last = lines.Text()
					}
					if (i+k)%9 == 0 && n == 3 { // leaves
						break
					}
				}
				r.Body.Close()
				if last == "data: [DONE]" {
					whole.Add(1)
				} else if (i+k)%9 != 0 {
					t.Errorf("client %d, request %d: %d, the stream ends with %s", i, k, r.StatusCode, last)
				}
			}
		})
	}
	all.Wait()
	if n := whole.Load(); n < clients*requests*8/9-5 {
		t.Errorf("%d whole answers", n)
	}
	s.settled(t, before)
}
