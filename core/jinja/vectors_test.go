package jinja_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"swiftgo/core/jinja"
)

// noon is the time at which the expected results were made.
var noon = time.Date(2024, 9, 19, 12, 34, 56, 0, time.UTC)

// golden is one expected result of real Jinja2.
type golden struct {
	Template, Scenario string
	Text, Error        *string
}

// checkVectors renders all expected results in dir, and says how many texts and errors were met.
func checkVectors(t *testing.T, dir string) (texts, ofTexts, errors, ofErrors int) {
	t.Helper()
	scenarios := readDict(t, filepath.Join(dir, "scenarios.json"))
	file, err := os.Open(filepath.Join(dir, "golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var want golden
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(filepath.Join(dir, "templates", want.Template+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		vars, ok := scenarios.Get(want.Scenario)
		if !ok {
			t.Fatalf("no scenario %s", want.Scenario)
		}
		got, err := render(want.Template, string(source), vars.(*jinja.Dict))
		switch {
		case want.Error != nil:
			ofErrors++
			if err != nil {
				errors++
			} else {
				t.Logf("%s/%s: no error, want %s", want.Template, want.Scenario, *want.Error)
			}
		default:
			ofTexts++
			if err == nil && got == *want.Text {
				texts++
			} else {
				t.Logf("%s/%s: got %q, %v; want %q", want.Template, want.Scenario, got, err, *want.Text)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return
}

func render(name, source string, vars *jinja.Dict) (string, error) {
	template, err := jinja.Parse(name, source)
	if err != nil {
		return "", err
	}
	result, err := template.Execute(vars, jinja.Options{Now: func() time.Time { return noon }})
	return result.Text, err
}

func readDict(t *testing.T, path string) *jinja.Dict {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jinja.DecodeJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*jinja.Dict)
}

// TestTemplates checks the few templates that come with the package.
func TestTemplates(t *testing.T) {
	texts, ofTexts, errors, ofErrors := checkVectors(t, "testdata")
	if texts != ofTexts || errors != ofErrors || texts == 0 || errors == 0 {
		t.Errorf("texts %d of %d, errors %d of %d", texts, ofTexts, errors, ofErrors)
	}
}

// TestVectors checks all templates there are, where they are.
func TestVectors(t *testing.T) {
	const dir = "../../../shared/vectors/chat-templates"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("needs the shared vectors beside the repository: ", err)
	}
	texts, ofTexts, errors, ofErrors := checkVectors(t, dir)
	t.Logf("texts %d of %d, errors %d of %d", texts, ofTexts, errors, ofErrors)
	if texts*1000 < ofTexts*995 || errors*100 < ofErrors*95 {
		t.Errorf("texts %d of %d, want 99.5 %%; errors %d of %d, want 95 %%", texts, ofTexts, errors, ofErrors)
	}
}
