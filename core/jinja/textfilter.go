package jinja

import (
	"html"
	"regexp"
	"strings"
	"unicode"
)

var (
	wordStart = regexp.MustCompile(`[-\s({\[<]+`)
	comments  = regexp.MustCompile(`(?s)<!--.*?-->`)
	tags      = regexp.MustCompile(`(?s)<.*?>`)
)

// textFilters adds the filters of text.
func textFilters(filter func(names, signature string, f func(r *run, a []Value) Value), raw func(name string, f func(r *run, a args) Value)) {
	// soft is the value as a string, which stays markup if it is that.
	soft := func(r *run, v Value) Value {
		if m, ok := v.(markup); ok {
			return m
		}
		return r.made(r.str(v))
	}
	// same makes a filter of the method of the same name.
	same := func(name, of, signature string) {
		f := methods["str"][of]
		filter(name, "value "+signature, func(r *run, a []Value) Value {
			return r.method(&method{soft(r, a[0]), f}, args{positional: a[1:]})
		})
	}
	same("upper", "upper", "")
	same("lower", "lower", "")
	same("capitalize", "capitalize", "")
	same("trim", "strip", "chars=null")
	same("center", "center", "width=80")
	filter("string", "/ value", func(r *run, a []Value) Value { return soft(r, a[0]) })
	filter("safe", "value", func(r *run, a []Value) Value { return markup(r.str(a[0])) })
	filter("e escape", "/ value", func(r *run, a []Value) Value { return markup(r.escape(a[0])) })
	filter("forceescape", "value", func(r *run, a []Value) Value { return markup(r.escape(r.str(a[0]))) })
	filter("replace", "s old new count=null", func(r *run, a []Value) Value {
		n := -1
		if a[3] != nil {
			n = int(r.needIndex(a[3]))
		}
		return r.replace(r.str(a[0]), r.str(a[1]), r.str(a[2]), n)
	})
	filter("join", `value d="" attribute=null`, func(r *run, a []Value) Value {
		get, next := r.getter(a[2], nil), r.iterate(a[0])
		var parts []string
		for v, ok := next(); ok; v, ok = next() {
			r.grow(16)
			parts = append(parts, r.str(get(v)))
		}
		return r.join(parts, r.str(a[1]))
	})
	raw("format", func(r *run, a args) Value {
		if len(a.positional) == 0 || len(a.positional) > 1 && len(a.names) > 0 {
			r.fail("can't handle positional and keyword arguments at the same time")
		}
		var with Value = &Tuple{items: a.positional[1:]}
		if len(a.names) > 0 {
			with = makeDict(r, args{names: a.names, values: a.values})
		}
		return r.arithmetic("%", soft(r, a.positional[0]), with)
	})
	filter("title", "value", func(r *run, a []Value) Value {
		s := r.made(r.str(a[0]))
		var b strings.Builder
		word := func(w string) {
			if w != "" {
				n := runeLen(w)
				b.WriteString(upper(w[:n]) + lower(w[n:]))
			}
		}
		last := 0
		for _, at := range wordStart.FindAllStringIndex(s, -1) {
			word(s[last:at[0]])
			b.WriteString(s[at[0]:at[1]])
			last = at[1]
		}
		word(s[last:])
		return b.String()
	})
	filter("indent", "s width=4 first=false blank=false", func(r *run, a []Value) Value {
		s, safe := r.needText(a[0]), false
		if _, safe = a[0].(markup); !safe {
			s = r.made(s)
		}
		by, ok := text(a[1])
		if !ok {
			by = strings.Repeat(" ", r.times(number(r.needInt(a[1])), 1))
		}
		lines := splitLines(s+"\n", false)
		for i, line := range lines {
			if i == 0 && !truth(a[2]) || i > 0 && line == "" && !truth(a[3]) {
				continue
			}
			lines[i] = r.join([]string{by, line}, "")
		}
		out := r.join(lines, "\n")
		if safe {
			return markup(out)
		}
		return out
	})
	filter("truncate", `s length=255 killwords=false end="..." leeway=null`, func(r *run, a []Value) Value {
		end, n, leeway := r.needText(a[3]), r.needInt(a[1]), int64(5)
		if a[4] != nil {
			leeway = r.needInt(a[4])
		}
		if n < int64(runes(end)) || leeway < 0 {
			r.fail("expected length >= %d and leeway >= 0, got %d and %d", runes(end), n, leeway)
		}
		if long, ok := length(a[0]); ok && int64(long) <= n+leeway {
			return a[0]
		}
		s := r.needText(a[0])
		cut := s[:skipRunes(s, int(n)-runes(end))]
		if i := strings.LastIndexByte(cut, ' '); i >= 0 && !truth(a[2]) {
			cut = cut[:i]
		}
		return r.join([]string{cut, end}, "")
	})
	filter("wordcount", "s", func(r *run, a []Value) Value {
		n, inside := int64(0), false
		for _, c := range r.made(r.str(a[0])) {
			if isWord(c) && !inside {
				n++
			}
			inside = isWord(c)
		}
		return n
	})
	filter("wordwrap", "s width=79 break_long_words=true wrapstring=null break_on_hyphens=true", func(r *run, a []Value) Value {
		newline := "\n"
		if a[3] != nil {
			newline = r.needText(a[3])
		}
		width := r.needInt(a[1])
		if width <= 0 {
			r.fail("invalid width %d (must be > 0)", width)
		}
		var lines []string
		for _, line := range splitLines(r.needText(a[0]), false) {
			lines = append(lines, r.join(wrap(line, int(min(width, 1<<30)), truth(a[2]), truth(a[4])), newline))
		}
		return r.join(lines, newline)
	})
	filter("striptags", "value", func(r *run, a []Value) Value {
		s := r.made(r.str(a[0]))
		s = tags.ReplaceAllString(comments.ReplaceAllString(s, ""), "")
		return html.UnescapeString(strings.Join(splitSpace(s, -1, false), " "))
	})
	filter("urlencode", "value", func(r *run, a []Value) Value {
		_, isText := text(a[0])
		if _, many := length(a[0]); isText || !many {
			return quoteURL(r.made(r.str(a[0])), "/")
		}
		var v Value = a[0]
		if d, ok := v.(*Dict); ok {
			v = &view{"dict_items", d}
		}
		var parts []string
		for _, pair := range r.collect(v) {
			two := r.collect(pair)
			if len(two) != 2 {
				r.fail("expected pairs to encode, got %d values", len(two))
			}
			parts = append(parts, r.made(quoteQuery(r.str(two[0]))+"="+quoteQuery(r.str(two[1]))))
		}
		return r.join(parts, "&")
	})
	filter("xmlattr", "d autospace=true", func(r *run, a []Value) Value {
		d, ok := a[0].(*Dict)
		if !ok {
			r.fail("'%s' object has no attribute 'items'", typeName(a[0]))
		}
		var parts []string
		for i, key := range d.keys {
			v := d.values[i]
			if _, ok := v.(*undefined); ok || v == nil {
				continue
			}
			k := r.needText(key)
			if strings.ContainsAny(k, " \t\n\r\f\v/>=") {
				r.fail("invalid character in attribute name: '%s'", k)
			}
			parts = append(parts, r.join([]string{r.escape(key), `="`, r.escape(v), `"`}, ""))
		}
		out := r.join(parts, " ")
		if truth(a[1]) && out != "" {
			out = " " + out
		}
		return out
	})
	filter("filesizeformat", "value binary=false", func(r *run, a []Value) Value {
		n := filters["float"].f(r, []Value{a[0], nil})
		if n == nil {
			r.fail("could not convert to float")
		}
		size, base, units := n.(float64), 1000.0, strings.Fields("kB MB GB TB PB EB ZB YB")
		if truth(a[1]) {
			base, units = 1024, strings.Fields("KiB MiB GiB TiB PiB EiB ZiB YiB")
		}
		switch {
		case size == 1:
			return "1 Byte"
		case size < base:
			return r.str(r.whole(size)) + " Bytes"
		}
		unit := base
		for i, name := range units {
			unit *= base
			if size < unit || i == len(units)-1 {
				return r.printf("%.1f "+name, base*size/unit, false)
			}
		}
		return nil
	})
}

// wrap is textwrap.wrap of Python for one line, as the filter wordwrap calls it.
func wrap(line string, width int, long, hyphens bool) []string {
	chunks := wrapChunks(line, hyphens)
	var lines []string
	for len(chunks) > 0 {
		if len(lines) > 0 && strings.TrimFunc(chunks[0], isSpace) == "" {
			chunks = chunks[1:]
		}
		current, n := []string{}, 0
		for len(chunks) > 0 && n+runes(chunks[0]) <= width {
			n += runes(chunks[0])
			current = append(current, chunks[0])
			chunks = chunks[1:]
		}
		if len(chunks) > 0 && runes(chunks[0]) > width {
			if room := width - n; long {
				at := skipRunes(chunks[0], max(1, room))
				if room > 0 || n == 0 {
					if i := strings.LastIndexByte(chunks[0][:at], '-'); hyphens && runes(chunks[0]) > room && i > 0 && strings.Trim(chunks[0][:i], "-") != "" {
						at = i + 1
					}
					current = append(current, chunks[0][:at])
					chunks[0] = chunks[0][at:]
				}
			} else if len(current) == 0 {
				current = append(current, chunks[0])
				chunks = chunks[1:]
			}
		}
		if n := len(current); n > 0 && strings.TrimFunc(current[n-1], isSpace) == "" {
			current = current[:n-1]
		}
		if len(current) > 0 {
			lines = append(lines, strings.Join(current, ""))
		}
	}
	return lines
}

// wrapChunks cuts a line into words, the space between them, and the parts of words with hyphens.
func wrapChunks(line string, hyphens bool) []string {
	var chunks []string
	for line != "" {
		end := strings.IndexFunc(line, isSpace)
		if end == 0 {
			end = len(line) - len(strings.TrimLeftFunc(line, isSpace))
			chunks = append(chunks, line[:end])
			line = line[end:]
			continue
		}
		if end < 0 {
			end = len(line)
		}
		word := []rune(line[:end])
		line = line[end:]
		start := 0
		for i := 2; hyphens && i+2 < len(word); i++ {
			if word[i] == '-' && unicode.IsLetter(word[i-1]) && isWord(word[i-2]) && unicode.IsLetter(word[i+1]) && isWord(word[i+2]) {
				chunks = append(chunks, string(word[start:i+1]))
				start = i + 1
			}
		}
		chunks = append(chunks, string(word[start:]))
	}
	return chunks
}

// quoteURL is urllib.parse.quote; safe are the characters it leaves besides letters, digits and "_.-~".
func quoteURL(s, safe string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x80 && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) || strings.IndexByte("_.-~"+safe, c) >= 0) {
			b.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

func quoteQuery(s string) string { return strings.ReplaceAll(quoteURL(s, " "), " ", "+") }
