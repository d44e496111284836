package loader

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// LockFile is the name of the file in a plugin folder that says which plugins
// may be in it.
const LockFile = "plugins.lock"

// lockHead begins a lock file.
const lockHead = `# Written by "swiftgo plugin lock"; --plugins_locked refuses what is not here.
# file  sha256  plugin path  kind/name of each extension
`

// Locked is a plugin as a lock file has it.
type Locked struct {
	File       string // name in the folder, such as focal.so
	SHA256     string // in hex
	PluginPath string
	Names      []string // such as loss/focal, sorted
}

func (l Locked) String() string {
	return strings.Join(append([]string{l.File, l.SHA256, l.PluginPath}, l.Names...), " ")
}

// WriteLock writes the lock file of a folder for the plugins that are in it,
// all of which must load, and returns what it says.
func WriteLock(dir string, o Options) ([]Locked, error) {
	o.Locked = false
	plugins, _, err := Load(dir, o)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	text.WriteString(lockHead)
	var all []Locked
	for _, p := range plugins {
		l := p.locked()
		if strings.ContainsAny(l.File, " \t\n#") {
			return nil, &Error{p.Path, errors.New("the name of the file has a space or #, which a lock file cannot hold"), "rename it"}
		}
		all = append(all, l)
		fmt.Fprintln(&text, l)
	}
	return all, replace(filepath.Join(dir, LockFile), []byte(text.String()))
}

// replace writes a file whole or not at all.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// readLock reads the lock file of a folder, by the names of plugin files.
func readLock(dir string) (map[string]Locked, error) {
	path := filepath.Join(dir, LockFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there, but --plugins_locked is given; write it with swiftgo plugin lock %s", path, shellWord(dir))
	}
	if err != nil {
		return nil, err
	}
	all, err := parseLock(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; write it again with swiftgo plugin lock %s", path, err, shellWord(dir))
	}
	return all, nil
}

var (
	digest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	offered = regexp.MustCompile(`^[a-z_]+/[a-z0-9_]+$`)
)

func parseLock(data []byte) (map[string]Locked, error) {
	all := map[string]Locked{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
			return nil, fmt.Errorf("line %d: %d words, want file, sha256, plugin path and at least one kind/name", n, len(f))
		case filepath.Base(f[0]) != f[0] || filepath.Ext(f[0]) != ".so":
			return nil, fmt.Errorf("line %d: %q, want the name of a .so file", n, f[0])
		case !digest.MatchString(f[1]):
			return nil, fmt.Errorf("line %d: %q, want a sha256 of 64 hex digits", n, f[1])
		case all[f[0]].File != "":
			return nil, fmt.Errorf("line %d: %s for the second time", n, f[0])
		}
		for _, name := range f[3:] {
			if !offered.MatchString(name) {
				return nil, fmt.Errorf("line %d: %q, want kind/name", n, name)
			}
		}
		all[f[0]] = Locked{f[0], f[1], f[2], f[3:]}
	}
	return all, lines.Err()
}

// inLock returns an error if a plugin is not the one in the lock file.
func inLock(lock map[string]Locked, path, sha256 string) error {
	l, ok := lock[filepath.Base(path)]
	again := "if it is meant to be there: swiftgo plugin lock " + shellWord(filepath.Dir(path))
	switch {
	case !ok:
		return &Error{path, fmt.Errorf("not in %s", LockFile), "remove it, or " + again}
	case l.SHA256 != sha256:
		return &Error{path, fmt.Errorf("not the file of %s: sha256 is %s, want %s", LockFile, sha256, l.SHA256), "bring the locked file back, or " + again}
	}
	return nil
}

// Verify holds the plugins of a folder to its lock file and to signatures, as
// far as the options ask for that, and returns their paths. It opens none.
func Verify(dir string, o Options) ([]string, error) {
	paths, _, err := Scan(dir)
	if err != nil {
		return nil, err
	}
	s, err := openStore()
	if err != nil {
		return nil, err
	}
	all, lock, err := candidates(dir, paths, o)
	if err != nil {
		return nil, err
	}
	each(all, func(c *candidate) error { return c.trust(s, o, lock) })
	errs := o.missing(dir, paths)
	var verified []string
	for _, c := range all {
		if c.err != nil {
			errs = append(errs, c.err)
		} else {
			verified = append(verified, c.path)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return verified, nil
}

// lockedNames returns the extensions of a plugin as a lock file has them.
func lockedNames(byKind map[string][]string) []string {
	var all []string
	for kind, names := range byKind {
		for _, name := range names {
			all = append(all, kind+"/"+name)
		}
	}
	slices.Sort(all)
	return all
}
