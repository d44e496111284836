package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/openai/openai-go/v3"

	"swiftgo/core/generate"
	"swiftgo/core/server"
)

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
