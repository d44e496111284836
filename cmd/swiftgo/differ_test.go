package main_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"swiftgo/loader"
)

// TestDiffer builds a plugin in ten ways that do not fit. The packages that
// differ, as inspect lists them, are those that opening it finds: plugin.Open
// tells one at a time, so the fingerprint of each that it tells is overwritten
// with the host's, until the plugin opens.
func TestDiffer(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	std := func(name string) string { return filepath.Join(strings.TrimSpace(string(goroot)), "src", name) }
	api, err := filepath.Abs("../../api")
	if err != nil {
		t.Fatal(err)
	}
	const trimmed = "-trimpath"
	for name, c := range map[string]struct {
		flags []string
		moved string // a source file whose lines are moved by one, and a declaration added
	}{
		"not trimmed":            {},
		"race":                   {flags: []string{trimmed, "-race"}},
		"cover":                  {flags: []string{trimmed, "-cover", "-coverpkg=swiftgo/api"}},
		"not optimized":          {flags: []string{trimmed, "-gcflags=all=-N -l"}},
		"api not optimized":      {flags: []string{trimmed, "-gcflags=swiftgo/api=-N -l"}},
		"api moved":              {flags: []string{trimmed}, moved: filepath.Join(api, "loss.go")},
		"tensor not optimized":   {flags: []string{trimmed, "-gcflags=gorgonia.org/tensor=-N -l"}},
		"strings moved":          {flags: []string{trimmed}, moved: std("strings/builder.go")},
		"encoding/json moved":    {flags: []string{trimmed}, moved: std("encoding/json/decode.go")},
		"the plugin alone moved": {flags: []string{trimmed}, moved: filepath.Join(filepath.Dir(api), "contrib/focal/focal.go")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "focal.so")
			args := append([]string{"build", "-buildvcs=false", "-buildmode=plugin", "-ldflags=-s -w", "-o", path}, c.flags...)
			if c.moved != "" {
				source := read(t, c.moved)
				at := bytes.Index(source, []byte("\npackage ")) + 1
				text := fmt.Sprintf("%s// A line more.\n%s\ntype Moved%d struct{ X [%d]int }\n", source[:at], source[at:], len(source), len(source))
				file := write(t, filepath.Base(c.moved), text)
				overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{c.moved: file}})
				args = append(args, "-overlay", write(t, "overlay.json", string(overlay)))
			}
			cmd := exec.Command("go", append(args, "../../contrib/focal")...)
			cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var l loader.Listing
			out, _ := exec.Command(binary, "plugin", "inspect", "--json", path).Output() // it fails, as the plugin does not fit
			if err := json.Unmarshal(out, &l); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var told []string
			for _, m := range l.Differ {
				told = append(told, m.Package)
			}
			found := openingFinds(t, path)
			if fits := name == "the plugin alone moved"; fits != (len(found) == 0) {
				t.Errorf("%d packages differ", len(found))
			}
			if slices.Sort(found); !slices.Equal(told, found) {
				t.Errorf("inspect tells %d: %v\nopening finds %d: %v", len(told), told, len(found), found)
			}
		})
	}
}

var otherVersion = regexp.MustCompile(`built with a different version of package (\S+)`)

// openingFinds opens a plugin in a child of the binary, again and again.
func openingFinds(t *testing.T, path string) (packages []string) {
	t.Helper()
	host, err := loader.Inspect(filepath.Join(plugins, "focal.so")) // that fits, so has the host's fingerprints
	if err != nil {
		t.Fatal(err)
	}
	f, err := loader.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	so := read(t, path)
	for {
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), "SWIFTGO_PROBE="+path)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{w}
		cmd.Run()
		w.Close()
		var said struct {
			Error   string
			Refused bool
		}
		err = errors.Join(json.NewDecoder(r).Decode(&said), r.Close())
		if err != nil { // dead of being what it is not: past all fingerprints
			return packages
		}
		m := otherVersion.FindStringSubmatch(said.Error)
		if m == nil {
			if said.Refused {
				t.Fatal(said.Error)
			}
			return packages
		}
		pkg := strings.TrimRight(m[1], "( ")
		there, err1 := hex.DecodeString(f.Packages[pkg])
		here, err2 := hex.DecodeString(host.Packages[pkg])
		if err1 != nil || err2 != nil || len(there) == 0 || bytes.Count(so, there) == 0 || slices.Contains(packages, pkg) {
			t.Fatalf("%s: fingerprints %x there, %x here, after %v", pkg, there, here, packages)
		}
		so = bytes.ReplaceAll(so, there, here)
		copyTo(t, so, path+".new")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, pkg)
	}
}
