package sampler

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"swiftgo/core/dataset"
)

// The files of testdata are what the real ms-swift says.
func vectors(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "sample_"+name+".json"))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRowID(t *testing.T) {
	var v struct {
		Inputs   []json.RawMessage
		Expected []string
	}
	vectors(t, "md5", &v)
	// What else Python 3.11 says.
	v.Inputs = append(v.Inputs, json.RawMessage("{\"a\": \"\x7f\\u001f\u2028</é\U0001F680\", \"B\": [1.0, 1e+16, 1e-05, 123456789.125, -0.0, 12345678901234567890, true, null], \"b\": {\"z\": {}, \"é\": [], \"a\": \"\"}}"),
		json.RawMessage(`{"messages": [{"role": "user", "content": "tab\tquote\"back\\slash/"}], "": 0, "Ａ": 1, "𝔸": 2, "ｚ": 3}`))
	v.Expected = append(v.Expected, "d007a86a665dd272d2190d23c40123c1", "30b9baf89a005bab86469eb5b57c830f")
	for i, in := range v.Inputs {
		var o map[string]json.RawMessage
		if err := json.Unmarshal(in, &o); err != nil {
			t.Fatal(err)
		}
		delete(o, "choices")
		text, _ := json.Marshal(o)
		if got, err := rowID(text); err != nil || got != v.Expected[i] {
			t.Errorf("case %d: %s, %v, want %s", i, got, err, v.Expected[i])
		}
	}
}

// steps is a reward of the vectors: a number, a boolean, or a list.
type steps []float64

func (s *steps) UnmarshalJSON(text []byte) error {
	var b bool
	if json.Unmarshal(text, &b) == nil {
		*s = steps{0}
		if b {
			*s = steps{1}
		}
		return nil
	}
	var x float64
	if json.Unmarshal(text, &x) == nil {
		*s = steps{x}
		return nil
	}
	return json.Unmarshal(text, (*[]float64)(s))
}

func TestRewards(t *testing.T) {
	var v struct {
		Inputs []struct {
			Rewards   []steps
			Threshold *float64
		}
		Expected []struct {
			Normalized []float64
			Mask       []bool
		}
	}
	vectors(t, "get_reward", &v)
	for i, in := range v.Inputs {
		var least []float64
		for _, s := range in.Rewards {
			least = append(least, smallest(s))
		}
		if got := normalize(least); !slices.Equal(got, v.Expected[i].Normalized) {
			t.Errorf("case %d: %v, want %v", i, got, v.Expected[i].Normalized)
		}
		for k, x := range least {
			s := Selection{PRMThreshold: math.Inf(-1)}
			if in.Threshold != nil {
				s.PRMThreshold = *in.Threshold
			}
			if got := s.passes(candidate{score: score{prm: x}}, false, true); got != v.Expected[i].Mask[k] {
				t.Errorf("case %d, reward %d passes: %v", i, k, got)
			}
		}
	}
}

type sampleCase struct {
	ID        string
	Row       json.RawMessage
	ORM       map[string]steps `json:"orm_rewards"`
	PRM       map[string]steps `json:"prm_rewards"`
	Best      int              `json:"n_best_to_keep"`
	Threshold float64          `json:"prm_threshold"`
	Easy      float64          `json:"easy_query_threshold"`
	N         int              `json:"num_return_sequences"`
}

// fixed are the cases in which ms-swift is wrong, and what is right.
var fixed = map[string][]string{
	// It rejects "a", which the ORM takes to be right. All three are kept, and
	// none of them is rejected.
	"orm_all_right": {
		`{"messages": [{"role": "user", "content": "Q orm_all_right"}, {"role": "assistant", "content": "gt"}], "id": "e04cdb58b2994daa0090525dac707f93"}`,
		`{"messages": [{"role": "user", "content": "Q orm_all_right"}, {"role": "assistant", "content": "b"}], "id": "e04cdb58b2994daa0090525dac707f93"}`,
		`{"messages": [{"role": "user", "content": "Q orm_all_right"}, {"role": "assistant", "content": "a"}], "id": "e04cdb58b2994daa0090525dac707f93"}`,
	},
}

func TestSelection(t *testing.T) {
	var v struct {
		Inputs   []sampleCase
		Expected [][]string
	}
	vectors(t, "do_sample", &v)
	for i, in := range v.Inputs {
		for _, compat := range []bool{false, true} {
			want := v.Expected[i]
			if right, ok := fixed[in.ID]; ok && !compat {
				want = nil
				for _, line := range right {
					want = append(want, line+"\n")
				}
			}
			x := caseRow(t, in)
			if x.answers = nil; len(x.scores) > 0 {
				t.Fatal("scored before")
			}
			var choices struct{ Choices []string }
			json.Unmarshal(in.Row, &choices)
			for _, text := range append(choices.Choices, *x.truth) {
				x.answers = append(x.answers, Answer{Text: text})
				s := score{math.NaN(), math.NaN()}
				if in.ORM != nil {
					s.orm = smallest(in.ORM[text])
				}
				if in.PRM != nil {
					s.prm = smallest(in.PRM[text])
				}
				x.scores = append(x.scores, s)
			}
			x.answers = x.answers[:len(choices.Choices)]
			r := &run{Options: Options{Answers: in.N, Selection: Selection{Best: in.Best, PRMThreshold: in.Threshold, Easy: in.Easy, AsMSSwift: compat}}}
			if in.ORM != nil {
				r.ORM = noORM
			}
			if in.PRM != nil {
				r.PRM = noPRM
			}
			done, err := r.choose(x)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range done.Lines {
				got = append(got, line+"\n")
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, as ms-swift %v:\n%q, want\n%q", in.ID, compat, got, want)
			}
		}
	}
}

// caseRow reads the row of a case through a file, as a run does.
func caseRow(t *testing.T, in sampleCase) *row {
	t.Helper()
	rows := open(t, string(in.Row)+"\n")
	x, err := readRow(rows, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func open(t *testing.T, text string) *dataset.Dataset {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	rows, err := dataset.Open([]string{path}, dataset.Options{Prompts: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rows.Close() })
	return rows
}

func TestReadCache(t *testing.T) {
	var v struct {
		Inputs   struct{ Lines []json.RawMessage }
		Expected map[string]struct{ Choices []string }
	}
	vectors(t, "read_cache", &v)
	path := filepath.Join(t.TempDir(), "cache.jsonl")
	var text string
	for _, line := range v.Inputs.Lines {
		text += fmt.Sprintf("%s\n\n", line)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCache([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for id, c := range v.Expected {
		want[id] = c.Choices
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestReject tries what ms-swift's cases do not: ties, truths that are worst,
// graded rewards and opinions that are none.
func TestReject(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		name     string
		cs       []candidate
		orm, prm bool
		want     string
	}{
		{"the truth is worst", []candidate{{"a", false, score{nan, 0.9}}, {"b", false, score{nan, 0.5}}, {"gt", true, score{nan, 0.1}}}, false, true, "a>b gt"},
		{"the truth is worst, and nothing else", []candidate{{"a", false, score{nan, 0.9}}, {"gt", true, score{nan, 0.1}}}, false, true, "a gt"},
		{"its text is no other's to be rejected", []candidate{{"a", false, score{nan, 0.9}}, {"gt", false, score{nan, 0.1}}, {"gt", true, score{nan, 0.2}}}, false, true, "a gt gt"},
		{"a tie", []candidate{{"a", false, score{nan, 0.5}}, {"b", false, score{nan, 0.5}}, {"gt", true, score{nan, 0.9}}}, false, true, "gt>a b"},
		{"all equal", []candidate{{"a", false, score{nan, 0.5}}, {"b", false, score{nan, 0.5}}}, false, true, "b a"},
		{"right answers of different quality", []candidate{{"a", false, score{1, 0.2}}, {"b", false, score{1, 0.9}}}, true, true, "b a"},
		{"right and wrong", []candidate{{"a", false, score{1, 0.2}}, {"b", false, score{0, 0.9}}}, true, true, "a>b"},
		{"no opinion", []candidate{{"a", false, score{nan, nan}}, {"b", false, score{1, nan}}}, true, false, "b"},
		{"the same text again", []candidate{{"a", false, score{nan, 0.9}}, {"a", false, score{nan, 0.2}}}, false, true, "a a"},
		{"beyond all bounds", []candidate{{"a", false, score{nan, math.Inf(1)}}, {"b", false, score{nan, 1}}, {"c", false, score{nan, math.Inf(-1)}}}, false, true, "a>c b>c"},
	} {
		s := Selection{Best: 5}
		picks, _ := s.choose(test.cs, len(test.cs), test.orm, test.prm)
		got := ""
		for i, p := range picks {
			if i > 0 {
				got += " "
			}
			got += p.text
			if p.rejected != nil {
				got += ">" + *p.rejected
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
