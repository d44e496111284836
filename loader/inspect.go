package loader

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
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

	static bool // whether it was linked without a dynamic loader
}

// Export is an exported variable or function of a plugin's main package.
type Export struct {
	Name string
	Type string // as reflect writes it
	Func bool
}

// rebuild is the hint for what only building again can mend.
const rebuild = "build it again: ./build.sh DIR"

// Inspect reads the plugin at path without running any of it. It is an *Error if
// the file is no whole Go plugin, and the File then has Path, Size and SHA256
// only; whether it fits this binary is another matter.
func Inspect(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return &File{Path: path}, asError(path, err)
	}
	sum := sha256.Sum256(data)
	named := func(f *File) *File {
		f.Path, f.Size, f.SHA256 = path, int64(len(data)), hex.EncodeToString(sum[:])
		return f
	}
	f, err := read(bytes.NewReader(data), int64(len(data)))
	if err == nil && (f.setting("-buildmode") != "plugin" || len(f.Packages) == 0) {
		err = &Error{Err: fmt.Errorf("built with -buildmode=%s, want plugin", f.setting("-buildmode")), Hint: rebuild}
	}
	if err != nil {
		e := asError(path, err)
		e.Path = path
		return named(&File{}), e
	}
	return named(f), nil
}

// host returns this binary as Inspect would have it.
func host() (*File, error) {
	const image = "/proc/self/exe" // even if the file has been replaced
	f, err := os.Open(image)
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
	var magic [len(elf.ELFMAG)]byte
	if _, err := r.ReadAt(magic[:], 0); err != nil || string(magic[:]) != elf.ELFMAG {
		return nil, &Error{Err: errors.New("not an ELF file, so not a plugin"), Hint: "remove it, or " + rebuild}
	}
	damaged := func(err error) error {
		return &Error{Err: fmt.Errorf("damaged or truncated: %w", err), Hint: "copy it again, or " + rebuild}
	}
	ef, err := elf.NewFile(r)
	if err != nil {
		return nil, damaged(err)
	}
	// dlopen dies of SIGBUS on a segment that is not all there.
	for _, p := range ef.Progs {
		if p.Type == elf.PT_LOAD && (p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off) {
			return nil, damaged(fmt.Errorf("a segment ends at byte %d, the file at byte %d", p.Off+p.Filesz, size))
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
	im := newImage(ef)
	defined := map[string]bool{}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			continue
		}
		defined[s.Name] = true
		if pkg, ok := strings.CutPrefix(s.Name, "go:link.pkghashbytes."); ok {
			b, err := im.bytes(s.Value, 8)
			if err != nil {
				return nil, damaged(err)
			}
			f.Packages[pkg] = hex.EncodeToString(b)
		}
	}
	if f.setting("-buildmode") == "plugin" {
		if f.PluginPath, f.Exports, err = im.module(len(f.Packages), defined); err != nil {
			return nil, damaged(err)
		}
	}
	return f, nil
}

// setting returns a setting of the build, "" if there is none.
func (f *File) setting(key string) string {
	for _, s := range f.Build.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// module returns the module that has a package, with its version; std for one of
// the standard library.
func (f *File) module(pkg string) (path, version string) {
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
