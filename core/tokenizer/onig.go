package tokenizer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// onigPart is a stretch of an expression: syntax that regexp2 understands as
// it stands, or one character out of a set.
type onigPart struct {
	syntax string
	set    int // index into onigParts.sets, -1 for syntax
}

type onigParts struct {
	text []onigPart
	sets []runeSet
}

func (p *onigParts) syntax(s string) { p.text = append(p.text, onigPart{s, -1}) }

func (p *onigParts) oneOf(set runeSet) {
	p.text = append(p.text, onigPart{set: len(p.sets)})
	p.sets = append(p.sets, set)
}

// wrap puts syntax around what was written since mark.
func (p *onigParts) wrap(mark int, before, after string) {
	p.syntax("")
	copy(p.text[mark+1:], p.text[mark:])
	p.text[mark] = onigPart{before, -1}
	p.syntax(after)
}

// maxRepeat and maxDepth keep a broken file from taking all memory.
const (
	maxRepeat = 1000
	maxDepth  = 100
)

// onigParser reads the syntax that Oniguruma calls Ruby's, which differs from
// that of regexp2 in possessive quantifiers, in the reach of (?i), in line
// anchors, in nested classes. Groups capture nothing.
type onigParser struct {
	in    []rune
	pos   int
	depth int
	fold  bool // (?i)
	dotNL bool // (?m): the dot matches a newline too
	out   onigParts
}

func parseOnig(expression string) (*onigParts, error) {
	p := &onigParser{in: []rune(expression)}
	if err := p.alternatives(); err != nil {
		return nil, err
	}
	if p.pos < len(p.in) {
		return nil, errors.New("unmatched )")
	}
	return &p.out, nil
}

// peek reports whether the input goes on with s.
func (p *onigParser) peek(s string) bool {
	for i, r := range []rune(s) {
		if p.pos+i >= len(p.in) || p.in[p.pos+i] != r {
			return false
		}
	}
	return true
}

// accept skips s where the input goes on with it.
func (p *onigParser) accept(s string) bool {
	if !p.peek(s) {
		return false
	}
	p.pos += len([]rune(s))
	return true
}

// until returns the input up to end and skips both.
func (p *onigParser) until(end rune) (string, error) {
	for i := p.pos; i < len(p.in); i++ {
		if p.in[i] == end {
			text := string(p.in[p.pos:i])
			p.pos = i + 1
			return text, nil
		}
	}
	return "", fmt.Errorf("%c is missing", end)
}

func (p *onigParser) alternatives() error {
	p.depth++
	if p.depth > maxDepth {
		return errors.New("groups are nested too deep")
	}
	defer func() { p.depth-- }()
	for p.pos < len(p.in) && !p.peek(")") {
		if p.accept("|") {
			p.out.syntax("|")
			continue
		}
		mark := len(p.out.text)
		if err := p.atom(); err != nil {
			return err
		}
		if err := p.quantifiers(mark); err != nil {
			return err
		}
	}
	return nil
}

func (p *onigParser) atom() error {
	r := p.in[p.pos]
	p.pos++
	switch r {
	case '(':
		return p.group()
	case '[':
		set, err := p.class()
		if err != nil {
			return err
		}
		p.out.oneOf(set)
		return nil
	case '\\':
		return p.escape()
	case '.':
		if p.dotNL {
			p.out.oneOf(runeSet{{0, unicode.MaxRune}})
		} else {
			p.out.oneOf(setOf('\n').complement())
		}
		return nil
	case '^': // of every line, but none starts behind a last newline
		p.lookaround("(?:\\A|(?<=", setOf('\n'), ")(?!\\z))")
		return nil
	case '$': // of every line
		p.lookaround("(?:\\z|(?=", setOf('\n'), "))")
		return nil
	case '*', '+', '?':
		return fmt.Errorf("%c has nothing to repeat", r)
	}
	p.out.oneOf(p.folded(setOf(r)))
	return nil
}

func (p *onigParser) folded(set runeSet) runeSet {
	if p.fold {
		return set.fold()
	}
	return set
}

func (p *onigParser) lookaround(before string, set runeSet, after string) {
	p.out.syntax(before)
	p.out.oneOf(set)
	p.out.syntax(after)
}

// group reads on behind an opening parenthesis.
func (p *onigParser) group() error {
	fold, dotNL := p.fold, p.dotNL
	open := "(?:"
	switch {
	case p.accept("?#"):
		_, err := p.until(')')
		return err
	case p.accept("?:"):
	case p.accept("?="):
		open = "(?="
	case p.accept("?!"):
		open = "(?!"
	case p.accept("?<="):
		open = "(?<="
	case p.accept("?<!"):
		open = "(?<!"
	case p.accept("?>"):
		open = "(?>"
	case p.accept("?<"):
		if _, err := p.until('>'); err != nil {
			return err
		}
	case p.accept("?"):
		alone, err := p.options()
		if err != nil {
			return err
		}
		if alone { // (?i) reaches to the end of the group around it
			p.out.syntax(open)
			if err := p.alternatives(); err != nil {
				return err
			}
			p.out.syntax(")")
			p.fold, p.dotNL = fold, dotNL
			return nil
		}
	}
	p.out.syntax(open)
	if err := p.alternatives(); err != nil {
		return err
	}
	if !p.accept(")") {
		return errors.New("unmatched (")
	}
	p.out.syntax(")")
	p.fold, p.dotNL = fold, dotNL
	return nil
}

// options reads those of (?im-im: or, alone, (?im-im).
func (p *onigParser) options() (alone bool, err error) {
	on := true
	for p.pos < len(p.in) {
		r := p.in[p.pos]
		p.pos++
		switch r {
		case '-':
			on = false
		case 'i':
			p.fold = on
		case 'm':
			p.dotNL = on
		case ':':
			return false, nil
		case ')':
			return true, nil
		default:
			return false, fmt.Errorf("group (?%c is not supported", r)
		}
	}
	return false, errors.New("unmatched (")
}

// quantifiers reads all behind an atom, which was written since mark.
func (p *onigParser) quantifiers(mark int) error {
	for p.pos < len(p.in) {
		var repeat string
		interval := false
		switch r := p.in[p.pos]; r {
		case '*', '+', '?':
			p.pos++
			repeat = string(r)
		case '{':
			var err error
			if repeat, err = p.interval(); err != nil {
				return err
			}
			if repeat == "" {
				return nil
			}
			interval = true
		default:
			return nil
		}
		switch {
		case p.peek("?") && !(interval && !strings.Contains(repeat, ",")):
			p.pos++
			p.out.wrap(mark, "(?:(?:", ")"+repeat+"?)")
		case !interval && p.accept("+"):
			p.out.wrap(mark, "(?>(?:", ")"+repeat+")")
		default: // {2}? is {2} once or not at all, {1,3}+ is {1,3} repeated
			p.out.wrap(mark, "(?:(?:", ")"+repeat+")")
		}
	}
	return nil
}

// interval reads {n}, {n,}, {,n} or {n,m}; "" is none: the brace is a
// character like any other.
func (p *onigParser) interval() (string, error) {
	start := p.pos
	p.pos++
	body, err := p.until('}')
	low, high, ranged := strings.Cut(body, ",")
	if err != nil || !isNumber(low) || !isNumber(high) || low+high == "" {
		p.pos = start
		return "", nil
	}
	if low == "" {
		low = "0"
	}
	from, _ := strconv.Atoi(low)
	to, _ := strconv.Atoi(high)
	if len(low) > 4 || len(high) > 4 || from > maxRepeat || to > maxRepeat || high != "" && from > to {
		return "", fmt.Errorf("{%s} is no interval below %d", body, maxRepeat)
	}
	if !ranged {
		return fmt.Sprintf("{%d}", from), nil
	}
	return fmt.Sprintf("{%d,%s}", from, high), nil
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// escape reads on behind a backslash outside a class.
func (p *onigParser) escape() error {
	if p.pos == len(p.in) {
		return errors.New("it ends in \\")
	}
	switch p.in[p.pos] {
	case 'A':
		p.out.syntax(`\A`)
	case 'z':
		p.out.syntax(`\z`)
	case 'Z': // a last newline does not count
		p.lookaround("(?=", setOf('\n'), `?\z)`)
	case 'b':
		p.wordBoundary("(?!", "(?=")
	case 'B':
		p.wordBoundary("(?=", "(?!")
	default:
		set, err := p.escapedSet()
		if err != nil {
			return err
		}
		if len(set) == 1 && set[0].low == set[0].high {
			set = p.folded(set) // case does not matter to \p{Lu} and its like
		}
		p.out.oneOf(set)
		return nil
	}
	p.pos++
	return nil
}

// wordBoundary looks ahead one way behind a word character and the other way
// behind any other.
func (p *onigParser) wordBoundary(afterWord, afterOther string) {
	word, _ := posixClass("word")
	p.lookaround("(?:(?<=", word, ")")
	p.lookaround(afterWord, word, ")|")
	p.lookaround("(?<!", word, ")")
	p.lookaround(afterOther, word, "))")
}

var escapedControls = map[rune]rune{'t': '\t', 'n': '\n', 'r': '\r', 'f': '\f', 'v': '\v', 'a': '\a', 'e': 0x1B}

var escapedClasses = map[rune]string{'d': "digit", 's': "space", 'w': "word", 'h': "xdigit"}

// escapedSet reads what may follow a backslash in a class and outside.
func (p *onigParser) escapedSet() (runeSet, error) {
	if p.pos == len(p.in) {
		return nil, errors.New("it ends in \\")
	}
	r := p.in[p.pos]
	p.pos++
	if control, ok := escapedControls[r]; ok {
		return setOf(control), nil
	}
	if name, ok := escapedClasses[unicode.ToLower(r)]; ok {
		set, _ := posixClass(name)
		if unicode.IsUpper(r) {
			set = set.complement()
		}
		return set, nil
	}
	switch {
	case r == 'p' || r == 'P':
		return p.property(r == 'P')
	case r == 'x' && p.accept("{"):
		digits, err := p.until('}')
		if err != nil {
			return nil, err
		}
		return hexSet(digits)
	case r == 'x' || r == 'u':
		n := map[rune]int{'x': 2, 'u': 4}[r]
		if p.pos+n > len(p.in) {
			return nil, fmt.Errorf("\\%c wants %d digits", r, n)
		}
		p.pos += n
		return hexSet(string(p.in[p.pos-n : p.pos]))
	case r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
		return nil, fmt.Errorf("\\%c is not supported", r)
	}
	return setOf(r), nil
}

func hexSet(digits string) (runeSet, error) {
	code, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || code > unicode.MaxRune {
		return nil, fmt.Errorf("%q is no character code", digits)
	}
	return setOf(rune(code)), nil
}

// property reads {Name} or {^Name} behind \p.
func (p *onigParser) property(negate bool) (runeSet, error) {
	if !p.accept("{") {
		return nil, errors.New("\\p wants {Name}")
	}
	if p.accept("^") {
		negate = !negate
	}
	name, err := p.until('}')
	if err != nil {
		return nil, err
	}
	set, ok := property(name)
	if !ok {
		return nil, fmt.Errorf("\\p{%s} is not supported", name)
	}
	if negate {
		set = set.complement()
	}
	return set, nil
}

// class reads on behind an opening bracket.
func (p *onigParser) class() (runeSet, error) {
	p.depth++
	if p.depth > maxDepth {
		return nil, errors.New("classes are nested too deep")
	}
	defer func() { p.depth-- }()
	negate := p.accept("^")
	all := runeSet{{0, unicode.MaxRune}}
	var set runeSet
	for first := true; ; first = false {
		switch {
		case p.pos == len(p.in):
			return nil, errors.New("] is missing")
		case p.peek("]") && !first:
			p.pos++
			set = p.folded(intersection(all, set))
			if negate {
				set = set.complement()
			}
			return set, nil
		case p.accept("&&"):
			all, set = intersection(all, set), nil
			continue
		}
		item, err := p.classItem()
		if err != nil {
			return nil, err
		}
		// x-y is a range unless the hyphen stands last.
		if len(item) == 1 && item[0].low == item[0].high && p.peek("-") && !p.peek("-]") {
			p.pos++
			high, err := p.classItem()
			if err != nil {
				return nil, err
			}
			if len(high) != 1 || high[0].low != high[0].high || high[0].low < item[0].low {
				return nil, errors.New("a range in [] wants two characters in order")
			}
			item = runeSet{{item[0].low, high[0].high}}
		}
		set = union(set, item)
	}
}

// classItem reads one character, escape, POSIX bracket or nested class.
func (p *onigParser) classItem() (runeSet, error) {
	if p.pos == len(p.in) {
		return nil, errors.New("] is missing")
	}
	if p.accept("[:") {
		negate := p.accept("^")
		name, err := p.until(':')
		if err != nil || !p.accept("]") {
			return nil, errors.New(":] is missing")
		}
		set, ok := posixClass(name)
		if !ok {
			return nil, fmt.Errorf("[:%s:] is not supported", name)
		}
		if negate {
			set = set.complement()
		}
		return set, nil
	}
	r := p.in[p.pos]
	p.pos++
	switch r {
	case '[':
		return p.class()
	case '\\':
		if p.accept("b") { // a backspace, in a class
			return setOf('\b'), nil
		}
		return p.escapedSet()
	}
	return setOf(r), nil
}
