package builtin

import (
	"fmt"
	"strings"
	"unicode"

	"swiftgo/api"
)

// repetition is the penalty of Yeo et al. 2025 for saying the same again: the part
// of the n-grams of words that were there before, times max_penalty.
type repetition struct {
	NGrams     int     `json:"n_grams"` // words
	MaxPenalty float64 `json:"max_penalty"`
}

func newRepetition(args *api.Args) (api.ORM, error) {
	r := repetition{NGrams: 3, MaxPenalty: -1}
	if err := args.Decode(&r); err != nil {
		return nil, err
	}
	if r.NGrams < 1 {
		return nil, fmt.Errorf("n_grams is %d, want 1 or more words", r.NGrams)
	}
	return judgeEach(r.score), nil
}

func (r *repetition) score(c api.Completion) float64 {
	words := strings.FieldsFunc(pythonLower(c.Text), isPythonSpace)
	total := len(words) - r.NGrams + 1
	if total < 1 {
		return 0
	}
	seen := map[string]bool{}
	for i := range total {
		seen[strings.Join(words[i:i+r.NGrams], " ")] = true
	}
	return (1 - float64(len(seen))/float64(total)) * r.MaxPenalty
}

// isPythonSpace reports whether Python's str.split splits at r.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// pythonLower is Python's str.lower: a sigma at the end of a word is ς, and the dot
// of İ stays.
func pythonLower(s string) string {
	if !strings.ContainsAny(s, "Σİ") {
		return strings.ToLower(s)
	}
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case r == 'İ':
			b.WriteString("i\u0307")
		case r == 'Σ' && cased(runes, i, -1) && !cased(runes, i, 1):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// cased reports whether the next letter from i on, in a direction and past marks, is
// one with a case.
func cased(runes []rune, i, step int) bool {
	for i += step; i >= 0 && i < len(runes); i += step {
		r := runes[i]
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) || strings.ContainsRune("'.:·’", r) {
			continue
		}
		return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
	}
	return false
}
