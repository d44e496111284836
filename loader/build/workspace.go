package build

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// workspace is a folder for the time of a build. It makes the go command see
// the author's module and module swiftgo, both as main modules: with -trimpath a
// package of a main module is recorded without a version, as it is in this
// binary, and one of a replaced module is not.
type workspace struct {
	dir     string
	modules map[string]string // the author's: folder of each module path
	overlay map[string]string // files that the go command is to see instead of the author's, or beside them
	bare    bool              // the plugin's folder belongs to no module
	own     bool              // it belongs to module swiftgo itself
	source  string            // where the plugin's go.mod has swiftgo
}

// newWorkspace makes the workspace for the package in dir.
func newWorkspace(ctx context.Context, g *toolchain, dir string) (*workspace, error) {
	w := &workspace{modules: map[string]string{}, overlay: map[string]string{}}
	root, err := moduleRoot(dir)
	if err != nil {
		return nil, err
	}
	if root == "" {
		root, w.bare = dir, true
	}
	if w.dir, err = os.MkdirTemp("", "swiftgo-build-"); err != nil {
		return nil, err
	}
	if err := w.fill(ctx, g, dir, root); err != nil {
		w.remove()
		return nil, err
	}
	return w, nil
}

func (w *workspace) remove() { os.RemoveAll(w.dir) }

func (w *workspace) fill(ctx context.Context, g *toolchain, dir, root string) error {
	if err := w.use(root); err != nil {
		return err
	}
	if w.own { // swiftgo is the main module already
		g.env = append(g.env, "GOWORK=off")
		return nil
	}
	src, err := Source()
	if err != nil {
		return err
	}
	if w.source != src && filepath.Dir(w.source) == filepath.Dir(src) {
		g.note("%s: go.mod has the swiftgo of another release; for go vet, go test and editors: go mod edit -replace=%s@v0.0.0=%s", dir, swiftgoModule, src)
	}
	work := &modfile.WorkFile{Syntax: &modfile.FileSyntax{}}
	if err := work.AddGoStmt(strings.TrimPrefix(release(), "go")); err != nil {
		return err
	}
	// A module that the plugin requires may require swiftgo too, and whatever
	// version it names, only the folder has it.
	if err := work.AddReplace(swiftgoModule, "v0.0.0", src, ""); err != nil {
		return err
	}
	if err := w.takeOver(ctx, g, dir, work); err != nil {
		return err
	}
	work.AddNewUse(src, swiftgoModule)
	for _, m := range sorted(w.modules) {
		work.AddNewUse(w.modules[m], m)
	}
	path := filepath.Join(w.dir, "go.work")
	if err := os.WriteFile(path, modfile.Format(work.Syntax), 0o600); err != nil {
		return err
	}
	g.env = append(g.env, "GOWORK="+path)
	return nil
}

// takeOver adds what the author's own go.work says.
func (w *workspace) takeOver(ctx context.Context, g *toolchain, dir string, work *modfile.WorkFile) error {
	out, err := g.run(ctx, dir, "env", "GOWORK")
	path := strings.TrimSpace(out)
	if err != nil || path == "" || path == "off" {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	theirs, err := modfile.ParseWork(path, data, nil)
	if err != nil {
		return err
	}
	absolute := func(p string) string {
		if filepath.IsAbs(p) {
			return filepath.Clean(p)
		}
		return filepath.Join(filepath.Dir(path), p)
	}
	for _, u := range theirs.Use {
		folder, err := filepath.EvalSymlinks(absolute(u.Path))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := w.use(folder); err != nil {
			return err
		}
	}
	for _, r := range theirs.Replace {
		if r.Old.Path == swiftgoModule {
			continue
		}
		if modfile.IsDirectoryPath(r.New.Path) {
			r.New.Path = absolute(r.New.Path)
		}
		if err := work.AddReplace(r.Old.Path, r.Old.Version, r.New.Path, r.New.Version); err != nil {
			return err
		}
	}
	sums, err := os.ReadFile(path + ".sum")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "go.work.sum"), sums, 0o600)
}

// use adds the module in a folder, without what its go.mod says of swiftgo.
func (w *workspace) use(root string) error {
	f, err := w.read(root)
	if err != nil {
		return err
	}
	switch path := f.Syntax.Name; {
	case f.Module == nil:
		return fmt.Errorf("%s: no module line; want one such as module example.com/%s", path, pathElement(filepath.Base(root)))
	case f.Module.Mod.Path == swiftgoModule: // that of this binary takes its place
		w.own = w.own || len(w.modules) == 0
		return nil
	case f.Go != nil && version.Compare("go"+f.Go.Version, release()) > 0:
		return fmt.Errorf("%s wants go %s, and this swiftgo was built with %s; lower it: go mod edit -go=%s, or build swiftgo with that release",
			path, f.Go.Version, release(), strings.TrimPrefix(version.Lang(release()), "go"))
	}
	if w.modules[f.Module.Mod.Path] != "" { // the plugin's own, again
		return nil
	}
	w.modules[f.Module.Mod.Path] = root
	changed := w.bare && len(w.modules) == 1
	if slices.ContainsFunc(f.Require, isSwiftgo) {
		changed = true
		err = f.DropRequire(swiftgoModule)
	}
	for _, r := range f.Replace {
		if r.Old.Path == swiftgoModule {
			changed = true
			w.source = cmp.Or(w.source, r.New.Path)
			err = errors.Join(err, f.DropReplace(swiftgoModule, r.Old.Version))
		}
	}
	if err != nil || !changed {
		return err
	}
	f.Cleanup()
	text, err := f.Format()
	if err != nil {
		return err
	}
	return w.lay(f.Syntax.Name, text)
}

// read returns the go.mod of a folder; that of the plugin need not be there.
func (w *workspace) read(root string) (*modfile.File, error) {
	if !w.bare || len(w.modules) > 0 {
		return readMod(root)
	}
	text := fmt.Sprintf("module swiftgo.plugin/%s\n\ngo %s\n", pathElement(filepath.Base(root)), strings.TrimPrefix(release(), "go"))
	return modfile.Parse(filepath.Join(root, "go.mod"), []byte(text), nil)
}

func readMod(root string) (*modfile.File, error) {
	path := filepath.Join(root, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path, data, nil)
}

func isSwiftgo(r *modfile.Require) bool { return r.Mod.Path == swiftgoModule }

// lay makes the go command see text in a file.
func (w *workspace) lay(path string, text []byte) error {
	w.overlay[path] = filepath.Join(w.dir, fmt.Sprintf("%d-%s", len(w.overlay), filepath.Base(path)))
	return os.WriteFile(w.overlay[path], text, 0o600)
}

// flag returns the flag that makes the go command see the overlay as it is now.
func (w *workspace) flag() (string, error) {
	data, err := json.Marshal(map[string]any{"Replace": w.overlay})
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.dir, "overlay.json")
	return "-overlay=" + path, os.WriteFile(path, data, 0o600)
}

// moduleRoot returns the folder of the go.mod that dir belongs to, or "".
func moduleRoot(dir string) (string, error) {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil && !info.IsDir() {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", nil
		}
	}
}

var odd = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// pathElement returns a name that may stand in an import path.
func pathElement(name string) string { return odd.ReplaceAllString(name, "_") }
