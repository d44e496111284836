package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
	"swiftgo/loader/build"
)

func pluginBuildCommand() *cobra.Command {
	var output, command string
	var watch bool
	cmd := &cobra.Command{
		Use: "build DIR...", Short: "build plugins that fit this binary", Args: cobra.MinimumNArgs(1),
		Long: `Build the plugins in these folders, of any module or of none, so that they fit this binary.
It takes the Go release that this binary was built with and a C compiler, and no checkout
of swiftgo. Nothing is written to the folders. Versions of modules that would not fit are
told before anything is compiled, with what mends them.`,
	}
	dir, _ := pluginsDir(&recipe.Config{PluginsDir: os.Getenv("SWIFTGO_PLUGINS_DIR")})
	f := cmd.Flags()
	f.StringVarP(&output, "output_dir", "o", dir, "folder for the plugins, each named for its own folder")
	f.StringVar(&command, "go", "go", "the go command")
	f.BoolVar(&watch, "watch", false, "build again when a source changes, until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, err := outputs(output, args)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(output, 0o755); err != nil {
			return fmt.Errorf("--output_dir: %w", err)
		}
		for i := range all {
			all[i].Go, all[i].Log = command, cmd.ErrOrStderr()
		}
		if watch {
			return watchAll(cmd.Context(), all, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}
		for _, o := range all {
			if err := buildOne(cmd.Context(), o, cmd.OutOrStdout()); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// outputs returns what is to be built of the folders.
func outputs(output string, dirs []string) ([]build.Options, error) {
	var all []build.Options
	from := map[string]string{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(output, filepath.Base(abs)+".so")
		if other := from[file]; other != "" {
			return nil, fmt.Errorf("%s and %s would both be %s; rename one of the folders", other, dir, file)
		}
		from[file] = dir
		all = append(all, build.Options{Dir: dir, Output: file})
	}
	return all, nil
}

func buildOne(ctx context.Context, o build.Options, out io.Writer) error {
	r, err := build.Plugin(ctx, o)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted; %s is as it was", fromHere(o.Output))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  %d packages, %d shared with swiftgo, all equal\n", fromHere(r.Path), r.Packages, r.Shared)
	return nil
}

// fromHere returns the path of a file below the working directory as seen from
// there, and any other path whole.
func fromHere(path string) string {
	here, err := filepath.Abs(".")
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && filepath.IsAbs(path) && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}

// watchAll builds each plugin, and again when its sources change, until ctx ends.
// What does not build is told, and waited for.
func watchAll(ctx context.Context, all []build.Options, out, problems io.Writer) error {
	due := make(chan build.Options, len(all))
	for _, o := range all {
		changed, err := build.Watch(ctx, o.Dir)
		if err != nil {
			return err
		}
		due <- o
		go func() {
			for range changed {
				due <- o
			}
		}()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-due:
			if err := buildOne(ctx, o, out); err != nil && ctx.Err() == nil {
				fmt.Fprintln(problems, "swiftgo:", err)
			}
		}
	}
}
