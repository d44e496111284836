package builtin

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/api/apitest"
	"swiftgo/core/trainer"
)

// env are ms-swift's variables, as settings of ours.
func env(values map[string]string, prefix string) map[string]any {
	settings := map[string]any{}
	for name, text := range values {
		key := strings.ToLower(strings.TrimPrefix(name, prefix))
		switch text {
		case "True", "False":
			settings[key] = text == "True"
		default:
			settings[key] = json.Number(text)
		}
	}
	return settings
}

// judged is a batch of sequences of one token: documents with these labels, each
// but of a reranker after its query.
func judged(labels []float64, queries int) *api.Batch {
	b := &api.Batch{Items: float64(len(labels))}
	add := func(label int32, row map[string]any) {
		b.Starts, b.IDs, b.Labels, b.Rows = append(b.Starts, int32(len(b.Starts))), append(b.IDs, 0), append(b.Labels, label), append(b.Rows, row)
	}
	for _, y := range labels {
		if queries == len(labels) || queries > 0 && y != 0 {
			add(api.Ignore, nil)
		}
		add(int32(btoi(y > 0)), map[string]any{"label": y})
	}
	return b
}

// TestLossVectors compares value and gradient with ms-swift's losses of
// embeddings and rerankers.
func TestLossVectors(t *testing.T) {
	var v struct {
		Inputs []struct {
			ID     string
			Loss   string `json:"loss_type"`
			Labels []float64
			Hidden [][]float64 `json:"last_hidden_state"`
			Logits [][]float64
			Env    map[string]string
		}
		Expected []struct {
			Loss float64
			Grad [][]float64
		}
	}
	vectors(t, "loss_plugins.json", &v)
	for i, c := range v.Inputs {
		t.Run(c.ID, func(t *testing.T) {
			prefix, rows, queries := "INFONCE_", c.Hidden, len(c.Hidden)-len(c.Labels)
			if c.Hidden == nil {
				prefix, rows, queries = "LISTWISE_RERANKER_", c.Logits, 0
			}
			loss := lossOf(t, c.Loss, env(c.Env, prefix))
			p := api.NewParam("states", dense(rows))
			got, err := loss.Compute(api.LogitsOutput(p.Var), judged(c.Labels, queries))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "loss", got.Data(), [][]float64{{v.Expected[i].Loss}})
			if err := got.Backward(); err != nil {
				t.Fatal(err)
			}
			compare(t, "gradient", p.Grad(), v.Expected[i].Grad)
		})
	}
}

// TestLossComputeVectors compares with what ms-swift's trainer makes of a loss.
func TestLossComputeVectors(t *testing.T) {
	var v struct {
		Inputs   []tokenCase
		Expected []struct {
			Loss     float64
			DLogits  [][][]float64
			PerToken []float64 `json:"per_token_loss"`
		}
	}
	vectors(t, "loss_compute.json", &v)
	for i, c := range v.Inputs {
		t.Run(c.ID, func(t *testing.T) {
			name := "cross_entropy"
			if c.DFT {
				name = "dft"
			}
			b, logits := c.batch()
			if b.Items = c.Items / float64(c.Processes); c.Items == 0 {
				b.Items = countedLabels(b)
			}
			want := v.Expected[i]
			if strings.Contains(c.ID, "drops_loss_scale") {
				b.Scale = nil // ms-swift's fault, not ours: see the case without
			}
			p := api.NewParam("logits", logits)
			perToken, total := trained(t, name, b, p)
			compare(t, "loss of each token", perToken, [][]float64{want.PerToken})
			compare(t, "loss", []float32{total}, [][]float64{{want.Loss}})
			compare(t, "gradient", p.Grad(), slices.Concat(want.DLogits...))
		})
	}
}

// TestGradAccumulation compares two micro-batches of one step with ms-swift.
func TestGradAccumulation(t *testing.T) {
	var v struct {
		Inputs struct {
			Micro []tokenCase `json:"micro_batches"`
		}
		Expected struct {
			Items   float64 `json:"num_items_in_batch"`
			Loss    float64 `json:"step_loss"`
			DLogits [][][][]float64
		}
	}
	vectors(t, "loss_grad_accum.json", &v)
	sum := float32(0)
	for i, c := range v.Inputs.Micro {
		b, logits := c.batch()
		b.Items = v.Expected.Items
		p := api.NewParam("logits", logits)
		_, total := trained(t, "cross_entropy", b, p)
		sum += total
		compare(t, "gradient", p.Grad(), slices.Concat(v.Expected.DLogits[i]...))
	}
	compare(t, "loss", []float32{sum}, [][]float64{{v.Expected.Loss}})
}

// tokenCase is a batch of ms-swift's: padded sequences, whose labels and weights
// are not shifted yet.
type tokenCase struct {
	ID        string
	Logits    [][][]float64
	Labels    [][]int32
	Scale     [][]float32 `json:"loss_scale"`
	Items     float64     `json:"num_items_in_batch"`
	DFT       bool        `json:"enable_dft_loss"`
	Processes float64     `json:"num_processes"`
}

func (c *tokenCase) batch() (*api.Batch, *tensor.Dense) {
	b := &api.Batch{}
	for i, labels := range c.Labels {
		b.Starts = append(b.Starts, int32(len(b.Labels)))
		b.Labels = append(append(b.Labels, labels[1:]...), labels[0])
		if c.Scale != nil {
			b.Scale = append(append(b.Scale, c.Scale[i][1:]...), c.Scale[i][0])
		}
	}
	return b, dense(slices.Concat(c.Logits...))
}

// trained returns the loss of each token and what the trainer makes of it, and
// leaves the gradient in p.
func trained(t *testing.T, name string, b *api.Batch, p *api.Param) (perToken []float32, total float32) {
	t.Helper()
	v, err := lossOf(t, name, nil).Compute(api.LogitsOutput(p.Var), b)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := trainer.Reduce(v, b, b.Items)
	if err == nil {
		err = sum.Backward()
	}
	if err != nil {
		t.Fatal(err)
	}
	return v.Data(), sum.Data()[0]
}

func countedLabels(b *api.Batch) (n float64) {
	for _, label := range b.Labels {
		n += float64(btoi(label != api.Ignore))
	}
	return n
}

// compare wants numbers of float32 to be equal but for their rounding: within
// 1e-6 of the largest.
func compare(t *testing.T, what string, got []float32, want [][]float64) {
	t.Helper()
	all := slices.Concat(want...)
	if len(got) != len(all) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(all))
	}
	most := 0.0
	for _, x := range all {
		most = max(most, math.Abs(x))
	}
	for i, x := range all {
		if d := math.Abs(float64(got[i]) - x); !(d <= 1e-6*most+1e-12) {
			t.Errorf("%s %d: %g, want %g", what, i, got[i], x)
		}
	}
}

func dense(rows [][]float64) *tensor.Dense {
	x := api.Full(0, len(rows), len(rows[0]))
	for i, y := range slices.Concat(rows...) {
		x.Float32s()[i] = float32(y)
	}
	return x
}

// TestJudgingGradients compares the gradients of the losses of embeddings and
// rerankers with differences, in a batch of sequences of several tokens that is
// part of a step.
func TestJudgingGradients(t *testing.T) {
	for _, c := range []struct {
		loss     string
		settings map[string]any
		labels   []float64
		queries  int
		dim      int
	}{
		{"cosine_similarity", nil, []float64{1, 0, 0.3}, 3, 5},
		{"contrastive", nil, []float64{1, 0, 0.3, 0}, 4, 5},
		{"online_contrastive", nil, []float64{1, 0, 1, 0, 0}, 5, 5},
		{"infonce", nil, []float64{1, 0, 0, 1, 0}, 2, 5},
		{"infonce", map[string]any{"use_batch": false, "temperature": 0.5}, []float64{1, 0, 0, 1, 0}, 2, 5},
		{"infonce", map[string]any{"hard_negatives": 2, "include_qq": true, "include_dd": true, "temperature": 1}, []float64{1, 0, 0, 0, 1, 0}, 2, 5},
		{"pointwise_reranker", nil, []float64{1, 0, 0, 0.5}, 0, 1},
		{"listwise_reranker", map[string]any{"temperature": 0.7}, []float64{0, 1, 0, 0, 1, 0, 1}, 0, 1},
	} {
		t.Run(c.loss, func(t *testing.T) {
			loss := lossOf(t, c.loss, c.settings)
			b := stretched(judged(c.labels, c.queries))
			b.Items = 2 * float64(len(c.labels))
			r := rand.New(rand.NewPCG(3, 5))
			states := api.Full(0, len(b.Labels), c.dim)
			for i := range states.Float32s() {
				states.Float32s()[i] = float32(r.NormFloat64())
			}
			p := api.NewParam("states", states)
			value := func() float64 {
				v, err := loss.Compute(api.LogitsOutput(p.Var), b)
				if err != nil {
					t.Fatal(err)
				}
				return float64(v.Data()[0])
			}
			v, err := loss.Compute(api.LogitsOutput(p.Var), b)
			if err == nil {
				err = v.Backward()
			}
			if err != nil {
				t.Fatal(err)
			}
			b.Items /= 2 // half a step counts half
			if whole := value(); math.Abs(whole-2*float64(v.Data()[0])) > 1e-6*math.Abs(whole) {
				t.Errorf("half of a step is %g, the whole %g", v.Data()[0], whole)
			}
			b.Items *= 2
			for i, got := range slices.Clone(p.Grad()) {
				const h = 1.0 / 256
				p.Set(func(w []float32) { w[i] += h })
				above := value()
				p.Set(func(w []float32) { w[i] -= 2 * h })
				below := value()
				p.Set(func(w []float32) { w[i] += h })
				want := (above - below) / (2 * h)
				if math.Abs(float64(got)-want) > 2e-3*max(1, math.Abs(want)) {
					t.Errorf("gradient to state %d of token %d is %g, by differences %g", i%c.dim, i/c.dim, got, want)
				}
			}
		})
	}
}

// stretched is b with two tokens before the last one of each sequence.
func stretched(b *api.Batch) *api.Batch {
	s := &api.Batch{Rows: b.Rows, Items: b.Items}
	for i := range b.Starts {
		s.Starts = append(s.Starts, int32(len(s.Labels)))
		s.IDs, s.Labels = append(s.IDs, 1, 2, b.IDs[i]), append(s.Labels, api.Ignore, api.Ignore, b.Labels[i])
	}
	return s
}

// TestJudgingFormulas compares with the formulas in float64 what ms-swift's
// vectors have no example of.
func TestJudgingFormulas(t *testing.T) {
	scores := [][]float64{{0.5}, {-1.25}, {30}, {-40}}
	labels := []float64{1, 0, 0, 1}
	want := 0.0
	for i, y := range labels {
		p := 1 / (1 + math.Exp(-scores[i][0]))
		if y == 0 {
			p = 1 / (1 + math.Exp(scores[i][0]))
		}
		want -= math.Log(p) / 4
	}
	judge(t, "pointwise_reranker", nil, scores, judged(labels, 0), want)

	states := [][]float64{{1, 0.5}, {0.5, 1}, {-1, 0.25}, {0.25, 1}, {1, 1}, {0.75, -1}, {2, -0.5}} // q d d, q d d d
	want = 0
	for _, g := range [][]int{{0, 1, 2}, {3, 4, 5, 6}} {
		sum := 0.0
		at := func(k int) float64 {
			return (states[g[0]][0]*states[k][0] + states[g[0]][1]*states[k][1]) / 0.5
		}
		for _, k := range g[1:] {
			sum += math.Exp(at(k))
		}
		want -= math.Log(math.Exp(at(g[1]))/sum) / 2
	}
	judge(t, "infonce", map[string]any{"use_batch": false, "temperature": 0.5}, states, judged([]float64{1, 0, 1, 0, 0}, 2), want)
}

func judge(t *testing.T, name string, settings map[string]any, states [][]float64, b *api.Batch, want float64) {
	t.Helper()
	v, err := lossOf(t, name, settings).Compute(api.LogitsOutput(api.Const(dense(states))), b)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, name, v.Data(), [][]float64{{want}})
}

// TestJudgingRefuses looks at the errors for batches of another task and for bad
// settings.
func TestJudgingRefuses(t *testing.T) {
	plain := &api.Batch{Starts: []int32{0}, Labels: []int32{1, api.Ignore}, Rows: []map[string]any{nil}}
	out := api.LogitsOutput(api.Const(api.Full(1, 2, 3)))
	for name, want := range map[string]string{
		"cosine_similarity": "--task_type embedding", "contrastive": "--task_type embedding", "online_contrastive": "--task_type embedding", "infonce": "--task_type embedding",
		"pointwise_reranker": "--task_type generative_reranker", "listwise_reranker": "--task_type generative_reranker",
	} {
		if _, err := lossOf(t, name, nil).Compute(out, plain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s of a batch of text: %v, want %s", name, err, want)
		}
	}
	for _, c := range []struct{ loss, key, want string }{
		{"infonce", "temperature", "temperature is -1"}, {"infonce", "hard_negatives", "hard_negatives is -1"}, {"infonce", "fake_neg_margin", "fake_neg_margin is -1"},
		{"listwise_reranker", "temperature", "temperature is -1"}, {"listwise_reranker", "min_group_size", "min_group_size"}, {"cross_entropy", "label_smoothing", "label_smoothing is -1"},
	} {
		if _, err := Exports().Losses[c.loss](own(c.loss, map[string]any{c.key: -1})); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s -1: %v, want %s", c.loss, c.key, err, c.want)
		}
	}
	pairs := judged([]float64{1, 0, 0}, 1)
	states := api.LogitsOutput(api.Const(api.Full(1, 4, 3)))
	if _, err := lossOf(t, "contrastive", nil).Compute(states, pairs); err == nil || !strings.Contains(err.Error(), "want pairs") {
		t.Errorf("three documents of a query: %v", err)
	}
}

func lossOf(t *testing.T, name string, settings map[string]any) api.Loss {
	t.Helper()
	loss, err := Exports().Losses[name](own(name, settings))
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

// TestLabelSmoothing compares with the formula of transformers' LabelSmoother.
func TestLabelSmoothing(t *testing.T) {
	apitest.Loss(t, newCrossEntropy, apitest.With(map[string]any{"label_smoothing": 0.2}))
	loss := lossOf(t, "cross_entropy", map[string]any{"label_smoothing": 0.2})
	x := []float64{0.5, -1, 2}
	v, err := loss.Compute(api.LogitsOutput(api.Const(dense([][]float64{x}))), &api.Batch{Labels: []int32{1}})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, y := range x {
		sum += math.Exp(y)
	}
	want := 0.0
	for k, y := range x {
		nll := math.Log(sum) - y
		want += 0.2 / 3 * nll
		if k == 1 {
			want += 0.8 * nll
		}
	}
	compare(t, "loss", v.Data(), [][]float64{{want}})
}
