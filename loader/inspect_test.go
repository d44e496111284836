package loader

import (
	"bytes"
	"debug/elf"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
)

func TestInspect(t *testing.T) {
	f, err := Inspect(filepath.Join(built, "nine.so"))
	if err != nil {
		t.Fatal(err)
	}
	if f.PluginPath != "swiftgo/loader/testdata/nine" || f.Build.GoVersion != runtime.Version() || f.Setting("-trimpath") != "true" {
		t.Errorf("plugin path %s, Go %s, -trimpath %s", f.PluginPath, f.Build.GoVersion, f.Setting("-trimpath"))
	}
	for _, pkg := range []string{"runtime", "gorgonia.org/tensor", "swiftgo/api"} {
		if len(f.Packages[pkg]) != 16 {
			t.Errorf("fingerprint of %s: %q", pkg, f.Packages[pkg])
		}
	}
	got := map[string]string{}
	for _, e := range f.Exports {
		got[e.Name] = e.Type
	}
	if e := f.Exports[slices.IndexFunc(f.Exports, func(e Export) bool { return e.Name == "Optimizers" })]; e.Type != "map[string]func(*swiftgo/api.Args, *swiftgo/api.Model, int) (swiftgo/api.Optimizer, swiftgo/api.Schedule, error)" {
		t.Errorf("Optimizers is %s", e.Type)
	}
	want := map[string]string{"Plugin": "swiftgo/api.Manifest", "Losses": "main.losses"}
	for i, fields := 0, reflect.TypeFor[api.Exports](); i < fields.NumField(); i++ {
		if name := fields.Field(i).Name; want[name] == "" {
			want[name] = fullType(fields.Field(i).Type)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("exports %v\nwant %v", got, want)
	}
	if f.Manifest.Name != "all nine" || f.Manifest.Version != "1.2.3" || f.Manifest.License != "MIT" {
		t.Errorf("manifest %+v", f.Manifest)
	}
	if path, version := f.Module("gorgonia.org/tensor/native"); path != "gorgonia.org/tensor" || !strings.HasPrefix(version, "v0.") {
		t.Errorf("module %s %s", path, version)
	}
}

// TestKinds checks that every field of api.Exports has a kind.
func TestKinds(t *testing.T) {
	fields := reflect.TypeFor[api.Exports]()
	if fields.NumField() != len(kinds) {
		t.Fatalf("%d kinds for %d fields", len(kinds), fields.NumField())
	}
	for i, k := range kinds {
		if fields.Field(i).Name != k.variable {
			t.Errorf("kind %d is %s, want %s", i, k.variable, fields.Field(i).Name)
		}
	}
}

// pair returns two files that fit each other, to change one of them.
func pair() (host, f *File) {
	make := func() *File {
		return &File{Path: "x.so", Machine: elf.EM_X86_64, Packages: map[string]string{"fmt": "1", "swiftgo/api": "2", "gorgonia.org/tensor": "3", "gorgonia.org/tensor/native": "4"},
			Exports: []Export{{Name: "Losses", Type: fullType(wanted("Losses"))}},
			Build: &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "swiftgo", Version: "(devel)"},
				Deps:     []*debug.Module{{Path: "gorgonia.org/tensor", Version: "v0.9.24"}},
				Settings: []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "GOAMD64", Value: "v1"}}}}
	}
	return make(), make()
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *File)
		want   string
	}{
		{"equal", func(*File) {}, ""},
		{"more packages", func(f *File) { f.Packages["example.com/x"] = "9" }, ""},
		{"release", func(f *File) { f.Build.GoVersion = "go1.25.1" }, "x.so: built with go1.25.1, this program with go1.26.8; build both with the same Go, e.g. GOTOOLCHAIN=go1.26.8"},
		{"api", func(f *File) { f.Packages["swiftgo/api"] = "x" }, "x.so: built with packages that differ from this program's: swiftgo (swiftgo/api); build it again: swiftgo plugin build DIR"},
		{"dependency", func(f *File) {
			f.Packages["gorgonia.org/tensor"], f.Packages["gorgonia.org/tensor/native"] = "x", "x"
			f.Build.Deps[0].Version = "v0.9.23"
		}, "x.so: built with packages that differ from this program's: gorgonia.org/tensor v0.9.23, here v0.9.24 (gorgonia.org/tensor, gorgonia.org/tensor/native); in the plugin's folder: go get gorgonia.org/tensor@v0.9.24, then build it again: swiftgo plugin build DIR"},
		{"two modules", func(f *File) {
			f.Packages["gorgonia.org/tensor"], f.Packages["fmt"] = "x", "x"
			f.Build.Deps[0].Replace = &debug.Module{Path: "../tensor"}
		}, "x.so: built with packages that differ from this program's: gorgonia.org/tensor v0.9.24 => ../tensor, here v0.9.24 (gorgonia.org/tensor); std (fmt); in the plugin's folder: go mod edit -dropreplace=gorgonia.org/tensor, …"},
		{"race", func(f *File) {
			f.Packages["fmt"] = "x"
			f.Build.Settings = append(f.Build.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
		}, "x.so: built with -race, which this program was not, so built with packages …; build it with the same flags: swiftgo plugin build DIR"},
		{"level", func(f *File) { f.Build.Settings[1].Value = "v9" }, "x.so: built for GOAMD64=v9, this processor has " + cpuLevel() + "; build it with GOAMD64=" + cpuLevel()},
		{"setting that does not matter", func(f *File) { f.Build.Settings = f.Build.Settings[1:] }, ""},
		{"manifest", func(f *File) { f.Exports = append(f.Exports, Export{Name: "Plugin", Type: "string"}) }, "x.so: Plugin is a string, want api.Manifest; declare …"},
		{"another map", func(f *File) { f.Exports[0].Type = "map[string]interface {}" }, "x.so: Losses is a map[string]any, want map[string]func(*api.Args) (api.Loss, error); declare …"},
	} {
		host, f := pair()
		c.change(f)
		text := ""
		if err := fits(host, f); err != nil {
			text = err.Error()
		}
		t.Run(c.name, func(t *testing.T) { matches(t, text, c.want) })
	}
}

func TestConflicts(t *testing.T) {
	host, a := pair()
	_, b := pair()
	a.Path, a.PluginPath, a.SHA256 = "a.so", "example.com/a", "1"
	b.Path, b.PluginPath, b.SHA256 = "b.so", "example.com/b", "2"
	check := func(want string) {
		t.Helper()
		all := []*candidate{{path: a.Path, file: a}, {path: b.Path, file: b}}
		conflicts(host, all)
		text := ""
		if all[1].err != nil {
			text = all[1].err.Error()
		}
		matches(t, text, want)
		if all[0].err != nil {
			t.Errorf("the first of the two has the error %v", all[0].err)
		}
	}
	dependency := func(f *File, hash, version string) {
		f.Packages["example.com/shared"] = hash
		f.Build.Deps = append(f.Build.Deps, &debug.Module{Path: "example.com/shared", Version: version})
	}
	dependency(a, "x", "v1.0.0")
	check("")
	dependency(b, "y", "v1.1.0")
	check("b.so: built with other versions than a.so of packages that the two share: example.com/shared (v1.0.0 there, v1.1.0 here); remove one of the two")
	b.PluginPath = a.PluginPath
	check("b.so: another build of a.so: both are example.com/a; remove one of the two")
	b.SHA256 = a.SHA256
	check("b.so: a copy of a.so; remove one of the two")
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.so", "a.so", "a.so.bak", "a.so.minisig", "plugins.lock", ".hidden.so"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for to, from := range map[string]string{"linked.so": "a.so", "dangling.so": "nowhere", "device.so": "/dev/null", "folder.so": "."} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	paths, skipped, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	if want := []string{path("a.so"), path("b.so"), path("dangling.so"), path("device.so"), path("folder.so"), path("linked.so")}; !reflect.DeepEqual(paths, want) {
		t.Errorf("paths %v, want %v", paths, want)
	}
	want := []Skip{{path(".hidden.so"), "hidden"}, {path("a.so.bak"), "not named .so"}, {path("a.so.minisig"), "a signature"}, {path("plugins.lock"), "the lock file"}}
	if !reflect.DeepEqual(skipped, want) {
		t.Errorf("skipped %v, want %v", skipped, want)
	}
}

// patched is a file with some bytes changed and its end cut off.
type patched struct {
	data, patch []byte
	at          int
}

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(p.data)) {
		return 0, io.EOF
	}
	n := copy(b, p.data[off:])
	for i, x := range p.patch {
		if j := int64(p.at+i) - off; j >= 0 && j < int64(n) {
			b[j] ^= x
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// FuzzInspect reads a plugin with bytes changed in the places that are looked
// at, or with its end cut off: there may be an error, but no panic, no end that
// goes unnoticed, and no more memory in use than such a file can ask for.
func FuzzInspect(f *testing.F) {
	data, err := os.ReadFile(filepath.Join(built, "small.so"))
	if err != nil {
		f.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		f.Fatal(err)
	}
	places := []uint64{0, uint64(len(data)) - 64*uint64(len(file.Sections)), file.Progs[0].Off}
	for _, name := range []string{".go.module", ".dynsym", ".dynstr", ".rela.dyn", ".go.buildinfo", ".gnu.version_r", ".dynamic", ".data.rel.ro", ".typelink", ".rodata"} {
		if s := file.Section(name); s != nil {
			places = append(places, s.Offset)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		f.Add(uint8(i), r.Uint32N(2048), []byte{byte(r.Uint32()), byte(r.Uint32() >> 24), byte(i)}, uint32(0))
		f.Add(uint8(i), uint32(0), []byte(nil), r.Uint32N(uint32(len(data)-1))+1)
	}
	f.Fuzz(func(t *testing.T, place uint8, offset uint32, patch []byte, cut uint32) {
		end := len(data) - int(cut)%len(data)
		p := patched{data[:end], patch, int(places[int(place)%len(places)]) + int(offset)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := read(p, int64(end))
		runtime.ReadMemStats(&after)
		if err == nil && end < len(data)*3/4 {
			t.Errorf("the first %d bytes of %d pass", end, len(data))
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20+16*uint64(len(data)) {
			t.Errorf("%d bytes allocated for a file of %d", n, len(data))
		}
	})
}
