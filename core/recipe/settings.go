package recipe

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
	"swiftgo/core/trainer"
)

// Complete fills in the defaults that depend on other settings, and refuses
// values and combinations that cannot be.
func (c *Config) Complete() error {
	if c.Model == "" {
		return fmt.Errorf("--model is missing; want the directory of a Hugging Face model")
	}
	if len(c.Dataset) == 0 {
		return fmt.Errorf("--dataset is missing; want files of rows, .jsonl")
	}
	if c.LearningRate == 0 {
		if c.LearningRate = 1e-4; c.TunerType == "full" {
			c.LearningRate = 1e-5
		}
	}
	if c.GradientAccumulationSteps == 0 && c.PerDeviceTrainBatchSize > 0 {
		c.GradientAccumulationSteps = (16 + c.PerDeviceTrainBatchSize - 1) / c.PerDeviceTrainBatchSize
	}
	if c.DataSeed == 0 {
		c.DataSeed = c.Seed
	}
	if c.OutputDir == "" {
		c.OutputDir = filepath.Join("output", filepath.Base(filepath.Clean(c.Model)))
	}
	if c.EvalStrategy == "" {
		c.EvalStrategy = c.SaveStrategy
	}
	if c.EvalSteps == 0 {
		c.EvalSteps = c.SaveSteps
	}
	if err := c.completeHead(); err != nil {
		return err
	}
	c.completeTask()
	if c.MetricForBestModel == "" {
		if c.MetricForBestModel = "loss"; c.EvalMetric == "nlg" {
			c.MetricForBestModel = "rouge-l"
		}
	}
	c.MetricForBestModel = strings.TrimPrefix(c.MetricForBestModel, "eval_")
	if c.GreaterIsBetter == "" {
		less := strings.Contains(c.MetricForBestModel, "loss") || slices.Contains([]string{"ppl", "mean_neg"}, c.MetricForBestModel)
		c.GreaterIsBetter = strconv.FormatBool(!less)
	}
	if c.Threads == 0 {
		c.Threads = runtime.NumCPU()
	}
	if err := c.imply(); err != nil {
		return err
	}
	return c.check()
}

// optims are the optimizers by transformers' names; paged memory and fused
// kernels make no other numbers.
var optims = map[string]string{
	"": "", "adamw_torch": "adamw", "adamw_torch_fused": "adamw", "adamw_hf": "adamw", "adafactor": "adafactor", "sgd": "sgd",
	"adamw_8bit": "adamw_8bit", "adamw_bnb_8bit": "adamw_8bit", "paged_adamw_8bit": "adamw_8bit", "lion_32bit": "lion", "paged_lion_32bit": "lion",
}

// imply chooses the extensions that other settings are for, as ms-swift does.
func (c *Config) imply() error {
	for _, callback := range []struct {
		name  string
		given bool
	}{{"early_stop", c.EarlyStopInterval > 0}, {"lisa", c.LisaActivatedLayers > 0}} {
		if callback.given && !slices.Contains(c.Callbacks, callback.name) {
			c.Callbacks = append(slices.Clone(c.Callbacks), callback.name)
		}
	}
	optim, ok := optims[c.Optim]
	if !ok {
		return fmt.Errorf("--optim is %q, want %s; or --optimizer, by the names here", c.Optim, strings.Join(slices.Sorted(maps.Keys(optims))[1:], ", "))
	}
	for _, optimizer := range []struct {
		flag, name string
		given      bool
	}{{"optim " + c.Optim, optim, optim != "" && optim != Default().Optimizer}, {"lorap_lr_ratio", "lorap", c.LorapLrRatio > 0}, {"use_galore", "galore", c.UseGalore}} {
		switch {
		case !optimizer.given || c.Optimizer == optimizer.name:
		case c.Optimizer != Default().Optimizer:
			return fmt.Errorf("--%s chooses the optimizer %s, and --optimizer %s is given; want one of them", optimizer.flag, optimizer.name, c.Optimizer)
		default:
			c.Optimizer = optimizer.name
		}
	}
	return nil
}

func (c *Config) check() error {
	for _, choice := range []struct {
		flag, value string
		among       []string
	}{
		{"acc_strategy", c.AccStrategy, []string{"token", "seq"}},
		{"truncation_strategy", c.TruncationStrategy, []string{"delete", "left", "right", "split"}},
		{"stopping_strategy", c.StoppingStrategy, []string{"first_exhausted", "all_exhausted"}},
		{"compat", c.Compat, []string{"", "ms-swift"}},
		{"nan_policy", c.NanPolicy, []string{"stop", "skip", "log"}},
		{"plugin_on_panic", c.PluginOnPanic, []string{"stop", "disable"}},
		{"save_strategy", c.SaveStrategy, []string{"steps", "epoch", "no"}},
		{"eval_strategy", c.EvalStrategy, []string{"steps", "epoch", "no"}},
		{"greater_is_better", c.GreaterIsBetter, []string{"true", "false"}},
		{"torch_dtype", c.TorchDtype, []string{"", "float32", "bfloat16", "float16"}},
		{"lora_dtype", c.LoraDtype, []string{"", "float32", "bfloat16", "float16"}},
	} {
		if !slices.Contains(choice.among, choice.value) {
			return fmt.Errorf("--%s is %q, want %s", choice.flag, choice.value, strings.Join(slices.DeleteFunc(choice.among, func(s string) bool { return s == "" }), ", "))
		}
	}
	for _, n := range []struct {
		flag       string
		value, min float64
	}{
		{"per_device_train_batch_size", float64(c.PerDeviceTrainBatchSize), 1}, {"per_device_eval_batch_size", float64(c.PerDeviceEvalBatchSize), 1},
		{"gradient_accumulation_steps", float64(c.GradientAccumulationSteps), 1}, {"save_steps", float64(c.SaveSteps), 1}, {"eval_steps", float64(c.EvalSteps), 1},
		{"learning_rate", c.LearningRate, 0}, {"weight_decay", c.WeightDecay, 0}, {"warmup_steps", float64(c.WarmupSteps), 0}, {"warmup_ratio", c.WarmupRatio, 0},
		{"max_grad_norm", c.MaxGradNorm, 0}, {"num_train_epochs", c.NumTrainEpochs, 0}, {"split_dataset_ratio", c.SplitDatasetRatio, 0},
		{"logging_steps", float64(c.LoggingSteps), 0}, {"save_total_limit", float64(c.SaveTotalLimit), 0}, {"max_length", float64(c.MaxLength), 0},
		{"vit_lr", c.VitLr, 0}, {"aligner_lr", c.AlignerLr, 0}, {"lorap_lr_ratio", c.LorapLrRatio, 0}, {"neftune_noise_alpha", c.NeftuneNoiseAlpha, 0},
		{"early_stop_interval", float64(c.EarlyStopInterval), 0}, {"lisa_activated_layers", float64(c.LisaActivatedLayers), 0},
		{"packing_length", float64(c.PackingLength), 0}, {"max_new_tokens", float64(c.MaxNewTokens), 1}, {"dataset_num_proc", float64(c.DatasetNumProc), 0},
	} {
		if !(n.value >= n.min) {
			return fmt.Errorf("--%s is %g, want %g or more", n.flag, n.value, n.min)
		}
	}
	switch {
	case c.WarmupRatio >= 1:
		return fmt.Errorf("--warmup_ratio is %g, want less than 1", c.WarmupRatio)
	case c.WarmupRatio > 0 && c.WarmupSteps > 0:
		return fmt.Errorf("--warmup_ratio and --warmup_steps are both given; want one of them")
	case c.SplitDatasetRatio >= 1:
		return fmt.Errorf("--split_dataset_ratio is %g, want less than 1", c.SplitDatasetRatio)
	case c.MaxSteps <= 0 && c.NumTrainEpochs == 0:
		return fmt.Errorf("--num_train_epochs is 0 and there is no --max_steps; nothing would be trained")
	case c.TruncationStrategy == "split" && c.UseChatTemplate:
		return fmt.Errorf("--truncation_strategy split is for text (pt): the parts of a conversation would begin in the middle of a turn; want delete, left or right")
	case c.Streaming && c.MaxSteps <= 0:
		return fmt.Errorf("--streaming wants --max_steps: how many steps the rows make is not known before they are read")
	case c.Streaming && (c.SplitDatasetRatio > 0 || c.LoadFromCacheFile):
		return fmt.Errorf("--streaming goes with neither --split_dataset_ratio nor --load_from_cache_file; want --val_dataset, or no streaming (rows and tokens are kept on disk in any case)")
	case c.PackingLength > 0 && !c.Packing:
		return fmt.Errorf("--packing_length is given, and --packing is not")
	case c.GroupByLength && (c.Packing || c.Streaming):
		return fmt.Errorf("--group_by_length goes with neither --packing, whose packs are of one length, nor --streaming, which does not know the lengths")
	case slices.Contains(c.Callbacks, "lisa") && c.TunerType != "full":
		return fmt.Errorf("lisa is for --tuner_type full, and it is %s", c.TunerType)
	case (c.VitLr > 0 || c.AlignerLr > 0 || len(c.LrGroups) > 0) && !slices.Contains(families["optimizer*"], c.Optimizer):
		return fmt.Errorf("--lr_groups, --vit_lr and --aligner_lr are for built-in optimizers, and --optimizer is %s", c.Optimizer)
	case len(c.Adapters) > 1:
		return fmt.Errorf("--adapters names %d directories; training goes on from one", len(c.Adapters))
	}
	if _, err := c.wallTime(); err != nil {
		return err
	}
	if _, err := c.scheduler(); err != nil {
		return err
	}
	if err := c.checkTask(); err != nil {
		return err
	}
	_, err := size(c.MaxShardSize)
	return err
}

// wallTime is --max_wall_time, 0 for none.
func (c *Config) wallTime() (time.Duration, error) {
	if c.MaxWallTime == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.MaxWallTime)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("--max_wall_time is %q, want a time such as 3h30m or 90s", c.MaxWallTime)
	}
	return d, nil
}

// size reads a number of bytes such as 5GB or 200MB.
func size(text string) (int64, error) {
	for unit, n := range map[string]float64{"GB": 1e9, "MB": 1e6, "KB": 1e3} {
		if number, ok := strings.CutSuffix(strings.ToUpper(text), unit); ok {
			if x, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil && x*n >= 1 && x*n < 1e18 {
				return int64(x * n), nil
			}
		}
	}
	return 0, fmt.Errorf("--max_shard_size is %q, want a size such as 5GB or 200MB", text)
}

// wantsNoEval refuses, in a run without evaluation data, what would wait for an
// evaluation in vain.
func (c *Config) wantsNoEval() error {
	const want = "wants evaluation data; give --val_dataset or --split_dataset_ratio"
	if c.PredictWithGenerate {
		return fmt.Errorf("--predict_with_generate %s", want)
	}
	if c.EvalMetric != "" {
		return fmt.Errorf("--eval_metric %s %s", c.EvalMetric, want)
	}
	if slices.Contains(c.Callbacks, "early_stop") {
		return fmt.Errorf("--callbacks early_stop %s", want)
	}
	if c.MetricForBestModel != "loss" {
		return fmt.Errorf("--metric_for_best_model %s %s", c.MetricForBestModel, want)
	}
	return nil
}

// maxLength is the longest sequence: --max_length, or what model and tokenizer
// can take.
func (c *Config) maxLength(conf *model.Config, tok *tokenizer.Tokenizer) (int, error) {
	most := conf.MaxLength()
	if most == 0 { // nothing is known of the model
		return cmp.Or(c.MaxLength, tok.MaxLength), nil
	}
	if c.MaxLength > most {
		return 0, fmt.Errorf("--max_length is %d, and the model takes at most %d tokens", c.MaxLength, most)
	}
	if c.MaxLength > 0 {
		return c.MaxLength, nil
	}
	if tok.MaxLength > 0 {
		most = min(most, tok.MaxLength)
	}
	return most, nil
}

// options are the numbers that the training loop goes by.
func (c *Config) options(dir string, steps int) trainer.Options {
	every := func(strategy string, steps int) trainer.Every {
		switch strategy {
		case "steps":
			return trainer.Every{Steps: steps}
		case "epoch":
			return trainer.Every{Epoch: true}
		}
		return trainer.Every{}
	}
	limit, _ := c.wallTime() // checked
	return trainer.Options{
		NaNPolicy: c.NanPolicy, MaxWallTime: limit,
		Seed: c.Seed, Steps: steps, MaxGradNorm: c.MaxGradNorm, LoggingSteps: c.LoggingSteps, LogFirst: c.LoggingFirstStep,
		SaveEvery: every(c.SaveStrategy, c.SaveSteps), EvalEvery: every(c.EvalStrategy, c.EvalSteps), SaveTotalLimit: c.SaveTotalLimit,
		SaveOnlyModel: c.SaveOnlyModel, Links: c.CreateCheckpointSymlink, BestMetric: c.MetricForBestModel,
		GreaterIsBetter: c.GreaterIsBetter == "true", OutputDir: dir,
	}
}

// steps returns the number of optimizer steps in the run.
func (c *Config) steps(train *dataset.Loader) int {
	if c.MaxSteps > 0 {
		return c.MaxSteps
	}
	return int(math.Ceil(c.NumTrainEpochs * float64(train.StepsPerEpoch())))
}
