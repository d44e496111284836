package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// span is a part of a text, a match of a pattern or what lies between two.
type span struct {
	start, end int
	match      bool
}

// pattern appends the spans of s in order; together they cover it.
type pattern func(spans []span, s string) []span

// patternSpec is {"String": text} or {"Regex": expression}.
type patternSpec struct {
	String *string
	Regex  *string
}

func newPattern(spec patternSpec) (pattern, error) {
	switch {
	case (spec.String == nil) == (spec.Regex == nil):
		return nil, errors.New("pattern wants either String or Regex")
	case spec.String != nil:
		return literal(*spec.String), nil
	case scanners[*spec.Regex] != nil:
		return scanWith(scanners[*spec.Regex]), nil
	}
	find, err := newRegex(*spec.Regex)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", *spec.Regex, err)
	}
	return find, nil
}

// literal matches text as it stands. An empty one parts all characters.
func literal(text string) pattern {
	return func(spans []span, s string) []span {
		done := 0
		for done < len(s) {
			if text == "" {
				_, n := utf8.DecodeRuneInString(s[done:])
				spans = append(spans, span{done, done + n, false})
				done += n
				continue
			}
			i := strings.Index(s[done:], text)
			if i < 0 {
				break
			}
			if i > 0 {
				spans = append(spans, span{done, done + i, false})
			}
			done += i + len(text)
			spans = append(spans, span{done - len(text), done, true})
		}
		if done < len(s) {
			spans = append(spans, span{done, len(s), false})
		}
		return spans
	}
}

// newRegex compiles an expression of Oniguruma in its default, Ruby syntax.
//
// regexp2 runs it, but never sees a character of the text: those that no set
// of the expression tells apart share one code, and expression and text are
// written in codes. So the character classes are those of Oniguruma, not of
// regexp2, and sets of a thousand ranges shrink to a few codes.
func newRegex(expression string) (pattern, error) {
	parts, err := parseOnig(expression)
	if err != nil {
		return nil, err
	}
	if len(parts.sets) > maxSets {
		return nil, fmt.Errorf("it has more than %d characters and classes", maxSets)
	}
	codes, sets, err := encodeSets(parts.sets)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, p := range parts.text {
		if p.set < 0 {
			text.WriteString(p.syntax)
		} else {
			text.WriteString(sets[p.set])
		}
	}
	re, err := regexp2.Compile(text.String(), regexp2.None)
	if err != nil {
		return nil, err
	}
	return func(spans []span, s string) []span { return findAll(re, codes, spans, s) }, nil
}

func findAll(re *regexp2.Regexp, codes *[unicode.MaxRune + 1]uint8, spans []span, s string) []span {
	coded := make([]rune, 0, len(s))
	offsets := make([]int, 0, len(s)+1)
	for i, r := range s {
		coded = append(coded, firstCode+rune(codes[r]))
		offsets = append(offsets, i)
	}
	offsets = append(offsets, len(s))
	done := 0
	// Matching fails only by a time limit, and none is set.
	for m, _ := re.FindRunesMatch(coded); m != nil; m, _ = re.FindNextMatch(m) {
		start, end := offsets[m.Index], offsets[m.Index+m.Length]
		if done < start {
			spans = append(spans, span{done, start, false})
		}
		spans = append(spans, span{start, end, true})
		done = end
	}
	if done < len(s) {
		spans = append(spans, span{done, len(s), false})
	}
	return spans
}

// maxSets keeps a broken file from taking all time.
const maxSets = 1000

// firstCode is where the codes start: among letters without case or meaning
// to an expression.
const firstCode = 0x4E00

// encodeSets gives each character a code such that two share one exactly
// where no set has only one of them, and writes each set as a class of codes.
func encodeSets(sets []runeSet) (codes *[unicode.MaxRune + 1]uint8, classes []string, err error) {
	var cuts []rune
	for _, set := range sets {
		for _, r := range set {
			cuts = append(cuts, r.low, r.high+1)
		}
	}
	cuts = append(cuts, 0, unicode.MaxRune+1)
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)

	codes = new([unicode.MaxRune + 1]uint8)
	members := make([][]bool, len(sets)) // per set, by code
	codeOf := map[string]int{}
	key := make([]byte, len(sets))
	at := make([]int, len(sets)) // per set, the first range not behind the cut
	for i, low := range cuts[:len(cuts)-1] {
		for k, set := range sets {
			for at[k] < len(set) && set[at[k]].high < low {
				at[k]++
			}
			key[k] = '0'
			if at[k] < len(set) && set[at[k]].low <= low {
				key[k] = '1'
			}
		}
		code, ok := codeOf[string(key)]
		if !ok {
			if code = len(codeOf); code > 255 {
				return nil, nil, errors.New("it tells more than 256 kinds of characters apart")
			}
			codeOf[string(key)] = code
			for k := range sets {
				members[k] = append(members[k], key[k] == '1')
			}
		}
		for r := low; r < cuts[i+1]; r++ {
			codes[r] = uint8(code)
		}
	}
	for _, in := range members {
		classes = append(classes, codeClass(in))
	}
	return codes, classes, nil
}

// codeClass writes a set of codes as an expression.
func codeClass(in []bool) string {
	var out strings.Builder
	for code, member := range in {
		if member {
			fmt.Fprintf(&out, `\u%04x`, firstCode+code)
		}
	}
	if out.Len() == 0 {
		return "(?!)" // matches nowhere
	}
	return "[" + out.String() + "]"
}
