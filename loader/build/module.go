package build

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// Module returns go.mod and go.sum for the module of a new plugin: with them the
// go command, go doc and editors find package api in the folder of Source, and all
// that it imports in the versions of this binary.
func Module(ctx context.Context, path string) (mod, sum []byte, err error) {
	g, err := newToolchain(ctx, "", nil)
	if err != nil {
		return nil, nil, err
	}
	src, err := Source()
	if err != nil {
		return nil, nil, err
	}
	g.env = append(g.env, "GOWORK=off")
	out, err := g.run(ctx, src, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./api/...")
	if err != nil {
		return nil, nil, err
	}
	modules := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(modules)
	modules = slices.Compact(modules)

	files := source()
	ours, err := modfile.Parse("go.mod", files["go.mod"], nil)
	if err != nil {
		return nil, nil, err
	}
	f := &modfile.File{Syntax: &modfile.FileSyntax{}}
	const version = "v0.0.0" // any: the folder has none
	err = errors.Join(f.AddModuleStmt(path), f.AddGoStmt(ours.Go.Version))
	requires := []*modfile.Require{{Mod: module.Version{Path: swiftgoModule, Version: version}}}
	for _, m := range modules {
		path, version, _ := strings.Cut(m, " ")
		requires = append(requires, &modfile.Require{Mod: module.Version{Path: path, Version: version}, Indirect: true})
	}
	f.SetRequireSeparateIndirect(requires)
	if err = errors.Join(err, f.AddReplace(swiftgoModule, version, src, "")); err != nil {
		return nil, nil, err
	}
	f.Cleanup()
	if mod, err = f.Format(); err != nil {
		return nil, nil, err
	}
	return mod, files["go.sum"], nil // whole: go doc reads the go.mod of every module there is a word of
}

// Requires reports whether the module that a folder belongs to is swiftgo, or
// has it among its requirements.
func Requires(dir string) (bool, error) {
	dir, err := packageDir(dir)
	if err != nil {
		return false, err
	}
	root, err := moduleRoot(dir)
	if err != nil || root == "" {
		return false, err
	}
	f, err := readMod(root)
	if err != nil {
		return false, err
	}
	return f.Module != nil && f.Module.Mod.Path == swiftgoModule || slices.ContainsFunc(f.Require, isSwiftgo), nil
}
