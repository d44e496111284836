package template

import (
	"fmt"
	"strings"
)

// Seed-OSS is told how many tokens it may think for, and says so where it does
// not think.
const (
	seedNoThought = "<seed:think><seed:cot_budget_reflect>The current thinking budget is 0, so I will directly start answering the question.</seed:cot_budget_reflect>\n</seed:think>"
	seedNoBudget  = "You are an intelligent assistant that can answer questions in one step without the need for reasoning and thinking, that is, your thinking budget is 0. Next, please skip the thinking process and directly start answering the user's questions.\n"
	seedAnyBudget = "You are an intelligent assistant with reflective ability. In the process of thinking and reasoning, you need to strictly follow the thinking budget, which is %[1]d. That is, you need to complete your thinking within %[1]d tokens and start answering the user's questions. You will reflect on your thinking process every %[2]d tokens, stating how many tokens have been used and how many are left.\n"
)

// seedBudget writes the thoughts of a conversation as Seed-OSS does, and says in
// the system prompt how long they may be: as long as the longest, or a little
// longer.
func seedBudget(e *Encoder, turns []turn, system *string) *string {
	budget := 0
	for _, t := range turns {
		for _, p := range t.answer {
			if _, thought, _, ok := seedThought(p.text); ok && strings.TrimSpace(thought) != "" {
				budget = max(budget, len(e.Tokenizer.Encode(thought, true)))
			}
		}
	}
	text := seedNoBudget
	if last := &turns[len(turns)-1]; budget == 0 && last.answer == nil {
		last.start = "<seed:think><seed:cot_budget_reflect>"
	}
	if budget > 0 {
		limit, interval := seedLimit(budget)
		budget, text = limit, fmt.Sprintf(seedAnyBudget, limit, interval)
	}
	if system != nil && *system != "" {
		text = *system + "<seed:eos><seed:bos>system\n" + text
	}
	for _, t := range turns {
		for k := range t.answer {
			p := &t.answer[k]
			before, thought, after, ok := seedThought(p.text)
			switch {
			case ok:
				p.text = before + "<seed:think>" + thought + "</seed:think>" + after
			case k > 0:
			case budget > 0:
				p.text = "<seed:think></seed:think>" + withoutTags(p.text)
			default:
				p.text = seedNoThought + withoutTags(p.text)
			}
		}
	}
	return &text
}

// seedThought cuts a text around its thought.
func seedThought(text string) (before, thought, after string, ok bool) {
	before, rest, ok := strings.Cut(text, "<think>")
	if !ok {
		return "", "", "", false
	}
	thought, after, ok = strings.Cut(rest, "</think>")
	return before, thought, after, ok
}

func withoutTags(text string) string {
	return strings.NewReplacer("<think>", "", "</think>", "").Replace(text)
}

// seedLimit returns the budget that the models know for n tokens, and after how
// many they look at what is left of it.
func seedLimit(n int) (limit, interval int) {
	for _, l := range [][2]int{{512, 128}, {1024, 256}, {2048, 512}, {4096, 512}, {8192, 1024}, {16384, 1024}} {
		if n <= l[0] {
			return l[0], l[1]
		}
	}
	return n, 1024
}
