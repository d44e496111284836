package builtin

import (
	"context"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"

	"swiftgo/api"
)

// newMath makes the ORM math, that compares the results of answers with those of
// the dataset, exactly.
func newMath(args *api.Args) (api.ORM, error) {
	return judgeEach(func(c api.Completion) float64 {
		return reward(readMath(lastResult(c.Text)).is(readMath(lastResult(c.Truth)), 0))
	}), args.Decode(&none{})
}

// newAccuracy makes the ORM accuracy, that judges as Math-Verify does.
func newAccuracy(args *api.Args) (api.ORM, error) {
	return judgeEach(accuracy), args.Decode(&none{})
}

// accuracy is 1 for the right result and 0 for another, and for a solution without
// one. It has no opinion where there is no solution.
func accuracy(c api.Completion) float64 {
	solution, ok := solution(c)
	if !ok {
		return math.NaN()
	}
	text, _ := answerTag(solution)
	wanted, ok := resultOf(text)
	if !ok {
		return 0
	}
	text, tagged := answerTag(c.Text)
	read := anchoredResultOf
	if tagged {
		read = resultOf
	}
	result, ok := read(text)
	return reward(ok && result.is(wanted, decimalPlaces))
}

// decimalPlaces is how many of a decimal count, as Math-Verify has it: 0.333333 is 1/3.
const decimalPlaces = 6

// solution returns the right answer: the column solution of the dataset, which may
// be a number, or the dataset's answer.
func solution(c api.Completion) (string, bool) {
	switch s := c.Row["solution"].(type) {
	case string:
		return s, true
	case json.Number:
		return s.String(), true
	case float64:
		return strconv.FormatFloat(s, 'f', -1, 64), true
	}
	return c.Truth, c.Truth != ""
}

// answerTag returns what is in the first <answer>, or all of a text without one.
func answerTag(text string) (string, bool) {
	if m := inAnswerTag.FindStringSubmatch(text); m != nil {
		return strings.TrimSpace(m[1]), true
	}
	return text, false
}

var inAnswerTag = regexp.MustCompile(`(?s)<answer>(.*?)</answer>`)

// judgeEach is an ORM that judges each completion on its own.
func judgeEach(score func(api.Completion) float64) api.ORM {
	return api.ORMFunc(func(ctx context.Context, cs []api.Completion) ([]float64, error) {
		rewards := make([]float64, len(cs))
		for i, c := range cs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rewards[i] = score(c)
		}
		return rewards, nil
	})
}

func reward(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

// lastResult returns what an answer comes to: what is in its last \boxed{}, or
// the line after its last "####", as in GSM8K, or "# Answer", or all of it.
func lastResult(text string) string {
	if s, ok := lastBoxed(text); ok {
		return s
	}
	for _, mark := range []string{"####", "# Answer"} {
		if i := strings.LastIndex(text, mark); i >= 0 {
			line, _, _ := strings.Cut(strings.TrimSpace(text[i+len(mark):]), "\n")
			return line
		}
	}
	return text
}

// lastBoxed returns what is in the last \boxed{} whose braces are balanced.
func lastBoxed(text string) (string, bool) {
	const start = `\boxed{`
	for {
		i := strings.LastIndex(text, start)
		if i < 0 {
			return "", false
		}
		body := text[i+len(start):]
		for j, depth := 0, 1; j < len(body); j++ {
			switch body[j] {
			case '\\':
				j++ // \{ is not a brace
			case '{':
				depth++
			case '}':
				if depth--; depth == 0 {
					return body[:j], true
				}
			}
		}
		text = text[:i]
	}
}
