package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"swiftgo"
	"swiftgo/api"
	"swiftgo/loader"
)

// swiftgoModule is the path of the module that package api belongs to. It has no dot,
// so no proxy can have it: it is always a folder.
const swiftgoModule = "swiftgo"

// Source returns a folder with the module swiftgo as far as a plugin can see it:
// the packages api and api/apitest of this binary. It is written, or mended, if
// it is not there as it should be.
func Source() (dir string, err error) {
	cache, err := loader.CacheDir()
	if err != nil {
		return "", err
	}
	files := source()
	dir = filepath.Join(cache, "src-"+sourceHash(files)[:16])
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		err = create(dir, files)
	}
	if err == nil {
		err = mend(dir, files)
	}
	if err != nil {
		return "", fmt.Errorf("the source of swiftgo/api: %w; name another cache folder with SWIFTGO_CACHE_DIR", err)
	}
	return dir, nil
}

// Note says, of the stamp of a plugin, that it was built from another source of
// package api than this binary's, or nothing. It may fit all the same: it brings
// its own bodies of the functions that are not inlined.
func Note(stamp json.RawMessage) string {
	var built struct{ API, Source string }
	if json.Unmarshal(stamp, &built) != nil || built.Source == "" || built.Source == sourceHash(source()) {
		return ""
	}
	return fmt.Sprintf("built from another source of package api (%s, here %s): functions of it may do other things in this plugin than in others", built.API, api.Version)
}

// source returns the embedded files, by path, without tests.
func source() map[string][]byte {
	files := map[string][]byte{}
	fs.WalkDir(swiftgo.Source, ".", func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() && !strings.HasSuffix(path, "_test.go") {
			files[path], err = swiftgo.Source.ReadFile(path)
		}
		return err // never: the files are in memory
	})
	return files
}

// sourceHash tells sources apart also where the fingerprints of their packages
// do not: those leave out the bodies of most functions.
func sourceHash(files map[string][]byte) string {
	h := sha256.New()
	for _, path := range sorted(files) {
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(files[path]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// create makes the folder, whole or not at all.
func create(dir string, files map[string][]byte) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := mend(tmp, files); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
		return err
	}
	return nil
}

// mend makes the folder hold the files and no other.
func mend(dir string, files map[string][]byte) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && files[filepath.ToSlash(name)] == nil && !strings.HasPrefix(d.Name(), "new-") { // a file that another process is writing
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range sorted(files) {
		path := filepath.Join(dir, name)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, files[name]) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := replace(path, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file that is whole at any time.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(0o444), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
