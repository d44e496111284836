package tokenizer

import (
	"slices"
	"strings"
	"unicode"
)

// runeRange is an inclusive range of characters.
type runeRange struct{ low, high rune }

// runeSet is a set of characters: ranges in order that do not touch.
type runeSet []runeRange

func setOf(runes ...rune) runeSet {
	var ranges runeSet
	for _, r := range runes {
		ranges = append(ranges, runeRange{r, r})
	}
	return union(ranges)
}

func union(sets ...runeSet) runeSet {
	all := slices.Concat(sets...)
	slices.SortFunc(all, func(a, b runeRange) int { return int(a.low - b.low) })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && r.low <= out[n-1].high+1 {
			out[n-1].high = max(out[n-1].high, r.high)
		} else {
			out = append(out, r)
		}
	}
	return out
}

func (s runeSet) complement() runeSet {
	var out runeSet
	next := rune(0)
	for _, r := range s {
		if r.low > next {
			out = append(out, runeRange{next, r.low - 1})
		}
		next = r.high + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, runeRange{next, unicode.MaxRune})
	}
	return out
}

func intersection(a, b runeSet) runeSet {
	return union(a.complement(), b.complement()).complement()
}

// fold adds every character that differs from one of the set in case only.
func (s runeSet) fold() runeSet {
	out := slices.Clone(s)
	for _, r := range s {
		for c := r.low; c <= min(r.high, 0x1FFFF); c++ {
			for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
				out = append(out, runeRange{f, f})
			}
		}
	}
	return union(out)
}

func fromTable(table *unicode.RangeTable) runeSet {
	var out runeSet
	add := func(low, high, stride rune) {
		if stride == 1 {
			out = append(out, runeRange{low, high})
			return
		}
		for r := low; r <= high; r += stride {
			out = append(out, runeRange{r, r})
		}
	}
	for _, r := range table.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range table.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	return union(out)
}

// property returns the characters of a Unicode property as Oniguruma names
// it in \p{name}: a general category, a script or a POSIX class.
func property(name string) (set runeSet, ok bool) {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s))
	}
	name = plain(name)
	if set, ok := posixClass(name); ok {
		return set, true
	}
	for alias, short := range unicode.CategoryAliases {
		if plain(alias) == name {
			name = plain(short)
		}
	}
	for category := range unicode.Categories {
		if plain(category) == name {
			return generalCategory(category), true
		}
	}
	for script, table := range unicode.Scripts {
		if plain(script) == name {
			return union(fromTable(table), newScripts[script]), true
		}
	}
	return nil, false
}

// generalCategory returns a category in the version of Oniguruma.
func generalCategory(name string) runeSet {
	set := fromTable(unicode.Categories[name])
	for category, added := range newCategories {
		if strings.HasPrefix(category, name) {
			set = union(set, added)
		}
	}
	return set
}

func posixClass(name string) (set runeSet, ok bool) {
	category := generalCategory
	table := fromTable
	switch name {
	case "any":
		return runeSet{{0, unicode.MaxRune}}, true
	case "ascii":
		return runeSet{{0, 0x7F}}, true
	case "alpha", "alphabetic":
		return union(category("L"), category("Nl"), table(unicode.Other_Alphabetic)), true
	case "digit":
		return category("Nd"), true
	case "alnum":
		alpha, _ := posixClass("alpha")
		return union(alpha, category("Nd")), true
	case "word":
		alpha, _ := posixClass("alpha")
		// Oniguruma counts the Latin-1 fractions and superscripts as well.
		return union(alpha, category("M"), category("Nd"), category("Pc"), runeSet{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}}), true
	case "space":
		return table(unicode.White_Space), true
	case "blank":
		return union(category("Zs"), setOf('\t')), true
	case "cntrl":
		return category("Cc"), true
	case "punct":
		return union(category("P"), category("S")), true
	case "upper", "uppercase":
		return union(category("Lu"), table(unicode.Other_Uppercase)), true
	case "lower", "lowercase":
		return union(category("Ll"), table(unicode.Other_Lowercase)), true
	case "xdigit":
		return runeSet{{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, true
	}
	return nil, false
}

// isWord reports whether r is a word character to the regex crate of Rust,
// which decides on single_word.
func isWord(r rune) bool {
	if r < 0x80 {
		return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// newCategories are the characters of Unicode 15.1 and 16, which Oniguruma
// 6.9.10 knows and the tables of Go (15.0) may not.
var newCategories = map[string]runeSet{
	"Lu": {{0x1C89, 0x1C89}, {0xA7CB, 0xA7CC}, {0xA7DA, 0xA7DA}, {0xA7DC, 0xA7DC}, {0x10D50, 0x10D65}},
	"Ll": {{0x1C8A, 0x1C8A}, {0xA7CD, 0xA7CD}, {0xA7DB, 0xA7DB}, {0x10D70, 0x10D85}},
	"Lm": {{0x10D4E, 0x10D4E}, {0x10D6F, 0x10D6F}, {0x16D40, 0x16D42}, {0x16D6B, 0x16D6C}},
	"Lo": {
		{0x105C0, 0x105F3}, {0x10D4A, 0x10D4D}, {0x10D4F, 0x10D4F}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
		{0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1},
		{0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D43, 0x16D6A},
		{0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D},
	},
	"Mn": {
		{0x897, 0x897}, {0x10D69, 0x10D6D}, {0x10EFC, 0x10EFC}, {0x113BB, 0x113C0}, {0x113CE, 0x113CE},
		{0x113D0, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x11F5A, 0x11F5A}, {0x1611E, 0x16129},
		{0x1612D, 0x1612F}, {0x1E5EE, 0x1E5EF},
	},
	"Mc": {
		{0x113B8, 0x113BA}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113CD},
		{0x113CF, 0x113CF}, {0x1612A, 0x1612C},
	},
	"Nd": {
		{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139}, {0x16D70, 0x16D79},
		{0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA},
	},
	"Pd": {{0x10D6E, 0x10D6E}},
	"Po": {
		{0x1B4E, 0x1B4F}, {0x1B7F, 0x1B7F}, {0x113D4, 0x113D5}, {0x113D7, 0x113D8}, {0x11BE1, 0x11BE1},
		{0x16D6D, 0x16D6F}, {0x1E5FF, 0x1E5FF},
	},
	"Sm": {{0x10D8E, 0x10D8F}},
	"So": {
		{0x2427, 0x2429}, {0x2FFC, 0x2FFF}, {0x31E4, 0x31E5}, {0x31EF, 0x31EF}, {0x1CC00, 0x1CCEF},
		{0x1CD00, 0x1CEB3}, {0x1F8B2, 0x1F8BB}, {0x1F8C0, 0x1F8C1}, {0x1FA89, 0x1FA89}, {0x1FA8F, 0x1FA8F},
		{0x1FABE, 0x1FABE}, {0x1FAC6, 0x1FAC6}, {0x1FADC, 0x1FADC}, {0x1FADF, 0x1FADF}, {0x1FAE9, 0x1FAE9},
		{0x1FBCB, 0x1FBEF},
	},
}

var newScripts = map[string]runeSet{"Han": {{0x2EBF0, 0x2EE5D}}}

// inert are the characters that normalisation in Go treats by Unicode 15 and
// the Rust library, by an older version, leaves alone: later ones with a
// combining class or a decomposition, and U+11930, part of such a one.
var inert = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x07FD, 0x07FD, 1}, {0x0898, 0x089F, 1}, {0x08CA, 0x08D3, 1}, {0x09FE, 0x09FE, 1}, {0x0C3C, 0x0C3C, 1},
		{0x0D3B, 0x0D3C, 1}, {0x0EBA, 0x0EBA, 1}, {0x1715, 0x1715, 1}, {0x1ABF, 0x1ACE, 1}, {0x1DF6, 0x1DFA, 1},
		{0x32FF, 0x32FF, 1}, {0xA7F2, 0xA7F4, 1}, {0xA82C, 0xA82C, 1}, {0xAB69, 0xAB69, 1},
	},
	R32: []unicode.Range32{
		{0x10781, 0x10785, 1}, {0x10787, 0x107B0, 1}, {0x107B2, 0x107BA, 1}, {0x10D24, 0x10D27, 1},
		{0x10EAB, 0x10EAC, 1}, {0x10EFD, 0x10EFF, 1}, {0x10F46, 0x10F50, 1}, {0x10F82, 0x10F85, 1},
		{0x11070, 0x11070, 1}, {0x1133B, 0x1133B, 1}, {0x1145E, 0x1145E, 1}, {0x11839, 0x1183A, 1},
		{0x11930, 0x11930, 1}, {0x11938, 0x11938, 1}, {0x1193D, 0x1193E, 1}, {0x11943, 0x11943, 1},
		{0x119E0, 0x119E0, 1}, {0x11A34, 0x11A34, 1}, {0x11A47, 0x11A47, 1}, {0x11A99, 0x11A99, 1},
		{0x11D42, 0x11D42, 1}, {0x11D44, 0x11D45, 1}, {0x11D97, 0x11D97, 1}, {0x11F41, 0x11F42, 1},
		{0x16FF0, 0x16FF1, 1}, {0x1E030, 0x1E06D, 1}, {0x1E08F, 0x1E08F, 1}, {0x1E130, 0x1E136, 1},
		{0x1E2AE, 0x1E2AE, 1}, {0x1E2EC, 0x1E2EF, 1}, {0x1E4EC, 0x1E4EF, 1}, {0x1F16C, 0x1F16C, 1},
		{0x1FBF0, 0x1FBF9, 1},
	},
}
