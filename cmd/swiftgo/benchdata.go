package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/core/builtin"
	"swiftgo/core/recipe"
	"swiftgo/core/registry"
	"swiftgo/core/tokenizer"
)

func benchDataCommand() *cobra.Command {
	c := recipe.Default()
	cmd := &cobra.Command{
		Use: "data", Short: "measure how fast rows are read and turned into tokens", Args: cobra.NoArgs,
		Long: `Measure, with the tokenizer of --model and the rows of --dataset, how fast text becomes
tokens on one core, and how fast the whole way from files to a dataset in tokens is on all.`,
	}
	cmd.Flags().StringVar(&c.Model, "model", "", "directory of a model, or of a tokenizer alone")
	cmd.Flags().StringSliceVar(&c.Dataset, "dataset", nil, "files of rows")
	cmd.MarkFlagRequired("model")
	cmd.MarkFlagRequired("dataset")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := c.Complete(); err != nil {
			return err
		}
		c.TruncationStrategy = "right" // no row is left out
		reg := registry.New(c.Args(), nil)
		if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		tok, err := tokenizer.Load(c.Model)
		if err != nil {
			return err
		}
		texts, size, err := texts(&c, reg)
		if err != nil {
			return err
		}
		began, tokens := time.Now(), 0
		for _, text := range texts {
			tokens += len(tok.Encode(text, false))
		}
		seconds := time.Since(began).Seconds()
		fmt.Fprintf(out, "tokenizer, one core  %7.1f MB/s  %9.0f tokens/s  (%.1f MB of text)\n", size/seconds/1e6, float64(tokens)/seconds, size/1e6)

		bytes := 0.0
		for _, path := range c.Dataset {
			if info, err := os.Stat(path); err == nil {
				bytes += float64(info.Size())
			}
		}
		runtime.GC()
		began = time.Now()
		data, err := recipe.ShowData(c, 0, 0, reg, nil)
		if err != nil {
			return err
		}
		seconds = time.Since(began).Seconds()
		fmt.Fprintf(out, "files to tokens      %7.1f MB/s  %9.0f tokens/s  (%.1f MB of files, %d cores)\n", bytes/seconds/1e6, float64(data.Stats.Tokens)/seconds, bytes/1e6, runtime.GOMAXPROCS(0))
		return nil
	}
	return cmd
}

// texts returns what the rows say, and how many bytes that is.
func texts(c *recipe.Config, reg *registry.Registry) ([]string, float64, error) {
	data, err := recipe.ShowData(*c, 0, 20000, reg, nil)
	if err != nil {
		return nil, 0, err
	}
	var all []string
	size := 0
	for _, r := range data.Rows {
		var b strings.Builder
		for _, run := range r.Runs {
			b.WriteString(run.Text)
		}
		all = append(all, b.String())
		size += b.Len()
	}
	return all, float64(size), nil
}
