package recipe

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/report"
	"swiftgo/core/tokenizer"
	"swiftgo/core/trainer"
)

// Result is where a run ended.
type Result struct {
	Dir            string // of the run
	Checkpoint     string // the last one
	BestCheckpoint string // "" without evaluation
	Curve          string // picture of the loss
}

// SFT fine-tunes a model with complete settings (Config.Complete): everything
// named is found and checked first and the data encoded, then the model is
// loaded and tuned, and the training loop run. begun, if not nil, is told the
// run's directory.
func SFT(ctx context.Context, c Config, reg *registry.Registry, out io.Writer, begun func(dir string) error) (*Result, error) {
	if err := samePlugins(&c, reg); err != nil {
		return nil, err
	}
	defer reg.Watch(time.Duration(c.PluginWatchdog) * time.Second)()
	ext, err := chosen(&c, reg)
	if err != nil {
		return nil, err
	}
	conf, err := c.modelConfig()
	if err != nil {
		return nil, err
	}
	if conf.Classes != nil && !slices.Contains(headed, c.TaskType) {
		return nil, fmt.Errorf("--model %s has a classification head; want --task_type seq_cls or reranker, and the task is %s", c.Model, c.TaskType)
	}
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return nil, err
	}
	enc, err := encoder(&c, conf, tok, ext.tools, reg)
	if err != nil {
		return nil, err
	}
	train, val, err := encode(&c, enc, reg, report.Tasks(out))
	if err != nil {
		return nil, err
	}
	defer train.Close()
	if val == nil {
		if err := c.wantsNoEval(); err != nil {
			return nil, err
		}
	}
	run, err := openRun(&c)
	if err != nil {
		return nil, err
	}
	defer run.close()
	if begun != nil {
		if err := begun(run.dir); err != nil {
			return nil, err
		}
	}
	e, err := autograd.NewEngine(c.Threads)
	if err != nil {
		return nil, err
	}
	m, err := model.LoadAs(c.Model, conf, e, c.Seed, c.computed())
	if err != nil {
		return nil, err
	}
	m.Checkpointing = c.GradientCheckpointing
	tuned, err := tune(&c, m, ext.tuner)
	if err != nil {
		return nil, err
	}
	m.NEFTune = c.NeftuneNoiseAlpha
	steps := c.steps(train)
	optimizer, schedule, err := reg.Optimizer(c.Optimizer, m.Model, steps)
	if err != nil {
		return nil, err
	}
	if schedule == nil {
		if schedule, err = c.schedule(steps); err != nil {
			return nil, err
		}
	}
	hooks, err := tuned.hooks(steps)
	if err != nil {
		return nil, err
	}
	if err := reg.CheckOwn(); err != nil {
		return nil, err
	}
	if err := checkpoint.WriteJSON(filepath.Join(run.dir, "args.json"), arguments(&c, reg)); err != nil {
		return nil, err
	}
	announce(out, &c, m, train, val, steps)

	output, err := c.output(m, tok)
	if err != nil {
		return nil, err
	}
	t := &trainer.Trainer{
		Model: m, Loss: ext.loss, LossName: c.LossType, Optimizer: optimizer, Schedule: schedule, Callbacks: append(hooks, ext.callbacks...),
		Train: train, Output: output, Metric: ext.metric, Options: c.options(run.dir, steps),
		Save: func(dir string) error {
			if err := tuned.save(dir); err != nil {
				return err
			}
			if err := tok.Save(dir); err != nil {
				return err
			}
			return checkpoint.WriteJSON(filepath.Join(dir, "args.json"), arguments(&c, reg))
		},
	}
	if val != nil {
		t.Eval = val
	}
	if r, ok := ext.tuner.(api.Regularizer); ok {
		t.Penalty = r.Penalty
	}
	t.Decode = func(ids []int32) string { return tok.Decode(ids, false) }
	if c.PredictWithGenerate {
		t.Predict = &trainer.Predict{MaxNewTokens: c.MaxNewTokens, Stop: enc.Stop(), Decode: func(ids []int32) string { return tok.Decode(ids, true) }}
	}
	if c.ResumeFromCheckpoint != "" {
		if err := tuned.restore(c.ResumeFromCheckpoint); err != nil {
			return nil, err
		}
		if err := t.Resume(c.ResumeFromCheckpoint); err != nil {
			return nil, err
		}
	}
	if t.Report, err = report.Open(run.dir, report.Options{MaxSteps: steps, StartStep: t.State().Step, TensorBoard: slices.Contains(c.ReportTo, "tensorboard"), Out: out}); err != nil {
		return nil, err
	}
	if run.used = true; c.PluginOnPanic == "disable" {
		reg.DisableOnPanic(func() int { return t.State().Step })
	}
	return run.end(out, t, reg, rescue(t, reg, reg.Guard(func() error { return t.Run(ctx) })))
}
