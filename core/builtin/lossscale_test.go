package builtin

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"swiftgo/api"
)

// chained splits a text by built-in scales one after another, as a chain does.
func chained(t *testing.T, name string, s api.Segment) (segments []string, weights []float64) {
	t.Helper()
	segments, weights = []string{}, []float64{}
	pieces := s.Weigh(1)
	for _, name := range strings.Split(name, "+") {
		scale, err := Exports().LossScales[name](&api.Args{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := scale.(api.Strategy); ok {
			continue // it does not split
		}
		var next []api.Piece
		for _, p := range pieces {
			s.Text = p.Text
			for _, q := range scale.Weigh(s) {
				next = append(next, api.Piece{Text: q.Text, Weight: p.Weight * q.Weight})
			}
		}
		pieces = next
	}
	for _, p := range pieces {
		segments, weights = append(segments, p.Text), append(weights, p.Weight)
	}
	return segments, weights
}

// TestLossScales compares what every scale makes of single responses.
func TestLossScales(t *testing.T) {
	for _, dir := range []string{"testdata", "../../../shared/vectors/extensions"} {
		files, err := filepath.Glob(filepath.Join(dir, "loss_scale_*.json"))
		if err != nil || len(files) == 0 {
			t.Logf("no vectors in %s", dir)
		}
		for _, path := range files {
			type expected struct {
				Responses []struct {
					Segments []string
					Weights  []float64
				}
			}
			var v struct {
				Name   string
				Inputs struct {
					Responses []struct{ ID, Query, Response string }
				}
				Expected expected
				Fixed    *expected `json:"expected_with_upstream_fix"`
			}
			data, err := os.ReadFile(path)
			if err == nil {
				err = json.Unmarshal(data, &v)
			}
			if err != nil {
				t.Fatal(path, err)
			}
			if len(v.Expected.Responses) != len(v.Inputs.Responses) && v.Fixed != nil {
				v.Expected = *v.Fixed
			}
			for i, in := range v.Inputs.Responses {
				if i >= len(v.Expected.Responses) {
					break
				}
				want := v.Expected.Responses[i]
				segments, weights := chained(t, v.Name, api.Segment{Text: in.Response, Role: api.Response, Query: in.Query, LastRound: true})
				if in.Response == "" { // nothing is nothing, in one piece or none
					continue
				}
				if !reflect.DeepEqual(segments, want.Segments) || !reflect.DeepEqual(weights, want.Weights) {
					t.Errorf("%s of %s: %q %v, want %q %v", v.Name, in.ID, segments, weights, want.Segments, want.Weights)
				}
			}
		}
	}
}

func TestLossScaleFile(t *testing.T) {
	for text, want := range map[string]string{
		`{"A:": [2, 3], "AB": [0, 1]}`:    "x1 A:2 yA3 AB0 1",
		`{"AB": [0.5]}`:                   "xA:yA1 AB0.5",
		"{\"x\\\\s*A\": [4], \"y\": [0]}": "xA4 :1 y0 AAB1",
		`[]`:                              "no JSON object",
		`{}`:                              "an empty object",
		`{"A": 2}`:                        `"A" has not one or two numbers`,
		`{"A": [1, 2, 3]}`:                `"A" has not one or two numbers`,
		`{"A": [-1]}`:                     `"A" has the weight -1, want 0 or more`,
		`{"A": [1, 2], "B": [1]}`:         "keys with two weights and patterns with one",
		`{"(?=A)": [2]}`:                  `pattern "(?=A)": error parsing regexp`,
		`{"A": [1`:                        `"A" has not one or two numbers`,
		`not JSON`:                        "no JSON object",
	} {
		path := filepath.Join(t.TempDir(), "mine.json")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		scale, err := LossScaleFile(path)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+": "+want) {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
			continue
		}
		var got []string
		for _, p := range scale.Weigh(api.Segment{Text: "xA:yAAB"}) {
			w, _ := json.Marshal(p.Weight)
			got = append(got, p.Text+string(w))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", text, got, want)
		}
	}
	if _, err := LossScaleFile(filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("no file is no error")
	}
}

// TestPiecesJoin has the pieces of any text join to it.
func TestPiecesJoin(t *testing.T) {
	long := strings.Repeat("<tool_call>a</tool_call><think> Action: Thought:", 20000)
	for name, construct := range Exports().LossScales {
		scale, err := construct(&api.Args{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "x", long, "Action:", "<think></think>", "</tool_call><tool_call>"} {
			var joined strings.Builder
			for _, p := range scale.Weigh(api.Segment{Text: text, Role: api.Response, Query: "q", LastRound: true}) {
				joined.WriteString(p.Text)
				if math.IsNaN(p.Weight) || p.Weight < 0 {
					t.Errorf("%s: weight %g", name, p.Weight)
				}
			}
			if joined.String() != text {
				t.Errorf("%s: the pieces of %.40q do not join to it", name, text)
			}
		}
	}
}
