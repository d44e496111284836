package main

import (
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func TestConformance(t *testing.T) { apitest.LossScale(t, newLastAnswer) }

// TestConversation weighs a conversation of two rounds.
func TestConversation(t *testing.T) {
	scale, err := newLastAnswer(&api.Args{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := scale.(api.Strategy); !ok {
		t.Error("last_answer is not a Strategy")
	}
	for _, c := range []struct {
		segment api.Segment
		want    float64
	}{
		{api.Segment{Text: "You are kind.", Role: api.System}, 0},
		{api.Segment{Text: "Hi", Role: api.User}, 0},
		{api.Segment{Text: "Hello.", Role: api.Response, Query: "Hi"}, 0},
		{api.Segment{Text: "<|im_end|>\n", Role: api.Suffix}, 0},
		{api.Segment{Text: "2+2?", Role: api.User, LastRound: true}, 0},
		{api.Segment{Text: "4.", Role: api.Response, Query: "2+2?", LastRound: true}, 1},
		{api.Segment{Text: "<|im_end|>\n", Role: api.Suffix, LastRound: true}, 1},
	} {
		if got := scale.Weigh(c.segment); len(got) != 1 || got[0].Weight != c.want {
			t.Errorf("%q (last round %v): %v, want weight %g", c.segment.Text, c.segment.LastRound, got, c.want)
		}
	}
}
