// Package build builds plugins that are certain to fit this binary, anywhere,
// from nothing but the binary itself and a Go of the same release.
//
// A plugin fits only if every package that it shares with its host was compiled
// from the same declarations, under the same file names and with the same flags.
// So the binary carries the source of package api, which is laid beside the
// author's module in a workspace of their own; flags and environment are those
// of the binary; what the author's dependencies would change is told before
// anything is compiled; and the file is in its place only when it has been
// compared with the binary and opened once in a child process. The author's
// files are never written to.
package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/loader"
)

// Options say what to build.
type Options struct {
	Dir    string    // of the plugin's package
	Output string    // the file to write
	Go     string    // the go command; "" is that of PATH
	Unique bool      // with another plugin path for another content, so that a process that has opened one build can open the next
	Log    io.Writer // for what the go command says though it succeeds, such as what it downloads; may be nil
}

// Result is a plugin that was built.
type Result struct {
	Path     string // of the file
	Packages int    // in it
	Shared   int    // of them, also in this binary, all of them equal
}

// Plugin builds a plugin for this binary.
func Plugin(ctx context.Context, o Options) (*Result, error) {
	host, err := loader.Host()
	if err != nil {
		return nil, err
	}
	dir, err := packageDir(o.Dir)
	if err != nil {
		return nil, err
	}
	g, err := newToolchain(ctx, o.Go, o.Log)
	if err != nil {
		return nil, err
	}
	flags, err := g.flagsOf(host)
	if err != nil {
		return nil, err
	}
	w, err := newWorkspace(ctx, g, dir)
	if err != nil {
		return nil, err
	}
	defer w.remove()
	b := &building{Options: o, host: host, dir: dir, toolchain: g, workspace: w, flags: flags}
	packages, err := b.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Dir, err)
	}
	if err := b.conflicts(ctx, packages); err != nil {
		return nil, err
	}
	target := "."
	if o.Unique {
		if target, err = b.rename(packages); err != nil {
			return nil, err
		}
	}
	if err := b.stamp(target); err != nil {
		return nil, err
	}
	return b.compile(ctx, target)
}

// packageDir returns the folder by the name that the go command has for it.
func packageDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return "", cmp.Or(err, fmt.Errorf("%s is a file, want the folder of a plugin", dir))
	}
	return abs, nil
}

// building is a plugin on its way.
type building struct {
	Options
	host      *loader.File
	dir       string
	toolchain *toolchain
	workspace *workspace
	flags     []string // of the host, for go list and go build
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Name, Dir                                            string
	Module                                                           *listedModule
	GoFiles, CgoFiles, CFiles, HFiles, SFiles, SysoFiles, EmbedFiles []string
}

type listedModule struct {
	Path, Version, Dir string
	Replace            *struct{ Path, Version string }
}

// list returns the plugin's package, last, and before it all that it imports.
func (b *building) list(ctx context.Context) ([]listed, error) {
	overlay, err := b.workspace.flag()
	if err != nil {
		return nil, err
	}
	args := []string{"list", "-deps", "-json=ImportPath,Name,Dir,Module,GoFiles,CgoFiles,CFiles,HFiles,SFiles,SysoFiles,EmbedFiles", overlay}
	out, err := b.toolchain.run(ctx, b.dir, slices.Concat(args, b.flags, []string{"."})...)
	if err != nil {
		return nil, b.explain(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
	switch p := all[len(all)-1]; {
	case len(p.GoFiles)+len(p.CgoFiles) == 0:
		return nil, errEmpty
	case p.Name != "main":
		return nil, fmt.Errorf("package %s, want package main, and in it func main() {}", p.Name)
	}
	return all, nil
}

var errEmpty = errors.New("no Go files, want a plugin; swiftgo plugin new begins one")

// explain says on one line what go list said.
func (b *building) explain(err error) error {
	text := strings.NewReplacer("\n\t", " ", "\n", "; ").Replace(err.Error())
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case strings.Contains(text, "does not contain package swiftgo/"):
		return fmt.Errorf("%s; of swiftgo a plugin may import swiftgo/api, and in its tests swiftgo/api/apitest", text)
	case strings.Contains(text, "no Go files in"):
		return errEmpty
	case strings.Contains(text, "module lookup disabled by GOPROXY=off"):
		return fmt.Errorf("%s; it is not in the module cache: build once with a proxy, or run go mod graph in a checkout of swiftgo", text)
	case strings.Contains(text, "build constraints exclude all Go files"):
		return errors.New("its Go files are for other machines or tags")
	case b.workspace.bare && (strings.Contains(text, "no required module provides package") || strings.Contains(text, "cannot find module providing package")):
		return fmt.Errorf("%s; the folder belongs to no module, so in it: go mod init example.com/%s, then go get that package", text, pathElement(filepath.Base(b.dir)))
	}
	return errors.New(text)
}

// rename lays the files of the plugin's package into a folder that is not there,
// named for all of the plugin's content, and returns it: the import path of its
// package is the plugin path.
func (b *building) rename(packages []listed) (target string, err error) {
	h := sha256.New()
	for _, p := range packages {
		if p.Module == nil {
			continue // of the standard library
		}
		fmt.Fprintln(h, p.ImportPath, p.Module.Version)
		for _, name := range p.files() {
			data, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(data))
		}
	}
	target = "swiftgo_" + hex.EncodeToString(h.Sum(nil))[:16]
	for _, name := range packages[len(packages)-1].files() {
		b.workspace.overlay[filepath.Join(b.dir, target, name)] = filepath.Join(b.dir, name)
	}
	return "./" + target, nil
}

func (p *listed) files() []string {
	return slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.HFiles, p.SFiles, p.SysoFiles, p.EmbedFiles)
}

// stamp adds a variable to the plugin that says what built it. It can be read
// without running the plugin, so it is a constant.
func (b *building) stamp(target string) error {
	data, err := json.Marshal(struct {
		Swiftgo string `json:"swiftgo"`
		API     string `json:"api"`
		Source  string `json:"source"`
		Go      string `json:"go"`
	}{cmp.Or(b.host.Build.Main.Version, "(devel)"), api.Version, sourceHash(source()), runtime.Version()})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("package main\n\n// SwiftgoBuild says what built this plugin.\nvar SwiftgoBuild = %q\n", data)
	return b.workspace.lay(filepath.Join(b.dir, target, "zz_swiftgo_build.go"), []byte(text))
}

// compile builds the plugin beside its place, compares it with the host, and
// moves it there.
func (b *building) compile(ctx context.Context, target string) (*Result, error) {
	overlay, err := b.workspace.flag()
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(b.Output), "."+filepath.Base(b.Output)+"-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(tmp.Name())
	if err != nil {
		return nil, err
	}
	args := slices.Concat([]string{"build", "-buildmode=plugin", "-ldflags=-s -w", overlay, "-o", file}, b.flags, []string{target})
	if _, err := b.toolchain.run(ctx, b.dir, args...); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		text := strings.ReplaceAll(err.Error(), target+string(filepath.Separator), "./")
		return nil, fmt.Errorf("%s does not compile:\n%s", b.Dir, text)
	}
	if err := os.Chmod(file, 0o755); err != nil {
		return nil, err
	}
	if err := loader.Check(file); err != nil {
		var e *loader.Error
		if errors.As(err, &e) {
			e.Path = b.Output
		}
		return nil, fmt.Errorf("built, and removed again: %w", err)
	}
	f, err := loader.Inspect(file)
	if err != nil {
		return nil, err
	}
	r := &Result{Path: b.Output, Packages: len(f.Packages)}
	for p := range f.Packages {
		if b.host.Packages[p] != "" {
			r.Shared++
		}
	}
	return r, os.Rename(file, b.Output)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
