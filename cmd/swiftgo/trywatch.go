package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"swiftgo/core/recipe"
	"swiftgo/loader"
	"swiftgo/loader/build"
)

// tryWatched builds the plugin in the folder source and tries it on the lines of
// in, again in this process whenever a source file changes, until ctx ends. Each
// build has a plugin path of its own: Go opens no second file of one path.
func tryWatched(ctx context.Context, c *recipe.Config, own map[string]map[string]any, source, kind, name string, in io.Reader, out, problems io.Writer) error {
	lines, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	changed, err := build.Watch(ctx, source)
	if err != nil {
		return err
	}
	o, err := pluginOptions(c)
	if err != nil {
		return err
	}
	for {
		err := func() error {
			dir, err := os.MkdirTemp("", "swiftgo-try-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			abs, err := filepath.Abs(source)
			if err != nil {
				return err
			}
			if _, err := build.Plugin(ctx, build.Options{Dir: source, Output: filepath.Join(dir, filepath.Base(abs)+".so"), Unique: true, Log: problems}); err != nil {
				return err
			}
			plugins, _, err := loader.Load(dir, loader.Options{Owner: o.Owner, Timeout: o.Timeout})
			if err != nil {
				return err
			}
			reg, err := register(c, own, plugins)
			if err != nil {
				return err
			}
			return try(ctx, c, reg, kind, name, bytes.NewReader(lines), out)
		}()
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(problems, "swiftgo:", err)
		}
		fmt.Fprintln(problems, "waiting for a change in", source)
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-changed:
			if !ok {
				return nil
			}
		}
	}
}
