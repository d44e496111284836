package loader

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/mod/semver"

	"swiftgo/api"
)

// File is what can be known of a plugin, or of this binary, without running it.
type File struct {
	Path       string
	Size       int64
	SHA256     string // in hex
	Machine    elf.Machine
	Build      *debug.BuildInfo
	PluginPath string            // see Plugin
	Packages   map[string]string // fingerprint of each package in it, in hex
	Exports    []Export          // variables and functions of a plugin's main package, sorted by name
	Manifest   api.Manifest      // of a plugin, as far as it is written in constants
	Stamp      string            // what "swiftgo plugin build" wrote into the plugin, as JSON
	Needed     []string          // C libraries
	Glibc      string            // the newest version of glibc's symbols in use, "2.34"

	static bool // whether it was linked without a dynamic loader
}

// Export is an exported variable or function of a plugin's main package.
type Export struct {
	Name string `json:"name"`
	Type string `json:"type"` // with import paths: map[string]func(*swiftgo/api.Args) (swiftgo/api.Loss, error)
	Func bool   `json:"func,omitempty"`
}

// self is the file of this process, even if it has been replaced.
const self = "/proc/self/exe"

// rebuild is the hint for what only building again can mend.
const rebuild = "build it again: swiftgo plugin build DIR"

// Inspect reads the plugin at path without running any of it. It is an *Error if
// the file is no whole Go plugin, and the File then has Path, Size and SHA256
// only; whether it fits this binary is another matter.
func Inspect(path string) (*File, error) {
	fail := func(err error) (*File, error) {
		e := asError(path, err)
		e.Path = path
		return &File{Path: path}, e
	}
	in, info, err := openFile(path)
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return fail(err)
	}
	f, err := inspect(in, info.Size())
	if err != nil {
		_, err = fail(err)
		f = &File{}
	}
	f.Path, f.Size, f.SHA256 = path, info.Size(), hex.EncodeToString(h.Sum(nil))
	return f, err
}

// inspect is Inspect for an open file of the given size.
func inspect(r io.ReaderAt, size int64) (*File, error) {
	f, err := read(r, size)
	if err != nil {
		return nil, err
	}
	if mode := f.Setting("-buildmode"); mode != "plugin" || len(f.Packages) == 0 {
		return nil, &Error{Err: fmt.Errorf("built with -buildmode=%s, want plugin", mode), Hint: rebuild}
	}
	return f, nil
}

// Host returns this binary as Inspect would have it.
func Host() (*File, error) {
	f, err := os.Open(self)
	if err != nil {
		return nil, fmt.Errorf("reading this program: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading this program: %w", err)
	}
	h, err := read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("reading this program: %w", err)
	}
	if h.static || len(h.Packages) == 0 {
		return nil, errors.New("this program cannot open plugins: it was built without cgo or linked statically; build it with ./build.sh")
	}
	return h, nil
}

// read reads a file of the given size.
func read(r io.ReaderAt, size int64) (*File, error) {
	damaged := func(err error) error {
		return &Error{Err: fmt.Errorf("damaged or truncated: %w", err), Hint: "copy it again, or " + rebuild}
	}
	ef, err := elf.NewFile(r)
	if err != nil {
		return nil, damaged(err)
	}
	if want := elf.EM_X86_64; ef.Machine != want || ef.Class != elf.ELFCLASS64 || ef.Data != elf.ELFDATA2LSB {
		return nil, &Error{Err: fmt.Errorf("built for another machine: %v, want %v", ef.Machine, want), Hint: "build it with GOARCH=" + runtime.GOARCH}
	}
	// dlopen dies of SIGBUS on a segment that is not all there.
	for _, p := range ef.Progs {
		if p.Type == elf.PT_LOAD && (p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off) {
			return nil, damaged(fmt.Errorf("a segment ends at byte %d, the file at byte %d", p.Off+p.Filesz, size))
		}
	}
	for _, s := range ef.Sections { // a small file could be made to unpack into a large one
		if s.Flags&elf.SHF_COMPRESSED != 0 && !strings.HasPrefix(s.Name, ".debug") {
			return nil, damaged(fmt.Errorf("section %s is compressed", s.Name))
		}
	}
	f := &File{Machine: ef.Machine, Packages: map[string]string{}, static: true}
	if f.Build, err = buildinfo.Read(r); err != nil {
		return nil, &Error{Err: errors.New("not built by Go, so not a plugin"), Hint: "remove it, or " + rebuild}
	}
	for _, p := range ef.Progs {
		f.static = f.static && p.Type != elf.PT_INTERP
	}
	symbols, err := ef.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, damaged(err)
	}
	plugin := f.Setting("-buildmode") == "plugin"
	im := &image{file: ef}
	if plugin {
		if im, err = newImage(ef, symbols); err != nil {
			return nil, damaged(err)
		}
	}
	defined := map[string]uint64{}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			continue
		}
		if plugin {
			defined[s.Name] = s.Value
		}
		if pkg, ok := strings.CutPrefix(s.Name, "go:link.pkghashbytes."); ok {
			b, err := im.bytes(s.Value, 8)
			if err != nil {
				return nil, damaged(err)
			}
			f.Packages[pkg] = hex.EncodeToString(b)
		}
	}
	if !plugin {
		return f, nil
	}
	if f.PluginPath, f.Exports, err = im.module(len(f.Packages), defined); err != nil {
		return nil, damaged(err)
	}
	f.describe(im, defined)
	f.libraries(ef)
	return f, nil
}

// stampVariable is the variable that "swiftgo plugin build" adds to a plugin.
const stampVariable = "SwiftgoBuild"

// describe reads the manifest and the stamp.
func (f *File) describe(im *image, defined map[string]uint64) {
	for _, e := range f.Exports {
		at := defined[f.PluginPath+"."+e.Name]
		switch {
		case e.Name == stampVariable && e.Type == "string":
			f.Stamp, _ = im.text(at)
		case e.Name == manifestVariable && e.Type == fullType(reflect.TypeFor[api.Manifest]()):
			m := reflect.ValueOf(&f.Manifest).Elem()
			for i := range m.NumField() {
				text, _ := im.text(at + uint64(m.Type().Field(i).Offset)) // "" where it is computed
				m.Field(i).SetString(text)
			}
		}
	}
}

// libraries reads what the file needs of the C library and others.
func (f *File) libraries(ef *elf.File) {
	f.Needed, _ = ef.ImportedLibraries()
	needs, _ := ef.DynamicVersionNeeds()
	for _, library := range needs {
		for _, v := range library.Needs {
			if number, ok := strings.CutPrefix(v.Dep, "GLIBC_"); ok && semver.Compare("v"+number, "v"+f.Glibc) > 0 {
				f.Glibc = number
			}
		}
	}
}

// Setting returns a setting of the build, "" if there is none.
func (f *File) Setting(key string) string {
	for _, s := range f.Build.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// Module returns the module that has a package, with its version; std for one of
// the standard library.
func (f *File) Module(pkg string) (path, version string) {
	path, version = "std", f.Build.GoVersion
	longest := -1
	for _, m := range append([]*debug.Module{&f.Build.Main}, f.Build.Deps...) {
		if m.Path == "" || pkg != m.Path && !strings.HasPrefix(pkg, m.Path+"/") || len(m.Path) <= longest {
			continue
		}
		path, version, longest = m.Path, m.Version, len(m.Path)
		if m.Replace != nil {
			version += " => " + strings.TrimSpace(m.Replace.Path+" "+m.Replace.Version)
		}
	}
	return path, version
}
