package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/core/checkpoint"
	"swiftgo/loader/build"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "measure swiftgo on this machine"}
	cmd.AddCommand(benchTrainCommand(), benchGenerateCommand(), benchLoadCommand(), benchDataCommand())
	return cmd
}

// benchDtype is the type of weights that --torch_dtype names.
func benchDtype(name string) (checkpoint.Dtype, error) {
	switch name {
	case "float32":
		return checkpoint.F32, nil
	case "bfloat16":
		return checkpoint.BF16, nil
	}
	return checkpoint.F32, fmt.Errorf("--torch_dtype is %q, want float32 or bfloat16", name)
}

func benchJSON(out io.Writer, result any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(result)
}

// benchLoss is a plugin with a loss of its own name.
const benchLoss = `package main

import "swiftgo/api"

var Losses = api.Losses{"loss_%d": func(*api.Args) (api.Loss, error) { return api.LossFunc(loss), nil }}

func loss(out *api.Output, b *api.Batch) (*api.Var, error) { return out.CrossEntropy(b.Labels), nil }

func main() {}
`

func benchLoadCommand() *cobra.Command {
	n := 20
	cmd := &cobra.Command{
		Use: "load", Short: "measure how long a start takes that checks a folder of plugins", Args: cobra.NoArgs,
		Long: `Build a folder of plugins and measure how much longer a process takes that checks them than
one that does nothing: the first time, when all are copied, inspected and opened in child
processes, and later, when they are known. None of them is opened in the process, as in a
run that uses none.`,
	}
	cmd.Flags().IntVar(&n, "plugins", n, "plugins in the folder")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		tmp, err := os.MkdirTemp("", "swiftgo-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		folder, empty := filepath.Join(tmp, "plugins"), filepath.Join(tmp, "empty")
		for _, dir := range []string{folder, empty} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		for i := range n {
			dir := filepath.Join(tmp, fmt.Sprint("loss", i))
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, "loss.go"), fmt.Appendf(nil, benchLoss, i), 0o644); err != nil {
				return err
			}
			if _, err := build.Plugin(cmd.Context(), build.Options{Dir: dir, Output: filepath.Join(folder, fmt.Sprintf("loss%d.so", i))}); err != nil {
				return err
			}
		}
		const runs = 7
		time.Sleep(1500 * time.Millisecond) // files younger than a second are not taken for known
		nothing, err := starts(tmp, empty, runs, false)
		if err != nil {
			return err
		}
		first, err := starts(tmp, folder, 3, true)
		if err != nil {
			return err
		}
		later, err := starts(tmp, folder, runs, false)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "start with no plugins       %6.1f ms\n", nothing)
		fmt.Fprintf(out, "%2d plugins, the first time  %+6.1f ms\n", n, first-nothing)
		fmt.Fprintf(out, "%2d plugins, known           %+6.1f ms\n", n, later-nothing)
		return nil
	}
	return cmd
}

// starts returns the median time in milliseconds of processes that check a
// folder, each with an empty cache if cold.
func starts(tmp, folder string, runs int, cold bool) (float64, error) {
	cache := filepath.Join(tmp, "cache")
	var all []float64
	for i := range runs + 1 {
		if cold {
			if err := os.RemoveAll(cache); err != nil {
				return 0, err
			}
		}
		c := exec.Command("/proc/self/exe", "plugin", "check", folder)
		c.Env = append(os.Environ(), "SWIFTGO_CACHE_DIR="+cache)
		began := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w: %s", err, out)
		}
		if i > 0 { // the first warms up
			all = append(all, time.Since(began).Seconds()*1e3)
		}
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
