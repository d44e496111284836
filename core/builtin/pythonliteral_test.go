package builtin

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		`{'a': True, 'b': None, 'c': (1, 2,), 'd': (3), 'e': [False]}`: `{"a": true, "b": null, "c": [1, 2], "d": 3, "e": [false]}`,
		`[+1, -2, 1_000, 0x1F, 0b11, 0o17, .5, 1., 1e3, -0.0, 00,]`:    `[1, -2, 1000, 31, 3, 15, 0.5, 1.0, 1000.0, -0.0, 0]`,
		"'a' \"b\" '''c\nd'''":          `"abc\nd"`,
		`'\x41\u4e2d\n\'\"\\ \101\0\q'`: `"A中\n'\"\\ A\u0000\\q"`,
		`{'a': 1, 'a': 2}`:              `{"a": 2}`,
	} {
		v, err := decode(text)
		if err != nil || dumps(v) != want {
			t.Errorf("%s says %s, %v, want %s", text, dumps(v), err, want)
		}
	}
	for _, text := range []string{"", "'", "{'a'}", "{1: 2}", "[1 2]", "f(x)", "1__0", "1_", "0123", "'a\nb'", "1 2", "(", "[,]", "b'a'", "...", strings.Repeat("(", 1000)} {
		if v, err := decode(text); err == nil {
			t.Errorf("%.20q says %s, want an error", text, dumps(v))
		}
	}
}
