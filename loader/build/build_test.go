package build_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands are tested with the real binary, in cmd/swiftgo. Here is what
// they do not show.

const plugin = `package main

import (
	"context"
	_ "embed"

	"example.com/plug/internal/names"
	"swiftgo/api"
)

//go:embed suffix.txt
var suffix string

var ORMs = api.ORMs{names.First() + suffix: newORM}

func newORM(*api.Args) (api.ORM, error) {
	return api.ORMFunc(func(_ context.Context, cs []api.Completion) ([]float64, error) { return make([]float64, len(cs)), nil }), nil
}

func main() {}
`

// TestUnique opens three builds of a plugin in one process: after a change of
// its code, of a package below it, and of a file that it embeds. A build without
// a change is the same file.
func TestUnique(t *testing.T) {
	dir := t.TempDir()
	host, plug := filepath.Join(dir, "host"), filepath.Join(dir, "plug")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", host, "./testdata/twice").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	change := func(name, text string) {
		t.Helper()
		path := filepath.Join(plug, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	below := func(name string) string { // too long to be inlined, so that its declaration is what it was
		return "package names\n\nimport \"strings\"\n\n//go:noinline\nfunc First() string { return strings.Clone(\"" + name + "\") }\n"
	}
	change("go.mod", "module example.com/plug\n\ngo 1.25\n")
	change("internal/names/names.go", below("first"))
	change("plug.go", plugin)
	change("suffix.txt", "_a")

	cmd := exec.Command(host, plug)
	cmd.Env = append(cmd.Environ(), "GOPROXY=off", "SWIFTGO_CACHE_DIR="+filepath.Join(dir, "cache"))
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	builds := 0
	opens := func(want string) {
		t.Helper()
		builds++
		fmt.Fprintln(in, filepath.Join(dir, fmt.Sprintf("%d.so", builds)))
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("build %d has %s, want %s\n%s", builds, lines.Text(), want, problems.String())
		}
	}
	opens("[first_a] <nil>")
	change("plug.go", strings.Replace(plugin, "names.First()", `"my_"+names.First()`, 1))
	opens("[my_first_a] <nil>")
	change("internal/names/names.go", below("second"))
	opens("[my_second_a] <nil>")
	change("suffix.txt", "_b")
	opens("[my_second_b] <nil>")

	change("plug.go", plugin)
	change("internal/names/names.go", below("first"))
	change("suffix.txt", "_a")
	builds++
	fmt.Fprintln(in, filepath.Join(dir, "same.so"))
	if lines.Scan(); !strings.Contains(lines.Text(), "plugin already loaded") {
		t.Errorf("a second file of one build: %s", lines.Text())
	}
	first, _ := os.ReadFile(filepath.Join(dir, "1.so"))
	same, _ := os.ReadFile(filepath.Join(dir, "same.so"))
	if len(first) == 0 || !bytes.Equal(first, same) {
		t.Error("two builds of the same content differ")
	}
	in.Close()
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, problems.String())
	}
	for _, name := range []string{"swiftgo_", "zz_swiftgo_build.go"} {
		if left, _ := filepath.Glob(filepath.Join(plug, name+"*")); len(left) > 0 {
			t.Errorf("%v is left in the plugin's folder", left)
		}
	}
}
