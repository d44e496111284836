package main_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"swiftgo/loader"
)

// tree is the files of a folder by their paths in it.
type tree map[string]string

func (files tree) write(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// state says what is in a folder, down to the last byte.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[path] = fmt.Sprint(info.Mode(), info.ModTime())
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			all[path] += string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// orm is a plugin with one orm, which imports more if need be.
func orm(name string, imports ...string) string {
	lines := ""
	for _, i := range imports {
		lines += fmt.Sprintf("\t_ %q\n", i)
	}
	return fmt.Sprintf(`package main

import (
	"context"

%s
	"swiftgo/api"
)

var ORMs = api.ORMs{%q: newORM}

func newORM(args *api.Args) (api.ORM, error) { return api.ORMFunc(score), args.Decode(&struct{}{}) }

func score(_ context.Context, cs []api.Completion) ([]float64, error) { return make([]float64, len(cs)), nil }

func main() {}
`, lines, name)
}

// in runs a command in a folder, with more in its environment.
func in(dir string, env []string, command string, args ...string) (string, error) {
	cmd := exec.Command(command, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var offline = []string{"GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK="}

var ready = regexp.MustCompile(`(?m)^\S.*\.so  (\d+) packages, (\d+) shared with swiftgo, all equal$`)

// TestBuild builds plugins of authors who have nothing of swiftgo but its
// binary. The binary then takes them, and nothing of the author's is changed.
func TestBuild(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	// A go command of another release that can become the right one.
	turning := tree{"go": fmt.Sprintf("#!/bin/sh\n[ \"$GOTOOLCHAIN\" != local ] || { echo go1.9.9; exit; }\nexec %s \"$@\"\n", goTool)}.write(t)
	if err := os.Chmod(filepath.Join(turning, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	gone := "\n\nrequire swiftgo v0.3.0\n\nreplace swiftgo => ../gone\n"
	for _, c := range []struct {
		name  string
		files tree
		dir   string // in files
		env   []string
	}{
		{"no module", tree{"plug/a.go": orm("a_plug")}, "plug", nil},
		{"a test beside it", tree{"plug/a.go": orm("a_plug"), "plug/a_test.go": "package main\n\nimport _ \"example.com/not/there\"\n"}, "plug", nil},
		{"an old module", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/old\n\ngo 1.12\n"}, "plug", nil},
		{"a module of no age", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/old\n"}, "plug", nil},
		{"a newer toolchain", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/new\n\ngo 1.25\n\ntoolchain go1.99.0\n"}, "plug", nil},
		{"another swiftgo", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/other\n\ngo 1.25" + gone}, "plug", nil},
		{"another swiftgo, by version", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/other\n\ngo 1.25" + strings.Replace(gone, "=>", "v0.3.0 =>", 1)}, "plug", nil},
		{"a folder of a module", tree{"plugins/plug/a.go": orm("a_plug", "example.com/many/internal/lib"), "internal/lib/lib.go": "package lib\n", "go.mod": "module example.com/many\n\ngo 1.25\n"}, "plugins/plug", nil},
		{"a workspace", tree{"plug/a.go": orm("a_plug", "example.com/lib"), "plug/go.mod": "module example.com/plug\n\ngo 1.25" + gone,
			"lib/lib.go": "package lib\n\nimport _ \"swiftgo/api\"\n", "lib/go.mod": "module example.com/lib\n\ngo 1.25" + gone, "go.work": "go 1.25\n\nuse (\n\t./plug\n\t./lib\n)\n\nreplace swiftgo => ./gone\n"}, "plug", nil},
		{"a workspace with swiftgo", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/plug\n\ngo 1.25\n",
			"swiftgo/go.mod": "module swiftgo\n\ngo 1.25\n", "swiftgo/api/api.go": "package api\n", "go.work": "go 1.25\n\nuse (\n\t./plug\n\t./swiftgo\n)\n"}, "plug", nil},
		{"a workspace for a newer Go", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/plug\n\ngo 1.25\n", "go.work": "go 1.99\n\ntoolchain go1.99.1\n\nuse ./plug\n"}, "plug", nil},
		{"another go that can fetch the right one", tree{"plug/a.go": orm("a_plug")}, "plug", []string{"PATH=" + turning + ":" + os.Getenv("PATH")}},
		{"spaces", tree{"my plugins/plug 2.0/a.go": orm("a_plug")}, "my plugins/plug 2.0", nil},
		{"spaces in a module", tree{"my plugins/plug/a.go": orm("a_plug"), "my plugins/go.mod": "module example.com/spaces\n\ngo 1.25" + gone}, "my plugins/plug", nil},
		{"flags of the author's", tree{"plug/a.go": orm("a_plug")}, "plug", []string{"GOFLAGS=-mod=mod -tags=x -trimpath=false -p=2 -gcflags=all=-N", "CGO_ENABLED=0", "GOAMD64=v3", "GOWORK=off", "GOOS=windows"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := c.files.write(t)
			before := state(t, root)
			out := filepath.Join(t.TempDir(), "out")
			text, err := in(root, append(slices.Clone(offline), c.env...), binary, "plugin", "build", c.dir, "--output_dir", out)
			if err != nil || !ready.MatchString(text) {
				t.Fatalf("%v\n%s", err, text)
			}
			if after := state(t, root); !maps.Equal(after, before) {
				t.Errorf("the author's folder was\n%v, now it is\n%v", before, after)
			}
			if list := must(t, "plugin", "list", out); !strings.Contains(list, filepath.Base(c.dir)+".so") || !strings.Contains(list, "orm a_plug") {
				t.Errorf("it is listed as\n%s", list)
			}
		})
	}
}

// TestBuildHere builds a plugin of this repository, twice; the two are the same
// and say what built them.
func TestBuildHere(t *testing.T) {
	out := t.TempDir()
	before := state(t, "../../contrib/focal")
	var builds []*loader.File
	for range 2 {
		must(t, "plugin", "build", "../../contrib/focal", "-o", out)
		f, err := loader.Inspect(filepath.Join(out, "focal.so"))
		if err != nil {
			t.Fatal(err)
		}
		builds = append(builds, f)
	}
	if builds[0].SHA256 != builds[1].SHA256 {
		t.Error("two builds of the same source differ")
	}
	if f := builds[0]; f.PluginPath != "swiftgo/contrib/focal" || !strings.Contains(f.Stamp, fmt.Sprintf(`"go":%q`, runtime.Version())) {
		t.Errorf("plugin path %s, stamp %s", f.PluginPath, f.Stamp)
	}
	if !maps.Equal(state(t, "../../contrib/focal"), before) {
		t.Error("the folder has changed")
	}
}

// TestBuildModes builds, through a link, where all that is made may be written
// by everyone.
func TestBuildModes(t *testing.T) {
	root := tree{"plug/a.go": orm("a_plug")}.write(t)
	out := filepath.Join(root, "made", "out")
	if err := os.Symlink("plug", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if text, err := in(root, offline, "sh", "-c", `umask 0; exec "$@"`, "sh", binary, "plugin", "build", "link", "-o", out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, path := range []string{out, filepath.Join(out, "link.so")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if entries, _ := os.ReadDir(out); len(entries) != 1 {
		t.Errorf("%v are in the folder, want the plugin alone", entries)
	}
}

// TestBuildSource sees that a source of package api that was meddled with is
// mended before anything is built with it.
func TestBuildSource(t *testing.T) {
	root := tree{"plug/a.go": orm("a_plug")}.write(t)
	cache := filepath.Join(root, "cache")
	env := append(slices.Clone(offline), "SWIFTGO_CACHE_DIR="+cache)
	for i := range 2 {
		if text, err := in(root, env, binary, "plugin", "build", "plug", "-o", "out"); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		files, err := filepath.Glob(filepath.Join(cache, "src-*", "api", "loss.go"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v: %v", files, err)
		}
		got, _ := os.ReadFile(files[0])
		want, _ := os.ReadFile("../../api/loss.go")
		if !bytes.Equal(got, want) {
			t.Fatalf("build %d: loss.go differs from that of this repository", i)
		}
		if err := errors.Join(os.Remove(files[0]), os.WriteFile(files[0], append(got, "\nvar Added int\n"...), 0o666),
			os.WriteFile(filepath.Join(filepath.Dir(files[0]), "more.go"), []byte("package api\n\nvar More int\n"), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBuildErrors sees that what cannot be built is refused with one message
// that says what to do, and that nothing is left of it.
func TestBuildErrors(t *testing.T) {
	otherGo := tree{"go": "#!/bin/sh\necho go1.9.9\necho gcc\n"}.write(t)
	noCompiler := "CC=no-such-compiler"
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(otherGo, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	noGo := t.TempDir()
	release, install := runtime.Version(), "install "+runtime.Version()+" from https://go.dev/dl"
	for _, c := range []struct {
		name  string
		files tree
		env   []string
		want  []string
	}{
		{"another Go", tree{"plug/a.go": orm("a_plug")}, []string{"PATH=" + otherGo + ":" + os.Getenv("PATH")}, []string{"swiftgo was built with " + release, "it is go1.9.9", install}},
		{"no Go", tree{"plug/a.go": orm("a_plug")}, []string{"PATH=" + noGo}, []string{"no go command", install}},
		{"no C compiler", tree{"plug/a.go": orm("a_plug")}, []string{noCompiler}, []string{"no C compiler", "no-such-compiler"}},
		{"a mistake", tree{"plug/a.go": orm("a_plug") + "\nvar x int = \"text\"\n", "plug/go.mod": "module example.com/plug\n"}, nil, []string{"plug does not compile:\n", "./a.go:18:13: cannot use \"text\""}},
		{"a mistake of syntax", tree{"plug/a.go": "package main\n\nfunc {\n"}, nil, []string{"a.go:3:6: "}},
		{"another package", tree{"plug/a.go": "package plug\n"}, nil, []string{"plug: package plug, want package main"}},
		{"an empty folder", tree{"plug/README": ""}, nil, []string{"plug: no Go files, want a plugin; swiftgo plugin new begins one"}},
		{"tests alone", tree{"plug/a_test.go": "package main\n"}, nil, []string{"plug: no Go files, want a plugin"}},
		{"a file", tree{"plug": ""}, nil, []string{"plug is a file, want the folder of a plugin"}},
		{"nothing", tree{}, nil, []string{"plug: no such file or directory"}},
		{"a package that is not there", tree{"plug/a.go": orm("a_plug", "example.com/dep")}, nil, []string{"a.go:6:2: ", "example.com/dep", "go mod init example.com/plug"}},
		{"a package that is swiftgo's own", tree{"plug/a.go": orm("a_plug", "swiftgo/core/registry")}, nil, []string{"a.go:6:2: ", "of swiftgo a plugin may import swiftgo/api, and in its tests swiftgo/api/apitest"}},
		{"a newer module", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/plug\n\ngo 1.99\n"}, nil, []string{"go.mod wants go 1.99, and this swiftgo was built with " + release, "go mod edit -go="}},
		{"a broken go.mod", tree{"plug/a.go": orm("a_plug"), "plug/go.mod": "module example.com/plug\n\nrequires x\n"}, nil, []string{"go.mod:3: unknown directive: requires"}},
		{"no plugin", tree{"plug/a.go": "package main\n\nfunc main() {}\n"}, nil, []string{"plug.so: exports none of Losses"}},
		{"a panic", tree{"plug/a.go": orm("a_plug") + "\nfunc init() { panic(\"too early\") }\n"}, nil, []string{"plug.so: ", "too early", "a.go:18"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := c.files.write(t)
			text, err := in(root, slices.Concat(offline, []string{"GOCACHE=" + goCache(t, goTool)}, c.env), binary, "plugin", "build", "plug", "-o", "out")
			if err == nil {
				t.Fatalf("it was built:\n%s", text)
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s\nwant an error with %q", text, want)
				}
			}
			if n := strings.Count(text, "swiftgo: "); n != 1 || strings.Contains(text, os.TempDir()+"/swiftgo-build") || strings.Contains(text, "goroutine ") {
				t.Errorf("%d messages, want one, without what is ours alone:\n%s", n, text)
			}
			if left, _ := os.ReadDir(filepath.Join(root, "out")); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
	if text, err := in(tree{"a/plug/a.go": "", "b/plug/a.go": ""}.write(t), nil, binary, "plugin", "build", "a/plug", "b/plug"); err == nil || !strings.Contains(text, "a/plug and b/plug would both be ") {
		t.Errorf("two folders of one name: %v\n%s", err, text)
	}
}

// goCache returns the build cache, which a go command without a home would not find.
func goCache(t *testing.T, goTool string) string {
	t.Helper()
	out, err := exec.Command(goTool, "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// published makes a module proxy of a folder, with versions of modules that do
// not exist, and returns the environment in which the go command sees it, before
// the modules that this machine has.
func published(t *testing.T, modules map[string]tree) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	for m, files := range modules {
		path, version, _ := strings.Cut(m, "@")
		base := filepath.Join(proxy, path, "@v", version)
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, text := range files {
			w, err := z.Create(m + "/" + name)
			if err == nil {
				_, err = io.WriteString(w, text)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		err := errors.Join(z.Close(), os.MkdirAll(filepath.Dir(base), 0o777), os.WriteFile(base+".zip", b.Bytes(), 0o666),
			os.WriteFile(base+".mod", []byte(files["go.mod"]), 0o666), os.WriteFile(base+".info", fmt.Appendf(nil, `{"Version": %q}`, version), 0o666))
		if err != nil {
			t.Fatal(err)
		}
		list, err := os.OpenFile(filepath.Join(filepath.Dir(base), "list"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err == nil {
			_, err = fmt.Fprintln(list, version)
			err = errors.Join(err, list.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// With a cache of its own nothing of it reaches this machine's.
	return []string{"GOPROXY=file://" + proxy + ",file://" + filepath.Join(strings.TrimSpace(string(out)), "cache", "download") + ",off",
		"GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw", "GOSUMDB=off", "GONOSUMDB=*", "GOWORK="}
}

// pkgErrors is github.com/pkg/errors, which tensor imports, as far as tensor
// needs it.
const pkgErrors = `package errors

import "fmt"

func New(message string) error { return fmt.Errorf("%s", message) }
func Errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }
func Wrap(err error, message string) error { return fmt.Errorf("%s: %w", message, err) }
func Wrapf(err error, format string, args ...any) error { return Wrap(err, fmt.Sprintf(format, args...)) }
func WithMessage(err error, message string) error { return Wrap(err, message) }
func Cause(err error) error { return err }
`

// TestBuildDependencies builds plugins with dependencies of their own. One that
// wants a newer version of what swiftgo has is refused before anything is
// compiled, and the command that it is told mends it.
func TestBuildDependencies(t *testing.T) {
	const shared = "github.com/pkg/errors"
	lib := func(version string) tree {
		return tree{"go.mod": "module example.com/dep\n\ngo 1.20\n\nrequire " + shared + " " + version + "\n", "dep.go": "package dep\n\nimport _ \"" + shared + "\"\n"}
	}
	env := published(t, map[string]tree{
		shared + "@v0.9.0":        {"go.mod": "module " + shared + "\n", "errors.go": pkgErrors},
		shared + "@v0.9.9":        {"go.mod": "module " + shared + "\n", "errors.go": pkgErrors},
		"example.com/dep@v1.0.0":  lib("v0.9.1"),
		"example.com/dep@v1.1.0":  lib("v0.9.9"),
		"example.com/user@v1.0.0": {"go.mod": "module example.com/user\n\ngo 1.20\n\nrequire swiftgo v0.0.0\n", "user.go": "package user\n\nimport _ \"swiftgo/api\"\n"},
	})
	host, err := loader.Inspect(filepath.Join(plugins, "focal.so"))
	if err != nil {
		t.Fatal(err)
	}
	if _, version := host.Module(shared); version != "v0.9.1" {
		t.Fatalf("swiftgo has %s %s, this test is written for v0.9.1; write it for that", shared, version)
	}
	const module = "module example.com/plug\n\ngo 1.21\n\n"
	for _, c := range []struct {
		name  string
		files tree
		want  []string // of the message; none if it is built at once
		mend  string   // the first words of the command, "" if there is none
	}{
		{"a dependency without go.sum", tree{"a.go": orm("a_plug", "example.com/dep"), "go.mod": module + "require example.com/dep v1.0.0\n"}, nil, ""},
		{"a dependency that uses swiftgo", tree{"a.go": orm("a_plug", "example.com/user"), "go.mod": module + "require example.com/user v1.0.0\n"}, nil, ""},
		{"an older version of what swiftgo has", tree{"a.go": orm("a_plug", shared), "go.mod": module + "require " + shared + " v0.9.0\n"}, nil, ""},
		{"a newer one", tree{"a.go": orm("a_plug"), "go.mod": module + "require " + shared + " v0.9.9\n"},
			[]string{"required by: ROOT/plug\n"}, "go mod edit -require=" + shared + "@v0.9.1 "},
		{"a newer one through a dependency", tree{"a.go": orm("a_plug", "example.com/dep"), "go.mod": module + "require example.com/dep v1.1.0\n"},
			[]string{"required by: example.com/dep@v1.1.0\n", "lowers example.com/dep@v1.1.0"}, "cd "},
		{"a newer one by both", tree{"a.go": orm("a_plug", "example.com/dep"), "go.mod": module + "require (\n\texample.com/dep v1.1.0\n\t" + shared + " v0.9.9 // indirect\n)\n"},
			[]string{"required by: ROOT/plug, example.com/dep@v1.1.0\n"}, "cd "},
		{"another one by a replacement", tree{"a.go": orm("a_plug"), "go.mod": module + "replace " + shared + " => ../errors\n", "../errors/go.mod": "module " + shared + "\n", "../errors/errors.go": pkgErrors},
			[]string{"the plugin v0.9.1 => ROOT/errors", "mend: remove the line"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := tree{}
			for name, text := range c.files {
				files[filepath.Join("plug", name)] = text
			}
			root := files.write(t)
			before := state(t, root)
			text, err := in(root, env, binary, "plugin", "build", "plug", "-o", filepath.Join(root, "..", "out"))
			if !maps.Equal(state(t, root), before) {
				t.Error("the author's folder has changed")
			}
			if c.want == nil {
				if err != nil || !ready.MatchString(text) {
					t.Errorf("%v\n%s", err, text)
				}
				return
			}
			for _, want := range append(c.want, "plug needs other versions of 1 module than this swiftgo was built with", shared+": swiftgo has v0.9.1, the plugin v0.9.", "(shared: "+shared+")") {
				if want = strings.ReplaceAll(want, "ROOT", root); err == nil || !strings.Contains(text, want) {
					t.Errorf("%v\n%s\nwant an error with %q", err, text, want)
				}
			}
			if c.mend == "" {
				return
			}
			_, mend, _ := strings.Cut(text, "mend: ")
			mend, _, _ = strings.Cut(strings.TrimSpace(mend), "; ")
			if !strings.HasPrefix(mend, c.mend) {
				t.Fatalf("to mend it: %s", mend)
			}
			if text, err := in(root, env, "sh", "-c", mend); err != nil {
				t.Fatalf("%s: %v\n%s", mend, err, text)
			}
			if text, err := in(root, env, binary, "plugin", "build", "plug", "-o", filepath.Join(root, "..", "out")); err != nil || !ready.MatchString(text) {
				t.Errorf("after %s: %v\n%s", mend, err, text)
			}
		})
	}
}

// TestSharedDependency builds two plugins that fit, each, but have different
// versions of a package that only they share: the second is refused.
func TestSharedDependency(t *testing.T) {
	lib := func(field string) tree {
		return tree{"go.mod": "module example.com/lib\n", "lib.go": "package lib\n\ntype T struct{ " + field + " int }\n"}
	}
	env := published(t, map[string]tree{"example.com/lib@v1.0.0": lib("A"), "example.com/lib@v1.1.0": lib("B")})
	files := tree{}
	for name, version := range map[string]string{"one": "v1.0.0", "two": "v1.1.0"} {
		files[name+"/a.go"] = orm("a_"+name, "example.com/lib")
		files[name+"/go.mod"] = "module example.com/" + name + "\n\ngo 1.21\n\nrequire example.com/lib " + version + "\n"
	}
	root := files.write(t)
	if text, err := in(root, env, binary, "plugin", "build", "one", "two", "-o", "out"); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := "two.so: does not fit: built with other versions than out/one.so of packages that the two share: example.com/lib (v1.0.0 there, v1.1.0 here); remove one of the two"
	if text, err := in(root, nil, binary, "plugin", "check", "out"); err == nil || !like(text, "…"+want+"…") {
		t.Errorf("%v\n%s\nwant %s", err, text, want)
	}
}

// TestOtherSource has a plugin, built by a swiftgo whose api has other bodies of
// functions, fit, and the difference noted.
func TestOtherSource(t *testing.T) {
	root := tree{"plug/a.go": orm("a_plug")}.write(t)
	if text, err := in(root, offline, binary, "plugin", "build", "plug", "-o", "out"); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	so := filepath.Join(root, "out", "plug.so")
	note := "built from another source of package api"
	if text := must(t, "plugin", "inspect", so); strings.Contains(text, note) {
		t.Errorf("of a plugin of its own it says\n%s", text)
	}
	f, err := loader.Inspect(so)
	if err != nil {
		t.Fatal(err)
	}
	var stamp struct{ Source string }
	if err := json.Unmarshal([]byte(f.Stamp), &stamp); err != nil {
		t.Fatal(err)
	}
	copyTo(t, bytes.ReplaceAll(read(t, so), []byte(stamp.Source), []byte(strings.Repeat("0", len(stamp.Source)))), so)
	for _, command := range [][]string{{"plugin", "inspect", so}, {"plugin", "check", filepath.Dir(so)}} {
		if text := must(t, command...); !strings.Contains(text, note) {
			t.Errorf("%v says\n%s", command, text)
		}
	}
}

// TestPluginNewElsewhere begins a plugin of each kind far from any module. It
// can be vetted, tested and built at once, without a network.
func TestPluginNewElsewhere(t *testing.T) {
	work := filepath.Join(t.TempDir(), "my work")
	if err := os.Mkdir(work, 0o777); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(work, "out")
	args := []string{"plugin", "build", "-o", out}
	all := []string{"loss", "loss_scale", "metric", "optimizer", "callback", "agent_template", "tuner", "orm", "prm"}
	for _, kind := range all {
		text, err := in(work, offline, binary, "plugin", "new", kind, "my_"+kind)
		dir := "my" + strings.ReplaceAll(kind, "_", "")
		if want := dir + "/ is ready; next:\n  cd " + dir + " && go test .\n  swiftgo plugin build .\n"; err != nil || text != want {
			t.Fatalf("%v\n%swant\n%s", err, text, want)
		}
		args = append(args, dir)
		for _, command := range []string{"go vet .", "go test ."} {
			if text, err := in(filepath.Join(work, dir), offline, "sh", "-c", command); err != nil {
				t.Errorf("%s of a new %s: %v\n%s", command, kind, err, text)
			}
		}
	}
	if text, err := in(filepath.Join(work, "myloss"), offline, "go", "build", "-o", os.DevNull, "."); err != nil {
		t.Errorf("go build: %v\n%s", err, text)
	}
	if text, err := in(filepath.Join(work, "myloss"), offline, "go", "doc", "swiftgo/api.Loss"); err != nil || !strings.Contains(text, "Compute(out *Output, b *Batch)") {
		t.Errorf("go doc: %v\n%s", err, text)
	}
	if text, err := in(work, offline, binary, args...); err != nil || len(ready.FindAllString(text, -1)) != len(all) {
		t.Fatalf("%v\n%s", err, text)
	}
	list := must(t, "plugin", "list", out)
	for _, kind := range all {
		if !strings.Contains(list, kind+" my_"+kind) {
			t.Errorf("no %s in\n%s", kind, list)
		}
		readme, err := os.ReadFile(filepath.Join(work, "my"+strings.ReplaceAll(kind, "_", ""), "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		try := regexp.MustCompile(`(?m)^printf .*\| swiftgo (plugin try .*)$`).FindString(string(readme))
		try = strings.Replace(try, "| swiftgo", `| "$binary"`, 1)
		text, err := in(work, []string{"binary=" + binary, "SWIFTGO_PLUGINS_DIR=" + out}, "sh", "-c", try)
		if err != nil || !strings.HasPrefix(text, `{"ok":`) {
			t.Errorf("%q of README.md: %v\n%s", try, err, text)
		}
	}
}

// TestBuildWatch builds a plugin again when its source changes, through a
// mistake, until it is interrupted.
func TestBuildWatch(t *testing.T) {
	root := tree{"plug/a.go": orm("a_plug")}.write(t)
	cmd := exec.Command(binary, "plugin", "build", "--watch", "plug", "-o", "out")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), offline...)
	until := watched(t, cmd)
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "plug", "a.go"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	until("all equal")
	change(orm("a_plug") + "\nvar x int = \"text\"\n")
	until("cannot use")
	change(orm("a_new_plug"))
	until("all equal")
	if list := must(t, "plugin", "list", filepath.Join(root, "out")); !strings.Contains(list, "orm a_new_plug") {
		t.Errorf("it is listed as\n%s", list)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ended with %v", err)
	}
}

// watched starts a command and returns what reads its output up to a line that
// contains a text.
func watched(t *testing.T, cmd *exec.Cmd) (until func(want string)) {
	t.Helper()
	lines := make(chan string, 1000)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	var seen []string
	return func(want string) {
		t.Helper()
		for {
			select {
			case line := <-lines:
				if seen = append(seen, line); strings.Contains(line, want) {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("after a minute it has not said %q, but\n%s", want, strings.Join(seen, "\n"))
			}
		}
	}
}
