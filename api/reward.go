package api

import (
	"context"
	"regexp"
	"strings"
)

// ORM is an outcome reward model: it judges whole answers.
type ORM interface {
	// Score returns one reward per completion, in order. NaN means no
	// opinion; such a reward takes no part in a sum of rewards. An error
	// about one completion names it by its index.
	Score(ctx context.Context, cs []Completion) ([]float64, error)
}

// PRM is a process reward model: it judges an answer step by step.
type PRM interface {
	// Score returns for each completion one reward per step that the PRM
	// found in it, or a single reward for the whole, but never none. NaN means
	// no opinion, as for an ORM.
	Score(ctx context.Context, cs []Completion) ([][]float64, error)
}

// ORMFunc is an ORM that is only a function.
type ORMFunc func(ctx context.Context, cs []Completion) ([]float64, error)

// Score calls f.
func (f ORMFunc) Score(ctx context.Context, cs []Completion) ([]float64, error) { return f(ctx, cs) }

// PRMFunc is a PRM that is only a function.
type PRMFunc func(ctx context.Context, cs []Completion) ([][]float64, error)

// Score calls f.
func (f PRMFunc) Score(ctx context.Context, cs []Completion) ([][]float64, error) { return f(ctx, cs) }

// Steps splits an answer into the steps that a PRM judges one by one: before each
// line that starts with "Step 1:" or the like, as in Math-Shepherd (Wang et al.
// 2024), or, where there is none, at blank lines, as for Qwen2.5-Math-PRM (Zhang
// et al. 2025). Spaces around a step are left out, and so are empty steps.
func Steps(text string) []string {
	var parts []string
	if marks := stepMark.FindAllStringIndex(text, -1); marks != nil {
		last := 0
		for _, m := range marks {
			parts = append(parts, text[last:m[0]])
			last = m[0]
		}
		parts = append(parts, text[last:])
	} else {
		parts = blankLine.Split(text, -1)
	}
	var steps []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			steps = append(steps, p)
		}
	}
	return steps
}

var (
	stepMark  = regexp.MustCompile(`(?im)^[ \t>#*_]*step[ \t]+\d+[ \t*_]*[:.)]`)
	blankLine = regexp.MustCompile(`\n[ \t\r]*\n`)
)

// Completion is an answer that was sampled, and what it answers.
type Completion struct {
	Messages  []Message      // the conversation that the answer continues
	Text      string         // the answer
	Tokens    int            // its length in tokens, 0 if unknown
	Truncated bool           // whether it was cut off at the token limit
	Truth     string         // the answer in the dataset, or ""
	Row       map[string]any // the dataset's other columns, as encoding/json has values
}

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant, tool_call or tool
	Content string `json:"content"`
}
