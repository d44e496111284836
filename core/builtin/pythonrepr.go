package builtin

import (
	"fmt"
	"strings"
	"unicode"
)

// pythonStr is Python's str(v), which is what an f-string writes.
func pythonStr(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return pythonRepr(v)
}

// pythonRepr is Python's repr(v): single quotes, True, None.
func pythonRepr(v any) string {
	switch x := v.(type) {
	case bool:
		if x {
			return "True"
		}
		return "False"
	case number:
		return string(x)
	case string:
		return quoted(x)
	case []any:
		parts := make([]string, len(x))
		for i, item := range x {
			parts[i] = pythonRepr(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *object:
		parts := make([]string, len(x.keys))
		for i, key := range x.keys {
			parts[i] = quoted(key) + ": " + pythonRepr(x.values[key])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "None"
}

// quoted is the repr of a string, in double quotes only where it has single
// ones and no double ones in it. This package imports api alone, and so cannot
// have the one of package jinja.
func quoted(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}
