package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
)

// exportFlags are the settings of a run that exporting has too.
var exportFlags = []string{"model", "torch_dtype", "threads", "tuner_type", "adapters", "output_dir", "max_shard_size", "override"}

// exportCommand writes a model or an adapter in another form.
func exportCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "merge an adapter into its model, or write it in another form", Args: cobra.NoArgs,
		Long: `Write a model or an adapter in another form, into a directory that other tools read too.

--merge_lora makes one model of --adapters and the model it was trained on, with every tuner
that can become part of the weights: all that are built in, and plugins that say how.
--to_peft_format writes the adapter as PEFT does; it reads ms-swift's older form too.
Without either the model is written again, in --torch_dtype and in files of --max_shard_size.

Model and tuner are those that the checkpoint of the adapter names, unless --model says another.`,
	}
	defaults := recipe.Default()
	defaults.TunerType = "" // by the adapter
	f := cmd.Flags()
	addFlags(f, defaults, func(name string) bool { return slices.Contains(exportFlags, name) || strings.HasPrefix(name, "plugin") })
	f.Lookup("output_dir").Usage = "directory to make (default: that of the adapter with -merged or -peft, or that of the model with the dtype)"
	f.Lookup("adapters").Usage = "directory of the adapter"
	f.Lookup("tuner_type").Usage = "the tuner that made the adapter, if its checkpoint has no args.json"
	var o recipe.ExportOptions
	f.BoolVar(&o.MergeLora, "merge_lora", false, "make one model of the adapter and its model")
	f.BoolVar(&o.ToPeftFormat, "to_peft_format", false, "write the adapter as PEFT does")
	f.BoolVar(&o.ExistOK, "exist_ok", false, "replace a directory that is there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(f, defaults)
		if err != nil {
			return err
		}
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		_, err = recipe.Export(c, o, reg, os.Stdout)
		return err
	}
	return cmd
}
