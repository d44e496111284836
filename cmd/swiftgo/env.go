package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"swiftgo/api"
	"swiftgo/core/kernel"
)

// envCommand tells what this machine computes with.
func envCommand() *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "show the machine and the libraries that compute", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := kernel.Open(0); err != nil {
				return err
			}
			lib := kernel.Library()
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "cores            %d\n", runtime.NumCPU())
			fmt.Fprintf(out, "row kernels      %s\n", kernel.ISA())
			fmt.Fprintf(out, "matrix products  %s\n", lib)
			fmt.Fprintf(out, "float32          %.0f GFLOP/s\n", kernel.Peak()/1e9)
			if lib.BF16 != "" {
				fmt.Fprintf(out, "bfloat16         %.0f GFLOP/s (%s)\n", kernel.PeakBF16()/1e9, lib.BF16)
			} else {
				fmt.Fprintf(out, "bfloat16         converted to float32\n")
			}
			if lib.Note != "" {
				fmt.Fprintf(out, "                 %s\n", lib.Note)
			}
			return nil
		},
	}
}

// versionCommand tells what was built, and of what.
func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "show the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "api     %s\n", api.Version)
			fmt.Fprintf(out, "go      %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" || s.Key == "vcs.modified" || s.Key == "-trimpath" {
						fmt.Fprintf(out, "%-7s %s\n", s.Key, s.Value)
					}
				}
			}
		},
	}
}
