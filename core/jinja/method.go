package jinja

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode"
)

// methods are those of a type, by its name. Those that would change a list or dict are refused by the sandbox, and so
// is any name that begins with "_".
var methods map[string]map[string]*builtin

var refused = map[string][]string{
	"list": strings.Fields("append clear pop reverse insert sort extend remove"),
	"dict": strings.Fields("clear pop popitem setdefault update"),
}

// field returns the attribute of a value that Python would.
func (r *run) field(owner Value, name string) (Value, bool) {
	t := typeName(owner)
	unsafe := func() (Value, bool) {
		return &undefined{hint: "access to attribute '" + name + "' of '" + t + "' object is unsafe"}, true
	}
	if strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__") && len(name) > 4 && t != "Undefined" {
		return unsafe()
	}
	if slices.Contains(refused[t], name) {
		return unsafe()
	}
	kind := t
	if t == "Markup" {
		kind = "str"
	}
	if f := methods[kind][name]; f != nil {
		return &method{owner, f}, true
	}
	switch x := owner.(type) {
	case *undefined:
		r.fail("%s", x.message())
	case *namespace:
		if v, ok := x.attributes.Get(name); ok {
			if strings.HasPrefix(name, "_") {
				return unsafe()
			}
			return v, true
		}
	case *loop:
		return x.attribute(name)
	case *Tuple:
		if i := slices.Index(x.fields, name); i >= 0 {
			return x.items[i], true
		}
	case *macro:
		switch name {
		case "name":
			return x.node.name, true
		case "arguments":
			t := &Tuple{}
			for _, p := range x.node.params {
				t.items = append(t.items, p)
			}
			return t, true
		case "caller":
			return x.node.caller, true
		case "catch_kwargs":
			return x.node.kwargs, true
		case "catch_varargs":
			return x.node.varargs, true
		}
	case *span:
		if v, ok := map[string]int64{"start": x.start, "stop": x.stop, "step": x.step}[name]; ok {
			return v, true
		}
	case *cycler:
		if name == "current" {
			return x.items[x.pos], true
		}
	case bool, int64, *big.Int, float64:
		switch name {
		case "real":
			return number(x), true
		case "imag":
			return int64(0), true
		}
	}
	return nil, false
}

// method calls a method. Those of a string that is markup give markup, and escape what they put into it.
func (r *run) method(m *method, a args) Value {
	_, safe := m.owner.(markup)
	if safe && strings.Contains(" replace join center ljust rjust strip lstrip rstrip ", " "+m.f.name+" ") {
		a.positional = slices.Clone(a.positional)
		for i, v := range a.positional {
			if m.f.name == "join" {
				l := &List{}
				for _, item := range r.collect(v) {
					l.items = append(l.items, r.escape(item))
				}
				a.positional[i] = l
			} else if s, ok := v.(string); ok {
				a.positional[i] = r.escape(s)
			}
		}
	}
	v := m.f.call(r, args{append([]Value{m.owner}, a.positional...), a.names, a.values})
	if safe {
		switch x := v.(type) {
		case string:
			return markup(x)
		case *List:
			l := &List{}
			for _, item := range x.items {
				l.items = append(l.items, markup(item.(string)))
			}
			return l
		}
	}
	return v
}

// escape returns v with the characters of HTML escaped, unless it is markup already.
func (r *run) escape(v Value) string {
	if m, ok := v.(markup); ok {
		return string(m)
	}
	return r.made(escapeHTML.Replace(r.str(v)))
}

// needText returns v, which has to be a string.
func (r *run) needText(v Value) string {
	s, ok := text(v)
	if !ok {
		if u, ok := v.(*undefined); ok {
			r.fail("%s", u.message())
		}
		r.fail("expected str, got %s", typeName(v))
	}
	r.work(len(s))
	return s
}

// needInt returns v, which has to be an int that is not too large.
func (r *run) needInt(v Value) int64 {
	n, ok := number(v).(int64)
	if !ok {
		if u, ok := v.(*undefined); ok {
			r.fail("%s", u.message())
		}
		r.fail("expected int, got %s", typeName(v))
	}
	return n
}

// needIndex is needInt for bounds, which may be as large as they want.
func (r *run) needIndex(v Value) int64 {
	if x, ok := v.(*big.Int); ok {
		return int64(x.Sign()) * math.MaxInt32
	}
	return max(-math.MaxInt32, min(math.MaxInt32, r.needInt(v)))
}

func (r *run) list(parts []string) Value {
	r.grow(16 * len(parts))
	l := &List{make([]Value, len(parts))}
	for i, s := range parts {
		l.items[i] = s
	}
	return l
}

// join joins strings, as it is counted.
func (r *run) join(parts []string, separator string) string {
	n := 0
	for _, s := range parts {
		n += len(s) + len(separator)
	}
	r.grow(n)
	return strings.Join(parts, separator)
}

func defineMethods() {
	str := map[string]*builtin{}
	dict, list, tuple, cycle := map[string]*builtin{}, map[string]*builtin{}, map[string]*builtin{}, map[string]*builtin{}
	methods = map[string]map[string]*builtin{"str": str, "dict": dict, "list": list, "tuple": tuple, "Cycler": cycle}
	in := func(t map[string]*builtin, name, signature string, f func(r *run, a []Value) Value) {
		t[name] = define(name, "self "+signature, f)
	}
	// change defines a method that makes one string of another.
	change := func(name string, f func(s string) string) {
		in(str, name, "/", func(r *run, a []Value) Value { return r.made(f(r.needText(a[0]))) })
	}
	change("upper", upper)
	change("lower", lower)
	change("casefold", func(s string) string { return lower(strings.ReplaceAll(s, "ß", "ss")) })
	change("title", title)
	change("capitalize", capitalize)
	change("swapcase", swapCase)
	is := func(name string, f func(s string) bool) {
		in(str, name, "/", func(r *run, a []Value) Value { return f(r.needText(a[0])) })
	}
	letter := func(c rune) bool { return unicode.IsLetter(c) }
	is("isdigit", func(s string) bool {
		return every(s, func(c rune) bool {
			return unicode.IsDigit(c) || strings.ContainsRune("²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", c)
		})
	})
	is("isdecimal", func(s string) bool { return every(s, unicode.IsDigit) })
	is("isnumeric", func(s string) bool { return every(s, unicode.IsNumber) })
	is("isalpha", func(s string) bool { return every(s, letter) })
	is("isalnum", func(s string) bool { return every(s, func(c rune) bool { return letter(c) || unicode.IsNumber(c) }) })
	is("isspace", func(s string) bool { return every(s, isSpace) })
	is("isascii", ascii)
	is("isprintable", func(s string) bool { return s == "" || every(s, unicode.IsPrint) })
	is("isidentifier", func(s string) bool { return every(s, isWord) && !unicode.IsNumber([]rune(s)[0]) })
	is("islower", func(s string) bool { return allCased(s, unicode.IsLower) })
	is("isupper", func(s string) bool { return allCased(s, unicode.IsUpper) })
	is("istitle", isTitle)

	strip := func(name string, left, right bool) {
		in(str, name, "/ chars=null", func(r *run, a []Value) Value {
			s := r.needText(a[0])
			f := isSpace
			if a[1] != nil {
				chars := r.needText(a[1])
				f = func(c rune) bool { return strings.ContainsRune(chars, c) }
			}
			if left {
				s = strings.TrimLeftFunc(s, f)
			}
			if right {
				s = strings.TrimRightFunc(s, f)
			}
			return s
		})
	}
	strip("strip", true, true)
	strip("lstrip", true, false)
	strip("rstrip", false, true)
	for name, right := range map[string]bool{"split": false, "rsplit": true} {
		in(str, name, "sep=null maxsplit=-1", func(r *run, a []Value) Value {
			s, max := r.needText(a[0]), int(r.needIndex(a[2]))
			if a[1] == nil {
				return r.list(splitSpace(s, max, right))
			}
			separator := r.needText(a[1])
			if separator == "" {
				r.fail("empty separator")
			}
			return r.list(splitAt(s, separator, max, right))
		})
	}
	for name, right := range map[string]bool{"partition": false, "rpartition": true} {
		in(str, name, "/ sep", func(r *run, a []Value) Value {
			s, separator := r.needText(a[0]), r.needText(a[1])
			if separator == "" {
				r.fail("empty separator")
			}
			i := strings.Index(s, separator)
			if right {
				i = strings.LastIndex(s, separator)
			}
			switch {
			case i >= 0:
				return &Tuple{items: []Value{s[:i], separator, s[i+len(separator):]}}
			case right:
				return &Tuple{items: []Value{"", "", s}}
			}
			return &Tuple{items: []Value{s, "", ""}}
		})
	}
	in(str, "splitlines", "keepends=false", func(r *run, a []Value) Value {
		return r.list(splitLines(r.needText(a[0]), r.needInt(a[1]) != 0))
	})
	// part returns s[start:end] and the characters before it.
	part := func(r *run, a []Value) (string, int) {
		s := r.needText(a[0])
		n := runes(s)
		bound := func(v Value, normal int) int {
			if v == nil {
				return normal
			}
			i := int(r.needIndex(v))
			if i < 0 {
				i = max(0, i+n)
			}
			return i
		}
		from, to := bound(a[2], 0), min(n, bound(a[3], n))
		if from > to {
			return "", -1
		}
		return cutText(s, n, from, 1, to-from), from
	}
	for name, has := range map[string]func(s, affix string) bool{"startswith": strings.HasPrefix, "endswith": strings.HasSuffix} {
		in(str, name, "/ affix start=null end=null", func(r *run, a []Value) Value {
			s, from := part(r, a)
			affixes := []Value{a[1]}
			if t, ok := a[1].(*Tuple); ok {
				affixes = t.items
			}
			return slices.ContainsFunc(affixes, func(affix Value) bool { return has(s, r.needText(affix)) && from >= 0 })
		})
	}
	for name, last := range map[string]bool{"find": false, "index": false, "rfind": true, "rindex": true} {
		in(str, name, "/ sub start=null end=null", func(r *run, a []Value) Value {
			s, from := part(r, a)
			find := strings.Index
			if last {
				find = strings.LastIndex
			}
			i := find(s, r.needText(a[1]))
			if i < 0 || from < 0 {
				if strings.HasSuffix(name, "index") {
					r.fail("substring not found")
				}
				return int64(-1)
			}
			return int64(from + runes(s[:i]))
		})
	}
	in(str, "count", "/ sub start=null end=null", func(r *run, a []Value) Value {
		s, from := part(r, a)
		if from < 0 {
			return int64(0)
		}
		return int64(strings.Count(s, r.needText(a[1])))
	})
	in(str, "replace", "/ old new count=-1", func(r *run, a []Value) Value {
		return r.replace(r.needText(a[0]), r.needText(a[1]), r.needText(a[2]), int(r.needIndex(a[3])))
	})
	for name, cut := range map[string]func(s, affix string) string{"removeprefix": strings.TrimPrefix, "removesuffix": strings.TrimSuffix} {
		in(str, name, "/ affix", func(r *run, a []Value) Value { return cut(r.needText(a[0]), r.needText(a[1])) })
	}
	in(str, "join", "/ iterable", func(r *run, a []Value) Value {
		var parts []string
		for i, item := range r.collect(a[1]) {
			s, ok := text(item)
			if !ok {
				r.fail("sequence item %d: expected str instance, %s found", i, typeName(item))
			}
			parts = append(parts, s)
		}
		return r.join(parts, r.needText(a[0]))
	})
	for name, side := range map[string]byte{"center": '^', "ljust": '<', "rjust": '>'} {
		in(str, name, `/ width fill="\u0020"`, func(r *run, a []Value) Value {
			fill := r.needText(a[2])
			if runes(fill) != 1 {
				r.fail("the fill character must be exactly one character long")
			}
			return r.align(r.needText(a[0]), fill, side, r.needInt(a[1]))
		})
	}
	in(str, "zfill", "/ width", func(r *run, a []Value) Value {
		s, sign := r.needText(a[0]), ""
		if s != "" && (s[0] == '+' || s[0] == '-') {
			sign, s = s[:1], s[1:]
		}
		return sign + r.align(s, "0", '>', r.needInt(a[1])-int64(len(sign)))
	})
	in(str, "expandtabs", "tabsize=8", func(r *run, a []Value) Value {
		var b strings.Builder
		column, size := 0, r.needIndex(a[1])
		for _, c := range r.needText(a[0]) {
			switch c {
			case '\t':
				if size > 0 {
					n := int(size) - column%int(size)
					r.grow(n)
					b.WriteString(strings.Repeat(" ", n))
					column += n
				}
				continue
			case '\n', '\r':
				column = -1
			}
			column++
			b.WriteRune(c)
		}
		return r.made(b.String())
	})
	str["format"] = &builtin{name: "format", raw: formatMethod}
	in(str, "format_map", "/ mapping", func(r *run, a []Value) Value {
		_, safe := a[0].(markup)
		return r.format(r.needText(a[0]), &fields{mapping: a[1], safe: safe})
	})
	for _, name := range strings.Fields("encode translate maketrans") {
		in(str, name, "", func(r *run, a []Value) Value { r.fail("the method '%s' is not supported", name); return nil })
	}

	for _, kind := range []string{"keys", "values", "items"} {
		in(dict, kind, "/", func(r *run, a []Value) Value { return &view{"dict_" + kind, a[0].(*Dict)} })
	}
	in(dict, "get", "/ key default=null", func(r *run, a []Value) Value {
		if v, ok := r.get(a[0].(*Dict), a[1]); ok {
			return v
		}
		return a[2]
	})
	in(dict, "copy", "/", func(r *run, a []Value) Value { return makeDict(r, args{positional: a}) })
	in(dict, "fromkeys", "/ keys value=null", func(r *run, a []Value) Value {
		d := NewDict()
		for _, key := range r.collect(a[1]) {
			r.grow(64)
			d.set(r.hash(key), key, a[2])
		}
		return d
	})
	in(list, "copy", "/", func(r *run, a []Value) Value { return &List{slices.Clone(r.collect(a[0]))} })
	for _, t := range []map[string]*builtin{list, tuple} {
		in(t, "count", "/ value", func(r *run, a []Value) Value {
			n := int64(0)
			for _, item := range *sequence(a[0]) {
				if r.equal(item, a[1]) {
					n++
				}
			}
			return n
		})
		in(t, "index", "/ value start=0 stop=null", func(r *run, a []Value) Value {
			items := *sequence(a[0])
			bound := func(i int64) int64 {
				if i < 0 {
					i = max(0, i+int64(len(items)))
				}
				return min(i, int64(len(items)))
			}
			to := int64(len(items))
			if a[3] != nil {
				to = bound(r.needIndex(a[3]))
			}
			for i := bound(r.needIndex(a[2])); i < to; i++ {
				if r.equal(items[i], a[1]) {
					return i
				}
			}
			r.fail("%s is not in list", r.repr(a[1]))
			return nil
		})
	}
	methods["float"] = map[string]*builtin{}
	in(methods["float"], "is_integer", "/", func(r *run, a []Value) Value {
		return a[0].(float64) == math.Trunc(a[0].(float64)) && !math.IsInf(a[0].(float64), 0)
	})
	methods["int"] = map[string]*builtin{}
	in(methods["int"], "bit_length", "/", func(r *run, a []Value) Value { return int64(toBig(a[0]).BitLen()) })
	in(cycle, "next", "/", func(r *run, a []Value) Value {
		c := a[0].(*cycler)
		v := c.items[c.pos]
		c.pos = (c.pos + 1) % len(c.items)
		return v
	})
	in(cycle, "reset", "/", func(r *run, a []Value) Value { a[0].(*cycler).pos = 0; return nil })
}

// replace replaces the first n of old, or all where n is negative.
func (r *run) replace(s, old, new string, n int) string {
	count := strings.Count(s, old)
	if n >= 0 {
		count = min(count, n)
	}
	r.grow(len(s))
	if count > 0 && len(new) > len(old) {
		if len(new) > r.options.Memory/count {
			r.grow(-1)
		}
		r.grow(count * len(new))
	}
	return strings.Replace(s, old, new, n)
}

// align fills s up to a width.
func (r *run) align(s, fill string, side byte, width int64) string {
	n := width - int64(runes(s))
	if n <= 0 {
		return s
	}
	fills := func(n int64) string { return strings.Repeat(fill, r.times(n, len(fill))) }
	switch side {
	case '<':
		return s + fills(n)
	case '>':
		return fills(n) + s
	}
	left := n / 2
	if n%2 == 1 && width%2 == 1 {
		left++ // so does str.center of Python
	}
	return fills(left) + s + fills(n-left)
}
