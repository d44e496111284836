package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
)

// sampleFlags are the settings of a run that sampling has too.
var sampleFlags = []string{"model", "threads", "seed", "dataset", "columns", "dataset_num_proc", "strict", "template", "template_backend", "system",
	"use_chat_template", "compat", "tuner_type", "adapters", "output_dir", "override"}

// sampleCommand has the questions of a dataset answered, and keeps the best.
func sampleCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sample", Short: "sample answers, judge them and keep the best", Args: cobra.NoArgs,
		Long: `Sample answers to the questions of --dataset, judge them with --orm_model and --prm_model,
and write the best of them to --output_file as rows to train on. Beside an answer that is kept
stands a worse one as rejected_response; it is never one that is right.

A reward model is an extension by its name, or a directory: a checkpoint, or an adapter, with a
classification head of one number, such as sft makes with --task_type seq_cls --num_labels 1.

--sampler_engine says who answers: native, the model in --model (with --adapters); client, a
server that speaks OpenAI's protocol at --base_url, with the key in OPENAI_API_KEY; or no:
the answers of --cache_files, which an earlier run without reward models has written.
--sampler_type distill puts a server's reasoning before its answer, as <think>…</think>.

A run that was cut off, however it was, goes on with --resume and the same settings. Several
processes share a dataset with --data_range 0 4, 1 4 and so on, each with its own --output_file.`,
	}
	defaults := recipe.Default()
	defaults.TunerType = "" // by the adapter
	addFlags(cmd.Flags(), defaults, func(name string) bool {
		return slices.Contains(sampleFlags, name) || strings.HasPrefix(name, "plugin")
	})
	for name, help := range map[string]string{
		"output_dir": "directory of the results (default: sample_output)",
		"model":      "directory of the model, or the server's name of it",
		"adapters":   "directory of the adapter to answer with",
		"tuner_type": "the tuner that made the adapter, if its checkpoint has no args.json",
		"system":     "system prompt, in the place of the rows' own",
		"compat":     "ms-swift: reject the worst answer though it be right (docs/ms-swift.md)",
	} {
		cmd.Flags().Lookup(name).Usage = help
	}
	o := recipe.DefaultSample()
	f := cmd.Flags()
	f.StringVar(&o.SamplerType, "sampler_type", o.SamplerType, "sample, or distill: keep a server's reasoning")
	f.StringVar(&o.SamplerEngine, "sampler_engine", o.SamplerEngine, "who answers: native, client or no")
	f.StringVar(&o.OutputFile, "output_file", o.OutputFile, "name of the results, .jsonl (default: the time)")
	f.BoolVar(&o.Resume, "resume", o.Resume, "go on with a run that was cut off")
	f.BoolVar(&o.Override, "override_exist_file", o.Override, "write over an output_file that is there")
	f.IntVar(&o.NumReturnSequences, "num_return_sequences", o.NumReturnSequences, "answers to sample for each question")
	f.IntVar(&o.BatchSize, "num_sampling_batch_size", o.BatchSize, "questions that are answered and judged together (default: 1, client: max_concurrency)")
	f.IntVar(&o.Batches, "num_sampling_batches", o.Batches, "such batches to do at most; 0 is all")
	f.StringSliceVar(&o.DataRange, "data_range", o.DataRange, "the part of the rows to do, from 0, and how many parts there are, e.g. 0 4")
	f.StringSliceVar(&o.CacheFiles, "cache_files", o.CacheFiles, "results of runs without reward models, whose answers are used instead of new ones")
	f.StringVar(&o.ORM, "orm_model", o.ORM, "outcome reward model: a name, or the directory of a reward model; answers with more than 0 are right")
	f.StringVar(&o.PRM, "prm_model", o.PRM, "process reward model: a name, or the directory of a reward model; the smallest of an answer's rewards counts")
	f.IntVar(&o.NBestToKeep, "n_best_to_keep", o.NBestToKeep, "answers to keep for each question, if they pass")
	f.Float64Var(&o.PRMThreshold, "prm_threshold", o.PRMThreshold, "what the PRM's reward must be above")
	f.Float64Var(&o.EasyQueryThreshold, "easy_query_threshold", o.EasyQueryThreshold, "leave out questions of which this share of the answers is right; 0 is none")
	f.IntVar(&o.RewardTimeout, "reward_timeout", o.RewardTimeout, "seconds that one call of a reward model may take; 0 is any time")
	f.IntVar(&o.MaxNewTokens, "max_new_tokens", o.MaxNewTokens, "longest answer in tokens")
	f.Float64Var(&o.Temperature, "temperature", o.Temperature, "temperature of sampling; 0 takes the most likely token")
	f.IntVar(&o.TopK, "top_k", o.TopK, "draw from this many most likely tokens; 0 is all")
	f.Float64Var(&o.TopP, "top_p", o.TopP, "draw from the most likely tokens that have this share together")
	f.StringVar(&o.BaseURL, "base_url", o.BaseURL, "address of the server, up to and with /v1 (default: OPENAI_BASE_URL)")
	f.StringVar(&o.EngineKwargs, "engine_kwargs", o.EngineKwargs, `JSON of what else requests say, e.g. {"seed": 1}; null leaves a thing out`)
	f.IntVar(&o.MaxConcurrency, "max_concurrency", o.MaxConcurrency, "requests to the server at a time")
	f.IntVar(&o.MaxRetries, "max_retries", o.MaxRetries, "how often a request is sent again when the server is busy or broken")
	f.IntVar(&o.RequestTimeout, "request_timeout", o.RequestTimeout, "seconds that one request may take")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(f, defaults)
		if err != nil {
			return err
		}
		o.APIKey = os.Getenv("OPENAI_API_KEY")
		o.BaseURL = cmp.Or(o.BaseURL, os.Getenv("OPENAI_BASE_URL"))
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		r, err := recipe.Sample(cmd.Context(), c, o, reg, os.Stdout)
		if err != nil {
			return err
		}
		if r != nil {
			fmt.Fprint(os.Stdout, r)
		}
		return nil
	}
	return cmd
}
