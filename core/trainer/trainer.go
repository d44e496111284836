// Package trainer is the training loop: accumulate, clip, step, schedule, log,
// evaluate, save, resume, with the callbacks of the run called on the way in the
// order of the transformers Trainer.
//
// A step is a function of its number: the data's order, dropout and the
// learning rate all follow from the seed and the step, so a run that resumes
// needs no more than the parameters, the optimizer's state and the step.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"swiftgo/api"
	"swiftgo/core/model"
	"swiftgo/core/report"
)

// ErrInterrupted is what Run returns, after a checkpoint, when its context was
// cancelled.
var ErrInterrupted = errors.New("interrupted")

// Trainer is one run. All fields but those marked optional are set before Run.
type Trainer struct {
	Model     *model.Model
	Loss      api.Loss
	LossName  string // for messages
	Optimizer api.Optimizer
	Schedule  api.Schedule
	Callbacks []Callback
	Train     Batches
	Eval      Batches                       // optional
	Output    func(*api.Output) *api.Output // optional; makes of what the model gives what loss and metric see
	Predict   *Predict                      // optional; lets the model answer in evaluations
	Metric    func() (api.Metric, error)    // optional; called once an evaluation
	Penalty   func() (*api.Var, error)      // optional; added to the loss of each step; may return nil
	Report    *report.Run
	Save      func(dir string) error // writes the model's part of a checkpoint
	Options

	state     api.State
	bestIsNew bool // whether the last evaluation was the best so far
	updating  bool // the weights are between two steps
	flows     bool // a gradient has reached what is trained
	tokens    int  // since the last log
	logged    time.Time
	right     int // tokens predicted right since the last log
	counted   int
	sumLoss   float64 // since the last log
	sumSteps  int
}

// Batches gives the micro-batches of an optimizer step by its place in an epoch.
// The same place always gives the same batches.
type Batches interface {
	StepsPerEpoch() int
	Step(epoch, index int) ([]*api.Batch, error)
	Sources(epoch, index int) ([]string, error) // where the rows of the step stand, for messages
}

// Callback is an api.Callback and the name it was chosen by.
type Callback struct {
	Name string
	*api.Callback
}

// Options are the numbers of a run.
type Options struct {
	Seed            int64
	Steps           int // optimizer steps in the run
	MaxGradNorm     float64
	NaNPolicy       string        // what of a step whose loss or gradient is no number: stop, skip or log
	MaxWallTime     time.Duration // after which to save and stop; 0 is never
	LoggingSteps    int
	LogFirst        bool
	SaveEvery       Every
	EvalEvery       Every
	SaveTotalLimit  int
	SaveOnlyModel   bool
	Links           bool // keep links best and last
	BestMetric      string
	GreaterIsBetter bool
	OutputDir       string
	Decode          func([]int32) string
}

// Every says when to do something.
type Every struct {
	Steps int // 0 is never
	Epoch bool
}

// Run trains until the last step, a callback's wish, or the end of ctx.
func (t *Trainer) Run(ctx context.Context) error {
	s := &t.state
	s.MaxSteps, s.Model, s.HasEval = t.Steps, t.Model.Model, t.Eval != nil
	s.Logs = map[string]float64{}
	t.logged = time.Now()
	began := t.logged
	if err := t.call("OnInitEnd", func(c Callback) hook { return c.OnInitEnd }); err != nil {
		return err
	}
	if err := t.call("OnTrainBegin", func(c Callback) hook { return c.OnTrainBegin }); err != nil {
		return err
	}
	perEpoch := t.Train.StepsPerEpoch()
	for s.Step < t.Steps && s.Stop == "" {
		epoch := s.Step / perEpoch
		if s.Step%perEpoch == 0 {
			if err := t.call("OnEpochBegin", func(c Callback) hook { return c.OnEpochBegin }); err != nil {
				return err
			}
		}
		for s.Step < min(t.Steps, (epoch+1)*perEpoch) && s.Stop == "" && !s.StopEpoch {
			if err := t.step(epoch, s.Step-epoch*perEpoch); err != nil {
				return err
			}
			s.Epoch = float64(s.Step) / float64(perEpoch)
			if err := t.call("OnStepEnd", func(c Callback) hook { return c.OnStepEnd }); err != nil {
				return err
			}
			switch {
			case ctx.Err() != nil:
				s.Save, s.Stop = true, "interrupted"
			case t.MaxWallTime > 0 && time.Since(began) >= t.MaxWallTime && s.Step < t.Steps:
				s.Save, s.Stop = true, fmt.Sprintf("max_wall_time: %v are over", t.MaxWallTime)
			}
			if err := t.afterStep(s.Step == t.Steps, false); err != nil {
				return err
			}
		}
		skipped := s.StopEpoch && s.Stop == "" && s.Step < min(t.Steps, (epoch+1)*perEpoch)
		s.StopEpoch = false
		if skipped { // the steps that are left out count as done: the next has the place that it always has
			s.Step = min(t.Steps, (epoch+1)*perEpoch)
			s.Epoch = float64(s.Step) / float64(perEpoch)
		}
		if s.Step%perEpoch == 0 || s.Stop != "" || s.Step == t.Steps {
			if err := t.call("OnEpochEnd", func(c Callback) hook { return c.OnEpochEnd }); err != nil {
				return err
			}
			if last := s.Step == t.Steps; s.Stop == "" && (!last || skipped) { // the last step has seen to itself, unless it was left out
				if err := t.afterStep(last, !last); err != nil {
					return err
				}
			}
		}
	}
	if err := t.call("OnTrainEnd", func(c Callback) hook { return c.OnTrainEnd }); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return nil
}

// State returns the run as its callbacks see it.
func (t *Trainer) State() *api.State { return &t.state }

type hook = func(*api.State) error

// call calls one hook of all callbacks.
func (t *Trainer) call(name string, of func(Callback) hook) error {
	for _, c := range t.Callbacks {
		if f := of(c); f != nil {
			if err := f(&t.state); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// step is one optimizer step on the micro-batches of that place in the epoch.
func (t *Trainer) step(epoch, index int) error {
	s := &t.state
	if err := t.call("OnStepBegin", func(c Callback) hook { return c.OnStepBegin }); err != nil {
		return err
	}
	batches, err := t.Train.Step(epoch, index)
	if err != nil {
		return err
	}
	items := 0.0
	for _, b := range batches {
		items += counted(b)
	}
	s.Loss = 0
	right, predicted, tokens := 0, 0, 0
	for i, b := range batches {
		b.Items = items
		t.Model.Rand = rand.New(rand.NewPCG(uint64(t.Seed), uint64(s.Step)<<20|uint64(i)))
		loss, err := t.microBatch(b, 1/float64(len(batches)))
		if err != nil {
			return fmt.Errorf("step %d: %w", s.Step+1, err)
		}
		s.Loss += loss
		hits, all := t.Model.Hits()
		right, predicted, tokens = right+hits, predicted+all, tokens+len(b.IDs)
		if i < len(batches)-1 {
			if err := t.call("OnSubstepEnd", func(c Callback) hook { return c.OnSubstepEnd }); err != nil {
				return err
			}
		}
	}
	if !t.flows && items > 0 {
		return fmt.Errorf("step %d: %s: no gradient flows from the loss into what is trained; want a loss made of Output's Logits, Hidden or CrossEntropy, not of Data or Detach, and a tuner whose parameters take part in a layer, by Wrap", s.Step+1, t.LossName)
	}
	s.GradNorm = t.clip()
	s.LearningRate = t.Schedule(s.Step)
	sound := finite(s.Loss) && finite(s.GradNorm)
	if !sound {
		if err := t.unsound(epoch, index); err != nil {
			return err
		}
	}
	if sound || t.NaNPolicy == "log" {
		if err := t.update(); err != nil {
			return err
		}
	}
	for _, p := range t.Model.Params {
		p.ClearGrad()
	}
	// The step is whole. One that fails before is done again where the run goes on.
	s.Step++
	t.updating = false
	t.right, t.counted, t.tokens = t.right+right, t.counted+predicted, t.tokens+tokens
	if finite(s.Loss) {
		t.sumLoss += s.Loss
		t.sumSteps++
	}
	return nil
}

// unsound deals with a step whose loss or gradient is no number, as NaNPolicy
// says: an error, or a word in the log.
func (t *Trainer) unsound(epoch, index int) error {
	s := &t.state
	sources, err := t.Train.Sources(epoch, index)
	if err != nil {
		return err
	}
	rows := strings.Join(sources, ", ")
	if name := t.broken(); name != "" && t.NaNPolicy != "log" {
		return fmt.Errorf("step %d: the loss is %g, as there are values in %s that are no numbers since an earlier step; go on from a checkpoint before it with a lower --learning_rate, or mend the optimizer", s.Step+1, s.Loss, name)
	}
	switch t.NaNPolicy {
	case "skip":
		slog.Warn("a step is left out, as its loss or gradient is no number", "step", s.Step+1, "loss", s.Loss, "grad_norm", s.GradNorm, "rows", rows)
	case "log":
		slog.Warn("the loss or gradient of a step is no number", "step", s.Step+1, "loss", s.Loss, "grad_norm", s.GradNorm, "rows", rows)
	default:
		return fmt.Errorf("step %d: the loss is %g and the gradient norm %g; the parameters are as before the step; lower --learning_rate, or look at its rows: %s; --nan_policy skip leaves such steps out", s.Step+1, s.Loss, s.GradNorm, rows)
	}
	return nil
}

// broken returns the name of a parameter that holds what is no number, or "".
func (t *Trainer) broken() string {
	for _, p := range t.Model.Trainable() {
		for _, x := range p.Data() {
			if !finite(float64(x)) {
				return p.Name
			}
		}
	}
	return ""
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// update changes the parameters by the gradients.
func (t *Trainer) update() error {
	if err := t.call("OnPreOptimizerStep", func(c Callback) hook { return c.OnPreOptimizerStep }); err != nil {
		return err
	}
	t.updating = true
	if err := t.Optimizer.Step(t.state.LearningRate); err != nil {
		return err
	}
	return t.call("OnOptimizerStep", func(c Callback) hook { return c.OnOptimizerStep })
}

// microBatch adds the gradients of one micro-batch, which is that share of the
// step's, and returns its part of the step's loss.
func (t *Trainer) microBatch(b *api.Batch, share float64) (float64, error) {
	t.Model.Engine.Reset()
	t.Model.Training = true
	b.Decode = t.Decode
	out := t.forward(b)
	perToken, err := t.Loss.Compute(out, b)
	if err != nil {
		return 0, err
	}
	loss, err := Reduce(perToken, b, b.Items)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.LossName, err)
	}
	if t.Penalty != nil {
		penalty, err := t.Penalty()
		if err != nil {
			return 0, err
		}
		if penalty != nil {
			loss = loss.Add(penalty.Scale(share).Reshape(loss.Shape()...))
		}
	}
	if loss.Needs() {
		if err := loss.Backward(); err != nil {
			return 0, err
		}
	}
	// A single value may have found nothing to compare; values per token depend on the model.
	t.flows = t.flows || loss.Needs() || perToken.Shape().TotalSize() != len(b.Labels)
	return float64(loss.Data()[0]), nil
}

// forward runs the model on a batch.
func (t *Trainer) forward(b *api.Batch) *api.Output {
	out := t.Model.Forward(b.IDs, b.Starts)
	if t.Output != nil {
		out = t.Output(out)
	}
	return out
}

// Reduce returns what a Loss computed for a batch as the single value that is
// made smaller: values per token are weighed by the loss scale, masked, added up
// and divided by items, the tokens that count; a single value stays as it is.
func Reduce(loss *api.Var, b *api.Batch, items float64) (*api.Var, error) {
	n := len(b.Labels)
	switch size := loss.Shape().TotalSize(); {
	case size == 1 && n != 1:
		return loss, nil
	case size != n:
		return nil, fmt.Errorf("the loss has shape %v, want [%d], one value per token, or [1]", loss.Shape(), n)
	}
	weights := api.Full(0, n)
	for i, label := range b.Labels {
		if label == api.Ignore {
			continue
		}
		w := 1 / max(1, items)
		if b.Scale != nil {
			w *= float64(b.Scale[i])
		}
		weights.Float32s()[i] = float32(w)
	}
	return loss.Reshape(n).Mul(api.Const(weights)).Sum(), nil
}

// clip scales all gradients so that their norm is at most MaxGradNorm, and
// returns the norm they had, as torch.nn.utils.clip_grad_norm_ does.
func (t *Trainer) clip() float64 {
	var squares float64
	params := t.Model.Trainable()
	for _, p := range params {
		squares += t.Model.Engine.SumSquares(p.GradTensor())
	}
	norm := math.Sqrt(squares)
	if factor := t.MaxGradNorm / (norm + 1e-6); t.MaxGradNorm > 0 && factor < 1 {
		for _, p := range params {
			t.Model.Engine.Scale(p.GradTensor(), float32(factor))
		}
	}
	return norm
}

// counted returns the number of tokens of b that count in the loss.
func counted(b *api.Batch) float64 {
	n := 0
	for _, label := range b.Labels {
		if label != api.Ignore {
			n++
		}
	}
	return float64(n)
}

// afterStep logs, evaluates and saves where the settings or a callback say so.
// last is true after the run's last step, epoch at the end of an epoch.
func (t *Trainer) afterStep(last, epoch bool) error {
	s := &t.state
	due := func(e Every) bool {
		if epoch {
			return e.Epoch
		}
		return e.Steps > 0 && s.Step%e.Steps == 0 || last && (e.Steps > 0 || e.Epoch)
	}
	log := !epoch && (t.LoggingSteps > 0 && s.Step%t.LoggingSteps == 0 || t.LogFirst && s.Step == 1)
	evaluate, save := due(t.EvalEvery), due(t.SaveEvery)
	log, evaluate, save = log || s.Log, evaluate || s.Evaluate, save || s.Save
	s.Log, s.Evaluate, s.Save = false, false, false
	t.Report.Step(s.Step, s.Loss, float64(t.tokens)/time.Since(t.logged).Seconds())
	if log {
		if err := t.log(t.trainLogs()); err != nil {
			return err
		}
	}
	if evaluate && t.Eval != nil {
		if err := t.evaluate(); err != nil {
			return err
		}
	}
	if save {
		return t.save()
	}
	return nil
}

// trainLogs returns what a line of the log says of the steps since the last.
func (t *Trainer) trainLogs() map[string]float64 {
	s := &t.state
	logs := map[string]float64{
		"grad_norm": s.GradNorm, "learning_rate": s.LearningRate, "epoch": s.Epoch,
		"tokens/s": float64(t.tokens) / time.Since(t.logged).Seconds(),
	}
	if t.sumSteps > 0 {
		logs["loss"] = t.sumLoss / float64(t.sumSteps)
	}
	if t.counted > 0 {
		logs["token_acc"] = float64(t.right) / float64(t.counted)
	}
	if r, ok := t.Optimizer.(api.Rated); ok {
		for name, rate := range r.Rates(s.LearningRate) {
			logs["learning_rate_"+name] = rate
		}
	}
	t.right, t.counted, t.tokens, t.logged, t.sumLoss, t.sumSteps = 0, 0, 0, time.Now(), 0, 0
	return logs
}

func (t *Trainer) log(values map[string]float64) error {
	s := &t.state
	maps.Copy(s.Logs, values) // beside what hooks have put there since the last line
	if err := t.call("OnLog", func(c Callback) hook { return c.OnLog }); err != nil {
		return err
	}
	line := map[string]float64{"step": float64(s.Step)}
	for k, v := range s.Logs {
		line[k] = v
	}
	s.LogHistory = append(s.LogHistory, line)
	t.Report.Log(s.Step, s.Logs)
	s.Logs = map[string]float64{}
	return nil
}
