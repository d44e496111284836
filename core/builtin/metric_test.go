package builtin

import (
	"math"
	"strings"
	"testing"

	"swiftgo/api"
)

// measure returns what a metric makes of batches.
func measure(t *testing.T, name string, settings map[string]any, batches ...judgedStates) map[string]float64 {
	t.Helper()
	m, err := Exports().Metrics[name](own(name, settings))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := m.Add(api.LogitsOutput(api.Const(dense(b.states))), b.Batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := m.Result()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

type judgedStates struct {
	*api.Batch
	states [][]float64
}

// near wants the numbers of ms-swift, which computes in float32.
func nearValues(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
	for name, x := range want {
		if y, ok := got[name]; !ok || math.Abs(y-x) > 1e-6*max(1, math.Abs(x)) {
			t.Errorf("%s: %s is %g, want %g", what, name, y, x)
		}
	}
}

func TestInfoNCEMetricVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			ID         string
			Embeddings [][]float64
			Labels     []float64
			Env        map[string]string
		}
		Expected []map[string]float64
	}
	vectors(t, "metric_infonce.json", &v)
	for i, c := range v.Inputs {
		b := judged(c.Labels, len(c.Embeddings)-len(c.Labels))
		nearValues(t, c.ID, measure(t, "infonce", env(c.Env, "INFONCE_"), judgedStates{b, c.Embeddings}), v.Expected[i])
	}
}

// TestInfoNCEMetricBatch compares with the formula for documents of all queries,
// which come in two batches.
func TestInfoNCEMetricBatch(t *testing.T) {
	first := judgedStates{judged([]float64{1, 0}, 1), [][]float64{{1, 2}, {3, -1}, {0.5, 1}}}
	second := judgedStates{judged([]float64{1}, 1), [][]float64{{-1, 1}, {2, 2}}}
	// the products with (3,-1), (0.5,1) and (2,2) are 1, 2.5, 6 and -4, 0.5, 0
	nearValues(t, "two batches", measure(t, "infonce", nil, first, second), map[string]float64{"mean_pos": 0.5, "mean_neg": 1.25, "margin": -2.75})
	nearValues(t, "none", measure(t, "infonce", nil), map[string]float64{})
}

func TestPairedVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			Embeddings [][]float64
			Labels     []float64
		}
		Expected []map[string]float64
	}
	vectors(t, "metric_paired.json", &v)
	for i, c := range v.Inputs {
		nearValues(t, "paired", measure(t, "paired", nil, judgedStates{judged(c.Labels, len(c.Labels)), c.Embeddings}), v.Expected[i])
	}
	nearValues(t, "none", measure(t, "paired", nil), map[string]float64{})
}

func TestRanks(t *testing.T) {
	for i, got := range ranks([]float64{3, 1, 3, 2, 3}) {
		if want := []float64{3, 0, 3, 1, 3}[i]; got != want {
			t.Errorf("rank of element %d is %g, want %g", i, got, want)
		}
	}
}

func TestRerankerMetricVectors(t *testing.T) {
	var v struct {
		Inputs   []struct{ Logits, Labels []float64 }
		Expected []map[string]float64
	}
	vectors(t, "metric_reranker.json", &v)
	for i, c := range v.Inputs {
		var scores [][]float64
		for _, x := range c.Logits {
			scores = append(scores, []float64{x})
		}
		nearValues(t, "reranker", measure(t, "reranker", nil, judgedStates{judged(c.Labels, 0), scores}), v.Expected[i])
	}
	nearValues(t, "none", measure(t, "reranker", nil), map[string]float64{"mrr": 0, "ndcg": 0})
}

func TestPPL(t *testing.T) {
	b := &api.Batch{Labels: []int32{0, api.Ignore, 1}, Starts: []int32{0}}
	states := [][]float64{{math.Log(3), 0}, {5, 0}, {0, math.Log(4)}} // 3/4, of no account, 4/5
	nearValues(t, "ppl", measure(t, "ppl", nil, judgedStates{b, states}), map[string]float64{"ppl": math.Sqrt(4.0 / 3 * 5 / 4)})
}

// TestMetricsKeepNothing uses the memory of a batch again, as the trainer does.
func TestMetricsKeepNothing(t *testing.T) {
	for name, queries := range map[string]int{"infonce": 2, "paired": 2, "reranker": 0} {
		m, err := Exports().Metrics[name](own(name, nil))
		if err != nil {
			t.Fatal(err)
		}
		b := judged([]float64{1, 0}, queries)
		states := api.Full(0, len(b.Labels), 1)
		for k := range 2 {
			for i := range states.Float32s() {
				states.Float32s()[i] = float32((i*7+k*3)%5) - 1.5
			}
			if err := m.Add(api.LogitsOutput(api.Const(states)), b); err != nil {
				t.Fatal(err)
			}
		}
		before, err := m.Result()
		if err != nil {
			t.Fatal(err)
		}
		clear(states.Float32s())
		clear(b.Labels)
		after, err := m.Result()
		if err != nil {
			t.Fatal(err)
		}
		nearValues(t, name, after, before)
	}
}

func TestJudgingMetricsRefuse(t *testing.T) {
	plain := &api.Batch{Starts: []int32{0}, Labels: []int32{1, api.Ignore}, Rows: []map[string]any{nil}}
	for name, want := range map[string]string{"infonce": "--task_type embedding", "paired": "--task_type embedding", "reranker": "--task_type generative_reranker"} {
		m, err := Exports().Metrics[name](own(name, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(api.LogitsOutput(api.Const(api.Full(1, 2, 3))), plain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s of a batch of text: %v, want %s", name, err, want)
		}
	}
}
