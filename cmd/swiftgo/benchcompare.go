package main

import (
	"fmt"
	"io"

	"swiftgo/core/checkpoint"
)

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
