package builtin

import (
	"context"
	"math"
	"strings"
	"testing"

	"swiftgo/api"
)

// rewardOf is the reward that an ORM with some settings gives one completion.
func rewardOf(t *testing.T, name string, settings map[string]any, c api.Completion) float64 {
	t.Helper()
	orm, err := Exports().ORMs[name](own(name, settings))
	if err != nil {
		t.Fatal(err)
	}
	rewards, err := orm.Score(context.Background(), []api.Completion{c})
	if err != nil || len(rewards) != 1 {
		t.Fatal(rewards, err)
	}
	return rewards[0]
}

func TestFormatVectors(t *testing.T) {
	for _, name := range []string{"format", "react_format"} {
		var v struct {
			Inputs   []string
			Expected []float64
		}
		vectors(t, "orm_"+name+".json", &v)
		if len(v.Inputs) == 0 {
			t.Fatalf("%s has no cases", name)
		}
		for i, text := range v.Inputs {
			if got := rewardOf(t, name, nil, api.Completion{Text: text}); got != v.Expected[i] {
				t.Errorf("%s: %q has %g, want %g", name, text, got, v.Expected[i])
			}
		}
	}
}

func TestCosineVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			Args     map[string]any
			Length   int
			Accuracy float64 `json:"accuracy_reward"`
		}
		Expected []float64
	}
	vectors(t, "orm_cosine.json", &v)
	for i, c := range v.Inputs {
		settings := map[string]any{}
		for key, x := range c.Args { // cosine_min_len_value_wrong is min_len_wrong here
			settings[strings.Replace(strings.TrimPrefix(key, "cosine_"), "_value", "", 1)] = x
		}
		orm := cosineReward{accuracy: func(api.Completion) float64 { return c.Accuracy }}
		if err := own("cosine", settings).Decode(&orm); err != nil {
			t.Fatal(err)
		}
		completion := api.Completion{Tokens: c.Length}
		if got := orm.score(completion); math.Abs(got-v.Expected[i]) > 1e-12 {
			t.Errorf("case %d: %v, want %v", i, got, v.Expected[i])
		}
	}
}

func TestCosineJudges(t *testing.T) {
	settings := map[string]any{"max_len": 100}
	for _, c := range []struct {
		text   string
		tokens int
		want   float64
	}{
		{`\boxed{4}`, 100, 0.5}, {`\boxed{5}`, 100, 0}, {`\boxed{4}`, 50, 0.75}, {`\boxed{5}`, 50, -0.25}, {"", 0, -0.5},
	} {
		got := rewardOf(t, "cosine", settings, api.Completion{Text: c.text, Tokens: c.tokens, Truth: "4"})
		if math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%q of %d tokens: %g, want %g", c.text, c.tokens, got, c.want)
		}
	}
	for _, c := range []api.Completion{{Text: "4", Truth: "4"}, {Text: "4", Tokens: 1}} {
		if got := rewardOf(t, "cosine", settings, c); !math.IsNaN(got) {
			t.Errorf("%+v has %g, want no opinion", c, got)
		}
	}
}

func TestRepetitionVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			NGrams      int     `json:"n_grams"`
			MaxPenalty  float64 `json:"max_penalty"`
			Completions []string
		}
		Expected [][]float64
	}
	vectors(t, "orm_repetition.json", &v)
	for i, group := range v.Inputs {
		settings := map[string]any{"n_grams": group.NGrams, "max_penalty": group.MaxPenalty}
		for j, text := range group.Completions {
			if got, want := rewardOf(t, "repetition", settings, api.Completion{Text: text}), v.Expected[i][j]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%v of %.60q: %v, want %v", settings, text, got, want)
			}
		}
	}
}

// TestPythonLower has what Python 3.11's str.lower makes of these.
func TestPythonLower(t *testing.T) {
	for text, want := range map[string]string{
		"ABC": "abc", "Σ": "σ", "ΑΣ": "ας", "ΑΣΑ": "ασα", "ΑΣ.": "ας.", "ΑΣ Α": "ας α", "ΣΣ": "σς", "İ": "i\u0307", "ß": "ß", "Ǆ": "ǆ", "Α.Σ": "α.ς", "1Σ": "1σ",
	} {
		if got := pythonLower(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestSoftOverlongVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			Max     int `json:"soft_max_length"`
			Cache   int `json:"soft_cache_length"`
			Lengths []int
		}
		Expected [][]float64
		Refused  [][2]int `json:"refused_inputs"`
	}
	vectors(t, "orm_soft_overlong.json", &v)
	for i, group := range v.Inputs {
		settings := map[string]any{"max_length": group.Max, "cache_length": group.Cache}
		for j, n := range group.Lengths {
			if got, want := rewardOf(t, "soft_overlong", settings, api.Completion{Tokens: n}), v.Expected[i][j]; got != want {
				t.Errorf("%v, %d tokens: %v, want %v", settings, n, got, want)
			}
		}
		if got := rewardOf(t, "soft_overlong", settings, api.Completion{Text: "of unknown length"}); !math.IsNaN(got) {
			t.Errorf("an unknown length has %g, want no opinion", got)
		}
	}
	for _, r := range v.Refused {
		if _, err := newSoftOverlong(own("soft_overlong", map[string]any{"max_length": r[0], "cache_length": r[1]})); err == nil {
			t.Errorf("%v is taken", r)
		}
	}
}

func TestToolbenchVectors(t *testing.T) {
	var v struct {
		Inputs   []struct{ ID, Prediction, Solution string }
		Expected []float64
	}
	vectors(t, "orm_toolbench.json", &v)
	for i, c := range v.Inputs {
		if got := rewardOf(t, "toolbench", nil, api.Completion{Text: c.Prediction, Row: map[string]any{"solution": c.Solution}}); got != v.Expected[i] {
			t.Errorf("%s: %g, want %g", c.ID, got, v.Expected[i])
		}
	}
	if got := rewardOf(t, "toolbench", nil, api.Completion{Text: "Action: a"}); !math.IsNaN(got) {
		t.Errorf("without a solution: %g, want no opinion", got)
	}
}

// TestSameObject has what Python's == says of what json.loads reads.
func TestSameObject(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"x": 1, "y": 2}`, `{"y": 2, "x": 1}`, true}, {`{"x": [1, {"k": null}]}`, `{"x": [1.0, {"k": null}]}`, true}, {`{"x": 1e2}`, `{"x": 100}`, true},
		{`{"x": 9007199254740993}`, `{"x": 9007199254740992.0}`, false}, {`{"x": 0.1}`, `{"x": 0.10000000000000000001}`, true}, {`{"x": 1e999}`, `{"x": 2e999}`, true},
		{`{"x": false}`, `{"x": 0}`, true}, {`{"x": "1"}`, `{"x": 1}`, false}, {`{"x": [1]}`, `{"x": 1}`, false}, {`{"x": {}}`, `{"x": []}`, false},
		{`{"x": null}`, `{"x": 0}`, false}, {`{"x": null}`, `{}`, false}, {`{"x": "a"}`, `{"x": ["a"]}`, false}, {`null`, `null`, false}, {`{} {}`, `{}`, false}, {`{`, `{`, false},
	} {
		if got := sameObject(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %t, want %t", c.a, c.b, got, c.want)
		}
		if got := sameObject(c.b, c.a); got != c.want {
			t.Errorf("%s and %s: %t, want %t", c.b, c.a, got, c.want)
		}
	}
}

func TestRewardSettings(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings map[string]any
		want     string
	}{
		{"cosine", nil, "max_len is 0"},
		{"cosine", map[string]any{"max_len": 5, "max": 1}, "unknown field"},
		{"soft_overlong", nil, "want cache_length 1 or more"},
		{"repetition", map[string]any{"n_grams": 0}, "n_grams is 0"},
		{"accuracy", map[string]any{"places": 3}, "has no settings"},
		{"format", map[string]any{"x": 3}, "has no settings"},
	} {
		if _, err := Exports().ORMs[c.name](own(c.name, c.settings)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.name, c.settings, err, c.want)
		}
	}
}
