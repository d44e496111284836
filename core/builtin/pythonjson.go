package builtin

import (
	"fmt"
	"strconv"
	"strings"
)

// dumps writes a value as Python's json.dumps(v, ensure_ascii=False), which is
// the form that models were trained on: ", " and ": " between things, characters
// unescaped.
func dumps(v any) string { return dumpsWith(v, dumpStyle{comma: ", ", colon: ": "}) }

// dumpsIndented is json.dumps(v, indent=4).
func dumpsIndented(v any) string {
	return dumpsWith(v, dumpStyle{comma: ",", colon: ": ", indent: "    "})
}

// dumpStyle is what json.dumps puts between things. With an indent each goes on
// a line of its own.
type dumpStyle struct{ comma, colon, indent string }

func dumpsWith(v any, style dumpStyle) string {
	var b strings.Builder
	style.write(&b, v, 0)
	return b.String()
}

func (s dumpStyle) write(b *strings.Builder, v any, depth int) {
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case number:
		b.WriteString(string(x))
	case string:
		pythonString(b, x)
	case []any:
		b.WriteByte('[')
		for i, item := range x {
			s.next(b, i, depth+1)
			s.write(b, item, depth+1)
		}
		s.end(b, len(x), depth)
		b.WriteByte(']')
	case *object:
		b.WriteByte('{')
		for i, key := range x.keys {
			s.next(b, i, depth+1)
			pythonString(b, key)
			b.WriteString(s.colon)
			s.write(b, x.values[key], depth+1)
		}
		s.end(b, len(x.keys), depth)
		b.WriteByte('}')
	}
}

// next comes before the i-th thing of an array or object.
func (s dumpStyle) next(b *strings.Builder, i, depth int) {
	if i > 0 {
		b.WriteString(s.comma)
	}
	if s.indent != "" {
		b.WriteString("\n" + strings.Repeat(s.indent, depth))
	}
}

// end comes after the last of n things.
func (s dumpStyle) end(b *strings.Builder, n, depth int) {
	if n > 0 && s.indent != "" {
		b.WriteString("\n" + strings.Repeat(s.indent, depth))
	}
}

func pythonString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ':
			b.WriteRune(r)
		case strings.ContainsRune("\b\f\n\r\t", r):
			b.WriteByte('\\')
			b.WriteByte("btn?fr"[r-'\b'])
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
}
