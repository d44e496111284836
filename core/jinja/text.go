package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Strings are UTF-8 here and code points in Python: what follows counts, cuts and changes them by character.

func runes(s string) int { return utf8.RuneCountInString(s) }

// runeLen is the number of bytes of the first character.
func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// skipRunes is the number of bytes of the first n characters.
func skipRunes(s string, n int) int {
	pos := 0
	for ; n > 0 && pos < len(s); n-- {
		pos += runeLen(s[pos:])
	}
	return pos
}

// The characters whose other case is more than one character.
var longUpper = map[rune]string{
	'ß': "SS", 'ŉ': "ʼN", 'ǰ': "J̌", 'ΐ': "Ϊ́", 'ΰ': "Ϋ́", 'և': "ԵՒ", 'ẖ': "H̱", 'ẗ': "T̈", 'ẘ': "W̊", 'ẙ': "Y̊", 'ẚ': "Aʾ",
	'ﬀ': "FF", 'ﬁ': "FI", 'ﬂ': "FL", 'ﬃ': "FFI", 'ﬄ': "FFL", 'ﬅ': "ST", 'ﬆ': "ST",
}

func upper(s string) string {
	if ascii(s) {
		return strings.ToUpper(s)
	}
	return changed(s, func(_ string, c rune) string { return upperOf(c) })
}

func upperOf(c rune) string {
	if s, ok := longUpper[c]; ok {
		return s
	}
	return string(unicode.ToUpper(c))
}

// titleOf is the case of the first character of a title.
func titleOf(c rune) string {
	if s, ok := longUpper[c]; ok {
		first := runeLen(s)
		return s[:first] + lower(s[first:])
	}
	return string(unicode.ToTitle(c))
}

func lower(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	return changed(s, lowerOf)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lowerOf(before string, c rune) string {
	switch {
	case c == 'İ':
		return "i̇"
	case c == 'Σ' && endsInLetter(before): // becomes ς at the end of a word; changed looks at what comes after
		return "ς"
	}
	return string(unicode.ToLower(c))
}

func endsInLetter(s string) bool {
	c, _ := utf8.DecodeLastRuneInString(s)
	return unicode.IsLetter(c)
}

// changed replaces each character by what f makes of it and of what stands before it.
func changed(s string, f func(before string, c rune) string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i, c := range s {
		t := f(s[:i], c)
		if t == "ς" && c == 'Σ' {
			if next, _ := utf8.DecodeRuneInString(s[i+len("Σ"):]); unicode.IsLetter(next) {
				t = "σ"
			}
		}
		b.WriteString(t)
	}
	return b.String()
}

func capitalize(s string) string {
	if s == "" {
		return ""
	}
	c, n := utf8.DecodeRuneInString(s)
	return titleOf(c) + lower(s)[len(lower(s[:n])):]
}

// cased says whether a character has a case.
func cased(c rune) bool { return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c) }

// title is str.title: every word begins with a capital.
func title(s string) string {
	low := lower(s)
	pos := 0
	return changed(s, func(before string, c rune) string {
		l := lowerOf("", c)
		if c == 'Σ' && pos < len(low) {
			l = low[pos:][:runeLen(low[pos:])]
		}
		pos += len(l)
		last, _ := utf8.DecodeLastRuneInString(before)
		if cased(last) {
			return l
		}
		return titleOf(c)
	})
}

func swapCase(s string) string {
	return changed(s, func(before string, c rune) string {
		if unicode.IsUpper(c) {
			return lowerOf(before, c)
		}
		return upperOf(c)
	})
}

// isTitle is str.istitle.
func isTitle(s string) bool {
	any, after := false, false
	for _, c := range s {
		switch {
		case unicode.IsUpper(c) || unicode.IsTitle(c):
			if after {
				return false
			}
			any, after = true, true
		case unicode.IsLower(c):
			if !after {
				return false
			}
		default:
			after = false
		}
	}
	return any
}

// every says whether s has characters and f holds for each of them.
func every(s string, f func(rune) bool) bool {
	for _, c := range s {
		if !f(c) {
			return false
		}
	}
	return s != ""
}

// allCased says whether s has a cased character and each of those is of the case that f tells.
func allCased(s string, f func(rune) bool) bool {
	any := false
	for _, c := range s {
		if cased(c) {
			if !f(c) {
				return false
			}
			any = true
		}
	}
	return any
}

// splitLines is str.splitlines, which knows more line ends than "\n".
func splitLines(s string, keep bool) []string {
	var lines []string
	for s != "" {
		end := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if end < 0 {
			return append(lines, s)
		}
		next := end + runeLen(s[end:])
		if strings.HasPrefix(s[end:], "\r\n") {
			next = end + 2
		}
		if keep {
			end = next
		}
		lines = append(lines, s[:end])
		s = s[next:]
	}
	return lines
}

// splitSpace is str.split and str.rsplit at white space, at most max times where that is not negative.
func splitSpace(s string, max int, right bool) []string {
	if right {
		var parts []string
		for s = strings.TrimRightFunc(s, isSpace); s != ""; s = strings.TrimRightFunc(s, isSpace) {
			i := strings.LastIndexFunc(s, isSpace)
			if i < 0 || max == len(parts) {
				parts = append(parts, s)
				break
			}
			parts = append(parts, s[i+runeLen(s[i:]):])
			s = s[:i]
		}
		reverse(parts)
		return parts
	}
	var parts []string
	for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
		i := strings.IndexFunc(s, isSpace)
		if max == len(parts) {
			return append(parts, s)
		}
		if i < 0 {
			return append(parts, s)
		}
		parts = append(parts, s[:i])
		s = s[i:]
	}
	return parts
}

// splitAt is str.split and str.rsplit at a separator.
func splitAt(s, separator string, max int, right bool) []string {
	if !right {
		if max < 0 {
			return strings.Split(s, separator)
		}
		return strings.SplitN(s, separator, max+1)
	}
	var parts []string
	for max < 0 || len(parts) < max {
		i := strings.LastIndex(s, separator)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(separator):])
		s = s[:i]
	}
	parts = append(parts, s)
	reverse(parts)
	return parts
}

func reverse[T any](all []T) {
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
}

// escapeHTML makes the five characters safe that markupsafe does.
var escapeHTML = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")
