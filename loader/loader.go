// Package loader finds plugins, makes sure that they fit this binary, and
// opens those that a run uses.
//
// A Go plugin shares packages with its host, and one that was built from other
// ones, or that panics or hangs while it is opened, takes the host down or is
// refused with a message that says little. So each file of a folder goes through
// these steps, each of which ends with one line that says what is wrong and what
// mends it:
//
//	scan       only regular files named .so          scan.go
//	trust      nobody else could change the file     trust.go
//	copy       into a folder of this user's own, so  store.go
//	           that what is checked is what is opened
//	lock       is it the file of plugins.lock        lock.go
//	signature  by a trusted key                      signature.go
//	inspect    the copy, without running any of it   inspect.go, image.go, types.go
//	fit        its packages, settings and exports    fit.go, exports.go
//	set        the plugins do not disturb each other fit.go
//	probe      opened in a child process             probe.go
//
// A plugin cannot be closed again, nor opened a second time when it has failed,
// so Plugin.Open comes last, and only for the plugins that are used.
//
// Nothing of this is a sandbox: a plugin is code in this process, and may do
// what the process may.
package loader

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"plugin"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"swiftgo/api"
)

// Plugin is a plugin that has passed all checks.
type Plugin struct {
	Name       string // of the file, without .so
	Path       string // absolute
	SHA256     string // of the file, in hex
	PluginPath string // import path of its main package as stack traces show it: p%2ev2 for p.v2
	Manifest   api.Manifest
	Names      map[string][]string // of its extensions, sorted, by kind
	Packages   []string            // that it has and this binary has not, sorted

	open func() (api.Exports, error)
}

// File returns the short name of the file, with its folder: "plugins/focal.so".
func (p *Plugin) File() string { return short(p.Path) }

// Open opens the plugin in this process, once: a second call returns what the
// first did.
func (p *Plugin) Open() (api.Exports, error) { return p.open() }

func (p *Plugin) locked() Locked {
	return Locked{filepath.Base(p.Path), p.SHA256, p.PluginPath, lockedNames(p.Names)}
}

func short(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
}

// Policy says what becomes of a run when a plugin does not load.
type Policy string

const (
	Required Policy = "required" // the run ends, also when there is no such file
	Optional Policy = "optional" // the run goes on without the plugin
	Off      Policy = "off"      // the file is not looked at
)

// Options say which plugins of a folder are loaded and what is asked of them. A
// plugin is named as its file without .so. One that Policy does not name need
// not be there, but has to load.
type Options struct {
	Only    []string // load these only; nil is all
	Policy  map[string]Policy
	Owner   OwnerCheck // "" is OwnerStrict
	Locked  bool       // refuse what the lock file does not have
	Keys    []Key      // refuse what none of them has signed; nil is no check
	Timeout time.Duration
}

// ParsePolicies returns what texts such as "focal=optional" say.
func ParsePolicies(texts []string) (map[string]Policy, error) {
	all := map[string]Policy{}
	for _, t := range texts {
		name, policy, ok := strings.Cut(t, "=")
		if !ok || name == "" || !slices.Contains([]Policy{Required, Optional, Off}, Policy(policy)) {
			return nil, fmt.Errorf("plugin policy %q: want NAME=required, NAME=optional or NAME=off", t)
		}
		all[strings.TrimSuffix(name, ".so")] = Policy(policy)
	}
	return all, nil
}

func (o Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return 10 * time.Second
	}
	return o.Timeout
}

// wants reports whether the plugin in the file at path is to be loaded.
func (o Options) wants(path string) bool {
	name := nameOf(path)
	return o.Policy[name] != Off && (o.Only == nil || slices.ContainsFunc(o.Only, func(only string) bool { return strings.TrimSuffix(only, ".so") == name }))
}

// missing returns what is asked for and not among the files.
func (o Options) missing(dir string, paths []string) (errs Errors) {
	var there []string
	for _, p := range paths {
		there = append(there, nameOf(p))
	}
	wanted := slices.Clone(o.Only)
	for name, policy := range o.Policy {
		if policy == Required {
			wanted = append(wanted, name)
		}
	}
	slices.Sort(wanted)
	for _, name := range slices.Compact(wanted) {
		if name = strings.TrimSuffix(name, ".so"); !slices.Contains(there, name) {
			have := strings.Join(there, ", ")
			if have == "" {
				have = "none"
			}
			errs = append(errs, &Error{filepath.Join(dir, name+".so"), fmt.Errorf("not there, but asked for; there are %s", have), "build it into the folder, or do not name it"})
		}
	}
	return errs
}

func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".so") }

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

// Load returns the plugins of a folder, in the order of their names, ready to be
// opened. left is what is wrong with optional ones. If there is anything wrong
// with another, the error is of type Errors and lists it all.
func Load(dir string, o Options) (plugins []*Plugin, left Errors, err error) {
	paths, _, err := Scan(dir)
	if err != nil {
		return nil, nil, err
	}
	all, host, err := examine(dir, paths, o)
	if err != nil {
		return nil, nil, err
	}
	errs := o.missing(dir, paths)
	for _, c := range all {
		switch {
		case c.err == nil:
			plugins = append(plugins, c.plugin(host))
		case o.Policy[nameOf(c.path)] == Optional:
			left = append(left, c.err)
		default:
			errs = append(errs, c.err)
		}
	}
	if len(errs) > 0 {
		return nil, left, errs
	}
	return plugins, left, nil
}

// candidate is a file on its way through the checks.
type candidate struct {
	path    string
	private string // the copy
	file    *File  // Path, Size and SHA256 at least, once there is a copy
	found   report
	err     *Error // the first thing that is wrong
}

// candidates returns the files that are wanted, and what the lock file says if
// that is asked for.
func candidates(dir string, paths []string, o Options) (all []*candidate, lock map[string]Locked, err error) {
	for _, path := range paths {
		if o.wants(path) {
			all = append(all, &candidate{path: path, file: &File{Path: path}})
		}
	}
	if !o.Locked {
		return all, nil, nil
	}
	if lock, err = readLock(dir); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(lock)) {
		path := filepath.Join(dir, name)
		if o.wants(path) && !slices.Contains(paths, path) {
			err := &Error{path, fmt.Errorf("in %s, but not there", LockFile), "bring it back, or swiftgo plugin lock " + shellWord(dir)}
			all = append(all, &candidate{path: path, file: &File{Path: path}, err: err})
		}
	}
	return all, lock, nil
}

// examine takes the files that are wanted through all checks, and returns them
// and this binary. The error is about what has to do with no single file.
func examine(dir string, paths []string, o Options) (all []*candidate, host *File, err error) {
	all, lock, err := candidates(dir, paths, o)
	if err != nil || len(all) == 0 {
		return nil, nil, err
	}
	s, err := openStore()
	if err != nil {
		return nil, nil, err
	}
	if host, err = s.self(); err != nil {
		return nil, nil, err
	}
	each(all, func(c *candidate) error { return c.trust(s, o, lock) })
	each(all, func(c *candidate) error { return c.inspect(s, host) })
	conflicts(host, all)
	each(all, func(c *candidate) error { return c.probe(s, o) })
	duplicates(all)
	return all, host, nil
}

// each calls f for the candidates with which nothing is wrong yet, on all cores.
func each(all []*candidate, f func(*candidate) error) {
	var workers sync.WaitGroup
	free := make(chan bool, runtime.GOMAXPROCS(0))
	for _, c := range all {
		if c.err != nil {
			continue
		}
		workers.Go(func() {
			free <- true
			defer func() { <-free }()
			if err := f(c); err != nil {
				c.err = asError(c.path, err)
			}
		})
	}
	workers.Wait()
}

// trust makes the copy and finds out whose it is.
func (c *candidate) trust(s *store, o Options, lock map[string]Locked) error {
	if err := o.Owner.Trusted(c.path); err != nil {
		return err
	}
	var err error
	if c.private, c.file.SHA256, err = s.take(c.path); err != nil {
		return err
	}
	if lock != nil {
		if err := inLock(lock, c.path, c.file.SHA256); err != nil {
			return err
		}
	}
	if len(o.Keys) > 0 {
		return signed(o.Keys, c.path, c.private)
	}
	return nil
}

func (c *candidate) inspect(s *store, host *File) error {
	f, err := s.inspected(c.private, c.file.SHA256)
	f.Path = c.path
	c.file = f
	if err != nil {
		return err
	}
	return fits(host, f)
}

func (c *candidate) probe(s *store, o Options) (err error) {
	c.found, err = s.probed(c.private, c.file, o.timeout())
	return err
}

// plugin returns the plugin that a candidate without an error is.
func (c *candidate) plugin(host *File) *Plugin {
	abs, err := filepath.Abs(c.path)
	if err != nil { // no working directory
		abs = c.path
	}
	p := &Plugin{Name: nameOf(c.path), Path: abs, SHA256: c.file.SHA256, PluginPath: c.file.PluginPath, Manifest: c.found.Manifest, Names: c.found.Names}
	for _, pkg := range slices.Sorted(maps.Keys(c.file.Packages)) {
		if host.Packages[pkg] == "" {
			p.Packages = append(p.Packages, pkg)
		}
	}
	p.open = sync.OnceValues(func() (api.Exports, error) {
		if err := MonitorCrashes(Owner{p.Name, p.File(), p.PluginPath, p.Packages}); err != nil {
			slog.Warn("a crash of this process will not be told by plugin", "error", err)
		}
		return open(c.path, c.private)
	})
	return p
}

// asError returns err as the *Error of the file at path.
func asError(path string, err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Path: path, Err: err}
	}
	e.Path = path
	return e
}

// open opens the copy of the plugin at path in this process.
func open(path, private string) (exports api.Exports, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{path, fmt.Errorf("panicked while it was opened: %v", v), "mend the init functions and package variables of the plugin"}
		}
	}()
	opened, err := plugin.Open(private)
	if err != nil {
		return exports, refused(path, err)
	}
	exports, _, err = collect(lookup(opened))
	if err != nil {
		return exports, asError(path, err)
	}
	return exports, nil
}

// lookup returns the function that collect wants.
func lookup(p *plugin.Plugin) func(name string) any {
	return func(name string) any {
		v, err := p.Lookup(name)
		if err != nil {
			return nil
		}
		return v
	}
}

// refused is the error for a plugin that plugin.Open does not take.
func refused(path string, err error) *Error {
	_, text, ok := strings.Cut(err.Error(), `"): `)
	if !ok {
		text = strings.TrimPrefix(err.Error(), "plugin: ")
	}
	return &Error{path, fmt.Errorf("cannot be opened: %s", text), rebuild}
}
