package swiftgo_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// levels is the import rule: a package may import those of lower levels.
var levels = map[string]int{
	"api": 0, "api/apitest": 1,
	".": 0, "loader": 1, "core/kernel": 1, "core/checkpoint": 1, "core/tokenizer": 1, "core/jinja": 1, "core/registry": 1, "core/builtin": 1, "core/report": 1,
	"core/autograd": 2, "loader/build": 2,
	"core/model": 3, "core/template": 3,
	"core/dataset": 4, "core/generate": 4,
	"core/trainer": 5, "core/server": 5, "core/sampler": 5,
	"core/recipe": 6,
	"cmd/swiftgo": 7,
}

// only says what of ours a package may import at most, where that is less than
// its level allows.
var only = map[string][]string{
	"core/kernel": {}, "core/checkpoint": {}, "core/tokenizer": {}, "core/jinja": {}, "core/report": {},
	"api": {}, "api/apitest": {"api"}, "loader": {"api"}, "loader/build": {"api", "loader", "."}, "core/registry": {"api"}, "core/builtin": {"api"},
}

// source is what stands in the Go files of one folder.
type source struct {
	imports  []string // of files that are no tests
	comments int      // package comments
}

func sources(t *testing.T) map[string]*source {
	t.Helper()
	all := map[string]*source{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "output") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if all[dir] == nil {
			all[dir] = &source{}
		}
		if f.Doc != nil {
			all[dir].comments++
		}
		for _, i := range f.Imports {
			p, _ := strconv.Unquote(i.Path.Value)
			all[dir].imports = append(all[dir].imports, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImports(t *testing.T) {
	for dir, s := range sources(t) {
		if strings.HasPrefix(dir, "examples/") {
			continue
		}
		level, known := levels[dir]
		plugin := strings.HasPrefix(dir, "contrib/")
		if !known && !plugin {
			t.Errorf("%s has no place in the import rule", dir)
		}
		for _, p := range s.imports {
			ours, ok := strings.CutPrefix(p, "swiftgo/")
			allowed, limited := only[dir]
			switch {
			case strings.HasPrefix(p, "github.com/knadh/koanf") && dir != "cmd/swiftgo":
				t.Errorf("%s imports %s; only cmd/swiftgo may", dir, p)
			case !ok:
			case plugin && ours != "api", limited && !slices.Contains(allowed, ours), !plugin && levels[ours] >= level:
				t.Errorf("%s imports %s, which the import rule forbids", dir, ours)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	for dir, s := range sources(t) {
		if s.comments != 1 {
			t.Errorf("%s has %d package comments, want 1", dir, s.comments)
		}
	}
}
