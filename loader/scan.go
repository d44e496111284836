package loader

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Skip is an entry of a plugin folder that is no plugin.
type Skip struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Scan returns the entries of a folder that are named .so, in the order of their
// names, and all others with the reason why they are no plugins.
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
		path, reason := filepath.Join(dir, e.Name()), ""
		switch name := e.Name(); {
		case name == LockFile:
			reason = "the lock file"
		case strings.HasSuffix(name, ".so"+signatureExt):
			reason = "a signature"
		case name[0] == '.':
			reason = "hidden"
		case e.IsDir() && filepath.Ext(name) != ".so":
			reason = "a folder"
		case filepath.Ext(name) != ".so":
			reason = "not named .so"
		}
		if reason != "" {
			skipped = append(skipped, Skip{path, reason})
		} else {
			paths = append(paths, path)
		}
	}
	return paths, skipped, nil
}

// openFile opens a file that may be a plugin, to read it. It refuses what cannot
// be one before it reads much of it.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	refuse := func(hint, format string, args ...any) (*os.File, fs.FileInfo, error) {
		return nil, nil, &Error{path, fmt.Errorf(format, args...), hint}
	}
	const remove = "remove it, or " + rebuild
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return refuse("remove the link", "a link that leads nowhere")
		}
		return refuse("name a file that is there", "not there")
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return refuse("remove it", "not a regular file but a %s", kindOf(info.Mode()))
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // it may be a FIFO by now
	if errors.Is(err, fs.ErrPermission) {
		return refuse("chmod a+r "+shellWord(path), "cannot be read: permission denied (mode %v)", info.Mode())
	}
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file any more")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	magic := make([]byte, len(elf.ELFMAG))
	_, err = f.ReadAt(magic, 0)
	switch {
	case info.Size() == 0:
		f.Close()
		return refuse("copy it again, or "+rebuild, "empty")
	case err != nil || string(magic) != elf.ELFMAG:
		f.Close()
		return refuse(remove, "not an ELF file, so not a plugin")
	case info.Size() > largest:
		f.Close()
		return refuse(remove, "%d bytes long, want at most %d", info.Size(), largest)
	}
	return f, info, nil
}

// kindOf names what a file is that is not a regular one.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}
