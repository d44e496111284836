package jinja_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"swiftgo/core/jinja"
)

// TestCases compares small templates with what real Jinja2 makes of them.
func TestCases(t *testing.T) {
	path := filepath.Join("testdata", "cases.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Template    string
			Text, Error *string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	vars, _ := readDict(t, path).Get("vars")
	for _, c := range file.Cases {
		got, err := render("case", c.Template, vars.(*jinja.Dict))
		switch {
		case c.Error != nil && err == nil:
			t.Errorf("%s: got %q, want the error %s", c.Template, got, *c.Error)
		case c.Error == nil && err != nil:
			t.Errorf("%s: %v, want %q", c.Template, err, *c.Text)
		case c.Error == nil && got != *c.Text:
			t.Errorf("%s: got %q, want %q", c.Template, got, *c.Text)
		}
	}
	t.Logf("%d cases", len(file.Cases))
}
