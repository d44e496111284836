package builtin

import (
	"context"
	"math/big"
	"regexp"
	"strings"

	"swiftgo/api"
)

func newMath(args *api.Args) (api.ORM, error) { return api.ORMFunc(scoreMath), args.Decode(&none{}) }

// scoreMath returns 1 for each completion whose result is that of the dataset's
// answer and 0 for the rest.
func scoreMath(ctx context.Context, cs []api.Completion) ([]float64, error) {
	rewards := make([]float64, len(cs))
	for i, c := range cs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if equal(mathResult(c.Text), mathResult(c.Truth)) {
			rewards[i] = 1
		}
	}
	return rewards, nil
}

// mathResult returns what an answer comes to: what is in its last \boxed{}, or
// the line after its last "####", as in GSM8K, or "# Answer", or all of it.
func mathResult(text string) string {
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

// equal reports whether two results are the same number, or else the same text.
// An empty result equals none.
func equal(a, b string) bool {
	a, b = plainMath(a), plainMath(b)
	if a == "" || b == "" {
		return false
	}
	if x, ok := rational(a); ok {
		if y, ok := rational(b); ok {
			return x.Cmp(y) == 0
		}
	}
	return a == b
}

// markup is what changes how a result looks and not what it is.
var markup = strings.NewReplacer(
	" ", "", "\t", "", "\n", "", "\r", "", "\u00a0", "", `\ `, "", `\,`, "", `\!`, "", `\;`, "", `\:`, "", "~", "",
	"$", "", `\$`, "", `\(`, "", `\)`, "", `\[`, "", `\]`, "", `\left`, "", `\right`, "",
	`\dfrac`, `\frac`, `\tfrac`, `\frac`, "−", "-")

// plainMath strips the markup from s, and the full stop after it.
func plainMath(s string) string { return strings.TrimSuffix(markup.Replace(s), ".") }

var (
	thousands = regexp.MustCompile(`^[+-]?\d{1,3}(?:\{?,\}?\d{3})+(?:\.\d*)?$`)
	decimal   = regexp.MustCompile(`^[+-]?(?:\d+\.?\d*|\.\d+)$`)
	slash     = regexp.MustCompile(`^([+-]?[\d.,]+)/([+-]?[\d.,]+)$`)
	frac      = regexp.MustCompile(`^([+-]?)\\frac\{([+-]?[\d.,]+)\}\{([+-]?[\d.,]+)\}$`)
	shortFrac = regexp.MustCompile(`^([+-]?)\\frac(\d)(\d)$`)
)

// rational returns the number that s is, if it is a decimal or a simple fraction.
func rational(s string) (*big.Rat, bool) {
	if m := slash.FindStringSubmatch(s); m != nil {
		return quotient("", m[1], m[2])
	}
	if m := frac.FindStringSubmatch(s); m != nil {
		return quotient(m[1], m[2], m[3])
	}
	if m := shortFrac.FindStringSubmatch(s); m != nil {
		return quotient(m[1], m[2], m[3])
	}
	if thousands.MatchString(s) {
		s = strings.NewReplacer(",", "", "{", "", "}", "").Replace(s)
	}
	if !decimal.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(strings.TrimSuffix(s, "."))
}

func quotient(sign, above, below string) (*big.Rat, bool) {
	x, ok := rational(above)
	if !ok {
		return nil, false
	}
	y, ok := rational(below)
	if !ok || y.Sign() == 0 {
		return nil, false
	}
	if x.Quo(x, y); sign == "-" {
		x.Neg(x)
	}
	return x, true
}
