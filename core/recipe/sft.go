package recipe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"slices"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/report"
	"swiftgo/core/template"
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

// SFT fine-tunes a model with complete settings (Config.Complete): everything named is found and checked first, then the
// model is loaded and tuned, the data encoded, and the training loop run.
func SFT(ctx context.Context, c Config, reg *registry.Registry, out io.Writer) (*Result, error) {
	if err := samePlugins(&c, reg); err != nil {
		return nil, err
	}
	ext, err := chosen(&c, reg)
	if err != nil {
		return nil, err
	}
	conf, err := model.LoadConfig(c.Model)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return nil, err
	}
	if tok.Size() > conf.VocabSize {
		slog.Warn("the tokenizer knows more tokens than the model", "tokenizer", tok.Size(), "model", conf.VocabSize)
	}
	train, val, err := encode(&c, conf, tok, ext, reg)
	if err != nil {
		return nil, err
	}
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
	e, err := autograd.NewEngine(c.Threads)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(c.Model, e)
	if err != nil {
		return nil, err
	}
	tuned, err := tune(&c, m, ext.tuner)
	if err != nil {
		return nil, err
	}
	steps := c.steps(train)
	optimizer, schedule, err := reg.Optimizer(c.Optimizer, m.Model, steps)
	if err != nil {
		return nil, err
	}
	if schedule == nil {
		schedule = c.schedule(steps)
	}
	if err := reg.CheckOwn(); err != nil {
		return nil, err
	}
	if err := checkpoint.WriteJSON(filepath.Join(run.dir, "args.json"), arguments(&c, reg)); err != nil {
		return nil, err
	}
	announce(out, &c, m, train, val, steps)

	t := &trainer.Trainer{
		Model: m, Loss: ext.loss, LossName: c.LossType, Optimizer: optimizer, Schedule: schedule, Callbacks: ext.callbacks,
		Train: train, Metric: ext.metric, Options: c.options(run.dir, steps),
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
	t.Decode = func(ids []int32) string { return tok.Decode(ids, false) }
	if c.ResumeFromCheckpoint != "" {
		if err := t.Resume(c.ResumeFromCheckpoint); err != nil {
			return nil, err
		}
	}
	if t.Report, err = report.Open(run.dir, report.Options{MaxSteps: steps, StartStep: t.State().Step, TensorBoard: slices.Contains(c.ReportTo, "tensorboard"), Out: out}); err != nil {
		return nil, err
	}
	return run.end(out, t, reg.Guard(func() error { return t.Run(ctx) }))
}

// extensions are the chosen ones that need no model.
type extensions struct {
	loss      api.Loss
	scale     api.LossScale
	metric    func() (api.Metric, error)
	callbacks []trainer.Callback
	tools     api.AgentTemplate
	tuner     api.Tuner
}

// chosen constructs what the settings name, so that a name or a setting that is
// wrong ends the run before anything is read.
func chosen(c *Config, reg *registry.Registry) (*extensions, error) {
	var ext extensions
	var err error
	if ext.loss, err = reg.Loss(c.LossType); err != nil {
		return nil, err
	}
	if ext.scale, err = scales(c.LossScale, reg); err != nil {
		return nil, err
	}
	if c.EvalMetric != "" {
		if _, err := reg.Metric(c.EvalMetric); err != nil {
			return nil, err
		}
		ext.metric = func() (api.Metric, error) { return reg.Metric(c.EvalMetric) }
	}
	for _, name := range c.Callbacks {
		cb, err := reg.Callback(name)
		if err != nil {
			return nil, err
		}
		ext.callbacks = append(ext.callbacks, trainer.Callback{Name: name, Callback: cb})
	}
	if c.AgentTemplate != "" {
		if ext.tools, err = reg.AgentTemplate(c.AgentTemplate); err != nil {
			return nil, err
		}
	}
	if ext.tuner, err = reg.Tuner(c.TunerType); err != nil {
		return nil, err
	}
	return &ext, reg.Has("optimizer", c.Optimizer)
}

// encode opens the data and turns it into batches of tokens; val is nil if
// there is nothing to evaluate on.
func encode(c *Config, conf *model.Config, tok *tokenizer.Tokenizer, ext *extensions, reg *registry.Registry) (train, val *dataset.Loader, err error) {
	chat, err := template.Find(c.Template, c.UseChatTemplate, tok)
	if err != nil {
		return nil, nil, err
	}
	if name := chat.AgentTemplate; ext.tools == nil && name != "" && reg.Has("agent_template", name) == nil { // the family's own
		if ext.tools, err = reg.AgentTemplate(name); err != nil {
			return nil, nil, err
		}
	}
	length, err := c.maxLength(conf, tok)
	if err != nil {
		return nil, nil, err
	}
	enc := &template.Encoder{Chat: chat, Tokenizer: tok, Scale: ext.scale, Tools: ext.tools, System: c.System,
		MaxLength: length, Truncation: c.TruncationStrategy}
	rows, err := dataset.Open(c.Dataset, dataset.Options{Seed: c.DataSeed, Strict: c.Strict, Pretraining: !c.UseChatTemplate})
	if err != nil {
		return nil, nil, err
	}
	var held *dataset.Dataset
	switch {
	case len(c.ValDataset) > 0:
		if held, err = dataset.Open(c.ValDataset, dataset.Options{Seed: c.DataSeed, Strict: c.Strict, Pretraining: !c.UseChatTemplate}); err != nil {
			return nil, nil, err
		}
	case c.SplitDatasetRatio > 0:
		if rows, held, err = rows.Split(c.SplitDatasetRatio, c.DataSeed); err != nil {
			return nil, nil, err
		}
	}
	if train, err = dataset.NewLoader(rows, enc, dataset.Batching{Batch: c.PerDeviceTrainBatchSize, Accumulate: c.GradientAccumulationSteps, Shuffle: c.DatasetShuffle, Seed: c.DataSeed, Strict: c.Strict}); err != nil {
		return nil, nil, err
	}
	if held != nil {
		if val, err = dataset.NewLoader(held, enc, dataset.Batching{Batch: c.PerDeviceEvalBatchSize, Accumulate: 1, Strict: c.Strict}); err != nil {
			return nil, nil, fmt.Errorf("evaluation data: %w", err)
		}
	}
	return train, val, nil
}

// steps returns the number of optimizer steps in the run.
func (c *Config) steps(train *dataset.Loader) int {
	if c.MaxSteps > 0 {
		return c.MaxSteps
	}
	return int(math.Ceil(c.NumTrainEpochs * float64(train.StepsPerEpoch())))
}

// schedule returns the learning rate of --lr_scheduler_type.
func (c *Config) schedule(steps int) api.Schedule {
	warmup := (&api.Args{WarmupSteps: c.WarmupSteps, WarmupRatio: c.WarmupRatio}).Warmup(steps)
	switch c.LrSchedulerType {
	case "cosine":
		return api.Cosine(c.LearningRate, warmup, steps)
	case "linear":
		return api.LinearDecay(c.LearningRate, warmup, steps)
	case "constant_with_warmup":
		return api.Constant(c.LearningRate, warmup)
	}
	return api.Constant(c.LearningRate, 0)
}
