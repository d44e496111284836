// Opening does while it is opened what BAD_PLUGIN names. Its import path has to
// be escaped by the linker.
package main

/*
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void open_c(void) {
	const char *what = getenv("BAD_PLUGIN");
	if (what == NULL) return;
	if (strcmp(what, "c exit") == 0) exit(0);
	if (strcmp(what, "c abort") == 0) abort();
	if (strcmp(what, "c segv") == 0) *(volatile int *)8 = 1;
}
*/
import "C"

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"swiftgo/api"
	"swiftgo/cmd/swiftgo/testdata/bad/opening.v2/deep"
)

var Losses = api.Losses{"plain": newPlain}

var ORMs api.ORMs

func newPlain(*api.Args) (api.Loss, error) { return nil, nil }

func init() {
	switch os.Getenv("BAD_PLUGIN") {
	case "panic":
		var sizes []int
		sizes[deep.Three] = 1
	case "nil":
		var p *struct{ n int }
		p.n = 1
	case "throw":
		var m sync.Mutex
		m.Unlock()
	case "exit 0":
		os.Exit(0)
	case "exit 3":
		os.Exit(3)
	case "goexit":
		runtime.Goexit()
	case "block":
		select {}
	case "spin":
		for {
		}
	case "overflow":
		overflow(nil)
	case "memory":
		Losses[strings.Repeat("x", 1<<46)] = nil
	case "goroutine":
		done := make(chan bool)
		go func() { defer close(done); panic("in a goroutine") }()
		<-done
		select {}
	case "child":
		c := exec.Command("sleep", "60")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		c.ExtraFiles = []*os.File{os.NewFile(3, "")}
		c.Start()
		os.Exit(0)
	case "loud":
		for i := range 100000 {
			fmt.Println("line", i)
			fmt.Fprintln(os.Stderr, "line", i)
		}
		os.Exit(1)
	case "nil constructor":
		Losses["plain"] = nil
	case "nil map":
		Losses = nil
	case "empty name":
		Losses[""] = newPlain
	case "name with spaces":
		Losses["my loss"] = newPlain
	case "name with capitals":
		ORMs = api.ORMs{"MyORM": func(*api.Args) (api.ORM, error) { return nil, nil }}
	case "name with a newline":
		Losses["my\nloss"] = newPlain
	}
}

func overflow(seen []*int) int {
	n := len(seen)
	return overflow(append(seen, &n)) + n
}

func main() {}
