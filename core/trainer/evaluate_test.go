package trainer_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/builtin"
	"swiftgo/core/trainer"
)

// marked are batches of rows with columns and weights, each row's part of the
// channel that its place says.
type marked struct{ batches }

func (m marked) Step(epoch, index int) ([]*api.Batch, error) {
	all, err := m.batches.Step(epoch, index)
	for k, b := range all {
		for i := range b.Starts {
			b.Rows = append(b.Rows, map[string]any{"channel": string(rune('a' + (i*len(all)+k)%2)), "other": true})
		}
		for i := range b.Labels {
			b.Scale = append(b.Scale, 0.5+0.25*float32(b.IDs[i]%3)) // of the token, wherever it stands
		}
	}
	return all, err
}

// TestLossesStandAccumulation sees that each loss of tokens trains the same
// however a step is divided, with weights and columns, of which they know nothing;
// a micro-batch here is several sequences end to end, as a pack is.
func TestLossesStandAccumulation(t *testing.T) {
	for _, name := range []string{"cross_entropy", "dft", "channel"} {
		var first []float64
		for _, accumulate := range []int{1, 2, 3} {
			m, ref := load(t, "qwen2")
			tr := newTrainer(t, m, marked{batches{ref, accumulate}}, 3, 0)
			var err error
			if tr.Loss, err = builtin.Exports().Losses[name](&api.Args{Name: name}); err != nil {
				t.Fatal(err)
			}
			losses := steps(t, tr)
			if first == nil {
				first = losses
			}
			alike(t, fmt.Sprintf("%s in %d micro-batches", name, accumulate), losses, first)
		}
	}
}

// TestChannels compares what is logged of the channels with the losses of their
// tokens, in training and in an evaluation.
func TestChannels(t *testing.T) {
	m, ref := load(t, "qwen2")
	data := marked{batches{ref, 2}}
	e := builtin.Exports()
	loss, err := e.Losses["channel"](&api.Args{Name: "channel"})
	if err != nil {
		t.Fatal(err)
	}
	callback, err := e.Callbacks["channel"](&api.Args{Name: "channel"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	counts := map[string]float64{}
	all, _ := data.Step(0, 0)
	for _, b := range all {
		ce := m.Forward(b.IDs, b.Starts).CrossEntropy(b.Labels).Data()
		for i := range b.Starts {
			name := "loss_" + b.Rows[i]["channel"].(string)
			from, to := b.Sequence(i)
			for k := from; k < to; k++ {
				if b.Labels[k] != api.Ignore {
					want[name] += float64(b.Scale[k]) * float64(ce[k])
					counts[name]++
				}
			}
		}
	}
	m.Hits()
	tr := newTrainer(t, m, data, 2, 0)
	tr.Loss, tr.Schedule, tr.LoggingSteps = loss, api.Constant(0, 0), 2
	tr.Eval, tr.EvalEvery = data, trainer.Every{Steps: 1}
	tr.Callbacks = []trainer.Callback{{Name: "channel", Callback: callback}}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	history := tr.State().LogHistory
	if len(want) != 2 || len(history) != 3 { // two evaluations, and one line between them of two steps
		t.Fatalf("%d channels, %d lines: %v", len(want), len(history), history)
	}
	for _, line := range history {
		prefix := "eval_"
		if _, ok := line["loss"]; ok {
			prefix = ""
		}
		for name, sum := range want {
			if x := sum / counts[name]; math.Abs(line[prefix+name]/x-1) > 1e-5 {
				t.Errorf("%s is %g, want %g; the line is %v", prefix+name, line[prefix+name], x, line)
			}
		}
	}
}

// overheard is a metric that keeps the rows it is given.
type overheard struct{ rows []map[string]any }

func (o *overheard) Add(_ *api.Output, b *api.Batch) error {
	for _, r := range b.Rows {
		o.rows = append(o.rows, maps.Clone(r))
	}
	return nil
}

func (o *overheard) Result() (map[string]float64, error) { return map[string]float64{"x": 1}, nil }

// digits writes tokens as their numbers.
func digits(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(strings.Repeat("i", int(id%7)) + ".")
	}
	return b.String()
}

// TestPredict compares the answers in an evaluation with those that the model
// gives to the same prompts.
func TestPredict(t *testing.T) {
	m, ref := load(t, "qwen2")
	metric := &overheard{}
	tr := newTrainer(t, m, marked{batches{ref, 1}}, 1, 0)
	tr.Schedule = api.Constant(0, 0)
	tr.Eval, tr.EvalEvery, tr.Metric = tr.Train, trainer.Every{Steps: 1}, func() (api.Metric, error) { return metric, nil }
	const stop = 3
	tr.Predict = &trainer.Predict{MaxNewTokens: 5, Stop: []int32{stop}, Decode: digits}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(metric.rows) != len(ref.InputIDs) {
		t.Fatalf("%d rows, want %d", len(metric.rows), len(ref.InputIDs))
	}
	for i, ids := range ref.InputIDs {
		labels := ref.Labels[i]
		end := len(labels)
		for labels[end-1] == api.Ignore {
			end--
		}
		begin := end
		for begin > 0 && labels[begin-1] != api.Ignore {
			begin--
		}
		answer := ids[begin:end]
		if k := slices.Index(answer, stop); k >= 0 {
			answer = answer[:k]
		}
		said := m.Generate([][]int32{ids[:begin]}, 5, []int32{stop})[0]
		row := metric.rows[i]
		if row["response"] != digits(said) || row["labels"] != digits(answer) || row["other"] != true {
			t.Errorf("row %d: %v, want %q and %q", i, row, digits(said), digits(answer))
		}
	}
}

// TestPredictWantsQuestion evaluates sequences whose every token counts.
func TestPredictWantsQuestion(t *testing.T) {
	m, ref := load(t, "qwen2")
	whole := *ref
	whole.Labels = ref.InputIDs
	tr := newTrainer(t, m, batches{ref, 1}, 1, 0)
	tr.Eval, tr.EvalEvery = batches{&whole, 1}, trainer.Every{Steps: 1}
	tr.Predict = &trainer.Predict{MaxNewTokens: 5, Decode: digits}
	if err := tr.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "nothing comes before the answer") {
		t.Errorf("no question: %v", err)
	}
}

// TestMetricLeavesHits sees that a metric that predicts the tokens once more does
// not change the token_acc of the log.
func TestMetricLeavesHits(t *testing.T) {
	var accs []float64
	for _, name := range []string{"", "ppl"} {
		m, ref := load(t, "qwen2")
		tr := newTrainer(t, m, batches{ref, 2}, 8, 0)
		tr.LoggingSteps = 1
		tr.Eval, tr.EvalEvery = batches{ref, 3}, trainer.Every{Steps: 1}
		if name != "" {
			tr.Metric = func() (api.Metric, error) { return builtin.Exports().Metrics[name](&api.Args{Name: name}) }
		}
		tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{OnEvaluate: func(s *api.State) error {
			accs = append(accs, s.Metrics["eval_token_acc"])
			return nil
		}, OnLog: func(s *api.State) error {
			accs = append(accs, s.Logs["token_acc"])
			return nil
		}}}}
		if err := tr.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if half := len(accs) / 2; !slices.Equal(accs[:half], accs[half:]) {
		t.Errorf("with ppl %v, want %v", accs[half:], accs[:half])
	}
}
