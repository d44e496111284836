package recipe

import (
	"log/slog"
	"reflect"
	"strings"

	"swiftgo/api"
)

// Config is every setting of a run, named as ms-swift names its flags. The
// zero value is not useful: start from Default.
//
// The tags carry the flag and its help; package cmd/swiftgo makes the command
// line from them.
type Config struct {
	Model              string   `koanf:"model" help:"directory of the model: config.json, safetensors, tokenizer.json"`
	TorchDtype         string   `koanf:"torch_dtype" help:"type of the weights in saved models: float32, bfloat16 or float16 (default: as in config.json); bfloat16 also keeps and multiplies weights that are not trained in it"`
	Threads            int      `koanf:"threads" help:"threads to compute with (default: all cores)"`
	Seed               int64    `koanf:"seed" help:"seed of everything random"`
	DataSeed           int64    `koanf:"data_seed" help:"seed of the order of the rows (default: seed)"`
	PluginsDir         string   `koanf:"plugins_dir" help:"folder of plugins (default: plugins beside the binary)"`
	Plugins            []string `koanf:"plugins" help:"load only these plugins, named as their files without .so (default: all of the folder)"`
	PluginsPolicy      []string `koanf:"plugins_policy" help:"what of a plugin that does not load: NAME=required, NAME=optional or NAME=off (default: the run ends)"`
	PluginsLocked      bool     `koanf:"plugins_locked" help:"refuse plugins that are not as plugins.lock in the folder has them"`
	PluginsTrustedKeys []string `koanf:"plugins_trusted_keys" help:"minisign public keys, or files with them; refuse plugins that none of them has signed"`
	PluginsOwnerCheck  string   `koanf:"plugins_owner_check" help:"who may be able to change a plugin: strict (its owner and root), group, or off (anybody)"`
	PluginsTimeout     int      `koanf:"plugins_timeout" help:"seconds that opening one plugin may take"`
	PluginWatchdog     int      `koanf:"plugin_watchdog" help:"seconds after which a call into a plugin that has not returned is logged, and again after twice as long; 0 is never"`
	PluginOnPanic      string   `koanf:"plugin_on_panic" help:"what of a panic in a plugin: stop (save, and end the run) or disable (go on without it; callbacks and metrics only)"`
	Override           []string `koanf:"override" help:"KIND.NAME of a plugin's extension that may take a built-in's place, e.g. loss.cross_entropy"`

	Dataset            []string `koanf:"dataset" help:"rows: files, folders or patterns, folder:part for a part of a folder; with #n after it, n rows drawn at random"`
	ValDataset         []string `koanf:"val_dataset" help:"rows to evaluate on"`
	SplitDatasetRatio  float64  `koanf:"split_dataset_ratio" help:"share of the rows to evaluate on where there is no val_dataset"`
	InterleaveProb     []string `koanf:"interleave_prob" help:"mix the datasets, and how likely each is at each row: numbers that add up to 1 (default: one after another)"`
	StoppingStrategy   string   `koanf:"stopping_strategy" help:"when a mix ends: first_exhausted, or all_exhausted (smaller ones are repeated)"`
	Columns            string   `koanf:"columns" help:"JSON of names of columns and what they are read as, e.g. {\"ask\": \"query\"}"`
	DatasetShuffle     bool     `koanf:"dataset_shuffle" help:"shuffle the rows of every epoch"`
	DatasetNumProc     int      `koanf:"dataset_num_proc" help:"rows that are read and tokenized at a time (default: one a core)"`
	LoadFromCacheFile  bool     `koanf:"load_from_cache_file" help:"keep the tokens of a dataset, and use them again while rows, settings, tokenizer and plugins are the same"`
	CacheDir           string   `koanf:"cache_dir" help:"folder of the kept tokens (default: swiftgo in the user's cache folder)"`
	Streaming          bool     `koanf:"streaming" help:"begin at once, and turn rows into tokens when they are used; wants max_steps"`
	Strict             bool     `koanf:"strict" help:"end the run at a row that is wrong, instead of leaving it out"`
	MaxLength          int      `koanf:"max_length" help:"longest sequence in tokens (default: the model's)"`
	TruncationStrategy string   `koanf:"truncation_strategy" help:"what to do with longer ones: delete, left, right, or split (pt: into several sequences)"`
	Packing            bool     `koanf:"packing" help:"put sequences together that fill packing_length; they cannot see each other"`
	PackingLength      int      `koanf:"packing_length" help:"tokens of a pack (default: max_length)"`
	Template           string   `koanf:"template" help:"chat template, e.g. qwen3 or llama3; none for the text alone (default: by the model)"`
	TemplateBackend    string   `koanf:"template_backend" help:"swift: the chat template named, or known for the model; jinja: the model's own"`
	System             string   `koanf:"system" help:"system prompt for rows without one"`
	UseChatTemplate    bool     `koanf:"use_chat_template" help:"render conversations with the chat template (pt: false)"`
	Compat             string   `koanf:"compat" help:"ms-swift: do as it does where it is wrong and someone may rely on it (docs/ms-swift.md)"`

	LossType                string   `koanf:"loss_type" help:"loss"`
	LossScale               string   `koanf:"loss_scale" help:"what of a conversation is trained on and how much, e.g. last_round, default+mine, or a file of keys or patterns, mine.json (pt: all)"`
	DisableIgnoreEmptyThink bool     `koanf:"disable_ignore_empty_think" help:"train on the empty thought too that a hybrid thinking model's template writes (default: ignore_empty_think is added to loss_scale)"`
	EvalMetric              string   `koanf:"eval_metric" help:"metric of evaluation"`
	Optimizer               string   `koanf:"optimizer" help:"optimizer"`
	Callbacks               []string `koanf:"callbacks" help:"callbacks, in the order they are called"`
	AgentTemplate           string   `koanf:"agent_template" help:"how tools and their calls are written"`
	TunerType               string   `koanf:"tuner_type" help:"what is trained: lora, full, or a plugin's"`
	Adapters                []string `koanf:"adapters" help:"directory of a saved adapter to start from"`

	LoraRank      int      `koanf:"lora_rank" own:"lora.rank" help:"rank of LoRA"`
	LoraAlpha     float64  `koanf:"lora_alpha" own:"lora.alpha" help:"alpha of LoRA; the update is scaled by alpha/rank"`
	LoraDropout   float64  `koanf:"lora_dropout" own:"lora.dropout" help:"dropout before LoRA"`
	TargetModules []string `koanf:"target_modules" own:"lora.target_modules" help:"linear layers that LoRA attaches to, or all-linear"`

	LearningRate              float64 `koanf:"learning_rate" help:"highest learning rate (default: 1e-4, full 1e-5)"`
	LrSchedulerType           string  `koanf:"lr_scheduler_type" help:"cosine, linear, constant or constant_with_warmup"`
	WarmupSteps               int     `koanf:"warmup_steps" help:"optimizer steps of warm-up"`
	WarmupRatio               float64 `koanf:"warmup_ratio" help:"share of the steps that is warm-up"`
	WeightDecay               float64 `koanf:"weight_decay" help:"weight decay"`
	AdamBeta1                 float64 `koanf:"adam_beta1" own:"adamw.beta1" help:"β₁ of AdamW"`
	AdamBeta2                 float64 `koanf:"adam_beta2" own:"adamw.beta2" help:"β₂ of AdamW"`
	AdamEpsilon               float64 `koanf:"adam_epsilon" own:"adamw.epsilon" help:"ε of AdamW"`
	MaxGradNorm               float64 `koanf:"max_grad_norm" help:"norm that gradients are clipped to; 0 is no clipping"`
	NumTrainEpochs            float64 `koanf:"num_train_epochs" help:"passes over the dataset"`
	MaxSteps                  int     `koanf:"max_steps" help:"optimizer steps; overrides num_train_epochs"`
	PerDeviceTrainBatchSize   int     `koanf:"per_device_train_batch_size" help:"sequences in a micro-batch"`
	PerDeviceEvalBatchSize    int     `koanf:"per_device_eval_batch_size" help:"sequences in a batch of evaluation"`
	GradientAccumulationSteps int     `koanf:"gradient_accumulation_steps" help:"micro-batches in an optimizer step (default: as many as make 16 sequences)"`
	GradientCheckpointing     bool    `koanf:"gradient_checkpointing" help:"keep what goes into each layer alone, and compute the layers again in the backward pass: less memory, a third more time"`

	OutputDir               string   `koanf:"output_dir" help:"directory of the run (default: output/<model>)"`
	AddVersion              bool     `koanf:"add_version" help:"make a directory v<N>-<time> for the run below output_dir"`
	LoggingSteps            int      `koanf:"logging_steps" help:"optimizer steps between lines of the log"`
	LoggingFirstStep        bool     `koanf:"logging_first_step" help:"log the first step"`
	SaveStrategy            string   `koanf:"save_strategy" help:"when to save: steps, epoch or no"`
	SaveSteps               int      `koanf:"save_steps" help:"optimizer steps between checkpoints"`
	SaveTotalLimit          int      `koanf:"save_total_limit" help:"checkpoints to keep, the best among them; 0 is all"`
	SaveOnlyModel           bool     `koanf:"save_only_model" help:"leave out of checkpoints what only a resume needs"`
	MaxShardSize            string   `koanf:"max_shard_size" help:"largest safetensors file, e.g. 5GB"`
	EvalStrategy            string   `koanf:"eval_strategy" help:"when to evaluate: steps, epoch or no (default: save_strategy)"`
	EvalSteps               int      `koanf:"eval_steps" help:"optimizer steps between evaluations (default: save_steps)"`
	MetricForBestModel      string   `koanf:"metric_for_best_model" help:"metric that decides which checkpoint is best"`
	GreaterIsBetter         string   `koanf:"greater_is_better" help:"true or false (default: false for loss, else true)"`
	CreateCheckpointSymlink bool     `koanf:"create_checkpoint_symlink" help:"keep links best and last beside the checkpoints"`
	EarlyStopInterval       int      `koanf:"early_stop_interval" own:"early_stop.interval" help:"checkpoints without improvement before early_stop ends the run"`
	ResumeFromCheckpoint    string   `koanf:"resume_from_checkpoint" help:"directory of the checkpoint to go on from"`
	ReportTo                []string `koanf:"report_to" help:"tensorboard, or none"`
}

// Default returns the settings that hold where nothing is said: ms-swift's.
func Default() Config {
	return Config{
		Seed: 42, PluginsOwnerCheck: "strict", PluginsTimeout: 10, PluginWatchdog: 60, PluginOnPanic: "stop", DatasetShuffle: true, StoppingStrategy: "first_exhausted",
		TruncationStrategy: "delete", TemplateBackend: "swift", UseChatTemplate: true,
		LossType: "cross_entropy", LossScale: "default", Optimizer: "adamw", TunerType: "lora",
		LoraRank: 8, LoraAlpha: 32, LoraDropout: 0.05, TargetModules: []string{"all-linear"},
		LrSchedulerType: "cosine", WeightDecay: 0.1, AdamBeta1: 0.9, AdamBeta2: 0.95, AdamEpsilon: 1e-8,
		MaxGradNorm: 1, NumTrainEpochs: 3, MaxSteps: -1, PerDeviceTrainBatchSize: 1, PerDeviceEvalBatchSize: 1,
		AddVersion: true, LoggingSteps: 5, LoggingFirstStep: true, SaveStrategy: "steps", SaveSteps: 500,
		MaxShardSize: "5GB", MetricForBestModel: "loss", EarlyStopInterval: 3, ReportTo: []string{"tensorboard"},
	}
}

// Args returns the settings that any extension may read.
func (c *Config) Args() api.Args {
	return api.Args{
		LearningRate: c.LearningRate, WeightDecay: c.WeightDecay, WarmupSteps: c.WarmupSteps, WarmupRatio: c.WarmupRatio,
		Seed: c.Seed, OutputDir: c.OutputDir, GreaterIsBetter: c.GreaterIsBetter == "true", Log: slog.Default(),
	}
}

// OwnDefaults returns the settings of built-in extensions that have a flag of
// ms-swift's name, by extension: --lora_rank is the rank of lora.
func (c *Config) OwnDefaults() map[string]map[string]any {
	own := map[string]map[string]any{}
	v := reflect.ValueOf(*c)
	for i := range v.NumField() {
		extension, key, ok := strings.Cut(v.Type().Field(i).Tag.Get("own"), ".")
		if !ok {
			continue
		}
		if own[extension] == nil {
			own[extension] = map[string]any{}
		}
		own[extension][key] = v.Field(i).Interface()
	}
	return own
}

// Map returns the settings by their names.
func (c *Config) Map() map[string]any {
	m := map[string]any{}
	v := reflect.ValueOf(*c)
	for i := range v.NumField() {
		m[v.Type().Field(i).Tag.Get("koanf")] = v.Field(i).Interface()
	}
	return m
}
