package api_test

import (
	"fmt"
	"slices"
	"testing"

	"swiftgo/api"
)

func ExampleSteps() {
	for i, step := range api.Steps("Step 1: 48 / 2 = 24.\nStep 2: 48 + 24 = 72.") {
		fmt.Println(i, step)
	}
	// Output:
	// 0 Step 1: 48 / 2 = 24.
	// 1 Step 2: 48 + 24 = 72.
}

func TestSteps(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                 nil,
		" \n\n ":                           nil,
		"one line":                         {"one line"},
		"one\nstep":                        {"one\nstep"},
		"a\n\nb\n \t\n\nc\n":               {"a", "b", "c"},
		"a\r\n\r\nb":                       {"a", "b"},
		"So.\n\nStep 1: a\n\nb\nstep 2. c": {"So.", "Step 1: a\n\nb", "step 2. c"},
		"### Step 1: a\n**Step 2:** b\n> Step 3) c": {"### Step 1: a", "**Step 2:** b", "> Step 3) c"},
		"the next step 1: no\n\nstep one: no":       {"the next step 1: no", "step one: no"},
	} {
		if got := api.Steps(text); !slices.Equal(got, want) {
			t.Errorf("%q has the steps %q, want %q", text, got, want)
		}
	}
}
