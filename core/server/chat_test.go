package server_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"

	"swiftgo/core/generate"
	"swiftgo/core/server"
)

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
