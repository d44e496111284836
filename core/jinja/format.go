package jinja

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fields are the arguments of str.format.
type fields struct {
	args
	mapping Value // of format_map, else nil
	next    int   // of the fields that have no name; -1 once one has a number
	safe    bool  // whether the format is markup, which escapes what is put into it
}

func formatMethod(r *run, a args) Value {
	_, safe := a.positional[0].(markup)
	format := r.needText(a.positional[0])
	a.positional = a.positional[1:]
	return r.format(format, &fields{args: a, safe: safe})
}

// format is str.format of Python.
func (r *run) format(s string, f *fields) string {
	var b strings.Builder
	r.formatInto(&b, s, f, 2)
	return b.String()
}

// formatInto formats s; depth is how many levels of fields in it may lie within each other.
func (r *run) formatInto(b *strings.Builder, s string, f *fields, depth int) {
	if depth == 0 {
		r.fail("max string recursion exceeded")
	}
	r.grow(len(s))
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			return
		}
		b.WriteString(s[:i])
		if i+1 < len(s) && s[i+1] == s[i] {
			b.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		if s[i] == '}' {
			r.fail("single '}' encountered in format string")
		}
		s = s[i+1:]
		end, open := 0, 1
		for ; end < len(s) && open > 0; end++ {
			switch s[end] {
			case '{':
				open++
			case '}':
				open--
			}
		}
		if open > 0 {
			r.fail("expected '}' before end of string")
		}
		v, spec := r.formatField(s[:end-1], f)
		s = s[end:]
		if strings.ContainsAny(spec, "{}") {
			var inner strings.Builder
			r.formatInto(&inner, spec, f, depth-1)
			spec = inner.String()
		}
		out := r.formatValue(v, spec)
		if _, safe := v.(markup); f.safe && !safe {
			out = r.escape(out)
		}
		r.grow(len(out))
		b.WriteString(out)
	}
}

// formatField evaluates a field such as name.attribute[key]!r:spec.
func (r *run) formatField(field string, f *fields) (Value, string) {
	path, spec := field, ""
	conversion := ""
	depth := 0
	for i := 0; i < len(field); i++ {
		switch c := field[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth <= 0 && (c == '!' || c == ':'):
			path, spec = field[:i], field[i:]
			i = len(field)
		}
	}
	if rest, ok := strings.CutPrefix(spec, "!"); ok {
		conversion, spec, ok = strings.Cut(rest, ":")
		if len(conversion) != 1 || !strings.Contains("rsa", conversion) {
			r.fail("unknown conversion specifier '%s'", conversion)
		}
	} else {
		spec = strings.TrimPrefix(spec, ":")
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	v := r.formatArgument(path[:end], f)
	for path = path[end:]; path != ""; {
		if rest, ok := strings.CutPrefix(path, "["); ok {
			key, rest, ok := strings.Cut(rest, "]")
			if !ok || key == "" {
				r.fail("bad field in format string")
			}
			if n, err := strconv.ParseInt(key, 10, 64); err == nil && n >= 0 {
				v = r.item(v, n)
			} else {
				v = r.item(v, key)
			}
			path = rest
			continue
		}
		name := path[1:]
		if path[0] != '.' || name == "" {
			r.fail("bad field in format string")
		}
		if i := strings.IndexAny(name, ".["); i >= 0 {
			name = name[:i]
		}
		v = r.attribute(v, name)
		path = path[1+len(name):]
	}
	switch conversion {
	case "s":
		v = r.str(v)
	case "r", "a":
		v = r.repr(v)
	}
	return v, spec
}

func (r *run) formatArgument(name string, f *fields) Value {
	n, err := strconv.ParseUint(name, 10, 31)
	switch {
	case name == "" && f.next < 0, err == nil && f.next > 0:
		r.fail("cannot switch between manual field specification and automatic field numbering")
	case name == "":
		n, err = uint64(f.next), nil
		f.next++
	case err == nil:
		f.next = -1
	}
	if err == nil {
		if n >= uint64(len(f.positional)) {
			r.fail("replacement index %d out of range for positional args tuple", n)
		}
		return f.positional[n]
	}
	v, ok := f.named(name)
	if d, isDict := f.mapping.(*Dict); isDict {
		v, ok = d.Get(name)
	}
	if !ok {
		r.fail("no argument '%s' for the format string", name)
	}
	return v
}

// spec is a format specification: [[fill]align][sign][z][#][0][width][,][.precision][type].
type spec struct {
	fill      string
	align     byte
	sign      byte
	alternate bool
	width     int64
	group     string
	precision int // -1 where there is none
	verb      byte
}

func (r *run) parseSpec(text string) spec {
	s := spec{fill: " ", precision: -1}
	rest := text
	if rest != "" {
		if n := runeLen(rest); n < len(rest) && strings.IndexByte("<>=^", rest[n]) >= 0 {
			s.fill, s.align, rest = rest[:n], rest[n], rest[n+1:]
		} else if strings.IndexByte("<>=^", rest[0]) >= 0 {
			s.align, rest = rest[0], rest[1:]
		}
	}
	take := func(set string) byte {
		if rest != "" && strings.IndexByte(set, rest[0]) >= 0 {
			c := rest[0]
			rest = rest[1:]
			return c
		}
		return 0
	}
	number := func() (int64, bool) {
		end := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if end == 0 {
			return 0, false
		}
		n, err := strconv.ParseInt(rest[:end], 10, 32)
		if err != nil {
			r.fail("too many decimal digits in format string")
		}
		rest = rest[end:]
		return n, true
	}
	s.sign = take("+- ")
	s.alternate = take("#") != 0
	if take("0") != 0 && s.align == 0 {
		s.fill, s.align = "0", '='
	}
	s.width, _ = number()
	if c := take(",_"); c != 0 {
		s.group = string(c)
	}
	if take(".") != 0 {
		n, ok := number()
		if !ok {
			r.fail("format specifier missing precision")
		}
		s.precision = int(n)
	}
	s.verb = take("bcdeEfFgGnosxX%")
	if rest != "" {
		r.fail("invalid format specifier '%s'", text)
	}
	return s
}

// formatValue is format(v, spec) of Python.
func (r *run) formatValue(v Value, text string) string {
	if text == "" {
		return r.str(v)
	}
	s := r.parseSpec(text)
	n := number(v)
	if _, isText := v.(string); isText || n == nil {
		t, ok := v.(string)
		if m, safe := v.(markup); safe {
			t, ok = string(m), true
		}
		if !ok {
			r.fail("unsupported format string passed to %s.__format__", typeName(v))
		}
		if s.verb != 0 && s.verb != 's' || s.sign != 0 || s.alternate || s.group != "" || s.align == '=' && s.fill != "0" {
			r.fail("invalid format specifier '%s' for object of type 'str'", text)
		}
		if s.precision >= 0 {
			t = t[:skipRunes(t, s.precision)]
		}
		if s.align == 0 || s.align == '=' {
			s.align = '<'
		}
		return r.fit(t, s)
	}
	sign, digits := r.formatNumber(n, s)
	if s.align == '=' {
		if s.fill == "0" && s.group != "" {
			return sign + r.zeros(digits, s, int64(len(sign)))
		}
		return sign + r.align(digits, s.fill, '>', s.width-int64(len(sign)))
	}
	if s.align == 0 {
		s.align = '>'
	}
	return r.fit(sign+digits, s)
}

// zeros fills a number with groups of digits up to the width.
func (r *run) zeros(digits string, s spec, taken int64) string {
	for int64(len(digits))+taken < s.width {
		r.grow(2)
		whole, _, _ := strings.Cut(digits, s.group)
		if len(whole) == 3 {
			digits = s.group + digits
		}
		digits = "0" + digits
	}
	return digits
}

// fit fills a text up to the width. Its middle is not that of str.center, which puts an odd blank elsewhere.
func (r *run) fit(t string, s spec) string {
	if n := s.width - int64(runes(t)); s.align == '^' && n > 0 {
		t = strings.Repeat(s.fill, r.times(n/2, len(s.fill))) + t
		s.align = '<'
	}
	return r.align(t, s.fill, s.align, s.width)
}

// formatNumber returns the sign, with any prefix, and the digits of a number.
func (r *run) formatNumber(n Value, s spec) (sign, digits string) {
	if _, ok := n.(float64); !ok {
		base := map[byte]int{0: 10, 'd': 10, 'n': 10, 'b': 2, 'o': 8, 'x': 16, 'X': 16}[s.verb]
		x := toBig(n)
		if s.verb == 'c' {
			if !x.IsInt64() || x.Int64() < 0 || x.Int64() > utf8.MaxRune {
				r.fail("%%c arg not in range(0x110000)")
			}
			return "", string(rune(x.Int64()))
		}
		if base != 0 {
			if s.precision >= 0 {
				r.fail("precision not allowed in integer format specifier")
			}
			if base == 10 {
				r.digits(n)
			}
			digits = new(big.Int).Abs(x).Text(base)
			prefix := ""
			if s.alternate && base != 10 {
				prefix = "0" + string(s.verb)
			}
			if s.verb == 'X' {
				digits = strings.ToUpper(digits)
			}
			return signOf(x.Sign() < 0, s.sign) + prefix, grouped(digits, s.group)
		}
		if s.verb == 's' {
			r.fail("unknown format code 's' for object of type 'int'")
		}
		n = r.float(n)
	}
	x := n.(float64)
	precision := s.precision
	if precision < 0 {
		precision = 6
	}
	if precision > 5000 {
		r.fail("precision too big")
	}
	r.grow(precision + 400)
	abs := math.Abs(x)
	suffix := ""
	if s.verb == '%' {
		abs *= 100
		suffix = "%"
	}
	switch s.verb {
	case 0:
		if s.precision < 0 {
			digits = floatRepr(abs)
		} else {
			digits = general(abs, precision, false)
			if !strings.ContainsAny(digits, ".en") {
				digits += ".0"
			}
		}
	case 'e', 'E', 'f', 'F', '%':
		verb := s.verb | 0x20
		if s.verb == '%' {
			verb = 'f'
		}
		digits = strconv.FormatFloat(abs, verb, precision, 64)
	case 'g', 'G', 'n':
		digits = general(abs, precision, s.alternate)
	default:
		r.fail("unknown format code '%c' for object of type 'float'", s.verb)
	}
	if math.IsInf(abs, 0) {
		digits = "inf"
	} else if math.IsNaN(abs) {
		digits = "nan"
	}
	if s.verb == 'E' || s.verb == 'G' || s.verb == 'F' {
		digits = strings.ToUpper(digits)
	}
	whole, rest := digits, ""
	if i := strings.IndexAny(digits, ".eE"); i >= 0 {
		whole, rest = digits[:i], digits[i:]
	}
	return signOf(math.Signbit(x), s.sign), grouped(whole, s.group) + rest + suffix
}

// general is the format "g": the shorter of "e" and "f", without zeros at the end.
func general(x float64, precision int, zeros bool) string {
	precision = max(1, precision)
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', precision-1, 64), "e")
	n, err := strconv.Atoi(exponent)
	if err != nil {
		return mantissa
	}
	trim := func(s string) string {
		if zeros || !strings.Contains(s, ".") {
			return s
		}
		return strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if n < -4 || n >= precision {
		return trim(mantissa) + "e" + exponent
	}
	return trim(strconv.FormatFloat(x, 'f', precision-1-n, 64))
}

func signOf(negative bool, sign byte) string {
	switch {
	case negative:
		return "-"
	case sign == '+' || sign == ' ':
		return string(sign)
	}
	return ""
}

// grouped puts a separator between each three digits.
func grouped(digits, separator string) string {
	if separator == "" || len(digits) <= 3 {
		return digits
	}
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, separator)
}

// printf is the operator % of Python's strings.
func (r *run) printf(format string, v Value, safe bool) string {
	r.grow(len(format))
	values := []Value{v}
	if t, ok := v.(*Tuple); ok {
		values = t.items
	}
	next := func() Value {
		if len(values) == 0 {
			r.fail("not enough arguments for format string")
		}
		first := values[0]
		values = values[1:]
		return first
	}
	var b strings.Builder
	for format != "" {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			b.WriteString(format)
			break
		}
		b.WriteString(format[:i])
		format = format[i+1:]
		var value Value
		mapped := false
		if strings.HasPrefix(format, "(") {
			end := strings.IndexByte(format, ')')
			d, ok := v.(*Dict)
			if !ok || end < 0 {
				r.fail("format requires a mapping")
			}
			if value, ok = d.Get(format[1:end]); !ok {
				r.fail("no value '%s' for the format string", format[1:end])
			}
			mapped, values = true, nil
			format = format[end+1:]
		}
		s := spec{fill: " ", align: '>', precision: -1}
		for ; format != "" && strings.IndexByte("-+ #0", format[0]) >= 0; format = format[1:] {
			switch c := format[0]; {
			case c == '-':
				s.align = '<'
			case c == '+', c == ' ' && s.sign == 0:
				s.sign = c
			case c == '#':
				s.alternate = true
			case c == '0':
				s.fill = "0"
			}
		}
		size := func(n *int64) {
			if strings.HasPrefix(format, "*") {
				*n = r.needInt(next())
				format = format[1:]
				return
			}
			end := len(format) - len(strings.TrimLeft(format, "0123456789"))
			*n, _ = strconv.ParseInt("0"+format[:end], 10, 40)
			format = format[end:]
		}
		size(&s.width)
		if s.width < 0 {
			s.align, s.width = '<', -s.width
		}
		if strings.HasPrefix(format, ".") {
			format = format[1:]
			var n int64
			size(&n)
			s.precision = int(max(0, min(n, math.MaxInt32)))
		}
		format = strings.TrimLeft(format, "hlL")
		if format == "" {
			r.fail("incomplete format")
		}
		s.verb = format[0]
		format = format[1:]
		if s.verb == '%' {
			b.WriteByte('%')
			continue
		}
		if !mapped {
			value = next()
		}
		b.WriteString(r.printOne(value, s, safe))
	}
	switch v.(type) {
	case *List, *Dict, *undefined, *span: // what Python takes for mappings
	default:
		if len(values) > 0 {
			r.fail("not all arguments converted during string formatting")
		}
	}
	return b.String()
}

// printOne is one conversion of printf.
func (r *run) printOne(v Value, s spec, safe bool) string {
	var t string
	switch s.verb {
	case 's', 'r', 'a':
		t = r.str(v)
		if s.verb != 's' {
			t = r.repr(v)
		}
		if safe {
			if _, ok := v.(markup); !ok || s.verb != 's' {
				t = r.escape(t)
			}
		}
		if s.precision >= 0 {
			t = t[:skipRunes(t, s.precision)]
		}
		s.fill = " "
	case 'c':
		if c, ok := text(v); ok && runes(c) == 1 {
			t = c
		} else {
			_, t = r.formatNumber(r.needInt(v), s)
		}
		s.fill = " "
	case 'd', 'i', 'u', 'x', 'X', 'o', 'e', 'E', 'f', 'F', 'g', 'G':
		n := number(v)
		u, undefined := v.(*undefined)
		switch {
		case undefined:
			r.fail("%s", u.message())
		case n == nil:
			r.fail("%%%c format: a number is required, not %s", s.verb, typeName(v))
		}
		least := 0
		if strings.IndexByte("diuxXo", s.verb) >= 0 {
			if f, ok := n.(float64); ok {
				if strings.IndexByte("xXo", s.verb) >= 0 {
					r.fail("%%%c format: an integer is required, not float", s.verb)
				}
				n = r.whole(f)
			}
			if strings.IndexByte("diu", s.verb) >= 0 {
				s.verb = 'd'
			}
			least, s.precision = s.precision, -1
		} else {
			n = r.float(n)
		}
		sign, digits := r.formatNumber(n, s)
		if least > 0 {
			digits = r.align(digits, "0", '>', int64(least))
		}
		if s.fill == "0" && s.align == '>' {
			return sign + r.align(digits, "0", '>', s.width-int64(len(sign)))
		}
		s.fill = " "
		t = sign + digits
	default:
		r.fail("unsupported format character '%c'", s.verb)
	}
	return r.align(t, s.fill, s.align, s.width)
}

// whole is int(f) of Python.
func (r *run) whole(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		r.fail("cannot convert float %s to integer", floatRepr(f))
	}
	n, _ := big.NewFloat(f).Int(nil)
	return normal(n)
}
