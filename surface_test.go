package swiftgo_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

// surface is the recorded declarations of package api.
const surface = "api/testdata/api.go.txt"

// TestSurface compares the exported surface of package api with the recorded
// one: a change of it is a decision. SWIFTGO_RECORD_API=1 records it anew.
func TestSurface(t *testing.T) {
	ps, err := packages.Load(&packages.Config{Mode: packages.NeedTypes | packages.NeedName | packages.NeedImports | packages.NeedDeps}, "swiftgo/api")
	if err != nil || len(ps) != 1 || len(ps[0].Errors) > 0 {
		t.Fatalf("package api: %v %v", err, ps)
	}
	if os.Getenv("SWIFTGO_RECORD_API") != "" {
		text, err := declarations("api")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(surface), 0o777)
		}
		if err == nil {
			err = os.WriteFile(surface, text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	old, err := typesOf(surface, ps[0])
	if err != nil {
		t.Fatal(err)
	}
	if report := apidiff.Changes(old, ps[0].Types); len(report.Changes) > 0 {
		t.Errorf("package api differs from %s; record it anew with SWIFTGO_RECORD_API=1 if that is meant:\n%v", surface, report)
	}
}

// declarations returns the package in dir as one file, without comments and the
// bodies of functions.
func declarations(dir string) ([]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	imports := map[string]bool{}
	var body bytes.Buffer
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				d.Body = nil
			case *ast.GenDecl:
				if d.Tok == token.IMPORT {
					for _, s := range d.Specs {
						imports[s.(*ast.ImportSpec).Path.Value] = true
					}
					continue
				}
			}
			if err := format.Node(&body, fset, d); err != nil {
				return nil, err
			}
			body.WriteString("\n\n")
		}
	}
	var out bytes.Buffer
	out.WriteString("package api\n\nimport (\n")
	for path := range imports {
		fmt.Fprintf(&out, "\t%s\n", path)
	}
	out.WriteString(")\n\n")
	out.Write(body.Bytes())
	return format.Source(out.Bytes())
}

// typesOf checks the types of recorded declarations against the packages that
// now imports.
func typesOf(path string, now *packages.Package) (*types.Package, error) {
	fset := token.NewFileSet()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(fset, "api.go", text, 0)
	if err != nil {
		return nil, err
	}
	c := types.Config{IgnoreFuncBodies: true, Importer: importer(now.Imports), Error: func(error) {}} // e.g. an import that only bodies used
	p, _ := c.Check("swiftgo/api", fset, []*ast.File{f}, nil)
	return p, nil
}

type importer map[string]*packages.Package

func (i importer) Import(path string) (*types.Package, error) {
	if p, ok := i[path]; ok {
		return p.Types, nil
	}
	return nil, fmt.Errorf("package api imports %s no more", path)
}
