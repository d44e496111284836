package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// DirLock is the sole right to write to a run directory. It ends with Unlock or with the process, however that ends.
type DirLock struct{ file *os.File }

const lockFile = ".lock"

// Lock makes dir if need be and takes it for this process. If another process has it, the error names that one. Keep
// the DirLock until the run is over.
func Lock(dir string) (*DirLock, error) {
	if err := CheckWritable(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := hold(f); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by %s: wait until it ends, stop it, or choose another --output_dir", dir, owner(f))
		}
		return nil, err
	}
	host, _ := os.Hostname() // only to help find the process
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "process %d on %s\n", os.Getpid(), host)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &DirLock{f}, nil
}

// Unlock gives the directory free. The file stays: removing it would let two others lock two different files.
func (l *DirLock) Unlock() error { return l.file.Close() }

// owner is what the holder of the lock wrote about itself.
func owner(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 300))
	if who := strings.TrimSpace(string(text)); err == nil && who != "" {
		return who
	}
	return "another process"
}

// CheckWritable makes dir if need be and proves that a file can be written there.
func CheckWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("cannot make the directory %s: %w: choose another --output_dir or its permissions", dir, reason(err))
	}
	probe := tempPath(dir, "probe")
	err := removeDead(probe)
	if err == nil {
		err = writeFile(probe, func(f *os.File) error {
			_, err := f.WriteString("can this be written?\n")
			return err
		})
	}
	if err == nil {
		err = os.Remove(probe)
	}
	if err != nil {
		return fmt.Errorf("cannot write to the directory %s: %w: choose another --output_dir, or change its permissions or free space there",
			dir, reason(err))
	}
	return nil
}
