package apitest

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"swiftgo/api"
)

// LossScale checks that the pieces of a segment join to the segment, that
// weights are finite and not negative, and that a segment has the same pieces
// whenever, and from how many goroutines at a time, it is asked for.
func LossScale(t testing.TB, new func(*api.Args) (api.LossScale, error), options ...Option) {
	t.Helper()
	scale := construct(t, new, options)()
	first := map[api.Segment][]api.Piece{}
	for _, s := range segments() {
		pieces := scale.Weigh(s)
		first[s] = slices.Clone(pieces)
		var text strings.Builder
		for _, p := range pieces {
			text.WriteString(p.Text)
			if !(p.Weight >= 0) || math.IsInf(p.Weight, 0) {
				t.Errorf("the weight of %q in %q is %g, want a finite number that is not negative", p.Text, s.Text, p.Weight)
			}
		}
		if text.String() != s.Text {
			t.Errorf("the pieces of %q join to %q", s.Text, text.String())
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for s, want := range first {
				if got := scale.Weigh(s); !slices.Equal(got, want) {
					t.Errorf("the pieces of %q are %v at one time and %v at another", s.Text, want, got)
				}
			}
		})
	}
	wg.Wait()
}

// segments returns texts of every kind by every author.
func segments() []api.Segment {
	texts := []string{
		"", " ", "\n", "Paris.", "<|im_end|>\n", "北京今天晴，3°C。👩‍👩‍👧 e\u0301",
		"<think>\n\n</think>\n\nIt is 4.", "<think>\nTwo and two\n</think>\n\nIt is **4**.\n", "</think>",
		"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"城市\": \"北京\"}}\n</tool_call>", "<tool_call>", "a<tool_call>b</tool_call>c<tool_call>d</tool_call>",
		"Thought: t\nAction: f\nAction Input: {\"x\": 1}\nObservation: 2\nFinal Answer: 3", "Action:Action Input:", "✿FUNCTION✿: f\n✿ARGS✿: {}\n✿RESULT✿: 1",
		"so \\boxed{\\frac{1}{2}}\n#### 0.5", "\x00\xff\xfe", strings.Repeat("long ", 500),
	}
	var all []api.Segment
	for _, text := range texts {
		for _, role := range []api.Role{api.System, api.User, api.Response, api.Suffix} {
			for _, last := range []bool{false, true} {
				s := api.Segment{Text: text, Role: role, LastRound: last}
				if role == api.Response {
					s.Query = "What is 2+2? 二加二？"
				}
				all = append(all, s)
			}
		}
	}
	return all
}
