package loader

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// largest is the size in bytes beyond which a file is taken for no plugin; one
// that carries all of tensor and gonum has a fiftieth of it.
const largest = 1 << 30

// kept is how long what nothing has used stays in a store.
const kept = 30 * 24 * time.Hour

// CacheDir returns the folder where swiftgo keeps what it can make again, of
// this user alone: SWIFTGO_CACHE_DIR, or swiftgo in the user's cache folder.
func CacheDir() (string, error) {
	dir := os.Getenv("SWIFTGO_CACHE_DIR")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil { // no HOME, as in some containers
			user = filepath.Join(os.TempDir(), "user-"+strconv.Itoa(os.Geteuid()))
		}
		dir = filepath.Join(user, "swiftgo")
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; name another with SWIFTGO_CACHE_DIR", err)
	}
	return dir, nil
}

// store is a folder with private copies of plugins, by the digest of their
// content, and with what is known of them. Only this user can write to it, so
// what is opened is what was checked, whatever happens to the original, and a
// plugin that is written over while a run has it open does not take it down.
//
//	sha256.so              a copy
//	at-KEY.json            the digest of the file at a path, as long as it is the same file
//	host-KEY.json          what Host says of a binary
//	sha256-KEY.json        what Inspect says of a plugin in that binary
//	sha256-KEY.probe.json  what a probe of it by a binary found
type store struct {
	dir  string
	host string // KEY of this binary
}

// identity tells whether a file is still the one that it was, as git does.
type identity struct {
	Device, Inode  uint64
	Size           int64
	Changed, Moved syscall.Timespec // mtime and ctime
}

func identify(info fs.FileInfo) identity {
	s := info.Sys().(*syscall.Stat_t)
	return identity{s.Dev, s.Ino, s.Size, s.Mtim, s.Ctim}
}

// openStore opens the store of this user.
func openStore() (*store, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	s := &store{dir: filepath.Join(cache, "plugins")}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w; name another folder with SWIFTGO_CACHE_DIR", err)
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return nil, err
	}
	if err := OwnerStrict.entry(s.dir, info, uint32(os.Geteuid())); err != nil {
		return nil, fmt.Errorf("the cache folder: %w", err)
	}
	var system unix.Statfs_t
	if unix.Statfs(s.dir, &system) == nil && system.Flags&unix.ST_NOEXEC != 0 {
		return nil, fmt.Errorf("plugins cannot be opened in the cache folder %s: its file system is mounted noexec; name another folder with SWIFTGO_CACHE_DIR", s.dir)
	}
	self, err := os.Stat(self)
	if err != nil {
		return nil, fmt.Errorf("reading this program: %w", err)
	}
	s.host = key(identify(self))
	return s, nil
}

// CheckStore returns the folder of the private copies, or why there can be none.
func CheckStore() (dir string, err error) {
	s, err := openStore()
	if err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return "", fmt.Errorf("%w; name another folder with SWIFTGO_CACHE_DIR", err)
	}
	tmp.Close()
	return s.dir, os.Remove(tmp.Name())
}

// take returns the private copy of the plugin at path and its digest.
func (s *store) take(path string) (private, digest string, err error) {
	in, info, err := openFile(path)
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	id := identify(info)
	at := filepath.Join(s.dir, "at-"+key(path)+".json")
	var known struct {
		Identity identity
		SHA256   string
	}
	if s.load(at, &known) && known.Identity == id {
		private := filepath.Join(s.dir, known.SHA256+".so")
		if copied, err := os.Stat(private); err == nil && copied.Size() == info.Size() {
			s.touch(private)
			return private, known.SHA256, nil
		}
	}
	if private, digest, err = s.copy(in); err != nil {
		return "", "", err
	}
	// A file that changes within the clock's grain of its last change looks the
	// same, so one that is that young is read again the next time.
	if time.Since(time.Unix(id.Moved.Unix())) > time.Second {
		known.Identity, known.SHA256 = id, digest
		s.save(at, known)
	}
	return private, digest, nil
}

// copy writes what is in a file to the store, whole or not at all.
func (s *store) copy(in io.Reader) (private, digest string, err error) {
	tmp, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return "", "", fmt.Errorf("private copy: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	h := sha256.New()
	_, err = io.Copy(tmp, io.TeeReader(in, h))
	if err == nil {
		err = tmp.Chmod(0o500)
	}
	if err == nil {
		err = tmp.Close()
	}
	if err == nil {
		digest = hex.EncodeToString(h.Sum(nil))
		private = filepath.Join(s.dir, digest+".so")
		err = os.Rename(tmp.Name(), private)
	}
	if err != nil {
		return "", "", fmt.Errorf("private copy: %w", err)
	}
	s.sweep()
	return private, digest, nil
}

// sweep removes what has not been used for long. A copy that a process has
// mapped stays with it.
func (s *store) sweep() {
	entries, _ := os.ReadDir(s.dir) // the next copy sweeps again
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > kept {
			os.Remove(filepath.Join(s.dir, e.Name()))
		}
	}
}

// touch notes that an entry was used, once a day so that a start writes nothing.
func (s *store) touch(path string) {
	now := time.Now()
	if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > 24*time.Hour {
		os.Chtimes(path, now, now)
	}
}

// self returns what Host does, from the store if it is there.
func (s *store) self() (*File, error) {
	path := filepath.Join(s.dir, "host-"+s.host+".json")
	f := &File{}
	if s.load(path, f) {
		return f, nil
	}
	f, err := Host()
	if err == nil {
		s.save(path, f)
	}
	return f, err
}

// inspected returns what Inspect does of a copy, from the store if it is there.
func (s *store) inspected(private, digest string) (*File, error) {
	path := filepath.Join(s.dir, digest+"-"+s.host+".json")
	f := &File{}
	if s.load(path, f) {
		return f, nil
	}
	f, err := Inspect(private)
	if err == nil {
		s.save(path, f)
	}
	return f, err
}

// probed returns what a probe of a copy finds, from the store if it is there and
// of this binary.
func (s *store) probed(private string, f *File, timeout time.Duration) (report, error) {
	path := filepath.Join(s.dir, f.SHA256+"-"+s.host+".probe.json")
	var r report
	if s.load(path, &r) {
		return r, nil
	}
	r, err := probe(f, private, timeout)
	if err != nil {
		return r, err
	}
	s.save(path, r)
	return r, nil
}

// load reads an entry, and reports whether it is there and whole.
func (s *store) load(path string, v any) bool {
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, v) != nil {
		return false
	}
	s.touch(path)
	return true
}

// save writes an entry. Without it the work is done again the next time.
func (s *store) save(path string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	tmp, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return
	}
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil || os.Rename(tmp.Name(), path) != nil {
		os.Remove(tmp.Name())
	}
}

// key returns a name for the file of an entry about v.
func key(v any) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(v)))
	return strings.ToLower(hex.EncodeToString(sum[:8]))
}
