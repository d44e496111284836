package loader

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"swiftgo/api"
)

// Listing is a file of a plugin folder: what is known of it without opening it
// in this process, what it offers, or why it does not fit.
type Listing struct {
	File       string              `json:"file"` // short, "plugins/focal.so"
	Path       string              `json:"path"`
	Size       int64               `json:"size"` // in bytes
	SHA256     string              `json:"sha256,omitempty"`
	Manifest   api.Manifest        `json:"manifest"`
	PluginPath string              `json:"plugin_path,omitempty"`
	Names      map[string][]string `json:"names,omitempty"` // by kind; null where only the kind is known
	Exports    []Export            `json:"exports,omitempty"`
	Go         string              `json:"go,omitempty"`       // release it was built with
	Settings   map[string]string   `json:"settings,omitempty"` // of the build
	Built      json.RawMessage     `json:"built,omitempty"`    // what "swiftgo plugin build" says of itself
	Packages   int                 `json:"packages,omitempty"` // in it
	Shared     int                 `json:"shared,omitempty"`   // of them, also in this binary
	Differ     []Mismatch          `json:"differ,omitempty"`   // of them, not the same
	Needed     []string            `json:"needed,omitempty"`   // C libraries
	Glibc      string              `json:"glibc,omitempty"`    // the oldest that will do
	Notes      []string            `json:"notes,omitempty"`    // what may be wrong though it fits
	Policy     Policy              `json:"policy,omitempty"`
	Error      string              `json:"error,omitempty"`
	Hint       string              `json:"hint,omitempty"`
}

// Offers returns the extensions as "kind name", in the order of api.Exports.
func (l Listing) Offers() []string {
	var all []string
	for _, k := range kinds {
		names, ok := l.Names[k.kind]
		if ok && len(names) == 0 {
			all = append(all, k.kind)
		}
		for _, name := range names {
			all = append(all, k.kind+" "+name)
		}
	}
	return all
}

// Problem returns why a file does not fit and what mends it, on one line.
func (l Listing) Problem() string {
	if l.Hint == "" {
		return "does not fit: " + l.Error
	}
	return "does not fit: " + l.Error + "; " + l.Hint
}

// List says what the files of a folder are that Load would take, and what the
// others are. It opens none in this process, and fails only if the folder, the
// lock file or this program cannot be read.
func List(dir string, o Options) ([]Listing, []Skip, error) {
	paths, skipped, err := Scan(dir)
	if err != nil {
		return nil, nil, err
	}
	all, err := listings(dir, paths, o)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range o.missing(dir, paths) {
		all = append(all, Listing{File: short(e.Path), Path: e.Path, Policy: o.Policy[nameOf(e.Path)], Error: e.cause(), Hint: e.Hint})
	}
	return all, skipped, nil
}

// Describe says what one file is. Who owns it does not matter.
func Describe(path string) (Listing, error) {
	all, err := listings(filepath.Dir(path), []string{path}, Options{Owner: OwnerOff})
	if err != nil {
		return Listing{}, err
	}
	return all[0], nil
}

// Check returns an *Error that says why the plugin at path cannot be used in
// this binary, or nil. It opens the plugin in a child process.
func Check(path string) error {
	all, _, err := examine(filepath.Dir(path), []string{path}, Options{Owner: OwnerOff})
	if err == nil && all[0].err != nil {
		err = all[0].err
	}
	return err
}

func listings(dir string, paths []string, o Options) ([]Listing, error) {
	candidates, host, err := examine(dir, paths, o)
	if err != nil {
		return nil, err
	}
	var all []Listing
	for _, c := range candidates {
		l := c.listing(host)
		l.Policy = o.Policy[nameOf(c.path)]
		all = append(all, l)
	}
	return all, nil
}

func (c *candidate) listing(host *File) Listing {
	f := c.file
	l := Listing{File: short(f.Path), Path: f.Path, Size: f.Size, SHA256: f.SHA256, Manifest: f.Manifest, PluginPath: f.PluginPath,
		Names: map[string][]string{}, Exports: f.Exports, Needed: f.Needed, Glibc: f.Glibc, Packages: len(f.Packages)}
	for _, e := range f.Exports {
		for _, k := range kinds {
			if e.Name == k.variable {
				l.Names[k.kind] = nil
			}
		}
	}
	if f.Build != nil {
		l.Go, l.Settings = f.Build.GoVersion, map[string]string{}
		for _, s := range f.Build.Settings {
			l.Settings[s.Key] = s.Value
		}
		l.Notes = notes(host, f)
	}
	if json.Valid([]byte(f.Stamp)) {
		l.Built = json.RawMessage(f.Stamp)
	}
	for pkg := range f.Packages {
		if host.Packages[pkg] != "" {
			l.Shared++
		}
	}
	if e := differs(host, f); e != nil {
		l.Differ = e.Mismatches
	}
	if c.found.Names != nil {
		l.Names = c.found.Names
	}
	if c.found.Manifest != (api.Manifest{}) {
		l.Manifest = c.found.Manifest
	}
	if c.err != nil {
		l.Error, l.Hint = c.err.cause(), c.err.Hint
	}
	return l
}

// notes says what does not keep a plugin from being used, but may surprise: the
// fingerprint of a package covers its declarations and what is inlined, not the
// bodies of its other functions, of which a plugin brings its own.
func notes(host, f *File) []string {
	var all []string
	for _, d := range f.Build.Deps {
		for _, h := range host.Build.Deps {
			if d.Path == h.Path && d.Version == h.Version && d.Sum != h.Sum && d.Replace == nil && h.Replace == nil {
				all = append(all, fmt.Sprintf("%s %s was built from another content than this swiftgo's", d.Path, d.Version))
			}
		}
	}
	if level := f.Setting("GOAMD64"); level != host.Setting("GOAMD64") {
		all = append(all, fmt.Sprintf("built for GOAMD64=%s, this swiftgo for %s", level, host.Setting("GOAMD64")))
	}
	slices.Sort(all)
	return all
}
