package recipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"swiftgo/core/checkpoint"
	"swiftgo/core/dataset"
	"swiftgo/core/registry"
	"swiftgo/core/report"
	"swiftgo/core/sampler"
	"swiftgo/core/trainer"
)

// SampleOptions are the settings of Sample beside those of a run, by ms-swift's
// names.
type SampleOptions struct {
	SamplerType   string // sample or distill
	SamplerEngine string // native, client or no
	OutputFile    string // below Config.OutputDir; "" is the time
	Resume        bool
	Override      bool

	NumReturnSequences int
	BatchSize          int // 0 is 1, and for the client as many as requests at a time
	Batches            int // 0 is all
	DataRange          []string
	CacheFiles         []string

	ORM, PRM           string // name, or directory of a checkpoint; "" for none
	NBestToKeep        int
	PRMThreshold       float64
	EasyQueryThreshold float64 // 0 is none
	RewardTimeout      int     // seconds of one call; 0 is any

	MaxNewTokens   int
	Temperature    float64
	TopK           int     // 0 is no limit
	TopP           float64 // 1 is no limit
	BaseURL        string
	APIKey         string // never in a log, an error or a file
	EngineKwargs   string // JSON of more that requests say
	MaxConcurrency int
	MaxRetries     int
	RequestTimeout int // seconds
}

// DefaultSample returns what holds where nothing is said.
func DefaultSample() SampleOptions {
	return SampleOptions{SamplerType: "sample", SamplerEngine: "native", NumReturnSequences: 64, NBestToKeep: 5, RewardTimeout: 1800,
		MaxNewTokens: 2048, Temperature: 1, TopP: 1, MaxConcurrency: 16, MaxRetries: 8, RequestTimeout: 600}
}

// Sample has the questions of --dataset answered several times, judges the
// answers, and writes the best of them as rows to train on. Names, settings and
// data are found and checked before a model is loaded or a server asked.
func Sample(ctx context.Context, c Config, o SampleOptions, reg *registry.Registry, out io.Writer) (*sampler.Summary, error) {
	shard, shards, err := o.check(&c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer reg.Watch(time.Duration(c.PluginWatchdog) * time.Second)()
	judges, load, err := o.judges(&c, reg)
	if err != nil {
		return nil, err
	}
	cached, err := sampler.ReadCache(o.CacheFiles)
	if err != nil {
		return nil, err
	}
	read, err := c.rows(report.Tasks(out))
	if err != nil {
		return nil, err
	}
	read.Prompts, read.Lazy = true, false
	rows, err := dataset.Open(c.Dataset, read)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	settings, err := o.settings(&c, rows)
	if err != nil {
		return nil, err
	}
	var engine func() (sampler.Engine, error)
	switch o.SamplerEngine {
	case "native":
		if len(c.Adapters) > 0 {
			if err := fromAdapter(&c, c.Adapters[0]); err != nil {
				return nil, err
			}
			if err := reg.Has("tuner", c.TunerType); err != nil {
				return nil, err
			}
		}
		conf, err := c.modelConfig()
		if err == nil {
			err = writes(conf)
		}
		if err != nil {
			return nil, fmt.Errorf("--model %s: %w", c.Model, err)
		}
		engine = func() (sampler.Engine, error) {
			return newNative(ctx, &c, &o, reg)
		}
	case "client":
		client, err := o.client(c.Model)
		if err != nil {
			return nil, err
		}
		engine = func() (sampler.Engine, error) { return client, nil }
	}
	if err := reg.CheckOwn(); err != nil {
		return nil, err
	}
	if err := load(); err != nil {
		return nil, err
	}
	path := filepath.Join(c.OutputDir, o.OutputFile)
	if err := os.MkdirAll(c.OutputDir, 0o777); err != nil {
		return nil, fmt.Errorf("--output_dir: %w", err)
	}
	bar := report.NewBar(out, "questions")
	defer bar.Close()
	how := sampler.Options{
		Path: path, Resume: o.Resume, Override: o.Override, Answers: o.NumReturnSequences, System: c.System, Batch: o.BatchSize, Batches: o.Batches,
		Shard: shard, Shards: shards, Strict: c.Strict, Judges: judges, Settings: settings,
		Selection: sampler.Selection{Best: o.NBestToKeep, PRMThreshold: o.PRMThreshold, Easy: o.EasyQueryThreshold, AsMSSwift: c.Compat == "ms-swift"},
		Progress:  func(s *sampler.Summary) { bar.Show(s.Done+s.Failed, s.Questions, s.Short()) },
	}
	var s *sampler.Summary
	err = reg.Guard(func() error {
		s, err = sampler.Run(ctx, rows, engine, cached, how)
		return err
	})
	switch {
	case errors.Is(err, sampler.ErrComplete):
		fmt.Fprintln(out, err)
	case ctx.Err() != nil && err != nil:
		bar.Close()
		fmt.Fprintln(out, err)
		return s, fmt.Errorf("%w: %w", trainer.ErrInterrupted, err)
	case err != nil:
		return s, err
	}
	bar.Close()
	args := arguments(&c, reg)
	for name, v := range settings {
		args[name] = v
	}
	return s, checkpoint.WriteJSON(strings.TrimSuffix(path, ".jsonl")+".args.json", args)
}

// check fills in what depends on other settings, and refuses what cannot be.
func (o *SampleOptions) check(c *Config) (shard, shards int, err error) {
	for _, choice := range []struct {
		flag, value string
		among       []string
	}{
		{"sampler_type", o.SamplerType, []string{"sample", "distill"}},
		{"sampler_engine", o.SamplerEngine, []string{"native", "client", "no"}},
		{"compat", c.Compat, []string{"", "ms-swift"}},
	} {
		if !slices.Contains(choice.among, choice.value) {
			return 0, 0, fmt.Errorf("--%s is %q, want %s", choice.flag, choice.value, strings.Join(slices.DeleteFunc(choice.among, func(s string) bool { return s == "" }), " or "))
		}
	}
	switch {
	case len(c.Dataset) == 0:
		return 0, 0, fmt.Errorf("--dataset is missing; want files of rows, .jsonl")
	case c.Model == "" && o.SamplerEngine != "no":
		return 0, 0, fmt.Errorf("--model is missing; want the directory of a Hugging Face model, or with --sampler_engine client the server's name of one")
	case o.SamplerType == "distill" && o.SamplerEngine == "native":
		return 0, 0, fmt.Errorf("--sampler_type distill asks a server: want --sampler_engine client, or no to judge what one has answered before")
	case o.SamplerEngine == "no" && len(o.CacheFiles) == 0:
		return 0, 0, fmt.Errorf("--sampler_engine no scores the answers of --cache_files, and none is given")
	case o.EasyQueryThreshold > 0 && o.ORM == "":
		return 0, 0, fmt.Errorf("--easy_query_threshold counts answers that are right, which only an --orm_model knows")
	case !(o.EasyQueryThreshold >= 0 && o.EasyQueryThreshold <= 1):
		return 0, 0, fmt.Errorf("--easy_query_threshold is %g, want a share from 0 to 1", o.EasyQueryThreshold)
	case o.OutputFile != filepath.Base(o.OutputFile) && o.OutputFile != "":
		return 0, 0, fmt.Errorf("--output_file is %q, want a name without folders; --output_dir is the folder", o.OutputFile)
	case o.OutputFile == "" && o.Resume:
		return 0, 0, fmt.Errorf("--resume wants the --output_file of the run to go on with")
	case !(o.Temperature >= 0):
		return 0, 0, fmt.Errorf("--temperature is %g, want 0 or more", o.Temperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return 0, 0, fmt.Errorf("--top_p is %g, want a share above 0, up to 1", o.TopP)
	}
	for _, n := range []struct {
		flag       string
		value, min int
	}{
		{"num_return_sequences", o.NumReturnSequences, 1}, {"n_best_to_keep", o.NBestToKeep, 1}, {"max_new_tokens", o.MaxNewTokens, 1}, {"top_k", o.TopK, 0},
		{"num_sampling_batch_size", o.BatchSize, 0}, {"num_sampling_batches", o.Batches, 0},
	} {
		if n.value < n.min {
			return 0, 0, fmt.Errorf("--%s is %d, want %d or more", n.flag, n.value, n.min)
		}
	}
	if o.OutputFile == "" {
		o.OutputFile = time.Now().Format("2006-01-02-15-04-05") + ".jsonl"
	}
	if o.BatchSize == 0 {
		if o.BatchSize = 1; o.SamplerEngine == "client" {
			o.BatchSize = max(1, o.MaxConcurrency)
		}
	}
	if c.OutputDir == "" {
		c.OutputDir = "sample_output"
	}
	shards = 1
	if len(o.DataRange) > 0 {
		var e1, e2 error
		if len(o.DataRange) == 2 {
			shard, e1 = strconv.Atoi(o.DataRange[0])
			shards, e2 = strconv.Atoi(o.DataRange[1])
		}
		if len(o.DataRange) != 2 || e1 != nil || e2 != nil || shards < 1 || shard < 0 || shard >= shards {
			return 0, 0, fmt.Errorf("--data_range is %s, want two numbers, the part and how many parts there are: 0 4 is the first of four", strings.Join(o.DataRange, " "))
		}
	}
	return shard, shards, nil
}

// settings are what the results follow from: a run that resumes must have the
// same ones.
func (o *SampleOptions) settings(c *Config, rows *dataset.Dataset) (map[string]any, error) {
	print, err := rows.Fingerprint()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"dataset": c.Dataset, "dataset_sha256": print, "columns": c.Columns, "model": c.Model, "adapters": c.Adapters, "template": c.Template, "system": c.System,
		"seed": c.Seed, "compat": c.Compat, "sampler_type": o.SamplerType, "sampler_engine": o.SamplerEngine, "num_return_sequences": o.NumReturnSequences,
		"data_range": o.DataRange, "cache_files": o.CacheFiles, "orm_model": o.ORM, "prm_model": o.PRM, "n_best_to_keep": o.NBestToKeep,
		"prm_threshold": o.PRMThreshold, "easy_query_threshold": o.EasyQueryThreshold, "max_new_tokens": o.MaxNewTokens, "temperature": o.Temperature,
		"top_k": o.TopK, "top_p": o.TopP, "base_url": o.BaseURL, "engine_kwargs": o.EngineKwargs,
	}, nil
}

// client returns what asks a server.
func (o *SampleOptions) client(model string) (*sampler.Client, error) {
	body := map[string]any{"temperature": o.Temperature, "max_tokens": o.MaxNewTokens}
	if o.TopP < 1 {
		body["top_p"] = o.TopP
	}
	if o.TopK > 0 {
		body["top_k"] = o.TopK
	}
	client := &sampler.Client{BaseURL: o.BaseURL, Key: o.APIKey, Model: model, Body: body, Distill: o.SamplerType == "distill",
		Concurrency: o.MaxConcurrency, Timeout: time.Duration(o.RequestTimeout) * time.Second, Retries: o.MaxRetries}
	if o.EngineKwargs != "" {
		var more map[string]any
		if err := json.Unmarshal([]byte(o.EngineKwargs), &more); err != nil {
			return nil, fmt.Errorf(`--engine_kwargs is no JSON object (%w); want one such as {"seed": 1}`, err)
		}
		for name, v := range more {
			switch {
			case name == "api_key":
				return nil, errors.New("--engine_kwargs has an api_key, which others can see there; want it in OPENAI_API_KEY")
			case name == "base_url":
				if client.BaseURL, _ = v.(string); client.BaseURL == "" {
					return nil, errors.New("--engine_kwargs: base_url is no text, want an address")
				}
			case name == "model" || name == "messages" || name == "n" || name == "stream" || name == "tools":
				return nil, fmt.Errorf("--engine_kwargs has %s, which is not to be said twice", name)
			case v == nil: // leave it out of requests
				delete(body, name)
			default:
				body[name] = v
			}
		}
	}
	return sampler.NewClient(client)
}
