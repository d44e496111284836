package jinja_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"swiftgo/core/jinja"
)

// TestLimits renders templates that want too much: each has to end soon, with an error.
func TestLimits(t *testing.T) {
	deep := strings.Repeat
	for name, source := range map[string]string{
		"recursive macro":        `{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}`,
		"macros of each other":   `{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}`,
		"recursive caller":       `{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{{ caller() }}{% endmacro %}{{ f() }}`,
		"macro as a default":     `{% macro f(x=f()) %}{% endmacro %}{{ f() }}`,
		"recursive loop":         `{% set ns = namespace() %}{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}`,
		"nested loops":           `{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}`,
		"loops over filters":     `{% for a in range(99999) %}{% set x = range(99999)|sum %}{% endfor %}`,
		"loops over sorts":       `{% for a in range(99999) %}{% set x = range(99999)|list|reverse|sort %}{% endfor %}`,
		"loops over comparisons": `{% set a = 'a' * 9000000 %}{% set b = 'a' * 9000000 %}{% for i in range(99999) %}{% if a != b %}{% endif %}{% endfor %}`,
		"loops over searches":    `{% set a = 'a' * 9000000 %}{% for i in range(99999) %}{% if 'ab' in a %}{% endif %}{{ a.find('ab') }}{% endfor %}`,
		"loops over cases":       `{% set a = 'a' * 900000 %}{% for i in range(99999) %}{% if a.upper() is lower %}{% endif %}{% endfor %}`,
		"growing string":         `{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}`,
		"growing list":           `{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`,
		"growing int":            `{% set ns = namespace(s=7) %}{% for i in range(99) %}{% set ns.s = ns.s * ns.s %}{% endfor %}`,
		"power":                  `{{ 10 ** (10 ** 10) }}`,
		"negative power":         `{{ (10 ** 4000) ** -1 }}`,
		"long product":           `{{ 'abc' * 999999999999 }}`,
		"product of an empty":    `{{ [] * 999999999999 ~ '' * 10 ** 40 }}{{ x.y }}`,
		"long list":              `{{ [1] * 999999999 }}`,
		"replace":                `{% set a = 'a' * 100000 %}{{ a.replace('', a) }}`,
		"join":                   `{% set a = 'a' * 100000 %}{{ (a|list)|join(a) }}`,
		"width":                  `{{ 'a'.center(999999999999) }}`,
		"width of a format":      `{{ '%999999999999d' % 1 }}`,
		"precision of a format":  `{{ '{:.999999999f}'.format(1.0) }}`,
		"width of format":        `{{ '{:999999999}'.format(1) }}`,
		"indent":                 `{{ ('\n' * 100000)|indent(99999, true, true) }}`,
		"indent of JSON":         `{{ [[[1]]]|tojson(indent=999999999) }}`,
		"batch":                  `{{ [1]|batch(999999999999, 1)|list }}`,
		"slice":                  `{{ [1]|slice(999999999999, 1)|list }}`,
		"range":                  `{{ range(999999999) }}`,
		"expandtabs":             `{{ ('\t' * 100000).expandtabs(99999) }}`,
		"shared values":          `{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}`,
		"shared values as JSON":  `{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson }}`,
		"shared values compared": `{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}`,
		"shared values as key":   `{% set ns = namespace(s=(1,)) %}{% for i in range(99) %}{% set ns.s = (ns.s, ns.s) %}{% endfor %}{{ {ns.s: 1} }}`,
		"deep values":            `{% set ns = namespace(s=[]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}`,
		"deep values compared":   `{% set ns = namespace(s=[], t=[]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% set ns.t = [ns.t] %}{% endfor %}{{ ns.s == ns.t }}`,
		"deep generators":        `{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = ns.s|map('string') %}{% endfor %}{{ ns.s|list }}`,
		"own value":              `{% set ns = namespace() %}{% set ns.s = ns %}{{ ns }}`,
		"output":                 `{% set a = 'a' * 1000000 %}{% for i in range(99999) %}{{ a }}{% endfor %}`,
		"deep parentheses":       `{{ ` + deep("(", 100000) + `1` + deep(")", 100000) + ` }}`,
		"deep brackets":          `{{ ` + deep("[", 100000) + deep("]", 100000) + ` }}`,
		"deep not":               `{{ ` + deep("not ", 100000) + `1 }}`,
		"deep minus":             `{{ ` + deep("-", 100000) + `1 }}`,
		"deep if":                deep("{% if 1 %}", 50000) + deep("{% endif %}", 50000),
		"deep for":               deep("{% for a in b %}", 20000) + deep("{% endfor %}", 20000),
		"deep else":              `{{ ` + deep("1 if 0 else ", 50000) + `1 }}`,
		"long sum":               `{{ 1` + deep("+1", 400000) + ` }}`,
		"long chain":             `{{ a` + deep(".a", 400000) + ` }}`,
		"long filters":           `{{ a` + deep("|e", 400000) + ` }}`,
		"long calls":             `{{ a` + deep("()", 400000) + ` }}`,
		"long source":            deep("a", 2<<20),
		"targets":                `{% set ` + deep("(", 100000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			template, err := jinja.Parse("limits", source)
			if err == nil {
				_, err = template.Execute(nil, jinja.Options{Steps: 1_000_000, Memory: 32 << 20})
			}
			if err == nil {
				t.Errorf("%s: no error", name)
			} else if strings.Contains(err.Error(), "internal") {
				t.Errorf("%s: %v", name, err)
			}
			if d := time.Since(begin); d > 10*time.Second {
				t.Errorf("%s: took %v", name, d)
			} else if d > time.Second {
				t.Logf("%s: took %v", name, d)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	template, err := jinja.Parse("t", "{% for i in range(1000) %}{{ 'abc' ~ i }}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]jinja.Options{
		"steps": {Steps: 100}, "output": {Output: 100}, "memory": {Memory: 100}, "time": {Time: 1},
	} {
		if name == "time" {
			template, _ = jinja.Parse("t", "{% for i in range(99999) %}{{ 'abc' ~ i }}{% endfor %}")
		}
		if _, err := template.Execute(nil, o); !errors.Is(err, jinja.ErrLimit) {
			t.Errorf("%s: got %v, want ErrLimit", name, err)
		}
	}
}
