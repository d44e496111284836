package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	c := start(t, "lock", dir)
	if got := c.line(t); got != "locked" {
		t.Fatal(got)
	}
	_, err := Lock(dir)
	wantError(t, err, dir+" is in use by process "+fmt.Sprint(c.Process.Pid)+" on ", "choose another --output_dir")
	c.kill()

	lock, err := Lock(dir)
	if err != nil {
		t.Fatalf("the lock outlived its process: %v", err)
	}
	other := start(t, "lock", dir)
	wantError(t, fmt.Errorf("%s", other.line(t)), "is in use by process")
	_, err = Lock(dir) // nor twice in one process
	wantError(t, err, "is in use by process")
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	lock, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	wantNames(t, dir, lockFile)
}

func TestCheckWritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := CheckWritable(dir); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
	path := write(t, dir, "file", nil)
	wantError(t, CheckWritable(path), "cannot make the directory "+path, "not a directory", "--output_dir")
	wantError(t, CheckWritable(filepath.Join(path, "c")), "cannot make the directory "+path, "not a directory")
	if _, err := os.Stat("/proc/self"); err == nil { // there not even root can make a file
		wantError(t, CheckWritable("/proc"), "cannot write to the directory /proc", "--output_dir")
	}
	_, err := Lock(path)
	wantError(t, err, path)
}
