package jinja_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"swiftgo/core/jinja"
)

// FuzzParse parses any source and renders what parses, with small limits: nothing may panic or hang.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "cases.json"))
	if err != nil {
		f.Fatal(err)
	}
	var file struct {
		Vars  json.RawMessage
		Cases []struct{ Template string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		f.Add(c.Template)
	}
	vars, err := jinja.DecodeJSON(file.Vars)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source string) {
		begin := time.Now()
		template, err := jinja.Parse("fuzz", source)
		if err == nil {
			_, err = template.Execute(vars.(*jinja.Dict), jinja.Options{Steps: 20_000, Output: 1 << 16, Memory: 1 << 20, Depth: 20, Time: time.Second})
		}
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Error(err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// FuzzDecodeJSON checks that what Go holds for JSON is decoded, and written again by tojson as valid JSON.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x",null,true],"b":{},"a":-0}`, `1e400`, `"\ud800"`, `[`, `{"a"`, `123456789012345678901234567890`, `[1] 2`, ``} {
		f.Add(s)
	}
	template, err := jinja.Parse("fuzz", "{{ v|tojson }}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := jinja.DecodeJSON([]byte(text))
		if (err == nil) != json.Valid([]byte(text)) && len(text) < 300 {
			t.Fatalf("got %v, but valid is %v", err, json.Valid([]byte(text)))
		}
		if err != nil {
			return
		}
		vars := jinja.NewDict()
		if err := vars.Set("v", v); err != nil {
			t.Fatal(err)
		}
		out, err := template.Render(vars)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := jinja.DecodeJSON([]byte(out)); err == nil {
			vars.Set("v", again)
			if twice, err := template.Render(vars); err != nil || twice != out {
				t.Fatalf("got %q, then %q, %v", out, twice, err)
			}
		} else if !strings.Contains(out, "Infinity") {
			t.Fatal(err)
		}
	})
}
