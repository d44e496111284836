// Package loader finds plugins, makes sure that they fit this binary, and
// opens them.
//
// A Go plugin shares packages with its host, and one that was built from other
// ones, or that panics or hangs while it is opened, takes the host down or is
// refused with a message that says little. So each file is first read without
// running any of it (Inspect), then opened in a child process (ProbeMain), and
// only if all of them came through are they opened here. A plugin cannot be
// closed again, nor opened a second time when it has failed.
//
// Nothing of this is a sandbox: a plugin is code in this process, and may do
// what the process may.
package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"plugin"
	"strings"
	"time"

	"swiftgo/api"
)

// Plugin is a plugin that is open.
type Plugin struct {
	Name       string // in its manifest, or of the file without .so
	Path       string // absolute
	SHA256     string // of the file, in hex
	PluginPath string // import path of its main package as stack traces show it: p%2ev2 for p.v2
	Manifest   api.Manifest
	Exports    api.Exports
}

// File returns the short name of the file, with its folder: "plugins/focal.so".
func (p *Plugin) File() string { return short(p.Path) }

func short(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
}

// Options change how Load works.
type Options struct {
	NoProbe bool          // open in this process at once
	Timeout time.Duration // for opening one plugin in a child; 0 means 10 seconds
}

// Error is what is wrong with one file.
type Error struct {
	Path string
	Err  error
	Hint string // what to do about it, or ""
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Path + ": " + e.cause()
	}
	return e.Path + ": " + e.cause() + "; " + e.Hint
}

// cause returns the text of Err on one line.
func (e *Error) cause() string { return strings.ReplaceAll(e.Err.Error(), "\n", "; ") }

func (e *Error) Unwrap() error { return e.Err }

// Errors is what is wrong with the files of a folder.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, x := range e {
		all[i] = x
	}
	return all
}

// orNil returns e as an error that is nil if there is none.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Load opens every plugin of a folder, in the order of their names. A file that
// does not fit stops it: the error is of type Errors, and lists all that do not.
// Nothing is opened in this process before every file has passed what comes
// before.
func Load(dir string, o Options) ([]*Plugin, error) {
	files, errs, err := inspectFolder(dir)
	if err != nil {
		return nil, err
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if !o.NoProbe {
		for _, f := range files {
			if _, err := probe(f, o.timeout()); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) > 0 {
			return nil, errs
		}
	}
	var plugins []*Plugin
	for _, f := range files {
		p, err := open(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		plugins = append(plugins, p)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return plugins, nil
}

func (o Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return 10 * time.Second
	}
	return o.Timeout
}

// inspectFolder inspects the plugins of a folder. errs is what is wrong with
// them, err that the folder or this program cannot be read.
func inspectFolder(dir string) (files []*File, errs Errors, err error) {
	paths, _, err := Scan(dir)
	if err != nil || len(paths) == 0 {
		return nil, nil, err
	}
	host, err := host()
	if err != nil {
		return nil, nil, err
	}
	files, errs = inspectAll(host, paths)
	return files, errs, nil
}

// inspectAll reads the files, one for each path even if there is an error with
// it, and checks them against the host and each other.
func inspectAll(host *File, paths []string) (files []*File, errs Errors) {
	var fitting []*File
	for _, path := range paths {
		f, err := Inspect(path)
		if err == nil {
			err = fits(host, f)
		}
		if err != nil {
			errs = append(errs, asError(path, err))
		} else {
			fitting = append(fitting, f)
		}
		files = append(files, f)
	}
	return files, append(errs, conflicts(host, fitting)...)
}

// asError returns err as the *Error of the file at path.
func asError(path string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Path: path, Err: err}
}

// open opens a plugin in this process.
func open(f *File) (p *Plugin, failed *Error) {
	defer func() {
		if v := recover(); v != nil {
			p, failed = nil, &Error{f.Path, fmt.Errorf("panicked while it was opened: %v", v), "mend the init functions and package variables of the plugin"}
		}
	}()
	opened, err := plugin.Open(f.Path)
	if err != nil {
		return nil, refused(f.Path, err)
	}
	exports, manifest, err := collect(func(name string) any {
		v, err := opened.Lookup(name)
		if err != nil {
			return nil
		}
		return v
	})
	if err != nil {
		return nil, asError(f.Path, err)
	}
	abs, err := filepath.Abs(f.Path)
	if err != nil {
		return nil, asError(f.Path, err)
	}
	p = &Plugin{Name: manifest.Name, Path: abs, SHA256: f.SHA256, PluginPath: f.PluginPath, Manifest: manifest, Exports: exports}
	if p.Name == "" {
		p.Name = strings.TrimSuffix(filepath.Base(abs), ".so")
	}
	return p, nil
}

// refused is the error for a plugin that plugin.Open does not take.
func refused(path string, err error) *Error {
	_, text, ok := strings.Cut(err.Error(), `"): `)
	if !ok {
		text = strings.TrimPrefix(err.Error(), "plugin: ")
	}
	return &Error{path, fmt.Errorf("cannot be opened: %s", text), "build it again, with build.sh"}
}

// Skip is an entry of a plugin folder that is no plugin.
type Skip struct {
	Path, Reason string
}

// Scan returns the .so files of a folder in the order of their names, and all
// its other entries with the reason why they are none.
func Scan(dir string) (paths []string, skipped []Skip, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		what := "cannot be read"
		if errors.Is(err, fs.ErrNotExist) {
			what = "is not there"
		}
		return nil, nil, fmt.Errorf("the plugin folder %s %s; give another with --plugins_dir or SWIFTGO_PLUGINS_DIR: %w", dir, what, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
			skipped = append(skipped, Skip{path, "a link that leads nowhere"})
		case info.IsDir():
			skipped = append(skipped, Skip{path, "a folder"})
		case !info.Mode().IsRegular():
			skipped = append(skipped, Skip{path, "not a regular file"})
		case filepath.Ext(path) != ".so":
			skipped = append(skipped, Skip{path, "not named .so"})
		default:
			paths = append(paths, path)
		}
	}
	return paths, skipped, nil
}
