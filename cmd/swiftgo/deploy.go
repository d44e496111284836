package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
)

// apiKeyEnv holds --api_key where it is not given: a command line is for all to
// see.
const apiKeyEnv = "SWIFTGO_API_KEY"

// deployCommand serves a model to OpenAI's clients.
func deployCommand(s *settings) *cobra.Command {
	defaults := recipe.Default()
	defaults.TunerType, defaults.MaxNewTokens = "", 2048 // by the adapter; enough for most answers
	o := recipe.DeployOptions{Host: "127.0.0.1", Port: 8000, MaxBatchSize: 32, MaxQueue: 256, MaxBody: 4 << 20}
	cmd := &cobra.Command{
		Use: "deploy", Short: "serve a model with its adapters to OpenAI's clients", Args: cobra.NoArgs,
		Long: `Serve a model as OpenAI's API does: /v1/chat/completions and /v1/completions, whole or
streamed, with tools, log probabilities, stop words and several answers; /v1/models; /health;
/metrics for Prometheus. Requests join those that are being answered at any token.

--adapters NAME=DIR … serves each adapter under its name beside the model, in the memory of
one base model; --adapters DIR serves the model with it. Model, tuner, template, system
prompt and agent template are taken from the checkpoint unless they are given.

Where a request says nothing of temperature, top_k, top_p, min_p and repetition_penalty they
are as these flags, else as the model's generation_config.json has them. When as many prompts
wait as may, requests are answered with 429. SIGTERM or Ctrl-C ends the answers that are
going on and takes in no more; a second one ends the program.`,
	}
	f := cmd.Flags()
	addFlags(f, defaults, everything)
	settings := samplingFlags(f)
	f.StringVar(&o.Host, "host", o.Host, "address to listen on; 0.0.0.0 is all of the machine's")
	f.IntVar(&o.Port, "port", o.Port, "port to listen on; 0 is any that is free")
	f.StringVar(&o.APIKey, "api_key", "", "key that requests must have (default: "+apiKeyEnv+" of the environment, or none)")
	f.StringVar(&o.ServedModelName, "served_model_name", "", "what the model is called (default: its directory)")
	f.Lookup("max_new_tokens").Usage = "longest answer in tokens, and what a request gets that says nothing; 0 is as long as the model can read"
	f.IntVar(&o.MaxBatchSize, "max_batch_size", o.MaxBatchSize, "sequences that go through the model together")
	f.IntVar(&o.MaxQueue, "max_queue", o.MaxQueue, "prompts that wait for a place; beyond, requests are refused")
	f.Int64Var(&o.MaxBody, "max_body", o.MaxBody, "largest request in bytes")
	grace := f.Int("shutdown_timeout", 60, "seconds that answers have to end in when the server does")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(f, defaults)
		if err != nil {
			return err
		}
		o.MaxNewTokens = c.MaxNewTokens
		o.Settings, o.Grace = settings(), time.Duration(*grace)*time.Second
		if o.APIKey == "" {
			o.APIKey = os.Getenv(apiKeyEnv)
		}
		if err := c.FromCheckpoint(own); err != nil {
			return err
		}
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		ctx, stop := serving()
		defer stop()
		return recipe.Deploy(ctx, c, o, reg, cmd.OutOrStdout())
	}
	return cmd
}

// serving returns a context that the first Ctrl-C or SIGTERM ends; the second
// ends the process.
func serving() (context.Context, context.CancelFunc) {
	signal.Reset(os.Interrupt, syscall.SIGTERM) // a run's, which would save
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
