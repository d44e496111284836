package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/recipe"
)

// The model of the quickstart: under a million parameters, and a tokenizer of
// single digits and a few words.
//
//go:embed quickstart
var quickstartModel embed.FS

// quickstartCommand trains the embedded model to add, with contrib's plugins.
func quickstartCommand() *cobra.Command {
	var dir, plugins string
	var steps int
	cmd := &cobra.Command{
		Use: "quickstart", Short: "train a small model to add, in about three minutes", Args: cobra.NoArgs,
		Long: `Make a small model with random weights and a dataset of sums in chat form, train the
model with plugins from contrib, and ask it sums it has not seen, before and after.
Needs no download.`,
	}
	cmd.Flags().StringVar(&dir, "output_dir", "output/quickstart", "directory of everything that is made; it is emptied first")
	cmd.Flags().StringVar(&plugins, "plugins_dir", "", "folder of contrib's plugins (default: plugins beside the binary)")
	cmd.Flags().IntVar(&steps, "max_steps", 900, "optimizer steps")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := quickstart{dir: dir, plugins: plugins, steps: steps, out: cmd.OutOrStdout()}
		return q.run(cmd.Context())
	}
	return cmd
}

type quickstart struct {
	dir, plugins string
	steps        int
	out          io.Writer
}

func (q *quickstart) run(ctx context.Context) error {
	if err := q.prepare(); err != nil {
		return err
	}
	before, err := q.ask(ctx, q.path("model"))
	if err != nil {
		return err
	}
	fmt.Fprintf(q.out, "before: %.1f %% of %d sums it has not seen\n\n", 100*before.MeanReward, before.Answers)

	c := recipe.Default()
	c.Model, c.Dataset, c.ValDataset, c.PluginsDir = q.path("model"), []string{q.path("train.jsonl")}, []string{q.path("heldout.jsonl#64")}, q.plugins
	c.TunerType, c.LossType, c.LossScale, c.Optimizer, c.EvalMetric = "full", "focal", "last_answer", "custom", "exact"
	c.Callbacks = []string{"patience"}
	c.LearningRate, c.WarmupRatio, c.WeightDecay = 6e-4, 0.05, 0.1
	c.PerDeviceTrainBatchSize, c.GradientAccumulationSteps, c.PerDeviceEvalBatchSize = 64, 1, 64
	c.MaxSteps, c.EvalSteps, c.SaveSteps, c.SaveTotalLimit, c.LoggingSteps = q.steps, max(1, q.steps/6), max(1, q.steps/6), 2, 25
	c.OutputDir, c.AddVersion = q.path("run"), false
	own := map[string]map[string]any{"focal": {"gamma": 1}, "patience": {"evaluations": 6}}
	if err := c.Complete(); err != nil {
		return err
	}
	reg, err := open(&c, own)
	if err != nil {
		return err
	}
	start := time.Now()
	res, err := recipe.SFT(ctx, c, reg, q.out, nil)
	if err != nil {
		return err
	}
	after, err := q.ask(ctx, res.Checkpoint)
	if err != nil {
		return err
	}
	fmt.Fprintln(q.out)
	for _, a := range after.Examples {
		fmt.Fprintf(q.out, "  %s  →  %s\n", a.Messages[len(a.Messages)-2].Content, a.Response)
	}
	fmt.Fprintf(q.out, `
accuracy    %.1f %% before, %.1f %% after %d s of training, on %d sums it has not seen
checkpoint  %s
loss curve  %s
`, 100*before.MeanReward, 100*after.MeanReward, int(time.Since(start).Seconds()), after.Answers, res.Checkpoint, res.Curve)
	return nil
}

func (q *quickstart) path(name string) string { return filepath.Join(q.dir, name) }

// prepare writes the model, with random weights, and the sums.
func (q *quickstart) prepare() error {
	for _, name := range []string{"model", "run", "train.jsonl", "heldout.jsonl"} {
		if err := os.RemoveAll(q.path(name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(q.path("model"), 0o777); err != nil {
		return err
	}
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json"} {
		text, err := quickstartModel.ReadFile("quickstart/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(q.path("model"), name), text, 0o666); err != nil {
			return err
		}
	}
	e, err := autograd.NewEngine(0)
	if err != nil {
		return err
	}
	m, err := model.New(q.path("model"), e, 1)
	if err != nil {
		return err
	}
	if err := checkpoint.WriteSharded(q.path("model"), m.Tensors(checkpoint.F32), checkpoint.DefaultShardBytes); err != nil {
		return err
	}
	return q.sums()
}

// sums writes all sums of two numbers below 100, in random order: 500 to ask
// at the end, the rest to train on.
func (q *quickstart) sums() error {
	r := rand.New(rand.NewPCG(7, 7))
	all := r.Perm(100 * 100)
	for name, part := range map[string][]int{"heldout.jsonl": all[:500], "train.jsonl": all[500:]} {
		f, err := os.Create(q.path(name))
		if err != nil {
			return err
		}
		for _, k := range part {
			if err := json.NewEncoder(f).Encode(sum(k/100, k%100)); err != nil {
				f.Close()
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// sum is one row: the question, and an answer that adds the ones, then the tens.
func sum(a, b int) map[string]any {
	carry := (a%10 + b%10) / 10
	tens := fmt.Sprintf("%d+%d=%d", a/10, b/10, a/10+b/10)
	if carry == 1 {
		tens = fmt.Sprintf("%d+%d+1=%d", a/10, b/10, a/10+b/10+1)
	}
	return map[string]any{"messages": []map[string]string{
		{"role": "user", "content": fmt.Sprintf("What is %d+%d?", a, b)},
		{"role": "assistant", "content": fmt.Sprintf("%d+%d=%d, %s, \\boxed{%d}", a%10, b%10, a%10+b%10, tens, a+b)},
	}}
}

// ask has a model answer the held-out sums and contrib's math ORM judge them.
func (q *quickstart) ask(ctx context.Context, dir string) (*recipe.Inference, error) {
	c := recipe.Default()
	c.Model, c.ValDataset, c.PluginsDir = dir, []string{q.path("heldout.jsonl")}, q.plugins
	reg, err := open(&c, nil)
	if err != nil {
		return nil, err
	}
	return recipe.Infer(ctx, c, recipe.InferOptions{MaxNewTokens: 40, Logprobs: -1, ORM: "boxed_math"}, reg)
}
