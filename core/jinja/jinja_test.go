package jinja_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"swiftgo/core/jinja"
)

func TestGenerations(t *testing.T) {
	const source = "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}.{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
	vars := jinja.NewDict()
	err := vars.Set("messages", []any{
		map[string]any{"role": "user", "content": "hi"},
		map[string]any{"role": "assistant", "content": "你好"},
		map[string]any{"role": "assistant", "content": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	template, err := jinja.Parse("t", source)
	if err != nil {
		t.Fatal(err)
	}
	result, err := template.Execute(vars, jinja.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range result.Generations {
		got = append(got, result.Text[g[0]:g[1]])
	}
	if want := []string{"你好.", "."}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q in %q", got, want, result.Text)
	}
	captured, err := jinja.Parse("t", "{% macro m() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}")
	if err != nil {
		t.Fatal(err)
	}
	if result, err := captured.Execute(vars, jinja.Options{}); err != nil || result.Text != "a" || !result.Unplaced {
		t.Errorf("got %+v, %v, want the text a with a generation that has no place", result, err)
	}
}

func TestErrors(t *testing.T) {
	template, err := jinja.Parse("chat_template", "a\n{% if true %}\n{{ raise_exception('no ' ~ 'roles') }}{% endif %}")
	if err != nil {
		t.Fatal(err)
	}
	_, err = template.Render(nil)
	var raised *jinja.Raised
	if !errors.As(err, &raised) || raised.Message != "no roles" || err.Error() != "chat_template:3: no roles" {
		t.Errorf("got %v", err)
	}
	for source, want := range map[string]string{
		"\n\n{{ x.y }}":              "t:3: 'x' is undefined",
		"{# \n #}{{ none + 1 }}":     "t:2: unsupported operand type(s) for +: 'NoneType' and 'int'",
		"a\n{% for %}":               "t:2: expected a name, got '%}'",
		"\n{% if a %}\n":             "t:2: unexpected end of the template, want the tag 'endif'",
		"{{ [] | nope }}":            "t:1: no filter named 'nope'",
		"{% include 'a' %}":          "t:1: the tag 'include' is not supported: a chat template stands alone",
		"{% trans %}a{% endtrans %}": "t:1: unknown tag 'trans'",
	} {
		if _, err := render("t", source, nil); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", source, err, want)
		}
	}
}

// TestConcurrent renders one template in many goroutines, for the race detector.
func TestConcurrent(t *testing.T) {
	template, err := jinja.Parse("t", "{% macro m(a, b=[1]) %}{{ a }}{{ b|sort }}{% endmacro %}{% set ns = namespace(n=0) %}{% for i in range(9) %}{% set ns.n = ns.n + i %}{{ m(ns.n) }}{% endfor %}{{ list|tojson }}")
	if err != nil {
		t.Fatal(err)
	}
	vars := jinja.NewDict()
	vars.Set("list", []any{3, 1, 2})
	want, err := template.Render(vars)
	if err != nil || !strings.HasSuffix(want, "[3, 1, 2]") {
		t.Fatal(want, err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got, err := template.Render(vars); err != nil || got != want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	all.Wait()
}

func TestDecodeJSON(t *testing.T) {
	v, err := jinja.DecodeJSON([]byte(`{"b": 1, "a": 1.0, "b": 123456789012345678901234567890, "c": [-0, 1e2, "é"]}`))
	if err != nil {
		t.Fatal(err)
	}
	vars := jinja.NewDict()
	if err := vars.Set("v", v); err != nil {
		t.Fatal(err)
	}
	const want = `{"b": 123456789012345678901234567890, "a": 1.0, "c": [0, 100.0, "é"]}`
	if got, err := render("t", "{{ v|tojson }}", vars); got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, text := range []string{"", "[", "1 2", `{"a"}`, strings.Repeat("[", 5000) + strings.Repeat("]", 5000)} {
		if v, err := jinja.DecodeJSON([]byte(text)); err == nil {
			t.Errorf("%.20q: got %v, want an error", text, v)
		}
	}
	if err := vars.Set("x", struct{}{}); err == nil {
		t.Error("a struct was taken as a value")
	}
}
