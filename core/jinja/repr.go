package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// str is str of Python.
func (r *run) str(v Value) string {
	switch x := v.(type) {
	case string:
		return x
	case markup:
		return string(x)
	case *undefined:
		return ""
	}
	return r.repr(v)
}

// repr is repr of Python.
func (r *run) repr(v Value) string {
	var b strings.Builder
	r.writeRepr(&b, v)
	return b.String()
}

func (r *run) writeRepr(b *strings.Builder, v Value) {
	before := b.Len()
	switch x := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[x])
	case int64, *big.Int:
		b.WriteString(r.digits(x))
	case float64:
		b.WriteString(floatRepr(x))
	case string:
		r.grow(len(x))
		quote(b, x)
	case markup:
		b.WriteString("Markup(")
		r.writeRepr(b, string(x))
		b.WriteByte(')')
	case *List:
		r.writeItems(b, "[", x.items, "]")
	case *Tuple:
		if len(x.items) == 1 {
			r.writeItems(b, "(", x.items, ",)")
		} else {
			r.writeItems(b, "(", x.items, ")")
		}
	case *Dict:
		r.enter()
		defer r.leave()
		b.WriteByte('{')
		for i, key := range x.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			r.writeRepr(b, key)
			b.WriteString(": ")
			r.writeRepr(b, x.values[i])
		}
		b.WriteByte('}')
	case *view:
		b.WriteString(x.kind + "(")
		r.writeItems(b, "[", r.collect(x), "])")
	case *undefined:
		b.WriteString("Undefined")
	case *namespace:
		b.WriteString("<Namespace ")
		r.writeRepr(b, x.attributes)
		b.WriteByte('>')
	case *span:
		fmt.Fprintf(b, "range(%d, %d", x.start, x.stop)
		if x.step != 1 {
			fmt.Fprintf(b, ", %d", x.step)
		}
		b.WriteByte(')')
	case *macro:
		if x.node.name == "" {
			b.WriteString("<Macro anonymous>")
		} else {
			b.WriteString("<Macro '" + x.node.name + "'>")
		}
	case *loop:
		fmt.Fprintf(b, "<LoopContext %d/%d>", x.index+1, x.len())
	default:
		b.WriteString("<" + typeName(v) + " object>")
	}
	r.grow(min(16, b.Len()-before))
}

func (r *run) writeItems(b *strings.Builder, open string, items []Value, end string) {
	r.enter()
	defer r.leave()
	b.WriteString(open)
	for i, item := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		r.writeRepr(b, item)
	}
	b.WriteString(end)
}

// digits writes an int, as Python within its limit of 4300 digits.
func (r *run) digits(v Value) string {
	text, ok := integerText(v)
	if !ok {
		r.fail("exceeds the limit (%d digits) for integer string conversion", maxDigits)
	}
	return text
}

func integerText(v Value) (string, bool) {
	switch x := v.(type) {
	case int64:
		return strconv.FormatInt(x, 10), true
	case *big.Int:
		if x.BitLen() > maxDigits*4 {
			return "", false
		}
		s := x.String()
		return s, len(strings.TrimPrefix(s, "-")) <= maxDigits
	}
	return "", false
}

// floatRepr writes the shortest form that is read back as the same float.
func floatRepr(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return map[bool]string{true: "inf", false: "-inf"}[x > 0]
	}
	short := strconv.FormatFloat(x, 'e', -1, 64)
	_, exponent, _ := strings.Cut(short, "e")
	if n, _ := strconv.Atoi(exponent); n < -4 || n >= 16 {
		return short
	}
	plain := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}

// quote writes a string as its repr: in single quotes unless only those are in it.
func quote(b *strings.Builder, s string) {
	q := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b.WriteRune(q)
	for _, c := range s {
		switch {
		case c == q || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			fmt.Fprintf(b, `\U%08x`, c)
		}
	}
	b.WriteRune(q)
}
