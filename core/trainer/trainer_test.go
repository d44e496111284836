package trainer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/report"
	"swiftgo/core/trainer"
)

// models are those of core/model/testdata, where README.md says what the
// numbers of reference.json are.
const models = "../model/testdata"

var families = []string{"llama", "llama31", "qwen2", "qwen3"}

type reference struct {
	InputIDs [][]int32 `json:"input_ids"`
	Labels   [][]int32 `json:"labels"`
	Full     curve     `json:"full_adamw"`
	LoRA     curve     `json:"lora_adamw"`
	IA3      curve     `json:"ia3_adamw"`
}

type curve struct {
	Points [][2]float64 `json:"loss_gradnorm"`
}

// batches are the reference's sequences, the same at every step, in as many
// micro-batches as accumulate says.
type batches struct {
	ref        *reference
	accumulate int
}

func (b batches) StepsPerEpoch() int { return 1 }

func (b batches) Sources(_, _ int) ([]string, error) { return []string{"reference.json"}, nil }

func (b batches) Step(_, _ int) ([]*api.Batch, error) {
	all := make([]*api.Batch, b.accumulate)
	for i, ids := range b.ref.InputIDs {
		k := i % b.accumulate
		if all[k] == nil {
			all[k] = &api.Batch{}
		}
		all[k].Starts = append(all[k].Starts, int32(len(all[k].IDs)))
		all[k].IDs = append(all[k].IDs, ids...)
		all[k].Labels = append(append(all[k].Labels, b.ref.Labels[i][1:]...), api.Ignore)
	}
	return all, nil
}

func load(t *testing.T, family string) (*model.Model, *reference) {
	t.Helper()
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(filepath.Join(models, family), e)
	if err != nil {
		t.Fatal(err)
	}
	var ref reference
	text, err := os.ReadFile(filepath.Join(models, family, "reference.json"))
	if err == nil {
		err = json.Unmarshal(text, &ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, &ref
}

// newTrainer returns a trainer with the AdamW of the reference.
func newTrainer(t *testing.T, m *model.Model, data trainer.Batches, steps int, decay float64) *trainer.Trainer {
	t.Helper()
	args := &api.Args{Name: "adamw", WeightDecay: decay, Own: map[string]any{"decay_all": true}}
	o, _, err := builtin.Exports().Optimizers["adamw"](args, m.Model, steps)
	if err != nil {
		t.Fatal(err)
	}
	loss, err := builtin.Exports().Losses["cross_entropy"](&api.Args{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := report.Open(dir, report.Options{MaxSteps: steps})
	if err != nil {
		t.Fatal(err)
	}
	return &trainer.Trainer{
		Model: m, Loss: loss, Optimizer: o, Schedule: api.Constant(1e-2, 0), Train: data, Report: r,
		Save:    func(string) error { return nil },
		Options: trainer.Options{Seed: 42, Steps: steps, MaxGradNorm: 1, OutputDir: dir, BestMetric: "loss"},
	}
}

// compare trains and compares each step's loss and gradient norm.
func compare(t *testing.T, m *model.Model, ref *reference, decay float64, want curve) {
	t.Helper()
	const steps = 12
	tr := newTrainer(t, m, batches{ref, 1}, steps, decay)
	tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{OnStepEnd: func(s *api.State) error {
		p := want.Points[s.Step-1]
		if math.Abs(s.Loss-p[0]) > 1e-3 || math.Abs(s.GradNorm/p[1]-1) > 1e-3 {
			t.Errorf("step %d: loss %.6f and gradient norm %.6f, want %.6f and %.6f", s.Step, s.Loss, s.GradNorm, p[0], p[1])
		}
		return nil
	}}}}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if tr.State().Step != steps || len(want.Points) != steps {
		t.Errorf("%d steps of %d, want %d", tr.State().Step, len(want.Points), steps)
	}
}

func TestFullCurve(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref := load(t, family)
			compare(t, m, ref, 0.1, ref.Full)
		})
	}
}

// adapted loads the reference's LoRA adapter onto m and returns its directory.
func adapted(t *testing.T, m *model.Model, family string) string {
	t.Helper()
	dir := filepath.Join(models, family, "lora_adapter")
	a := &api.Adapter{Tensors: map[string]*tensor.Dense{}}
	if err := checkpoint.ReadJSON(filepath.Join(dir, "adapter_config.json"), &a.Config); err != nil {
		t.Fatal(err)
	}
	w, err := checkpoint.OpenFile(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, name := range w.Names() {
		data, shape, err := w.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		a.Tensors[name] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	lora, err := builtin.Exports().Tuners["lora"](&api.Args{Name: "lora"})
	if err != nil {
		t.Fatal(err)
	}
	if err := lora.(api.Saver).Load(m.Model, a); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoRACurve(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref := load(t, family)
			adapted(t, m, family)
			compare(t, m, ref, 0, ref.LoRA)
		})
	}
}

func TestLoRALogits(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref := load(t, family)
			dir := adapted(t, m, family)
			w, err := checkpoint.OpenFile(filepath.Join(filepath.Dir(dir), "logits_lora.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			want, _, err := w.Read(w.Names()[0])
			if err != nil {
				t.Fatal(err)
			}
			data, _ := batches{ref, 1}.Step(0, 0)
			got := m.Forward(data[0].IDs, data[0].Starts).Logits().Data()
			if len(got) != len(want) {
				t.Fatalf("%d logits, want %d", len(got), len(want))
			}
			for i := range got {
				if math.Abs(float64(got[i]-want[i])) > 1e-4 {
					t.Fatalf("logit %d is %g, want %g", i, got[i], want[i])
				}
			}
		})
	}
}

// TestIA3Curve wraps the linears as the reference does: a vector of ones on the
// input of down_proj and on the output of the others.
func TestIA3Curve(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref := load(t, family)
			m.Freeze()
			for _, l := range m.Linears {
				switch l.Part {
				case api.LMHead:
				case api.MLPDown:
					v := m.AddParam(l.Name+".ia3", 1, l.In)
					l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x.Mul(v.Var)) })
				default:
					v := m.AddParam(l.Name+".ia3", 1, l.Out)
					l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Mul(v.Var) })
				}
			}
			compare(t, m, ref, 0, ref.IA3)
		})
	}
}

// steps trains and returns the loss and the norm of the gradient of every step.
func steps(t *testing.T, tr *trainer.Trainer) []float64 {
	t.Helper()
	var all []float64
	tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{OnStepEnd: func(s *api.State) error {
		all = append(all, s.Loss, s.GradNorm)
		return nil
	}}}}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return all
}

// alike fails where numbers differ by more than rounding in another order does.
func alike(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range got {
		if math.Abs(got[i]/want[i]-1) > 1e-4 {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

// TestAccumulation sees that a step is the same however it is divided.
func TestAccumulation(t *testing.T) {
	var first []float64
	for _, accumulate := range []int{1, 2, 3} {
		m, ref := load(t, "qwen2")
		tr := newTrainer(t, m, batches{ref, accumulate}, 3, 0)
		losses := steps(t, tr)
		if first == nil {
			first = losses
		}
		alike(t, fmt.Sprint(accumulate, " micro-batches"), losses, first)
	}
}

// TestCheckpointing sees that computing layers again changes no bit of a run,
// with dropout and with gradients of all kinds of parameters.
func TestCheckpointing(t *testing.T) {
	for _, tuner := range []string{"lora", "full"} {
		var first []float64
		for _, again := range []bool{false, true} {
			m, ref := load(t, "qwen3")
			m.Checkpointing = again
			args := &api.Args{Name: tuner, Own: map[string]any{}}
			if tuner == "lora" {
				args.Own["dropout"] = 0.2
			}
			tn, err := builtin.Exports().Tuners[tuner](args)
			if err != nil {
				t.Fatal(err)
			}
			if err := tn.Prepare(m.Model); err != nil {
				t.Fatal(err)
			}
			tr := newTrainer(t, m, batches{ref, 2}, 5, 0)
			got := steps(t, tr)
			for _, p := range m.Trainable() {
				got = append(got, m.Engine.SumSquares(p.Value()))
			}
			if first == nil {
				first = got
			} else if !slices.Equal(got, first) {
				t.Errorf("%s: with checkpointing %v, want %v", tuner, got[:10], first[:10])
			}
		}
	}
}

// TestBF16 trains an adapter of a small model for 200 steps on weights in
// bfloat16: the loss ends within 1 % of that in float32.
func TestBF16(t *testing.T) {
	if testing.Short() {
		t.Skip("needs 200 steps, twice: not with -short")
	}
	var last []float64
	for _, dtype := range []checkpoint.Dtype{checkpoint.F32, checkpoint.BF16} {
		_, ref := load(t, "qwen2")
		e, err := autograd.NewEngine(0)
		if err != nil {
			t.Fatal(err)
		}
		m, err := loadAs("qwen2", e, dtype)
		if err != nil {
			t.Fatal(err)
		}
		adapted(t, m, "qwen2")
		m.Settle()
		for _, l := range m.Linears {
			if got := l.Weight.Value().Dtype() == tensor.Float32; got != (dtype == checkpoint.F32) {
				t.Fatalf("%s: %s is of %v", dtype, l.Name, l.Weight.Value().Dtype())
			}
		}
		tr := newTrainer(t, m, batches{ref, 1}, 200, 0)
		tr.Schedule = api.Cosine(2e-3, 10, 200)
		if err := tr.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		last = append(last, tr.State().Loss)
	}
	if math.Abs(last[1]/last[0]-1) > 0.01 || last[0] > 4 {
		t.Errorf("after 200 steps the loss is %.4f in bfloat16, %.4f in float32", last[1], last[0])
	}
	t.Logf("loss %.4f in float32, %.4f in bfloat16", last[0], last[1])
}

func loadAs(family string, e *autograd.Engine, dtype checkpoint.Dtype) (*model.Model, error) {
	dir := filepath.Join(models, family)
	c, err := model.LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	return model.LoadAs(dir, c, e, 0, dtype)
}

// TestBF16Full trains all of a model that was loaded in bfloat16: its parameters
// are float32 then, and the first loss is that of the rounded weights.
func TestBF16Full(t *testing.T) {
	m, ref := load(t, "llama")
	half, err := loadAs("llama", m.Engine, checkpoint.BF16)
	if err != nil {
		t.Fatal(err)
	}
	half.Settle()
	for i, p := range half.Trainable() {
		exact := m.Params[i].Data()
		for j, x := range p.Data() {
			if math.Abs(float64(x-exact[j])) > math.Abs(float64(exact[j]))/256 {
				t.Fatalf("%s: element %d is %g, want %g rounded", p.Name, j, x, exact[j])
			}
		}
	}
	tr := newTrainer(t, half, batches{ref, 1}, 12, 0.1)
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if want := ref.Full.Points[11][0]; math.Abs(tr.State().Loss-want) > 0.01 {
		t.Errorf("loss %.4f after 12 steps, want about %.4f", tr.State().Loss, want)
	}
}

// TestHooks sees the hooks called in the order of the transformers Trainer.
func TestHooks(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, batches{ref, 2}, 2, 0)
	tr.Eval, tr.EvalEvery, tr.SaveEvery, tr.LogFirst = batches{ref, 1}, trainer.Every{Steps: 2}, trainer.Every{Steps: 2}, true
	var got []string
	hook := func(name string) func(*api.State) error {
		return func(*api.State) error { got = append(got, name); return nil }
	}
	tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{
		OnInitEnd: hook("init"), OnTrainBegin: hook("train"), OnEpochBegin: hook("epoch"), OnStepBegin: hook("step"), OnSubstepEnd: hook("substep"),
		OnPreOptimizerStep: hook("pre"), OnOptimizerStep: hook("optimizer"), OnStepEnd: hook("stepend"), OnLog: hook("log"),
		OnPredictionStep: hook("prediction"), OnEvaluate: hook("evaluate"), OnSave: hook("save"), OnEpochEnd: hook("epochend"), OnTrainEnd: hook("trainend"),
	}}}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := "init train epoch step substep pre optimizer stepend log epochend epoch step substep pre optimizer stepend prediction log evaluate save epochend trainend"
	if strings.Join(got, " ") != want {
		t.Errorf("hooks\n%s, want\n%s", strings.Join(got, " "), want)
	}
}

func TestNaNEndsTheRun(t *testing.T) {
	m, ref := load(t, "qwen2")
	before := append([]float32(nil), m.Params[0].Data()...)
	tr := newTrainer(t, m, batches{ref, 1}, 2, 0)
	tr.Loss = api.LossFunc(func(out *api.Output, b *api.Batch) (*api.Var, error) {
		return out.CrossEntropy(b.Labels).Scale(math.NaN()), nil
	})
	err := tr.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "step 1: the loss is NaN") {
		t.Errorf("a loss of NaN: %v", err)
	}
	for i, x := range m.Params[0].Data() {
		if x != before[i] {
			t.Fatal("the parameters have changed")
		}
	}
}

func TestInterrupt(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, batches{ref, 1}, 50, 0)
	ctx, cancel := context.WithCancel(context.Background())
	saved := 0
	tr.Save = func(string) error { saved++; return nil }
	tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{OnStepEnd: func(s *api.State) error {
		if s.Step == 3 {
			cancel()
		}
		return nil
	}}}}
	if err := tr.Run(ctx); err != trainer.ErrInterrupted || saved != 1 || tr.State().Step != 3 {
		t.Errorf("interrupted at step 3: %v after step %d with %d checkpoints", err, tr.State().Step, saved)
	}
}

// epochs are batches of an epoch of several steps.
type epochs struct {
	batches
	steps int
}

func (e epochs) StepsPerEpoch() int { return e.steps }

// TestStopEpoch ends each of two epochs after its first step. The run still
// ends with a checkpoint, at the step that it always ends with.
func TestStopEpoch(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, epochs{batches{ref, 1}, 4}, 7, 0) // the second epoch is cut short by the end of the run
	tr.SaveEvery = trainer.Every{Steps: 100}
	saved, steps, ends := 0, []int{}, 0
	tr.Save = func(string) error { saved++; return nil }
	tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{
		OnStepEnd:  func(s *api.State) error { steps, s.StopEpoch = append(steps, s.Step), true; return nil },
		OnEpochEnd: func(*api.State) error { ends++; return nil },
	}}}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(steps, []int{1, 5}) || ends != 2 || saved != 1 || tr.State().Step != 7 {
		t.Errorf("steps %v, %d ends of epochs, %d checkpoints, step %d; want [1 5], 2, 1, 7", steps, ends, saved, tr.State().Step)
	}
}

func TestWrongShape(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, batches{ref, 1}, 2, 0)
	tr.LossName = "odd"
	tr.Loss = api.LossFunc(func(out *api.Output, b *api.Batch) (*api.Var, error) { return out.Hidden(), nil })
	if err := tr.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "odd: the loss has shape (87, 56), want [87]") {
		t.Errorf("a loss of the wrong shape: %v", err)
	}
}

// TestNoGradient has a loss that is made of numbers, which no gradient leaves. A
// single value may be such a one where there is nothing to compare.
func TestNoGradient(t *testing.T) {
	for n, want := range map[int]string{87: "step 1: flat: no gradient flows from the loss into what is trained", 1: ""} {
		m, ref := load(t, "qwen2")
		tr := newTrainer(t, m, batches{ref, 1}, 2, 0)
		tr.LossName = "flat"
		tr.Loss = api.LossFunc(func(*api.Output, *api.Batch) (*api.Var, error) { return api.Const(api.Full(1, n)), nil })
		err := tr.Run(context.Background())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d constant values: %v, want %q", n, err, want)
		}
	}
}

// spoils is an optimizer that divides by 0.
type spoils struct{ m *api.Model }

func (o spoils) Step(float64) error {
	o.m.Params[1].Update(func(w, _ []float32) { w[0] = float32(math.NaN()) })
	return nil
}

// TestBrokenWeights sees an optimizer told from rows and rates as what a loss of
// NaN comes from.
func TestBrokenWeights(t *testing.T) {
	for _, policy := range []string{"stop", "skip"} {
		m, ref := load(t, "qwen2")
		tr := newTrainer(t, m, batches{ref, 1}, 3, 0)
		tr.NaNPolicy, tr.Optimizer = policy, spoils{m.Model}
		err := tr.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "step 2: the loss is NaN, as there are values in "+m.Params[1].Name) {
			t.Errorf("%s: %v", policy, err)
		}
	}
}

// TestLogs has a hook between two lines of the log say something for the next one.
func TestLogs(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, batches{ref, 1}, 4, 0)
	tr.LoggingSteps = 2
	tr.Callbacks = []trainer.Callback{{Name: "says", Callback: &api.Callback{OnStepEnd: func(s *api.State) error {
		if s.Step < 3 {
			s.Logs["mine"] += 2
			s.Logs["loss"] = -1 // not the hook's to say
		}
		return nil
	}}}}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	h := tr.State().LogHistory
	if len(h) != 2 || h[0]["mine"] != 4 || h[0]["loss"] < 0 {
		t.Fatalf("the log is %v", h)
	}
	if _, ok := h[1]["mine"]; ok {
		t.Errorf("what was said once is said again: %v", h[1])
	}
}

// TestSeveralCallbacks sees the hooks of several callbacks called in their order,
// and each one's wish fulfilled: an evaluation, a line of the log, a checkpoint,
// the end.
func TestSeveralCallbacks(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, batches{ref, 1}, 9, 0)
	tr.Eval = batches{ref, 1}
	var got []string
	saved := 0
	tr.Save = func(string) error { saved++; return nil }
	wish := func(name string, at int, do func(s *api.State)) trainer.Callback {
		note := func(what string) func(s *api.State) error {
			return func(s *api.State) error {
				got = append(got, fmt.Sprintf("%s %s %d", name, what, s.Step))
				return nil
			}
		}
		return trainer.Callback{Name: name, Callback: &api.Callback{
			OnStepEnd: func(s *api.State) error {
				if s.Step == at {
					do(s)
				}
				return note("step")(s)
			},
			OnLog: note("log"), OnEvaluate: note("evaluate"), OnSave: note("save"),
		}}
	}
	tr.Callbacks = []trainer.Callback{
		wish("a", 1, func(s *api.State) { s.Log = true }), wish("b", 1, func(s *api.State) { s.Evaluate = true }),
		wish("c", 2, func(s *api.State) { s.Save = true }), wish("d", 3, func(s *api.State) { s.Stop = "enough" }),
	}
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, hook := range []string{"step 1", "log 1", "log 1", "evaluate 1", "step 2", "save 2", "step 3"} { // the evaluation has a line of its own
		for _, name := range []string{"a", "b", "c", "d"} {
			want = append(want, name+" "+hook)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("hooks\n%v, want\n%v", got, want)
	}
	if s := tr.State(); s.Stop != "enough" || s.Step != 3 || saved != 1 {
		t.Errorf("stopped at step %d (%q) with %d checkpoints", s.Step, s.Stop, saved)
	}
}

// TestNaNPolicy has a loss that is no number in the second of four steps.
func TestNaNPolicy(t *testing.T) {
	for _, policy := range []string{"skip", "log"} {
		m, ref := load(t, "qwen2")
		tr := newTrainer(t, m, batches{ref, 1}, 4, 0)
		tr.NaNPolicy, tr.LoggingSteps = policy, 1
		step := 0
		tr.Loss = api.LossFunc(func(out *api.Output, b *api.Batch) (*api.Var, error) {
			loss := out.CrossEntropy(b.Labels)
			if step++; step == 2 {
				loss = loss.Scale(math.NaN())
			}
			return loss, nil
		})
		var updates, ends int
		weight := math.NaN()
		tr.Callbacks = []trainer.Callback{{Name: "watch", Callback: &api.Callback{
			OnOptimizerStep: func(*api.State) error { updates++; return nil },
			OnStepEnd:       func(s *api.State) error { ends++; weight = float64(s.Model.Params[0].Data()[0]); return nil },
		}}}
		if err := tr.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"skip": 3, "log": 4}[policy]; updates != want || ends != 4 || math.IsNaN(weight) != (policy == "log") {
			t.Errorf("%s: %d updates in %d steps, weight %g", policy, updates, ends, weight)
		}
		if history := tr.State().LogHistory; len(history) != 4 || !math.IsNaN(history[1]["grad_norm"]) {
			t.Errorf("%s: the log is %v", policy, history)
		} else if _, ok := history[1]["loss"]; ok {
			t.Errorf("%s: the step without a loss has one in the log: %v", policy, history[1])
		}
	}
}

func TestMaxWallTime(t *testing.T) {
	m, ref := load(t, "qwen2")
	tr := newTrainer(t, m, batches{ref, 1}, 50, 0)
	saved := 0
	tr.Save = func(string) error { saved++; return nil }
	tr.MaxWallTime = 1 // a nanosecond
	if err := tr.Run(context.Background()); err != nil || saved != 1 || tr.State().Step != 1 || !strings.Contains(tr.State().Stop, "max_wall_time") {
		t.Errorf("%v at step %d (%q) with %d checkpoints", err, tr.State().Step, tr.State().Stop, saved)
	}
}

// TestPenalty trains on a penalty alone: however many micro-batches there are, it
// counts once in the loss and in the gradient of a step.
func TestPenalty(t *testing.T) {
	for _, accumulate := range []int{1, 3} {
		m, ref := load(t, "llama")
		tr := newTrainer(t, m, batches{ref, accumulate}, 1, 0)
		base := 0.0
		tr.Schedule = api.Constant(0, 0)
		tr.Penalty = func() (*api.Var, error) { return nil, nil }
		if err := tr.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		base = tr.State().Loss
		m.Freeze()
		p := m.AddParam("p", 0.5, 1)
		tr = newTrainer(t, m, batches{ref, accumulate}, 1, 0)
		tr.Penalty = func() (*api.Var, error) { return p.Mul(p.Var).Scale(3), nil }
		if err := tr.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := tr.State(); math.Abs(got.Loss-base-0.75) > 1e-5 || math.Abs(got.GradNorm-3) > 1e-5 {
			t.Errorf("%d micro-batches: the penalty adds %g to the loss, want 0.75; the gradient's norm is %g, want 3", accumulate, got.Loss-base, got.GradNorm)
		}
	}
}
