package tokenizer

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// The patterns of nearly all models, read by hand: a regular expression
// engine takes ten times as long. Every character belongs to a match of them.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternQwen   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternO200k  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanner returns the end of the match that starts at s[i:], which is not
// empty.
type scanner func(s string, i int) int

var scanners = map[string]scanner{
	patternGPT2:   scanGPT2,
	patternQwen:   func(s string, i int) int { return scanCL100k(s, i, 1) },
	patternLlama3: func(s string, i int) int { return scanCL100k(s, i, 3) },
	patternO200k:  scanO200k,
}

func scanWith(next scanner) pattern {
	return func(spans []span, s string) []span {
		for i := 0; i < len(s); {
			end := next(s, i)
			spans = append(spans, span{i, end, true})
			i = end
		}
		return spans
	}
}

// digits matches every single number character.
func digits(spans []span, s string) []span {
	done := 0
	for i := 0; i < len(s); {
		class, n := charAt(s, i)
		if class&number != 0 {
			if done < i {
				spans = append(spans, span{done, i, false})
			}
			spans = append(spans, span{i, i + n, true})
			done = i + n
		}
		i += n
	}
	if done < len(s) {
		spans = append(spans, span{done, len(s), false})
	}
	return spans
}

// charClass says to which classes of the patterns a character belongs.
type charClass uint8

const (
	letter  charClass = 1 << iota // \p{L}
	number                        // \p{N}
	space                         // \s
	newline                       // [\r\n]
	upper                         // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
	lower                         // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
)

var classTable = sync.OnceValue(func() *[unicode.MaxRune + 1]charClass {
	var table [unicode.MaxRune + 1]charClass
	mark := func(set runeSet, class charClass) {
		for _, r := range set {
			for c := r.low; c <= r.high; c++ {
				table[c] |= class
			}
		}
	}
	mark(generalCategory("L"), letter)
	mark(generalCategory("N"), number)
	mark(fromTable(unicode.White_Space), space)
	mark(setOf('\r', '\n'), newline)
	for _, name := range []string{"Lu", "Lt", "Lm", "Lo", "M"} {
		mark(generalCategory(name), upper)
	}
	for _, name := range []string{"Ll", "Lm", "Lo", "M"} {
		mark(generalCategory(name), lower)
	}
	return &table
})

// charAt returns the classes and the length of the character at s[i:], both
// 0 at the end.
func charAt(s string, i int) (charClass, int) {
	if i >= len(s) {
		return 0, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return asciiClasses[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classTable()[r], n
}

// asciiClasses is the beginning of the table.
var asciiClasses = func() (table [utf8.RuneSelf]charClass) {
	for c := range table {
		switch r := rune(c); {
		case r == '\r' || r == '\n':
			table[c] = space | newline
		case unicode.IsSpace(r):
			table[c] = space
		case unicode.IsDigit(r):
			table[c] = number
		case unicode.IsUpper(r):
			table[c] = letter | upper
		case unicode.IsLower(r):
			table[c] = letter | lower
		}
	}
	return table
}()

// run skips characters of the given classes.
func run(s string, i int, classes charClass) int {
	for {
		class, n := charAt(s, i)
		if class&classes == 0 {
			return i
		}
		i += n
	}
}

// runOther skips characters that are not of the given classes.
func runOther(s string, i int, classes charClass) int {
	for {
		class, n := charAt(s, i)
		if n == 0 || class&classes != 0 {
			return i
		}
		i += n
	}
}

// runAtMost skips up to limit characters of the given classes.
func runAtMost(s string, i int, classes charClass, limit int) int {
	for range limit {
		class, n := charAt(s, i)
		if class&classes == 0 {
			break
		}
		i += n
	}
	return i
}

// contraction returns the length of an English one at the start of s:
// 's 't 'm 'd 're 've 'll. Folded, case does not matter, and as Unicode has
// it, ſ is an s.
func contraction(s string, folded bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	s = s[1:min(len(s), 3)]
	if folded {
		if s == "ſ" {
			return 1 + len("ſ")
		}
		s = strings.ToLower(s)
	}
	switch s[0] {
	case 's', 't', 'm', 'd':
		return 2
	}
	switch s {
	case "re", "ve", "ll":
		return 3
	}
	return 0
}

// blank matches \s*[\r\n]+|\s+(?!\S)|\s+, without the first where lines is
// false, at a run of white space.
func blank(s string, i int, lines bool) int {
	end, last, line := i, i, -1
	for {
		class, n := charAt(s, end)
		if class&space == 0 {
			break
		}
		last = end
		end += n
		if class&newline != 0 {
			line = end
		}
	}
	switch {
	case lines && line >= 0:
		return line
	case end == len(s) || last == i:
		return end
	}
	return last // the last space goes with what follows
}

// symbols matches ` ?[^\s\p{L}\p{N}]+`, i where it does not match.
func symbols(s string, i int) int {
	start := i
	if s[i] == ' ' {
		start++
	}
	if end := runOther(s, start, space|letter|number); end > start {
		return end
	}
	return i
}

func scanGPT2(s string, i int) int {
	if n := contraction(s[i:], false); n > 0 {
		return i + n
	}
	start := i
	if s[i] == ' ' {
		start++
	}
	for _, class := range []charClass{letter, number} {
		if end := run(s, start, class); end > start {
			return end
		}
	}
	if end := symbols(s, i); end > i {
		return end
	}
	return blank(s, i, false)
}

func scanCL100k(s string, i, maxDigits int) int {
	if n := contraction(s[i:], true); n > 0 {
		return i + n
	}
	start := afterPrefix(s, i)
	if end := run(s, start, letter); end > start {
		return end
	}
	if end := runAtMost(s, i, number, maxDigits); end > i {
		return end
	}
	if end := symbols(s, i); end > i {
		return run(s, end, newline)
	}
	return blank(s, i, true)
}

// afterPrefix skips [^\r\n\p{L}\p{N}]?.
func afterPrefix(s string, i int) int {
	class, n := charAt(s, i)
	if class&(newline|letter|number) != 0 {
		return i
	}
	return i + n
}

func scanO200k(s string, i int) int {
	if end := casedWord(s, i); end > i {
		return end + contraction(s[end:], true)
	}
	if end := runAtMost(s, i, number, 3); end > i {
		return end
	}
	if end := symbols(s, i); end > i {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || s[end] == '/') {
			end++
		}
		return end
	}
	return blank(s, i, true)
}

// casedWord matches P?U*L+|P?U+L* where P is [^\r\n\p{L}\p{N}], U is upper
// and L is lower, i where it does not match. Marks are P, U and L at once,
// letters without case U and L.
func casedWord(s string, i int) int {
	start := afterPrefix(s, i)
	end, caseless := start, -1 // caseless: the end of the last U that is an L too
	class, _ := charAt(s, i)
	if start > i && class&lower != 0 {
		caseless = start // P? may match nothing and leave the mark to L
	}
	for {
		class, n := charAt(s, end)
		if class&upper == 0 {
			break
		}
		end += n
		if class&lower != 0 {
			caseless = end
		}
	}
	switch tail := run(s, end, lower); {
	case tail > end:
		return tail
	case caseless >= 0: // L+ takes back the last character it can
		return caseless
	case end > start:
		return end
	}
	return i
}
