package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
)

// inferCommand answers the conversations of a dataset, greedily.
func inferCommand(s *settings) *cobra.Command {
	defaults := recipe.Default()
	cmd := &cobra.Command{
		Use: "infer", Short: "answer the conversations of a dataset", Args: cobra.NoArgs,
		Long: `Answer the conversations of --val_dataset with the most likely tokens, write the
answers to --result_path, and judge them with --orm_model if it is given.`,
	}
	addFlags(cmd.Flags(), defaults, everything)
	var o recipe.InferOptions
	cmd.Flags().StringVar(&o.ORM, "orm_model", "", "outcome reward model that judges the answers")
	cmd.Flags().StringVar(&o.ResultPath, "result_path", "", "file for the answers, .jsonl (default: none)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(cmd.Flags(), defaults)
		if err != nil {
			return err
		}
		o.MaxNewTokens = c.MaxNewTokens
		reg, err := open(&c, own)
		if err != nil {
			return err
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
