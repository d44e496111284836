package recipe

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/core/builtin"
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
	GroupByLength      bool     `koanf:"group_by_length" help:"put rows of about one length into a step"`
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

	TaskType                string   `koanf:"task_type" help:"what the model learns: causal_lm, to write; embedding, to give texts like vectors; generative_reranker, to say of a document whether it answers; reranker and seq_cls, to give a document a score and a text a class, with a head of their own"`
	NumLabels               int      `koanf:"num_labels" help:"seq_cls: how many classes there are, or numbers (default: as the checkpoint's head)"`
	ProblemType             string   `koanf:"problem_type" own:"seq_cls,acc.problem_type" help:"seq_cls: what the labels are, regression, single_label_classification or multi_label_classification (default: regression where num_labels is 1, else single_label_classification)"`
	PositiveToken           string   `koanf:"generative_reranker_positive_token" help:"token that says so"`
	NegativeToken           string   `koanf:"generative_reranker_negative_token" help:"token that denies it"`
	LossType                string   `koanf:"loss_type" help:"loss (embedding: infonce; rerankers: pointwise_reranker; seq_cls: by problem_type)"`
	LabelSmoothing          float64  `koanf:"label_smoothing_factor" own:"cross_entropy.label_smoothing" help:"share of cross_entropy that is the mean over the vocabulary"`
	EnableDFTLoss           bool     `koanf:"enable_dft_loss" own:"channel.dft" help:"--loss_type dft: the more likely a token, the more it counts"`
	EnableChannelLoss       bool     `koanf:"enable_channel_loss" help:"log the loss of each text in the column channel too: loss and callback channel"`
	LossScale               string   `koanf:"loss_scale" help:"what of a conversation is trained on and how much, e.g. last_round, default+mine, or a file of keys or patterns, mine.json (pt: all)"`
	DisableIgnoreEmptyThink bool     `koanf:"disable_ignore_empty_think" help:"train on the empty thought too that a hybrid thinking model's template writes (default: ignore_empty_think is added to loss_scale)"`
	EvalMetric              string   `koanf:"eval_metric" help:"metric of evaluation (predict_with_generate: nlg; embedding: infonce or paired; rerankers: reranker; seq_cls with classes: acc)"`
	AccStrategy             string   `koanf:"acc_strategy" own:"acc.strategy" help:"what metric acc counts: token, or seq; of seq_cls always texts"`
	PredictWithGenerate     bool     `koanf:"predict_with_generate" help:"let the model answer in evaluations, for metrics of text"`
	MaxNewTokens            int      `koanf:"max_new_tokens" help:"longest answer of predict_with_generate in tokens"`
	Optimizer               string   `koanf:"optimizer" help:"optimizer"`
	Optim                   string   `koanf:"optim" help:"optimizer by the name that transformers has for it: adamw_torch, adafactor, sgd, adamw_8bit or lion_32bit"`
	Callbacks               []string `koanf:"callbacks" help:"callbacks, in the order they are called"`
	AgentTemplate           string   `koanf:"agent_template" help:"how tools and their calls are written"`
	TunerType               string   `koanf:"tuner_type" help:"what is trained: lora, full, adalora, vera, bone, llamapro, lora_llm, dummy, or a plugin's"`
	Adapters                []string `koanf:"adapters" help:"directory of a saved adapter to start from"`

	LoraRank                 int      `koanf:"lora_rank" own:"lora,lora_llm.rank" help:"rank of LoRA"`
	LoraAlpha                float64  `koanf:"lora_alpha" own:"lora,lora_llm,adalora.alpha" help:"alpha of LoRA; the update is scaled by alpha/rank"`
	LoraDropout              float64  `koanf:"lora_dropout" own:"lora,adalora.dropout" help:"dropout before LoRA"`
	LoraBias                 string   `koanf:"lora_bias" own:"lora,adalora.bias" help:"biases to train beside LoRA: none, all, or lora_only (of the layers with LoRA)"`
	LoraDtype                string   `koanf:"lora_dtype" help:"type of the weights in saved adapters: float32, bfloat16 or float16 (default: float32)"`
	UseRSLora                bool     `koanf:"use_rslora" own:"lora.use_rslora" help:"scale LoRA by alpha/√rank"`
	UseDora                  bool     `koanf:"use_dora" own:"lora.use_dora" help:"DoRA: train the lengths of the rows of the weights apart from their directions"`
	InitWeights              string   `koanf:"init_weights" own:"lora,bone.init_weights" help:"how LoRA begins: true, false, gaussian, pissa, pissa_niter_N or olora; Bone: true, false or bat"`
	TargetModules            []string `koanf:"target_modules" own:"lora,adalora,vera,bone.target_modules" help:"linear layers that the tuner attaches to, or all-linear"`
	TargetRegex              string   `koanf:"target_regex" own:"lora,adalora,vera,bone.target_regex" help:"pattern of the whole names of those layers, in place of target_modules"`
	ModulesToSave            []string `koanf:"modules_to_save" own:"lora,adalora,vera,bone.modules_to_save" help:"modules to train whole beside it, e.g. lm_head, all-embedding or all-norm"`
	FreezeParameters         []string `koanf:"freeze_parameters" own:"full.freeze_parameters" help:"full: what the names of parameters to freeze begin with"`
	FreezeParametersRegex    string   `koanf:"freeze_parameters_regex" own:"full.freeze_parameters_regex" help:"full: pattern to find in the names of parameters to freeze"`
	FreezeParametersRatio    float64  `koanf:"freeze_parameters_ratio" own:"full.freeze_parameters_ratio" help:"full: share of the parameters to freeze, from the embeddings up"`
	TrainableParameters      []string `koanf:"trainable_parameters" own:"full.trainable_parameters" help:"full: what the names of parameters begin with that are trained all the same"`
	TrainableParametersRegex string   `koanf:"trainable_parameters_regex" own:"full.trainable_parameters_regex" help:"full: pattern to find in the names of those"`

	LearningRate              float64  `koanf:"learning_rate" help:"highest learning rate (default: 1e-4, full 1e-5)"`
	LrSchedulerType           string   `koanf:"lr_scheduler_type" help:"one of transformers: cosine, linear, constant, constant_with_warmup, cosine_with_restarts, cosine_with_min_lr, cosine_warmup_with_min_lr, polynomial, inverse_sqrt or warmup_stable_decay"`
	LrSchedulerKwargs         string   `koanf:"lr_scheduler_kwargs" help:"JSON of its settings by transformers' names, e.g. {\"min_lr_rate\": 0.1}"`
	WarmupSteps               int      `koanf:"warmup_steps" help:"optimizer steps of warm-up"`
	WarmupRatio               float64  `koanf:"warmup_ratio" help:"share of the steps that is warm-up"`
	WeightDecay               float64  `koanf:"weight_decay" help:"weight decay"`
	AdamBeta1                 float64  `koanf:"adam_beta1" own:"adam*.beta1" help:"β₁ of AdamW"`
	AdamBeta2                 float64  `koanf:"adam_beta2" own:"adam*.beta2" help:"β₂ of AdamW"`
	AdamEpsilon               float64  `koanf:"adam_epsilon" own:"adam*.epsilon" help:"ε of AdamW"`
	LrGroups                  []string `koanf:"lr_groups" own:"optimizer*.lr_groups" help:"learning rates of parts of the model: PATTERN=RATE, the first whose regular expression matches a parameter's name"`
	VitLr                     float64  `koanf:"vit_lr" own:"optimizer*.vit_lr" help:"learning rate of a multimodal model's vision part (default: learning_rate)"`
	AlignerLr                 float64  `koanf:"aligner_lr" own:"optimizer*.aligner_lr" help:"learning rate of what joins its vision part to its language part (default: learning_rate)"`
	LorapLrRatio              float64  `koanf:"lorap_lr_ratio" own:"lorap.lr_ratio" help:"learning rate of LoRA's second matrices by that of the first; chooses the optimizer lorap"`
	UseGalore                 bool     `koanf:"use_galore" help:"choose the optimizer galore"`
	GaloreTargetModules       []string `koanf:"galore_target_modules" own:"galore.target_modules" help:"parts of the names of the matrices that GaLore is for (default: all inside the model)"`
	GaloreRank                int      `koanf:"galore_rank" own:"galore.rank" help:"rank of GaLore (default: 128)"`
	GaloreUpdateProjGap       int      `koanf:"galore_update_proj_gap" own:"galore.update_proj_gap" help:"optimizer steps between GaLore's searches for its space (default: 50)"`
	GaloreScale               float64  `koanf:"galore_scale" own:"galore.scale" help:"factor of GaLore's updates (default: 1)"`
	GaloreProjType            string   `koanf:"galore_proj_type" own:"galore.proj_type" help:"std, reverse_std, left, right or full (default: std)"`
	MaxGradNorm               float64  `koanf:"max_grad_norm" help:"norm that gradients are clipped to; 0 is no clipping"`
	NanPolicy                 string   `koanf:"nan_policy" help:"what of a step whose loss or gradient is no number: stop, skip (leave it out), or log (do it all the same)"`
	NeftuneNoiseAlpha         float64  `koanf:"neftune_noise_alpha" help:"noise on the embeddings in training (NEFTune); 0 is none"`
	LisaActivatedLayers       int      `koanf:"lisa_activated_layers" own:"lisa.activated_layers" help:"layers that are trained at a time; chooses the callback lisa (default: all)"`
	LisaStepInterval          int      `koanf:"lisa_step_interval" own:"lisa.step_interval" help:"optimizer steps until lisa draws others (default: 20)"`
	NumTrainEpochs            float64  `koanf:"num_train_epochs" help:"passes over the dataset"`
	MaxSteps                  int      `koanf:"max_steps" help:"optimizer steps; overrides num_train_epochs"`
	PerDeviceTrainBatchSize   int      `koanf:"per_device_train_batch_size" help:"sequences in a micro-batch"`
	PerDeviceEvalBatchSize    int      `koanf:"per_device_eval_batch_size" help:"sequences in a batch of evaluation"`
	GradientAccumulationSteps int      `koanf:"gradient_accumulation_steps" help:"micro-batches in an optimizer step (default: as many as make 16 sequences)"`
	GradientCheckpointing     bool     `koanf:"gradient_checkpointing" help:"keep what goes into each layer alone, and compute the layers again in the backward pass: less memory, a third more time"`

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
	MetricForBestModel      string   `koanf:"metric_for_best_model" help:"metric that decides which checkpoint is best (default: loss, or rouge-l of nlg)"`
	GreaterIsBetter         string   `koanf:"greater_is_better" help:"true or false (default: false for loss, ppl and mean_neg, else true)"`
	CreateCheckpointSymlink bool     `koanf:"create_checkpoint_symlink" help:"keep links best and last beside the checkpoints"`
	EarlyStopInterval       int      `koanf:"early_stop_interval" own:"early_stop.interval" help:"checkpoints without improvement that end the run; chooses the callback early_stop (default: 3 with it)"`
	MaxWallTime             string   `koanf:"max_wall_time" help:"time after which the run saves and ends, e.g. 3h30m"`
	ResumeFromCheckpoint    string   `koanf:"resume_from_checkpoint" help:"directory of the checkpoint to go on from"`
	ReportTo                []string `koanf:"report_to" help:"tensorboard, or none"`
}

// Default returns the settings that hold where nothing is said: ms-swift's.
func Default() Config {
	return Config{
		Seed: 42, PluginsOwnerCheck: "strict", PluginsTimeout: 10, PluginWatchdog: 60, PluginOnPanic: "stop", DatasetShuffle: true, StoppingStrategy: "first_exhausted",
		TruncationStrategy: "delete", TemplateBackend: "swift", UseChatTemplate: true,
		TaskType: "causal_lm", PositiveToken: "yes", NegativeToken: "no", AccStrategy: "token", MaxNewTokens: 64,
		LossType: "cross_entropy", LossScale: "default", Optimizer: "adamw", TunerType: "lora",
		LoraRank: 8, LoraAlpha: 32, LoraDropout: 0.05, LoraBias: "none", InitWeights: "true", TargetModules: []string{"all-linear"},
		LrSchedulerType: "cosine", WeightDecay: 0.1, AdamBeta1: 0.9, AdamBeta2: 0.95, AdamEpsilon: 1e-8,
		MaxGradNorm: 1, NanPolicy: "stop", NumTrainEpochs: 3, MaxSteps: -1, PerDeviceTrainBatchSize: 1, PerDeviceEvalBatchSize: 1,
		AddVersion: true, LoggingSteps: 5, LoggingFirstStep: true, SaveStrategy: "steps", SaveSteps: 500,
		MaxShardSize: "5GB", ReportTo: []string{"tensorboard"},
	}
}

// Args returns the settings that any extension may read.
func (c *Config) Args() api.Args {
	return api.Args{
		LearningRate: c.LearningRate, WeightDecay: c.WeightDecay, WarmupSteps: c.WarmupSteps, WarmupRatio: c.WarmupRatio,
		Seed: c.Seed, OutputDir: c.OutputDir, GreaterIsBetter: c.GreaterIsBetter == "true", Log: slog.Default(),
	}
}

// families are extensions that share settings, by the name that stands for them
// in a tag.
var families = map[string][]string{
	"adam*":      {"adamw", "multimodal", "lorap", "adamw_8bit", "muon", "galore", "apollo"},
	"optimizer*": slices.Collect(maps.Keys(builtin.Exports().Optimizers)),
}

// OwnDefaults returns the settings of built-in extensions that have a flag of
// ms-swift's name, by extension: --lora_rank is the rank of lora, and of every
// other extension that the field's tag names. What is 0 or empty unless it is
// given is left to the extension.
func (c *Config) OwnDefaults() map[string]map[string]any {
	own := map[string]map[string]any{}
	v, defaults := reflect.ValueOf(*c), reflect.ValueOf(Default())
	for i := range v.NumField() {
		extensions, key, ok := strings.Cut(v.Type().Field(i).Tag.Get("own"), ".")
		if !ok || v.Field(i).IsZero() && defaults.Field(i).IsZero() {
			continue
		}
		for _, extension := range strings.Split(extensions, ",") {
			members, ok := families[extension]
			if !ok {
				members = []string{extension}
			}
			for _, name := range members {
				if own[name] == nil {
					own[name] = map[string]any{}
				}
				own[name][key] = v.Field(i).Interface()
			}
		}
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
