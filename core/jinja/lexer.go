package jinja

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind says what a token is.
type kind uint8

const (
	endOfText kind = iota
	plainText
	printBegin // {{
	printEnd   // }}
	tagBegin   // {%
	tagEnd     // %}
	nameToken
	stringToken
	numberToken
	operator
)

func (k kind) String() string {
	return [...]string{"the end of the template", "text", "'{{'", "'}}'", "'{%'", "'%}'", "a name", "a string", "a number", "an operator"}[k]
}

// token is one word of the source.
type token struct {
	kind  kind
	text  string // of plainText, nameToken and operator
	value Value  // of stringToken and numberToken
	line  int
}

func (t token) String() string {
	if t.kind == nameToken || t.kind == operator {
		return "'" + t.text + "'"
	}
	return t.kind.String()
}

// is says whether t is the operator or name text.
func (t token) is(text string) bool {
	return t.text == text && (t.kind == operator || t.kind == nameToken)
}

// lexer cuts a source into tokens. It removes the white space that the signs at tags, trim_blocks and lstrip_blocks
// remove, so that the parser sees only text that is written.
type lexer struct {
	name   string
	source string
	pos    int
	line   int
	tokens []token
}

func (l *lexer) fail(format string, a ...any) {
	panic(&Error{Template: l.name, Line: l.line, Message: fmt.Sprintf(format, a...)})
}

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// lex returns the tokens of text; the last one is endOfText.
func lex(name, text string) []token {
	l := &lexer{name: name, source: strings.TrimSuffix(newlines.Replace(text), "\n"), line: 1}
	for l.pos < len(l.source) {
		l.root()
	}
	l.emit(endOfText, "", nil)
	return l.tokens
}

func (l *lexer) emit(k kind, text string, v Value) {
	l.tokens = append(l.tokens, token{k, text, v, l.line})
}

// advance goes to pos and counts the lines up to there.
func (l *lexer) advance(pos int) {
	l.line += strings.Count(l.source[l.pos:pos], "\n")
	l.pos = pos
}

// skipSpace returns the first position from pos that holds no white space.
func (l *lexer) skipSpace(pos int) int {
	return len(l.source) - len(strings.TrimLeftFunc(l.source[pos:], isSpace))
}

func (l *lexer) at(pos int, text string) bool {
	return strings.HasPrefix(l.source[pos:], text)
}

// root reads text up to a tag, and the tag.
func (l *lexer) root() {
	begin := l.pos
	for {
		i := strings.IndexByte(l.source[begin:], '{')
		if i < 0 || begin+i+1 >= len(l.source) {
			l.emit(plainText, l.source[l.pos:], nil)
			l.advance(len(l.source))
			return
		}
		begin += i
		if strings.IndexByte("{%#", l.source[begin+1]) >= 0 {
			break
		}
		begin++
	}
	tag, inside := l.source[begin+1], begin+2
	sign := l.sign(&inside)
	l.text(begin, sign, tag != '{')
	l.advance(inside)
	if tag == '%' {
		if pos, ok := l.word(inside, "raw"); ok {
			if end, ok := l.close(pos, "%}", false); ok {
				l.advance(end)
				l.raw()
				return
			}
		}
	}
	switch tag {
	case '#':
		l.comment()
	case '%':
		l.emit(tagBegin, "", nil)
		l.inside("%}", tagEnd)
	default:
		l.emit(printBegin, "", nil)
		l.inside("}}", printEnd)
	}
}

// sign reads the "-" or "+" at *pos, where there is one.
func (l *lexer) sign(pos *int) byte {
	if *pos < len(l.source) && (l.source[*pos] == '-' || l.source[*pos] == '+') {
		*pos++
		return l.source[*pos-1]
	}
	return 0
}

// text writes the text before a tag at end: without its last white space where the sign is "-", and without the
// indentation of the tag where the tag is no print.
func (l *lexer) text(end int, sign byte, strip bool) {
	text := l.source[l.pos:end]
	if sign == '-' {
		text = strings.TrimRightFunc(text, isSpace)
	} else if sign != '+' && strip {
		line := strings.LastIndexByte(text, '\n') + 1
		if line > 0 || l.pos == 0 || l.source[l.pos-1] == '\n' {
			if strings.TrimLeftFunc(text[line:], isSpace) == "" {
				text = text[:line]
			}
		}
	}
	if text != "" {
		l.emit(plainText, text, nil)
	}
	l.advance(end)
}

// word says where the white space after the given word ends, if that word is next.
func (l *lexer) word(pos int, word string) (int, bool) {
	pos = l.skipSpace(pos)
	if !l.at(pos, word) {
		return 0, false
	}
	return l.skipSpace(pos + len(word)), true
}

// close says where a tag that ends at pos is over: "-" takes the white space after it, trim the one newline.
func (l *lexer) close(pos int, end string, trim bool) (int, bool) {
	switch {
	case l.at(pos, "-"+end):
		return l.skipSpace(pos + 1 + len(end)), true
	case trim && l.at(pos, "+"+end):
		return pos + 1 + len(end), true
	case !l.at(pos, end):
		return 0, false
	}
	pos += len(end)
	if trim && l.at(pos, "\n") {
		pos++
	}
	return pos, true
}

func (l *lexer) comment() {
	i := strings.Index(l.source[l.pos:], "#}")
	if i < 0 {
		l.fail("missing end of comment tag")
	}
	pos := l.pos + i
	if c := l.source[pos-1]; i > 0 && (c == '-' || c == '+') {
		pos--
	}
	end, _ := l.close(pos, "#}", true)
	l.advance(end)
}

// raw reads the text up to endraw as it is.
func (l *lexer) raw() {
	for begin := l.pos; ; begin += 2 {
		i := strings.Index(l.source[begin:], "{%")
		if i < 0 {
			l.fail("missing end of raw block")
		}
		begin += i
		inside := begin + 2
		sign := l.sign(&inside)
		if pos, ok := l.word(inside, "endraw"); ok {
			if end, ok := l.close(pos, "%}", true); ok {
				l.text(begin, sign, true)
				l.advance(end)
				return
			}
		}
	}
}

// operators are all operators, the longer ones first.
var operators = strings.Fields("// ** == != >= <= + - / * % ~ [ ] ( ) { } > < = . : | , ;")

// inside reads the tokens of a tag up to its end. The end counts only where no bracket is open.
func (l *lexer) inside(end string, k kind) {
	var open []string
	for {
		l.advance(l.skipSpace(l.pos))
		if l.pos >= len(l.source) {
			return
		}
		if len(open) == 0 {
			if pos, ok := l.close(l.pos, end, k == tagEnd); ok {
				l.emit(k, "", nil)
				l.advance(pos)
				return
			}
		}
		c, _ := utf8.DecodeRuneInString(l.source[l.pos:])
		switch {
		case '0' <= c && c <= '9':
			l.number()
			continue
		case isWord(c):
			if !unicode.IsLetter(c) && c != '_' {
				l.fail("invalid character in identifier")
			}
			end := len(l.source) - len(strings.TrimLeftFunc(l.source[l.pos:], isWord))
			l.emit(nameToken, l.source[l.pos:end], nil)
			l.pos = end
			continue
		case c == '"' || c == '\'':
			l.quoted(byte(c))
			continue
		}
		found := ""
		for _, o := range operators {
			if l.at(l.pos, o) {
				found = o
				break
			}
		}
		switch found {
		case "":
			l.fail("unexpected character %q", c)
		case "(":
			open = append(open, ")")
		case "[":
			open = append(open, "]")
		case "{":
			open = append(open, "}")
		case ")", "]", "}":
			if len(open) == 0 {
				l.fail("unexpected '%s'", found)
			}
			if want := open[len(open)-1]; want != found {
				l.fail("unexpected '%s', want '%s'", found, want)
			}
			open = open[:len(open)-1]
		}
		l.emit(operator, found, nil)
		l.pos += len(found)
	}
}

// number reads an integer or a float as Python writes them: 1_000, 0x1f, 1.5e3.
func (l *lexer) number() {
	s := l.source
	digits := func(i int, set string) int {
		start := i
		for i < len(s) && (strings.IndexByte(set, s[i]) >= 0 || s[i] == '_' && i > start && i+1 < len(s) && strings.IndexByte(set, s[i+1]) >= 0) {
			i++
		}
		return i
	}
	const decimal = "0123456789"
	end := digits(l.pos, decimal)
	float := false
	if l.pos == 0 || s[l.pos-1] != '.' {
		if end < len(s) && s[end] == '.' {
			if i := digits(end+1, decimal); i > end+1 {
				end, float = i, true
			}
		}
		if end < len(s) && (s[end] == 'e' || s[end] == 'E') {
			i := end + 1
			l.sign(&i)
			if j := digits(i, decimal); j > i {
				end, float = j, true
			}
		}
	}
	if float {
		x, _ := strconv.ParseFloat(strings.ReplaceAll(s[l.pos:end], "_", ""), 64)
		l.emit(numberToken, "", x)
		l.pos = end
		return
	}
	if s[l.pos] == '0' {
		end = digits(l.pos, "0")
		if l.pos+1 < len(s) {
			set := map[byte]string{'b': "01", 'o': "01234567", 'x': "0123456789abcdefABCDEF"}[s[l.pos+1]|0x20]
			start := l.pos + 2
			if l.at(start, "_") {
				start++
			}
			if i := digits(start, set); set != "" && i > start {
				end = i
			}
		}
	}
	x, ok := new(big.Int).SetString(strings.ReplaceAll(s[l.pos:end], "_", ""), 0)
	if !ok || x.BitLen() > maxBits {
		l.fail("the integer is too long")
	}
	l.emit(numberToken, "", normal(x))
	l.pos = end
}

// quoted reads a string with the escapes of Python.
func (l *lexer) quoted(quote byte) {
	var b strings.Builder
	s := l.source
	for i := l.pos + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			l.emit(stringToken, "", b.String())
			l.advance(i + 1)
			return
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(s):
			i += l.escape(&b, s[i+1:])
		}
	}
	l.fail("unexpected character %q: the string has no end", quote)
}

// escape writes what the escape at the start of s, which is behind a backslash, stands for, and returns its length.
func (l *lexer) escape(b *strings.Builder, s string) int {
	number := func(from, to, base int) {
		if to > len(s) {
			l.fail("truncated escape in a string")
		}
		n, err := strconv.ParseUint(s[from:to], base, 32)
		if err != nil || n > unicode.MaxRune {
			l.fail("bad escape '\\%s' in a string", s[:to])
		}
		b.WriteRune(rune(n))
	}
	switch c := s[0]; c {
	case '\n':
	case 'x':
		number(1, 3, 16)
		return 3
	case 'u':
		number(1, 5, 16)
		return 5
	case 'U':
		number(1, 9, 16)
		return 9
	case 'N':
		l.fail("the escape '\\N' in a string is not supported")
	case '0', '1', '2', '3', '4', '5', '6', '7':
		end := 1
		for end < 3 && end < len(s) && '0' <= s[end] && s[end] <= '7' {
			end++
		}
		number(0, end, 8)
		return end
	default:
		if i := strings.IndexByte(`\'"abfnrtv`, c); i >= 0 {
			b.WriteByte("\\'\"\a\b\f\n\r\t\v"[i])
			return 1
		}
		b.WriteByte('\\')
		b.WriteByte(c)
	}
	return 1
}

// isSpace is str.isspace of Python for one character.
func isSpace(c rune) bool {
	return unicode.IsSpace(c) || 0x1c <= c && c <= 0x1f
}

// isWord is \w of Python.
func isWord(c rune) bool {
	return c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c)
}
