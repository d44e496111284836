// Twice builds the plugin in a folder each time that it is told a file to write,
// opens it, and prints the names of its ORMs.
package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"plugin"
	"slices"

	"swiftgo/api"
	"swiftgo/loader"
	"swiftgo/loader/build"
)

func main() {
	loader.ProbeMain()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		names, err := names(os.Args[1], lines.Text())
		fmt.Println(names, err)
	}
}

func names(dir, output string) ([]string, error) {
	r, err := build.Plugin(context.Background(), build.Options{Dir: dir, Output: output, Unique: true})
	if err != nil {
		return nil, err
	}
	p, err := plugin.Open(r.Path)
	if err != nil {
		return nil, err
	}
	v, err := p.Lookup("ORMs")
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(*v.(*api.ORMs))), nil
}
