package main_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"swiftgo/loader"
)

// badBuilds are the plugins that are built for the table of bad ones: folder of
// testdata/bad, or of contrib, and flags in place of -trimpath -buildmode=plugin.
var badBuilds = map[string][]string{
	"opening": {"./testdata/bad/opening.v2"}, "wrongtype": {"./testdata/bad/wrongtype"}, "misspelt": {"./testdata/bad/misspelt"},
	"renamed": {"./testdata/bad/renamed"}, "nothing": {"./testdata/bad/nothing"}, "otherapi": {"./testdata/bad/otherapi"},
	"function": {"./testdata/bad/function"}, "manifest": {"./testdata/bad/manifest"}, "constructor": {"./testdata/bad/constructor"}, "late": {"./testdata/bad/late"},
	"untrimmed":  {"../../contrib/focal", "-buildmode=plugin"},
	"race":       {"../../contrib/focal", "-trimpath", "-buildmode=plugin", "-race"},
	"cover":      {"../../contrib/focal", "-trimpath", "-buildmode=plugin", "-cover", "-coverpkg=swiftgo/api"},
	"pluginpath": {"../../contrib/focal", "-trimpath", "-buildmode=plugin", "-ldflags=-pluginpath=x"},
	"slow":       {"../../contrib/focal", "-trimpath", "-buildmode=plugin", "-gcflags=all=-N -l"},
	"replaced":   {"../../contrib/focal", "-trimpath", "-buildmode=plugin", "-modfile=replaced.mod"},
	"tagged":     {"../../contrib/focal", "-trimpath", "-buildmode=plugin", "-ldflags=-w"},
	"cshared":    {"../../contrib/focal", "-trimpath", "-buildmode=c-shared"},
	"program":    {"./testdata/bad/nothing", "-trimpath"},
}

// badBuilt builds them, once, and returns their folder.
var badBuilt = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(binary), "bad")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	modfile, err := replaced(dir)
	if err != nil {
		return "", err
	}
	errs := make(chan error)
	free := make(chan bool, 2)
	for name, b := range badBuilds {
		go func() {
			free <- true
			defer func() { <-free }()
			flags := b[1:]
			if len(flags) == 0 {
				flags = []string{"-trimpath", "-buildmode=plugin", "-ldflags=-s -w"}
			} else if name == "replaced" {
				flags = append(flags[:2:2], "-modfile="+modfile)
			}
			c := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", filepath.Join(dir, name+".so")}, flags...), b[0])...)
			c.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=1")
			if out, err := c.CombinedOutput(); err != nil {
				errs <- fmt.Errorf("%v: %w\n%s", c.Args, err, out)
				return
			}
			errs <- nil
		}()
	}
	var all []error
	for range badBuilds {
		all = append(all, <-errs)
	}
	c := exec.Command("gcc", "-shared", "-o", filepath.Join(dir, "c.so"), "-x", "c", "-")
	c.Stdin = strings.NewReader("int answer(void) { return 42; }\n")
	out, err := c.CombinedOutput()
	if err != nil {
		all = append(all, fmt.Errorf("gcc: %w\n%s", err, out))
	}
	return dir, errors.Join(all...)
})

// replaced writes a go.mod that has a dependency replaced by a folder with a file
// that has a line more.
func replaced(dir string) (modfile string, err error) {
	const dependency = "github.com/chewxy/math32"
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", dependency).Output()
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(filepath.Join(dir, "math32"), os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		return "", err
	}
	longer := filepath.Join(dir, "math32", "abs.go")
	text, err := os.ReadFile(longer)
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.Remove(longer), os.WriteFile(longer, append([]byte("// A line more.\n"), text...), 0o666)); err != nil {
		return "", err
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile("../../go.sum")
	if err != nil {
		return "", err
	}
	modfile = filepath.Join(dir, "replaced.mod")
	return modfile, errors.Join(os.WriteFile(modfile, fmt.Appendf(mod, "\nreplace %s => %s\n", dependency, filepath.Join(dir, "math32")), 0o666),
		os.WriteFile(filepath.Join(dir, "replaced.sum"), sum, 0o666))
}

// bad is a folder with a good plugin and a bad one, bad.so.
type bad struct {
	name string
	make func(t *testing.T, dir string) // puts bad.so into dir
	env  string                         // BAD_PLUGIN
	want string                         // the bad one's line; … stands for anything
	args []string
}

func built(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { copyTo(t, read(t, badDir(t)+"/"+name+".so"), dir+"/bad.so") }
}

func badDir(t *testing.T) string {
	t.Helper()
	dir, err := badBuilt()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func copyTo(t *testing.T, data []byte, path string) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// changed makes bad.so of the good plugin custom.so.
func changed(change func(data []byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		copyTo(t, change(read(t, filepath.Join(plugins, "custom.so"))), dir+"/bad.so")
	}
}

func rewritten(old, new string) func(*testing.T, string) {
	return changed(func(data []byte) []byte { return bytes.ReplaceAll(data, []byte(old), []byte(new)) })
}

// otherRelease writes another release of the same length into the plugin.
func otherRelease() func(*testing.T, string) {
	v := runtime.Version()
	return rewritten(v, v[:len("go1.")]+strings.Repeat("9", len(v)-len("go1.")))
}

func text(s string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { copyTo(t, []byte(s), dir+"/bad.so") }
}

// then does something to bad.so after it was made.
func then(make func(*testing.T, string), change func(path string) error) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		make(t, dir)
		if err := change(dir + "/bad.so"); err != nil {
			if errors.Is(err, os.ErrPermission) {
				t.Skip("needs root: ", err)
			}
			t.Fatal(err)
		}
	}
}

func made(change func(path string) error) func(*testing.T, string) {
	return then(func(*testing.T, string) {}, change)
}

func custom(t *testing.T, dir string) { changed(func(data []byte) []byte { return data })(t, dir) }

const (
	build9  = "build it again: swiftgo plugin build DIR"
	declare = `; declare a variable such as: var Losses = api.Losses{"name": newLoss}`
	initial = "; mend the plugin's init functions and package variables; they must have no effect outside it"
	at      = " at swiftgo/cmd/swiftgo/testdata/bad/opening.v2/opening.go:…"
)

var bads = []bad{
	// What opening it does.
	{"init panics", built("opening"), "panic", "died while it was opened: panic: runtime error: index out of range [3] with length 0" + at + initial, nil},
	{"init dereferences nil", built("opening"), "nil", "died while it was opened: panic: runtime error: invalid memory address or nil pointer dereference" + at + initial, nil},
	{"init of a dependency panics", built("opening"), "dependency", "died while it was opened: panic: no database…" + initial, nil},
	{"init throws", built("opening"), "throw", "died while it was opened: fatal error: sync: unlock of unlocked mutex" + at + initial, nil},
	{"init exits with 0", built("opening"), "exit 0", "ended the process with status 0 while it was opened: an init function calls os.Exit" + initial, nil},
	{"init exits with 3", built("opening"), "exit 3", "ended the process while it was opened: exit status 3" + initial, nil},
	{"init calls Goexit", built("opening"), "goexit", "…" + initial, nil},
	{"init blocks", built("opening"), "block", "still not open after 3s" + at + initial, nil},
	{"init spins", built("opening"), "spin", "still not open after 3s…" + initial, nil},
	{"init overflows the stack", built("opening"), "overflow", "…" + initial, nil},
	{"init wants all memory", built("opening"), "memory", "…" + initial, nil}, // dies, or on a busy machine is not done in time
	{"init starts a goroutine that panics", built("opening"), "goroutine", "died while it was opened: panic: in a goroutine" + at + initial, nil},
	{"init leaves a child behind", built("opening"), "child", "ended the process with status 0…" + initial, nil},
	{"init prints a lot", built("opening"), "loud", "ended the process while it was opened: exit status 1" + initial, nil},
	{"C constructor exits", built("opening"), "c exit", "ended the process with status 0…" + initial, nil},
	{"C constructor aborts", built("opening"), "c abort", "died while it was opened: SIGABRT: abort" + initial, nil},
	{"C constructor faults", built("opening"), "c segv", "died while it was opened: …SIGSEGV…" + initial, nil},
	// What it registers.
	{"nil map", built("opening"), "nil map", "has nothing in any of Losses, …; mend the plugin", nil},
	{"nil constructor", built("opening"), "nil constructor", `Losses["plain"] is nil, want a constructor; mend the plugin`, nil},
	{"empty name", built("opening"), "empty name", `Losses has the name "", want letters a to z, digits and _ only; mend the plugin`, nil},
	{"name with spaces", built("opening"), "name with spaces", `Losses has the name "my loss", want …; mend the plugin`, nil},
	{"name with capitals", built("opening"), "name with capitals", `ORMs has the name "MyORM", want …; mend the plugin`, nil},
	{"name with a newline", built("opening"), "name with a newline", `Losses has the name "my\nloss", want …; mend the plugin`, nil},
	// What it exports.
	{"map of another type", built("wrongtype"), "", "Losses is a map[string]api.LossFunc, want map[string]func(*api.Args) (api.Loss, error); Metrics is a function, want …" + declare, nil},
	{"types of another package api", built("otherapi"), "", "Losses is a map[string]func(*swiftgo/cmd/swiftgo/testdata/bad/otherapi/api.Args) (swiftgo/cmd/swiftgo/testdata/bad/otherapi/api.Loss, error), want map[string]func(*swiftgo/api.Args) (swiftgo/api.Loss, error)" + declare, nil},
	{"misspelt variable", built("misspelt"), "", "exports Loss, a map[string]func(*api.Args) (api.Loss, error); did you mean Losses?" + declare, nil},
	{"type and name almost right", built("renamed"), "", "exports Metric; did you mean Metrics?" + declare, nil},
	{"nothing exported", built("nothing"), "", "exports none of Losses, …" + declare, nil},
	{"function for a variable", built("function"), "", "Losses is a function, want a variable of type …" + declare, nil},
	{"manifest of another type", built("manifest"), "", "Plugin is a map[string]string, want api.Manifest" + declare, nil},
	// How it was built.
	{"without -trimpath", built("untrimmed"), "", "built without -trimpath, which this program was built with, so built with packages that differ from this program's: …; build it with the same flags: swiftgo plugin build DIR", nil},
	{"with -race", built("race"), "", "built with -race, which this program was not, so built with packages that differ from this program's: …; build it with the same flags: swiftgo plugin build DIR", nil},
	{"with -cover", built("cover"), "", "…built with packages that differ from this program's: swiftgo (swiftgo/api); …", nil},
	{"with -gcflags", built("slow"), "", "built with -gcflags, which this program was not, so …; build it with the same flags: swiftgo plugin build DIR", nil},
	{"a dependency replaced", built("replaced"), "", "built with packages that differ from this program's: github.com/chewxy/math32 … => …/math32 (devel), here …; in the plugin's folder: go mod edit -dropreplace=github.com/chewxy/math32, then build it again: swiftgo plugin build DIR", nil},
	{"with -pluginpath", built("pluginpath"), "", "…-ldflags=-pluginpath…", nil},
	{"another Go release", otherRelease(), "", "built with go1.…, this program with " + runtime.Version() + "; build both with the same Go, e.g. GOTOOLCHAIN=…", nil},
	{"GOAMD64 of a later processor", rewritten("build\tGOAMD64=v1", "build\tGOAMD64=v9"), "", "built for GOAMD64=v9, this processor has …; build it with GOAMD64=…", nil},
	{"another machine", changed(func(b []byte) []byte { b[18] = byte(elf.EM_AARCH64); return b }), "", "built for another machine: EM_AARCH64, want EM_X86_64; build it with GOARCH=" + runtime.GOARCH, nil},
	{"32 bits", changed(func(b []byte) []byte { b[4] = byte(elf.ELFCLASS32); return b }), "", "…; …", nil},
	{"big endian", changed(func(b []byte) []byte { b[5] = byte(elf.ELFDATA2MSB); return b }), "", "…; …", nil},
	{"c-shared library of Go", built("cshared"), "", "built with -buildmode=c-shared, want plugin; " + build9, nil},
	{"program", built("program"), "", "built with -buildmode=exe, want plugin; " + build9, nil},
	{"swiftgo itself", func(t *testing.T, dir string) { copyTo(t, read(t, binary), dir+"/bad.so") }, "", "built with -buildmode=exe, want plugin; " + build9, nil},
	{"C library", built("c"), "", "not built by Go, so not a plugin; remove it, or " + build9, nil},
	// What the file is.
	{"empty file", text(""), "", "empty; copy it again, or " + build9, nil},
	{"text", text("hello\n"), "", "not an ELF file, so not a plugin; remove it, or " + build9, nil},
	{"script", text("#!/bin/sh\nexit 1\n"), "", "not an ELF file, …", nil},
	{"two bytes", text("\x7fE"), "", "not an ELF file, …", nil},
	{"only the magic", text("\x7fELF"), "", "damaged or truncated: …", nil},
	{"1 GiB of nothing", made(func(path string) error {
		f, err := os.Create(path)
		return errors.Join(err, f.Truncate(1<<30), f.Close())
	}), "", "not an ELF file, …", nil},
	{"plugin with a hole to 2 GiB", then(custom, func(path string) error { return os.Truncate(path, 2<<30) }), "", "2147483648 bytes long, want at most 1073741824; remove it, or " + build9, nil},
	{"folder", made(func(path string) error { return os.Mkdir(path, 0o755) }), "", "not a regular file but a folder; remove it", nil},
	{"named pipe", made(func(path string) error { return syscall.Mkfifo(path, 0o644) }), "", "not a regular file but a named pipe; remove it", nil},
	{"device", made(func(path string) error { return os.Symlink("/dev/zero", path) }), "", "…", nil},
	{"link to nowhere", made(func(path string) error { return os.Symlink("nowhere.so", path) }), "", "a link that leads nowhere; remove the link", nil},
	{"link to itself", made(func(path string) error { return os.Symlink("bad.so", path) }), "", "…too many levels of symbolic links…", nil},
	{"link to the good one", made(func(path string) error { return os.Symlink("a_good.so", path) }), "", "the same file as …/a_good.so; remove one of the two", nil},
	{"link out of the folder", made(func(path string) error { return os.Symlink(filepath.Join(plugins, "custom.so"), path) }), "", "a link that leads out of the folder, to …/custom.so; cp --remove-destination …", nil},
	{"copy of the good one", func(t *testing.T, dir string) { copyTo(t, read(t, dir+"/a_good.so"), dir+"/bad.so") }, "", "a copy of …/a_good.so; remove one of the two", nil},
	{"another build of the good one", built("tagged"), "", "another build of …/a_good.so: both are swiftgo/contrib/focal; remove one of the two", nil},
	{"zeroed page", changed(func(b []byte) []byte { clear(b[len(b)/2 : len(b)/2+4096]); return b }), "", "", nil},
	// Whose it is.
	{"written by everybody", then(custom, func(path string) error { return os.Chmod(path, 0o666) }), "", "…/bad.so can be written by everybody (mode -rw-rw-rw-); chmod go-w …", nil},
	{"written by its group", then(custom, func(path string) error { return os.Chmod(path, 0o664) }), "", "…/bad.so can be written by its group, … (mode -rw-rw-r--); chmod g-w …", nil},
	{"of another user", then(custom, func(path string) error { return os.Chown(path, 65534, 65534) }), "", "…/bad.so belongs to user 65534, who could change it; want root or the user of this process, …; chown …", nil},
	{"not in the lock file", custom, "", "not in plugins.lock; remove it, or if it is meant to be there: swiftgo plugin lock …", []string{"--plugins_locked"}},
	{"not signed", custom, "", "not signed: no bad.so.minisig beside it, and --plugins_trusted_keys is given; sign it: swiftgo plugin sign …", []string{"--plugins_trusted_keys", "key.pub"}},
}

// TestBadPlugins puts each bad plugin beside a good one. The binary says what is
// wrong with the bad one, on one line, with what mends it; it neither dies nor
// hangs, and the good one still loads.
func TestBadPlugins(t *testing.T) {
	for _, b := range bads {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "plugins")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			copyTo(t, read(t, filepath.Join(plugins, "focal.so")), dir+"/a_good.so")
			args := append([]string{"plugin", "check", dir, "--json", "--plugins_timeout", "3"}, b.args...)
			for i, a := range args {
				if a == "key.pub" { // sign the good one
					args[i] = filepath.Join(filepath.Dir(dir), "key.pub")
					must(t, "plugin", "keygen", strings.TrimSuffix(args[i], ".pub"), "--no_password")
					must(t, "plugin", "sign", dir+"/a_good.so", "--key", strings.TrimSuffix(args[i], ".pub"))
				}
				if a == "--plugins_locked" {
					must(t, "plugin", "lock", dir)
				}
			}
			b.make(t, dir)
			l := checkBeside(t, b.env, args)
			if b.want == "" && l.Error == "" {
				return
			}
			line := l.Error + "; " + l.Hint
			if strings.Contains(line, "\n") || l.Error == "" || b.want != "" && !like(line, b.want) {
				t.Errorf("bad.so: %s\n   want %s", line, b.want)
			}
		})
	}
}

// checkBeside runs the binary on a_good.so and bad.so, and returns what it says
// of bad.so.
func checkBeside(t *testing.T, env string, args []string) loader.Listing {
	t.Helper()
	c := exec.Command(binary, args...)
	c.Env = append(os.Environ(), "BAD_PLUGIN="+env)
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	err := c.Run()
	var answer struct {
		OK      bool
		Plugins []loader.Listing
	}
	if jsonErr := json.Unmarshal(out.Bytes(), &answer); jsonErr != nil || len(answer.Plugins) != 2 {
		t.Fatalf("%v, %v: %s\n%s", err, jsonErr, out.String(), stderr.String())
	}
	good, l := answer.Plugins[0], answer.Plugins[1]
	if good.Error != "" || strings.Join(good.Offers(), "") != "loss focal" {
		t.Errorf("the good plugin offers %v, error %s", good.Offers(), good.Error)
	}
	var exit *exec.ExitError
	switch failed := errors.As(err, &exit); {
	case answer.OK != (l.Error == ""), failed == answer.OK, failed && exit.ExitCode() != 1:
		t.Errorf("ok is %v and the program ended with %v, though bad.so has the error %q", answer.OK, err, l.Error)
	case strings.Contains(stderr.String(), "goroutine "):
		t.Errorf("a trace reached the user:\n%s", stderr.String())
	}
	return l
}

// like reports whether a text is as want says, where … stands for anything.
func like(text, want string) bool {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + "$").MatchString(text)
}

// TestDamagedPlugins cuts a plugin off at 20 places, and changes bytes of it in
// 20 ways, of which some do no harm.
func TestDamagedPlugins(t *testing.T) {
	whole := read(t, filepath.Join(plugins, "custom.so"))
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 40 {
		damaged := bytes.Clone(whole)
		if i < 20 {
			damaged = damaged[:r.IntN(len(damaged))]
		} else {
			for range 1 + r.IntN(64) {
				damaged[r.IntN(len(damaged))] ^= byte(1 + r.IntN(255))
			}
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			copyTo(t, read(t, filepath.Join(plugins, "focal.so")), dir+"/a_good.so")
			copyTo(t, damaged, dir+"/bad.so")
			l := checkBeside(t, "", []string{"plugin", "check", dir, "--json", "--plugins_timeout", "5"})
			if i < 20 && l.Error == "" || l.Error != "" && l.Hint == "" || strings.Contains(l.Error, "\n") {
				t.Errorf("%d bytes of %d: error %q, hint %q", len(damaged), len(whole), l.Error, l.Hint)
			}
		})
	}
}
