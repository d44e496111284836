package builtin

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decodeLiteral reads a Python literal of what JSON has too: None, True and
// False, numbers, strings, lists, tuples and dicts whose keys are strings. It
// reports whether text is one.
func decodeLiteral(text string) (any, bool) {
	p := &literal{text: text}
	v := p.value(0)
	p.space()
	return v, !p.failed && p.at == len(p.text)
}

// deepest is how deep literals may be nested; Python's own limit is near.
const deepest = 200

// literal reads text from at on. Once it has failed nothing it returns counts.
type literal struct {
	text   string
	at     int
	failed bool
}

func (p *literal) value(depth int) any {
	p.space()
	if depth > deepest {
		p.failed = true
	}
	switch c := p.peek(); {
	case p.failed:
	case p.took('['):
		items, _ := p.items(']', depth)
		return items
	case p.took('('):
		items, commas := p.items(')', depth)
		if len(items) == 1 && commas == 0 {
			return items[0]
		}
		return items
	case p.took('{'):
		return p.dict(depth)
	case c == '\'' || c == '"':
		return p.strings()
	default:
		return p.word()
	}
	return nil
}

// items reads values up to end, and how many commas there were.
func (p *literal) items(end byte, depth int) (items []any, commas int) {
	for !p.failed && !p.took(end) {
		items = append(items, p.value(depth+1))
		if p.took(',') {
			commas++
		} else if !p.sees(end) {
			p.failed = true
		}
	}
	return items, commas
}

func (p *literal) dict(depth int) *object {
	o := &object{}
	for !p.failed && !p.took('}') {
		key, ok := p.value(depth + 1).(string)
		if !ok || !p.took(':') {
			p.failed = true
			break
		}
		o.set(key, p.value(depth+1))
		if !p.took(',') && !p.sees('}') {
			p.failed = true
		}
	}
	return o
}

// strings reads strings next to each other, which are one.
func (p *literal) strings() string {
	var b strings.Builder
	for !p.failed && (p.sees('\'') || p.sees('"')) {
		p.string(&b)
	}
	return b.String()
}

func (p *literal) string(b *strings.Builder) {
	end := p.text[p.at : p.at+1]
	long := strings.HasPrefix(p.text[p.at:], strings.Repeat(end, 3))
	if long {
		end = strings.Repeat(end, 3)
	}
	p.at += len(end)
	for p.at < len(p.text) {
		switch rest := p.text[p.at:]; {
		case strings.HasPrefix(rest, end):
			p.at += len(end)
			return
		case rest[0] == '\n' && !long:
			p.failed = true
			return
		case rest[0] != '\\':
			b.WriteByte(rest[0])
			p.at++
		case strings.HasPrefix(rest, "\\\n"):
			p.at += 2
		case len(rest) > 1 && strings.IndexByte(`'"`, rest[1]) >= 0:
			b.WriteByte(rest[1])
			p.at += 2
		default:
			r, tail, ok := unescape(rest)
			if !ok {
				p.failed = true
				return
			}
			b.WriteRune(r)
			p.at = len(p.text) - len(tail)
		}
	}
	p.failed = true
}

// unescape reads the escape that text begins with. One that Python does not
// know stands for itself.
func unescape(text string) (r rune, tail string, ok bool) {
	if len(text) < 2 {
		return 0, "", false
	}
	if strings.IndexByte(`abfnrtvxuU\01234567`, text[1]) < 0 {
		return '\\', text[1:], true
	}
	if text[1] >= '0' && text[1] <= '7' { // up to three digits, where Go wants three
		n := 2
		for n < 4 && n < len(text) && text[n] >= '0' && text[n] <= '7' {
			n++
		}
		x, err := strconv.ParseUint(text[1:n], 8, 16)
		return rune(x), text[n:], err == nil
	}
	r, _, tail, err := strconv.UnquoteChar(text, 0)
	return r, tail, err == nil && utf8.ValidRune(r)
}

var (
	literalWord  = regexp.MustCompile(`^[+-]?[\w.]+(?:[eE][+-]?[\d_]+)?`)
	literalFloat = regexp.MustCompile(`^(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$`)
	literalInt   = regexp.MustCompile(`^(?:0+|[1-9]\d*)$`)
	literalBased = regexp.MustCompile(`^0[xob][\da-f]+$`)
)

// word reads None, True, False or a number.
func (p *literal) word() any {
	word := literalWord.FindString(p.text[p.at:])
	p.at += len(word)
	switch word {
	case "None":
		return nil
	case "True", "False":
		return word == "True"
	}
	sign, digits := "", strings.TrimPrefix(word, "+")
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		p.failed = true
		return nil
	}
	digits = strings.ToLower(strings.ReplaceAll(digits, "_", ""))
	switch {
	case literalInt.MatchString(digits):
		if digits = strings.TrimLeft(digits, "0"); digits == "" {
			return number("0")
		}
		return number(sign + digits)
	case literalFloat.MatchString(digits) && strings.ContainsAny(digits, ".e"):
		return number(pythonNumber(sign + digits))
	case literalBased.MatchString(digits):
		if x, err := strconv.ParseInt(digits, 0, 64); err == nil {
			return number(sign + strconv.FormatInt(x, 10))
		}
	}
	p.failed = true
	return nil
}

func (p *literal) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n\f", p.text[p.at]) >= 0 {
		p.at++
	}
}

// peek returns the next byte, 0 at the end.
func (p *literal) peek() byte {
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *literal) sees(c byte) bool {
	p.space()
	return p.peek() == c && p.at < len(p.text)
}

func (p *literal) took(c byte) bool {
	if p.sees(c) {
		p.at++
		return true
	}
	return false
}
