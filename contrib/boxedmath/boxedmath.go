// Boxedmath is a plugin with one outcome reward model, boxed_math, that rewards an
// answer whose \boxed{} result is that of the dataset, as Lightman et al. 2023
// ("Let's verify step by step") mark answers to the MATH problems.
//
//	swiftgo sample --orm_model boxed_math …
//
// The result is in the answer that the dataset has, or else in its column
// solution. It shows what an ORM is: a function from completions to one reward each. The
// built-in math reads more forms of the same number.
package main

import (
	"context"
	"math/big"
	"strings"

	"swiftgo/api"
)

// ORMs is what the host looks for.
var ORMs = api.ORMs{"boxed_math": newBoxedMath}

func newBoxedMath(args *api.Args) (api.ORM, error) {
	return api.ORMFunc(score), args.Decode(&struct{}{})
}

// score returns 1 for each completion with the right result and 0 for the rest.
func score(ctx context.Context, cs []api.Completion) ([]float64, error) {
	rewards := make([]float64, len(cs))
	for i, c := range cs {
		text := c.Truth
		if text == "" { // the question has no answer beside it; it may have a column
			text, _ = c.Row["solution"].(string)
		}
		truth, ok := boxed(text)
		if !ok {
			truth = text // the dataset may have the bare result
		}
		if result, ok := boxed(c.Text); ok && same(result, truth) {
			rewards[i] = 1
		}
	}
	return rewards, ctx.Err()
}

// boxed returns what is in the last \boxed{}.
func boxed(text string) (string, bool) {
	const start = `\boxed{`
	i := strings.LastIndex(text, start)
	if i < 0 {
		return "", false
	}
	text = text[i+len(start):]
	depth := 1
	for j, r := range text {
		switch r {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return text[:j], true
		}
	}
	return "", false
}

// same reports whether two results are the same number, or else the same text.
func same(a, b string) bool {
	a, b = plain(a), plain(b)
	x, ok := new(big.Rat).SetString(a)
	if y, number := new(big.Rat).SetString(b); ok && number {
		return x.Cmp(y) == 0
	}
	return a != "" && a == b
}

// plain strips what changes only how a result looks.
func plain(s string) string { return strings.NewReplacer(" ", "", "\n", "", "$", "").Replace(s) }

func main() {}
