// Swiftgo fine-tunes large language models; what a team wants to change about
// training is a plugin, a .so file in a folder.
//
// Each file here is a command, but for config.go, which turns the command line,
// the environment and a file into the settings of a run.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swiftgo/core/registry"
	"swiftgo/core/trainer"
	"swiftgo/loader"
)

func main() {
	loader.ProbeMain() // a child of the loader's does not come back from here
	os.Exit(run(os.Args[1:]))
}

// run is the whole program; it returns the exit code.
func run(argv []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "swiftgo: a bug in swiftgo ended this run: %v; please report it with what follows\n%s", r, debug.Stack())
			code = 2
		}
	}()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	ctx, stop := interruptible()
	defer stop()
	root := &cobra.Command{
		Use:           "swiftgo",
		Short:         "fine-tune large language models, extended by plugins",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(nearestFlag)
	settings := &settings{}
	root.AddCommand(trainCommand("sft", settings), trainCommand("pt", settings), inferCommand(settings), sampleCommand(settings), deployCommand(settings), exportCommand(settings),
		dataCommand(settings), pluginCommand(settings),
		quickstartCommand(), benchCommand(), envCommand(), versionCommand())
	argv, err := settings.take(root, argv)
	if err == nil {
		root.SetArgs(argv)
		err = root.ExecuteContext(ctx)
	}
	switch {
	case errors.Is(err, trainer.ErrInterrupted):
		fmt.Fprintln(os.Stderr, "swiftgo: interrupted; the last step is saved")
		return 130
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "swiftgo: interrupted")
		return 130
	case err != nil:
		fmt.Fprintln(os.Stderr, "swiftgo:", err)
		return 1
	}
	return 0
}

// nearestFlag adds to the error about an unknown flag which one may be meant.
func nearestFlag(cmd *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var there []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { there = append(there, f.Name) })
	if near := registry.Nearest(name, there); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return fmt.Errorf("%w; swiftgo %s --help lists what there is", err, cmd.Name())
}

// interruptible returns a context that the first Ctrl-C or SIGTERM ends, so
// that a run can save; the second ends the process.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "swiftgo: finishing the step and saving; once more to exit now")
		cancel()
		<-signals
		os.Exit(130)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
