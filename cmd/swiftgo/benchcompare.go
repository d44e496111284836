package main

import (
	"encoding/json"
	"fmt"
	"io"

	"swiftgo/core/checkpoint"
)

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

// earlierResult reads the file of --compare; without one it returns nil.
func earlierResult[T any](path string) (*T, error) {
	if path == "" {
		return nil, nil
	}
	r := new(T)
	if err := checkpoint.ReadJSON(path, r); err != nil {
		return nil, fmt.Errorf("--compare: %w; want what the same command has written with --json", err)
	}
	return r, nil
}

// compared is a number of two results.
type compared struct {
	name, unit  string
	before, now float64
}

// compare writes what has changed since an earlier result, and first where the
// two were not measured alike.
func compare(out io.Writer, path string, how [][3]string, numbers []compared) {
	fmt.Fprintf(out, "compared with %s\n", path)
	for _, h := range how {
		if h[1] != h[2] {
			fmt.Fprintf(out, "  measured otherwise: %s was %s and is %s\n", h[0], h[1], h[2])
		}
	}
	for _, n := range numbers {
		if n.before > 0 {
			fmt.Fprintf(out, "  %-18s %9.4g -> %9.4g %s, %+.1f %%\n", n.name, n.before, n.now, n.unit, 100*(n.now/n.before-1))
		}
	}
}
