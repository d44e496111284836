package build

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// ConflictError lists the modules that a plugin and this binary would have in
// different versions, though they share packages of them.
type ConflictError struct {
	Dir       string // of the plugin
	Conflicts []Conflict
}

// Conflict is such a module.
type Conflict struct {
	Module       string
	Host, Plugin string   // versions
	Packages     []string // that both have
	Local        []string // folders of the author's modules that require the plugin's version
	Required     []string // other modules that do, with their versions
	Replaced     bool     // whether the plugin's version is from a replace line
}

func (e *ConflictError) Error() string {
	var b strings.Builder
	modules := "module"
	if len(e.Conflicts) > 1 {
		modules = "modules"
	}
	fmt.Fprintf(&b, "%s needs other versions of %d %s than this swiftgo was built with:", e.Dir, len(e.Conflicts), modules)
	for _, c := range e.Conflicts {
		fmt.Fprintf(&b, "\n  %s: swiftgo has %s, the plugin %s (shared: %s)", c.Module, c.Host, c.Plugin, c.shared())
		if by := slices.Concat(c.Local, c.Required); len(by) > 0 {
			fmt.Fprintf(&b, "\n    required by: %s", strings.Join(by, ", "))
		}
		fmt.Fprintf(&b, "\n    mend: %s", c.mend(e.Dir))
	}
	return b.String()
}

func (c *Conflict) shared() string {
	if len(c.Packages) == 1 {
		return c.Packages[0]
	}
	return fmt.Sprintf("%d packages, e.g. %s", len(c.Packages), c.Packages[0])
}

// mend returns the command that brings the plugin in dir to the version of the
// host.
func (c *Conflict) mend(dir string) string {
	switch {
	case c.Replaced:
		return "remove the line of go.mod or go.work that replaces it"
	case len(c.Required) > 0 || len(c.Local) == 0:
		return fmt.Sprintf("cd %s && go get %s@%s; that lowers %s too, and if there is none that will do, only a swiftgo built with %s %s can use it",
			quoted(dir), c.Module, c.Host, cmp.Or(strings.Join(c.Required, ", "), "what requires it"), c.Module, c.Plugin)
	}
	var edits []string
	for _, folder := range c.Local {
		edits = append(edits, fmt.Sprintf("go mod edit -require=%s@%s %s", c.Module, c.Host, quoted(filepath.Join(folder, "go.mod"))))
	}
	return strings.Join(edits, " && ")
}

// quoted returns a path as a shell reads it.
func quoted(path string) string {
	if plain.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

var plain = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// conflicts compares the versions of the modules that the plugin's packages come
// from with the host's: packages of other versions are other packages.
func (b *building) conflicts(ctx context.Context, packages []listed) error {
	found := map[string]*Conflict{}
	for _, p := range packages {
		if p.Module == nil || p.Module.Path == swiftgoModule || b.host.Packages[p.ImportPath] == "" {
			continue
		}
		_, here := b.host.Module(p.ImportPath)
		there := cmp.Or(p.Module.Version, "of a folder")
		switch r := p.Module.Replace; {
		case r == nil:
		case r.Version == "": // a folder, which the go command names from the workspace
			there += " => " + p.Module.Dir
		default:
			there += " => " + r.Path + " " + r.Version
		}
		if here == there {
			continue
		}
		c := found[p.Module.Path]
		if c == nil {
			c = &Conflict{Module: p.Module.Path, Host: here, Plugin: there, Replaced: p.Module.Replace != nil}
			found[p.Module.Path] = c
		}
		c.Packages = append(c.Packages, p.ImportPath)
	}
	if len(found) == 0 {
		return nil
	}
	e := &ConflictError{Dir: b.Dir}
	for _, m := range sorted(found) {
		e.Conflicts = append(e.Conflicts, *found[m])
	}
	if err := b.blame(ctx, e.Conflicts); err != nil {
		return err
	}
	return e
}

// blame notes who asks for more than the version of the host.
func (b *building) blame(ctx context.Context, conflicts []Conflict) error {
	overlay, err := b.workspace.flag()
	if err != nil {
		return err
	}
	graph, err := b.toolchain.run(ctx, b.dir, "mod", "graph", overlay)
	if err != nil {
		return err
	}
	selected := map[string]string{} // the highest version of each module
	var edges [][2]string
	for line := range strings.Lines(graph) {
		by, needs, _ := strings.Cut(strings.TrimSpace(line), " ")
		edges = append(edges, [2]string{by, needs})
		for _, node := range []string{by, needs} {
			if path, version, _ := strings.Cut(node, "@"); semver.Compare(version, selected[path]) >= 0 {
				selected[path] = version
			}
		}
	}
	for _, e := range edges {
		by, byVersion, _ := strings.Cut(e[0], "@")
		path, version, _ := strings.Cut(e[1], "@")
		for i := range conflicts {
			c := &conflicts[i]
			if path != c.Module || semver.Compare(version, c.Host) <= 0 {
				continue
			}
			if dir := b.workspace.modules[by]; dir != "" {
				c.Local = append(c.Local, dir)
			} else if byVersion == selected[by] {
				c.Required = append(c.Required, e[0])
			}
		}
	}
	return nil
}
