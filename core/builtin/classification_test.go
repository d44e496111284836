package builtin

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"swiftgo/api"
)

// classified is a batch of sequences of three tokens, of which the last has the
// logits, and its output.
func classified(logits [][]float64, labels []any) (*api.Batch, *api.Param) {
	b := &api.Batch{}
	rows := [][]float64{}
	for i, row := range logits {
		other := make([]float64, len(row))
		for k := range other {
			other[k] = float64(k*7%5) + 9
		}
		rows = append(rows, other, other, row)
		b.Starts, b.IDs = append(b.Starts, int32(3*i)), append(b.IDs, 1, 2, 3)
		b.Labels = append(b.Labels, api.Ignore, api.Ignore, 0)
		b.Rows = append(b.Rows, map[string]any{"label": labels[i]})
	}
	b.Items = float64(len(logits))
	return b, api.NewParam("logits", dense(rows))
}

// TestSequenceClassification compares loss and gradient with PyTorch's.
func TestSequenceClassification(t *testing.T) {
	var v struct {
		Cases []struct {
			ID      string
			Problem string `json:"problem_type"`
			Logits  [][]float64
			Labels  []any
			Loss    float64
			Grad    [][]float64
		}
	}
	vectors(t, "loss_seq_cls.json", &v)
	for _, c := range v.Cases {
		t.Run(c.ID, func(t *testing.T) {
			b, p := classified(c.Logits, c.Labels)
			b.Items *= 4 // a part of a step
			loss, err := lossOf(t, "seq_cls", map[string]any{"problem_type": c.Problem}).Compute(api.LogitsOutput(p.Var), b)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "loss", loss.Scale(4).Data(), [][]float64{{c.Loss}})
			if err := loss.Scale(4).Backward(); err != nil {
				t.Fatal(err)
			}
			want := [][]float64{}
			for _, row := range c.Grad {
				none := make([]float64, len(row))
				want = append(want, none, none, row)
			}
			compare(t, "gradient", p.Grad(), want)
		})
	}
}

// TestClassificationAccuracy counts the sequences whose class is right.
func TestClassificationAccuracy(t *testing.T) {
	m, err := newAcc(own("acc", map[string]any{"strategy": "seq", "problem_type": singleLabel}))
	if err != nil {
		t.Fatal(err)
	}
	for _, labels := range [][]any{{1.0, 0.0, 2.0}, {1.0, 1.0, 0.0}} { // right: 1 0 2
		b, p := classified([][]float64{{0, 3, 1}, {2, -1, 1}, {0, 0, 5}}, labels)
		if err := m.Add(api.LogitsOutput(p.Var), b); err != nil {
			t.Fatal(err)
		}
	}
	got, err := m.Result()
	if err != nil || len(got) != 1 || math.Abs(got["acc"]-4.0/6) > 1e-9 {
		t.Errorf("%v, %v, want acc of 4 in 6", got, err)
	}
}

func TestClassificationRefuses(t *testing.T) {
	for _, c := range []struct{ settings, label, want string }{
		{singleLabel, `3`, "want the number of a class, from 0 to 2"}, {singleLabel, `0.5`, "from 0 to 2"}, {singleLabel, `-1`, "from 0 to 2"}, {singleLabel, `null`, "--task_type seq_cls"},
		{multiLabel, `[3]`, "from 0 to 2"}, {multiLabel, `[0.5]`, "from 0 to 2"}, {multiLabel, `["a"]`, "want numbers"}, {regression, `1`, "has 1 numbers as label, and the model gives 3"},
	} {
		var label any
		if err := json.Unmarshal([]byte(c.label), &label); err != nil {
			t.Fatal(err)
		}
		b, p := classified([][]float64{{0, 3, 1}}, []any{label})
		if _, err := lossOf(t, "seq_cls", map[string]any{"problem_type": c.settings}).Compute(api.LogitsOutput(p.Var), b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of label %s: %v, want %q", c.settings, c.label, err, c.want)
		}
	}
	if _, err := newSeqCls(own("seq_cls", map[string]any{"problem_type": "ranking"})); err == nil || !strings.Contains(err.Error(), `problem_type is "ranking"`) {
		t.Error(err)
	}
	if _, err := newAcc(own("acc", map[string]any{"problem_type": regression})); err == nil || !strings.Contains(err.Error(), "acc counts classes") {
		t.Error(err)
	}
}
