package loader

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"swiftgo/api"
)

// built is the folder with the host of testdata and its plugins. They are
// programs of their own, so it does not matter how this test was built.
var built string

// TestMain builds them, with one set of flags, but for "untrimmed".
func TestMain(m *testing.M) {
	var err error
	if built, err = os.MkdirTemp("", "loader"); err == nil {
		err = buildAll()
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		os.Setenv("SWIFTGO_CACHE_DIR", filepath.Join(built, "cache"))
		code = m.Run()
	}
	os.RemoveAll(built)
	os.Exit(code)
}

func buildAll() error {
	if err := goBuild("host", "host", "-trimpath"); err != nil {
		return err
	}
	for _, name := range []string{"nine", "second", "wrongtype", "misspelt", "renamed", "nothing", "panics", "exits", "hangs", "nilmap"} {
		source := name
		if name == "second" || name == "panics" { // of an import path that the linker has to escape
			source += ".v2"
		}
		if err := goBuild(source, name+".so", "-trimpath", "-buildmode=plugin"); err != nil {
			return err
		}
	}
	if err := goBuild("nothing", "untrimmed.so", "-buildmode=plugin"); err != nil {
		return err
	}
	if err := goBuild("nothing", "program.so", "-trimpath"); err != nil {
		return err
	}
	c := exec.Command("gcc", "-shared", "-o", filepath.Join(built, "c.so"), "-x", "c", "-")
	c.Stdin = strings.NewReader("int answer(void) { return 42; }\n")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return nil
}

func goBuild(source, to string, flags ...string) error {
	c := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(built, to)}, flags...), "./testdata/"+source)...)
	c.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=1")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", c.Args, err, out)
	}
	return nil
}

// answer is what the host prints.
type answer struct {
	Plugins []struct {
		Name, File, SHA256, PluginPath string
		Manifest                       api.Manifest
		Kinds                          int
		Loss                           string
	}
	Listings []Listing
	Skipped  []Skip
	Offers   [][]string
	Left     []string
	Error    string
}

// folder returns a folder "plugins" with links to files of the names given.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugins")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Link(filepath.Join(built, f), filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run has the host do its work on dir with the options, as JSON, and returns its
// answer with dir left out of all paths.
func run(t *testing.T, mode, dir string, options ...string) answer {
	t.Helper()
	c := exec.Command(filepath.Join(built, "host"), append([]string{mode, dir}, options...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("the host: %v\n%s", err, stderr.String())
	}
	var a answer
	if err := json.Unmarshal(bytes.ReplaceAll(out, []byte(dir+"/"), nil), &a); err != nil {
		t.Fatalf("the host printed %s: %v", out, err)
	}
	return a
}

func TestLoad(t *testing.T) {
	dir := folder(t, "second.so", "nine.so")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{"first", "second"} { // the second finds everything in the store
		a := run(t, "load", dir)
		if a.Error != "" || len(a.Plugins) != 2 {
			t.Fatalf("%s start: %d plugins, error %s", start, len(a.Plugins), a.Error)
		}
		nine, second := a.Plugins[0], a.Plugins[1]
		if nine.Name != "nine" || nine.Manifest.Name != "all nine" || nine.Manifest.Version != "1.2.3" || nine.File != "plugins/nine.so" || nine.Kinds != 9 {
			t.Errorf("%s start: %+v", start, nine)
		}
		if nine.PluginPath != "swiftgo/loader/testdata/nine" || len(nine.SHA256) != 64 {
			t.Errorf("%s start: %+v", start, nine)
		}
		if nine.Loss != "nine_loss is told gamma = 1" {
			t.Errorf("%s start: the plugin's code says %q", start, nine.Loss)
		}
		if second.Name != "second" || second.PluginPath != "swiftgo/loader/testdata/second%2ev2" || second.Kinds != 2 {
			t.Errorf("%s start: %+v", start, second)
		}
	}
	if a := run(t, "load", folder(t)); a.Error != "" || len(a.Plugins) != 0 {
		t.Errorf("an empty folder: %+v", a)
	}
}

const want9 = "Losses, LossScales, Metrics, Optimizers, Callbacks, AgentTemplates, Tuners, ORMs and PRMs"

// refusals is the error for a folder with one file. It is a pattern where line
// numbers and versions stand.
var refusals = []struct{ file, want string }{
	{"wrongtype.so", `wrongtype.so: Losses is a map[string]api.LossFunc, want map[string]func(*api.Args) (api.Loss, error); ` +
		`Metrics is a function, want a variable of type map[string]func(*api.Args) (api.Metric, error); declare a variable such as: var Losses = api.Losses{"name": newLoss}`},
	{"misspelt.so", `misspelt.so: exports Loss, a map[string]func(*api.Args) (api.Loss, error); did you mean Losses?; declare …`},
	{"renamed.so", `renamed.so: exports Metric; did you mean Metrics?; declare …`},
	{"nothing.so", `nothing.so: exports none of ` + want9 + `; declare …`},
	{"panics.so", `panics.so: died while it was opened: panic: runtime error: index out of range [3] with length 0 at swiftgo/loader/testdata/panics.v2/panics.go:10; mend …`},
	{"exits.so", `exits.so: ended the process with status 0 while it was opened: an init function calls os.Exit; mend …`},
	{"hangs.so", `hangs.so: still not open after 2s at swiftgo/loader/testdata/hangs/hangs.go:9; mend …`},
	{"nilmap.so", `nilmap.so: Losses["plain"] is nil, want a constructor; ORMs has the name "My ORM", want letters a to z, digits and _ only; mend the plugin`},
	{"untrimmed.so", `untrimmed.so: built without -trimpath, which this program was built with, so built with packages that differ from this program's: std (internal/abi, internal/…, internal/…, internal/…, and … more); build it with the same flags: ./build.sh DIR`},
	{"program.so", `program.so: built with -buildmode=exe, want plugin; build it again: ./build.sh DIR`},
	{"host.so", `host.so: built with -buildmode=exe, want plugin; build it again: ./build.sh DIR`},
	{"c.so", `c.so: not built by Go, so not a plugin; remove it, or build it again: ./build.sh DIR`},
	{"text.so", `text.so: not an ELF file, so not a plugin; remove it, or build it again: ./build.sh DIR`},
	{"truncated.so", `truncated.so: damaged or truncated: …; copy it again, or build it again: ./build.sh DIR`},
	{"copy.so", `copy.so: a copy of …; remove one of the two`},
}

// TestRefusals loads each file alone, then all together.
func TestRefusals(t *testing.T) {
	nine, err := os.ReadFile(filepath.Join(built, "nine.so"))
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadFile(filepath.Join(built, "host"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"text.so": []byte("hello\n"), "truncated.so": nine[:len(nine)/2], "copy.so": nine, "host.so": host} {
		if err := os.WriteFile(filepath.Join(built, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range refusals {
		t.Run(c.file, func(t *testing.T) {
			files := []string{c.file}
			if c.file == "copy.so" {
				files = append(files, "nine.so")
				c.want = strings.Replace(c.want, "copy.so: a copy of …", "nine.so: a copy of copy.so", 1)
			}
			a := run(t, "load", folder(t, files...))
			matches(t, a.Error, c.want)
			if len(a.Plugins) != 0 {
				t.Errorf("loaded %+v", a.Plugins)
			}
		})
	}
	t.Run("all of them", func(t *testing.T) {
		a := run(t, "load", folder(t, "second.so", "wrongtype.so", "text.so", "exits.so"))
		for _, want := range []string{"exits.so: ", "text.so: ", "wrongtype.so: "} {
			if !strings.Contains(a.Error, want) {
				t.Errorf("%s is not in the error: %s", want, a.Error)
			}
		}
		if strings.Count(a.Error, "\n") != 2 || len(a.Plugins) != 0 {
			t.Errorf("want three lines and nothing opened: %s", a.Error)
		}
	})
	t.Run("link", func(t *testing.T) {
		dir := folder(t, "nine.so")
		if err := os.Symlink("nine.so", filepath.Join(dir, "other.so")); err != nil {
			t.Fatal(err)
		}
		matches(t, run(t, "load", dir).Error, "other.so: the same file as nine.so; remove one of the two")
	})
}

// matches checks got, where … stands for anything in want.
func matches(t *testing.T, got, want string) {
	t.Helper()
	pattern := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + "$"
	if !regexp.MustCompile(pattern).MatchString(got) {
		t.Errorf("error %s\n want %s", got, want)
	}
}

func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, mode := range []string{"load", "list"} {
		matches(t, run(t, mode, dir).Error, "the plugin folder "+dir+" is not there; give another with --plugins_dir or SWIFTGO_PLUGINS_DIR: …")
	}
}

func TestList(t *testing.T) {
	a := run(t, "list", folder(t, "nine.so", "second.so", "wrongtype.so", "panics.so", "c.so"))
	if a.Error != "" || len(a.Listings) != 5 {
		t.Fatalf("%d files, error %s", len(a.Listings), a.Error)
	}
	for i, want := range []struct{ file, offers, err string }{
		{"plugins/c.so", "", "not built by Go, so not a plugin"},
		{"plugins/nine.so", "loss nine_loss, loss_scale nine_scale, metric nine_metric, optimizer nine_optimizer, callback nine_callback, agent_template nine_agent, tuner nine_tuner, orm nine_orm, prm nine_prm", ""},
		{"plugins/panics.so", "loss", "died while it was opened: …"},
		{"plugins/second.so", "metric a, metric b", ""},
		{"plugins/wrongtype.so", "loss, metric", "Losses is a …; Metrics is a …"},
	} {
		l := a.Listings[i]
		if l.File != want.file || strings.Join(a.Offers[i], ", ") != want.offers {
			t.Errorf("file %s offers %v, want %s of %s", l.File, a.Offers[i], want.offers, want.file)
		}
		matches(t, l.Error, want.err)
		if (l.Error == "") != (l.Hint == "") {
			t.Errorf("%s: error %q, hint %q", l.File, l.Error, l.Hint)
		}
		if info, err := os.Stat(filepath.Join(built, filepath.Base(l.File))); l.Size > 0 && err != nil || l.Size != info.Size() || len(l.SHA256) != 64 {
			t.Errorf("%s: size %d, sha256 %q, %v", l.File, l.Size, l.SHA256, err)
		}
	}
	if m := a.Listings[1].Manifest; m.Name != "all nine" || m.License != "MIT" {
		t.Errorf("manifest %+v", m)
	}
}

// TestProbeWithoutMain has the host think that it is a child already.
func TestProbeWithoutMain(t *testing.T) {
	t.Setenv(probeEnv, "x")
	_, err := probe(&File{Path: "x.so"}, "x.so", Options{}.timeout())
	if err == nil || !strings.Contains(err.Error(), "ProbeMain") {
		t.Errorf("error %v", err)
	}
}
