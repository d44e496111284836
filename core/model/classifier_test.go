package model_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
)

// classifier returns the model of a family with a new head.
func classifier(t *testing.T, family string, n int, seed int64, dtype checkpoint.Dtype) *model.Model {
	t.Helper()
	dir := filepath.Join("testdata", family)
	c, err := model.LoadConfig(dir)
	if err == nil {
		err = c.Classify(n, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.LoadAs(dir, c, e, seed, dtype)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestScores compares the logits of a head with PyTorch's, and with the hidden
// states of the language model times the head, in float64.
func TestScores(t *testing.T) {
	text, err := os.ReadFile("testdata/scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][][]float64
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		m := classifier(t, family, 3, 1, checkpoint.F32)
		dim := m.Config.HiddenSize
		m.Score().Set(func(w []float32) {
			for k := range w {
				w[k] = float32(0.1 * math.Sin(float64(7*(k/dim)+3*(k%dim)+1)))
			}
		})
		plain, ref, _ := load(t, family)
		for most := 1; most <= 3; most++ {
			for i, logits := range m.Scores(ref.InputIDs, most) {
				for k, x := range logits {
					near(t, family+": logit", float64(x), want[family][i][k], 1e-5)
				}
			}
		}
		ids := ref.InputIDs[1][:11]
		hidden := plain.Forward(ids, []int32{0}).Hidden().Data()[10*dim:]
		got := m.Scores([][]int32{ids}, 1)[0]
		all := m.Classified(m.Forward(ids, []int32{0})).Logits()
		if shape := all.Shape(); shape[0] != 11 || shape[1] != 3 {
			t.Fatalf("%s: logits of shape %v, want [11 3]", family, shape)
		}
		for k := range got {
			sum := 0.0
			for j, h := range hidden {
				sum += float64(h) * float64(m.Score().Data()[k*dim+j])
			}
			near(t, family+": logit by hand", float64(got[k]), sum, 1e-5)
			near(t, family+": logit of the last token", float64(all.Data()[10*3+k]), sum, 1e-5)
		}
	}
}

// TestNewHead sees that a new head is drawn by the seed, as wide as it should be,
// in float32, and in the place of the output projection.
func TestNewHead(t *testing.T) {
	m := classifier(t, "llama", 200, 7, checkpoint.F32)
	again := classifier(t, "llama", 200, 7, checkpoint.BF16)
	other := classifier(t, "llama", 200, 8, checkpoint.F32)
	if !slices.Equal(m.Score().Data(), again.Score().Data()) || slices.Equal(m.Score().Data(), other.Score().Data()) {
		t.Error("the head does not follow from the seed")
	}
	if got := again.Score().Value().Dtype(); got != m.Score().Value().Dtype() {
		t.Errorf("the head is of %v", got)
	}
	var sum, squares float64
	for _, x := range m.Score().Data() {
		sum, squares = sum+float64(x), squares+float64(x)*float64(x)
	}
	n := float64(len(m.Score().Data()))
	near(t, "mean", sum/n, 0, 5*0.02/math.Sqrt(n))
	near(t, "deviation", math.Sqrt(squares/n), 0.02, 5*0.02/math.Sqrt(2*n))
	last := m.Linears[len(m.Linears)-1]
	if last.Name != "score" || last.Part != api.LMHead || last.Bias != nil || last.Out != 200 {
		t.Errorf("the head is %+v", last)
	}
	for _, p := range m.Params {
		if strings.HasPrefix(p.Name, "lm_head") {
			t.Errorf("there is %s too", p.Name)
		}
	}
	plain, _, _ := load(t, "llama")
	if one := classifier(t, "llama", 1, 7, checkpoint.F32); one.Memory(4096, 64) >= plain.Memory(4096, 64) {
		t.Errorf("predicted memory %d, of the language model %d", one.Memory(4096, 64), plain.Memory(4096, 64))
	}
}

// TestClasses reads what config.json says of a head.
func TestClasses(t *testing.T) {
	base, err := os.ReadFile("testdata/qwen3/config.json")
	if err != nil {
		t.Fatal(err)
	}
	with := func(t *testing.T, more string) (*model.Config, error) {
		config := map[string]any{}
		if err := json.Unmarshal(base, &config); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(more), &config); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		return model.ParseConfig(text)
	}
	const head = `"architectures": ["Qwen3ForSequenceClassification"]`
	for more, want := range map[string]*model.Classes{
		`{"num_labels": 5}`:               nil,
		`{` + head + `}`:                  {N: 2, Problem: model.SingleLabel},
		`{` + head + `, "num_labels": 1}`: {N: 1, Problem: model.Regression},
		`{` + head + `, "num_labels": null, "problem_type": null, "id2label": {"1": "bad", "0": "good", "2": "so so"}}`: {N: 3, Problem: model.SingleLabel, Names: []string{"good", "bad", "so so"}},
		`{` + head + `, "num_labels": 4, "problem_type": "multi_label_classification"}`:                                 {N: 4, Problem: model.MultiLabel},
	} {
		c, err := with(t, more)
		if err != nil {
			t.Errorf("%s: %v", more, err)
		} else if !reflect.DeepEqual(c.Classes, want) {
			t.Errorf("%s: %+v, want %+v", more, c.Classes, want)
		}
	}
	for more, want := range map[string]string{
		`{` + head + `, "problem_type": "ranking"}`: `problem_type is "ranking"`,
		`{` + head + `, "num_labels": -1}`:          "num_labels is -1",
		`{` + head + `, "id2label": {"1": "a"}}`:    `id2label has "1", want numbers from 0 to 0`,
	} {
		if _, err := with(t, more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
	c, err := with(t, `{`+head+`, "id2label": {"0": "good", "1": "bad"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Classify(3, ""); err == nil || !strings.Contains(err.Error(), "num_labels is 3, and the checkpoint has a head of 2") {
		t.Error(err)
	}
	if err := c.Classify(0, model.MultiLabel); err != nil || c.Classes.New {
		t.Error(err, c.Classes)
	}
	want := map[string]any{"architectures": []string{"Qwen3ForSequenceClassification"}, "num_labels": 2, "problem_type": model.MultiLabel,
		"id2label": map[string]string{"0": "good", "1": "bad"}, "label2id": map[string]int{"good": 0, "bad": 1}}
	if got := c.Classes.Keys("qwen3"); !reflect.DeepEqual(got, want) {
		t.Errorf("config.json gets %v, want %v", got, want)
	}
}
