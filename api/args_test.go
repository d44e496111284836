package api_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"swiftgo/api"
)

type settings struct {
	Gamma float64  `json:"gamma"`
	Label string   `json:"label"`
	Parts []string `json:"parts"`
	state int
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		own  map[string]any
		want string // of the error
		got  settings
	}{
		{nil, "", settings{Gamma: 2}},
		{map[string]any{"gamma": 1.5, "parts": []any{"a", "b"}}, "", settings{Gamma: 1.5, Parts: []string{"a", "b"}}},
		{map[string]any{"label": json.Number("7")}, "", settings{Gamma: 2, Label: "7"}},
		{map[string]any{"label": true}, "", settings{Gamma: 2, Label: "true"}},
		{map[string]any{"gama": 1.5}, `settings of focal: unknown field "gama"; there are gamma, label, parts`, settings{}},
		{map[string]any{"gamma": "high"}, "settings of focal: gamma is a string, want float64", settings{}},
		{map[string]any{"parts": "a"}, "settings of focal: parts is a string, want a JSON list of string", settings{}},
		{map[string]any{"gamma": math.NaN()}, "settings of focal", settings{}},
	} {
		got := settings{Gamma: 2}
		err := (&api.Args{Name: "focal", Own: c.own}).Decode(&got)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("decode of %v: %v, want %q", c.own, err, c.want)
			}
			continue
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(c.got)
		if err != nil || string(a) != string(b) {
			t.Errorf("decode of %v: %s, %v, want %s", c.own, a, err, b)
		}
	}
}

func FuzzArgsDecode(f *testing.F) {
	f.Add(`{"gamma": 1, "label": 3}`)
	f.Add(`{"label": {"a": 1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var own map[string]any
		if json.Unmarshal([]byte(text), &own) != nil {
			return // nobody gives settings that are no object
		}
		var s settings
		(&api.Args{Name: "x", Own: own}).Decode(&s) // must end, without a panic
	})
}

func TestWarmup(t *testing.T) {
	for _, c := range []struct {
		args  api.Args
		steps int
		want  int
	}{{api.Args{WarmupRatio: 0.05}, 101, 6}, {api.Args{WarmupRatio: 0.05}, 100, 5}, {api.Args{WarmupSteps: 7, WarmupRatio: 0.5}, 100, 7}} {
		if got := c.args.Warmup(c.steps); got != c.want {
			t.Errorf("warm-up of %+v: %d, want %d", c.args, got, c.want)
		}
	}
}

// TestSchedules compares with the formulas of transformers' optimization.py.
func TestSchedules(t *testing.T) {
	const warmup, steps, lr = 4, 20, 2e-4
	for step := range steps + 2 {
		ramp := min(1, float64(step)/warmup)
		done := max(0, float64(step-warmup)/(steps-warmup))
		cosine, linear := ramp, ramp
		if step >= warmup {
			cosine = max(0, 0.5*(1+math.Cos(math.Pi*done)))
			linear = max(0, 1-done)
		}
		for name, pair := range map[string][2]float64{
			"cosine":   {api.Cosine(lr, warmup, steps)(step), lr * cosine},
			"linear":   {api.LinearDecay(lr, warmup, steps)(step), lr * linear},
			"constant": {api.Constant(lr, warmup)(step), lr * ramp},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("%s at step %d: %g, want %g", name, step, pair[0], pair[1])
			}
		}
	}
}
