package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"swiftgo/core/generate"
	"swiftgo/core/recipe"
	"swiftgo/core/registry"
)

// inferCommand answers what is typed, or the conversations of a dataset.
func inferCommand(s *settings) *cobra.Command {
	defaults := recipe.Default()
	defaults.TunerType, defaults.MaxNewTokens = "", 0 // by the adapter; as long as it can be
	cmd := &cobra.Command{
		Use: "infer", Short: "talk with a model, or answer the conversations of a dataset", Args: cobra.NoArgs,
		Long: `Talk with a model: each line is answered, and the conversation goes on. /clear forgets it,
/system TEXT begins one with another system prompt, /exit ends. Ctrl-C stops an answer. Where
the input is no terminal, every line of it is a question. With --tools the model may call
tools; the lines after a call are what the tools answer, one a call.

With --val_dataset, answer its conversations, write the answers to --result_path, and judge
them with --metric or --orm_model. A line of the results is {"response", "labels",
"logprobs", "reward", "messages"}. A model with a classification head (--task_type seq_cls
or reranker of sft) judges the conversations instead, each with its last answer if it has
one: {"response", "labels", "logits", "logprobs", "messages"}, where the response is a class,
a list of classes, or numbers.

Where nothing is said of temperature, top_k, top_p, min_p and repetition_penalty they are as
in the model's generation_config.json, and without one the most likely token is taken.
--adapters names a checkpoint; its model, tuner, template, system prompt and agent template
are taken from it unless they are given.`,
	}
	addFlags(cmd.Flags(), defaults, everything)
	o := recipe.InferOptions{MaxBatchSize: 16}
	logprobs, top := false, 0
	f := cmd.Flags()
	settings := samplingFlags(f)
	f.Lookup("max_new_tokens").Usage = "longest answer in tokens; 0 is as long as the model can read"
	f.StringSliceVar(&o.StopWords, "stop_words", nil, "texts that end an answer")
	f.IntVar(&o.MaxBatchSize, "max_batch_size", o.MaxBatchSize, "answers that go through the model together")
	f.BoolVar(&logprobs, "logprobs", false, "write the log probability of each token of an answer")
	f.IntVar(&top, "top_logprobs", 0, "likeliest tokens to write the log probabilities of too")
	f.StringVar(&o.Metric, "metric", "", "measures the answers beside the labels: acc, the share that are the same; rouge, with BLEU; or a plugin's metric of texts")
	f.StringVar(&o.ORM, "orm_model", "", "outcome reward model that judges the answers")
	f.StringVar(&o.ResultPath, "result_path", "", "file for the answers, .jsonl (default: none)")
	var tools string
	f.StringVar(&tools, "tools", "", "file of tools that the model may call, JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(f, defaults)
		if err != nil {
			return err
		}
		o.MaxNewTokens = c.MaxNewTokens
		o.Settings = settings()
		if o.Logprobs = -1; logprobs || top > 0 {
			o.Logprobs = top
		}
		if err := c.FromCheckpoint(own); err != nil {
			return err
		}
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		if len(c.ValDataset) == 0 {
			return chat(cmd.Context(), c, o, tools, reg)
		}
		if tools != "" {
			return fmt.Errorf("--tools is for a chat; rows of a dataset have a column tools")
		}
		r, err := recipe.Infer(cmd.Context(), c, o, reg)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, r)
		return nil
	}
	return cmd
}

// samplingFlags adds the flags of generate.Settings; what is not given is nil in
// what the function returns.
func samplingFlags(f *pflag.FlagSet) func() generate.Settings {
	temperature := f.Float64("temperature", 0, "what logits are divided by before drawing; 0 takes the most likely token (default: the model's)")
	topK := f.Int("top_k", 0, "draw among this many of the most likely tokens; 0 is all (default: the model's, 50)")
	topP := f.Float64("top_p", 0, "draw among the fewest tokens that have this probability together (default: the model's)")
	minP := f.Float64("min_p", 0, "draw among tokens at least this likely, relative to the most likely one (default: the model's)")
	penalty := f.Float64("repetition_penalty", 0, "how much less likely tokens become that were there before, e.g. 1.1 (default: the model's)")
	return func() (s generate.Settings) {
		if f.Changed("temperature") {
			s.Temperature = temperature
		}
		if f.Changed("top_k") {
			s.TopK = topK
		}
		if f.Changed("top_p") {
			s.TopP = topP
		}
		if f.Changed("min_p") {
			s.MinP = minP
		}
		if f.Changed("repetition_penalty") {
			s.RepetitionPenalty = penalty
		}
		return s
	}
}

// chat talks at the terminal, where Ctrl-C ends an answer and not the program.
func chat(ctx context.Context, c recipe.Config, o recipe.InferOptions, tools string, reg *registry.Registry) error {
	if o.ORM != "" || o.Metric != "" || o.ResultPath != "" || o.Logprobs >= 0 {
		return fmt.Errorf("--orm_model, --metric, --result_path and --logprobs are for the answers to a dataset; give --val_dataset")
	}
	signal.Reset(os.Interrupt)
	between := make(chan os.Signal, 1) // nobody listens: it ends nothing
	signal.Notify(between, os.Interrupt)
	return recipe.Chat(ctx, c, o, recipe.ChatOptions{
		Tools: tools, In: os.Stdin, Out: os.Stdout, Ask: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())),
		Answering: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return signal.NotifyContext(ctx, os.Interrupt)
		},
	}, reg)
}
