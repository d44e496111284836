package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
	"swiftgo/loader"
)

// pluginCommand is a plugin author's and an operator's day.
func pluginCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "list, begin and try plugins"}
	cmd.AddCommand(pluginListCommand(), pluginNewCommand(), pluginTryCommand(s))
	return cmd
}

func pluginListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list [DIR]", Short: "list the plugins of a folder and what they offer", Args: cobra.MaximumNArgs(1),
		Long: `List the plugins of a folder (default: plugins beside the binary), with the names that
each registers. A plugin that does not fit this binary is listed with the reason.`,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, _ := pluginsDir(&recipe.Config{})
		if len(args) == 1 {
			dir = args[0]
		}
		all, err := loader.List(dir)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if asJSON {
			e := json.NewEncoder(out)
			e.SetIndent("", "  ")
			return e.Encode(all)
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "FILE\tVERSION\tSIZE\tOFFERS")
		bad := 0
		for _, p := range all {
			offers := strings.Join(p.Offers(), " ")
			if p.Error != "" {
				bad++
				offers = "does not fit: " + p.Error
			}
			fmt.Fprintf(w, "%s\t%s\t%.1f MB\t%s\n", p.File, p.Manifest.Version, float64(p.Size)/1e6, offers)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if bad > 0 {
			return fmt.Errorf("%d of %d plugins in %s do not fit", bad, len(all), dir)
		}
		return nil
	}
	return cmd
}

func pluginNewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "new KIND NAME", Short: "begin a plugin: a folder with the code and its test", Args: cobra.ExactArgs(2),
		Long: "Begin a plugin: a folder NAME, without underscores, with the code and its test. Kinds: " + strings.Join(kinds(), ", ") + ".",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := scaffold(args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s/ is ready; test and build it with build.sh check %s\n", dir, dir)
			return nil
		},
	}
}

func pluginTryCommand(s *settings) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "try KIND NAME", Short: "call one extension on JSON lines from standard input", Args: cobra.ExactArgs(2),
		Long: `Call one extension, built in or from a plugin, on JSON lines from standard input. For each
line there is one line of output: {"ok": …} or {"error": "…"}.

  orm, prm        {"text": …, "truth": …, "messages": […], "row": {…}}
  loss            {"logits": [[[…]]], "labels": [[…]], "loss_scale": [[…]], "num_items_in_batch": n}
  metric          {"preds": [[…]], "labels": [[…]]}
  optimizer       {"w": [[…]], "grads": [[[…]], …], "lr": x}
  loss_scale      {"query": …, "response": …}
  agent_template  {"method": "format_tools" | "format_tool_calls" | "format_tool_responses" | "get_toolcall", …}
  callback        {"metrics": […]}: the best metric after each save
  tuner           {}: what is trained of a small model`,
	}
	cmd.Flags().StringVar(&dir, "plugins_dir", "", "folder of plugins (default: plugins beside the binary)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c := recipe.Default()
		c.PluginsDir = dir
		reg, err := open(&c, s.own)
		if err != nil {
			return err
		}
		return try(cmd.Context(), reg, args[0], args[1], os.Stdin, cmd.OutOrStdout())
	}
	return cmd
}
