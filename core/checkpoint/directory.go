package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Step is one checkpoint of a run: the directory checkpoint-<Step>.
type Step struct {
	Step int
	Path string
}

// Name is the name of the checkpoint of a step: checkpoint-<step>.
func Name(step int) string { return stepPrefix + strconv.Itoa(step) }

const stepPrefix = "checkpoint-"

// Save makes the directory name in parent. fill writes its files into tmp, a directory beside it; when it returns nil,
// all is brought to the disk and tmp takes the name, and the place of a directory that had it. When fill or anything
// else fails, tmp is removed and what had the name stays. One Save of a name at a time.
func Save(parent, name string, fill func(tmp string) error) (err error) {
	final := filepath.Join(parent, name)
	defer func() {
		if err != nil {
			err = fmt.Errorf("save %s: %w%s", final, err, advice(err))
		}
	}()
	if name == "" || name[0] == '.' || name != filepath.Base(name) {
		return fmt.Errorf("the name is %q, want a plain one that does not begin with a dot", name)
	}
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	if err := restore(parent, name); err != nil {
		return err
	}
	tmp := tempPath(parent, name)
	if err := removeDead(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // by then it has its name, unless something failed
	held, err := os.Open(tmp)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := hold(held); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := syncTree(tmp); err != nil {
		return err
	}
	return install(tmp, parent, name)
}

// install gives tmp its name. A crash in between leaves the old directory under replacedPrefix, for restore.
func install(tmp, parent, name string) error {
	final, old := filepath.Join(parent, name), filepath.Join(parent, replacedPrefix+name)
	err := os.Rename(final, old)
	replaces := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		if replaces {
			err = errors.Join(err, os.Rename(old, final))
		}
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	if replaces {
		return discard(old)
	}
	return nil
}

// restore ends an install that was cut off: it puts the old directory back if the new one did not get its name, and
// removes it if it did.
func restore(parent, name string) error {
	final, old := filepath.Join(parent, name), filepath.Join(parent, replacedPrefix+name)
	if _, err := os.Lstat(old); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if _, err := os.Lstat(final); err == nil {
		return discard(old)
	}
	return os.Rename(old, final)
}

// Sweep clears away what runs that were killed left in parent, and ends their replacements; what a live process is
// writing stays. A parent that does not exist is clean. Call it under the Lock of parent.
func Sweep(parent string) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep %s: %w", parent, err)
	}
	for _, e := range entries {
		err = nil
		if name, ok := strings.CutPrefix(e.Name(), replacedPrefix); ok {
			err = restore(parent, name)
		} else if tempName.MatchString(e.Name()) {
			if err = removeDead(filepath.Join(parent, e.Name())); errors.Is(err, errHeld) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("sweep %s: %w", parent, err)
		}
	}
	return nil
}

// List returns the checkpoints of a run, the oldest step first. Only real directories named checkpoint-<step> count.
func List(parent string) ([]Step, error) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var steps []Step
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), stepPrefix)
		step, err := strconv.Atoi(digits)
		if ok && err == nil && step >= 0 && Name(step) == e.Name() && e.IsDir() {
			steps = append(steps, Step{step, filepath.Join(parent, e.Name())})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return a.Step - b.Step })
	return steps, nil
}

// Latest returns the checkpoint of the highest step. Where there is none the error is an fs.ErrNotExist.
func Latest(parent string) (Step, error) {
	steps, err := List(parent)
	if err != nil {
		return Step{}, err
	}
	if len(steps) == 0 {
		return Step{}, fmt.Errorf("%s holds no %s<step> to go on from: %w", parent, stepPrefix, fs.ErrNotExist)
	}
	return steps[len(steps)-1], nil
}

// Rotate removes the oldest checkpoints of parent until limit are left, and returns the paths of the removed ones. The
// newest, to go on from, and those that keep names (the best; a path or a name) always stay and count inside the
// limit, so that a limit of 1 leaves two where the best is not the newest. A limit of 0 or less removes nothing.
func Rotate(parent string, limit int, keep ...string) (removed []string, err error) {
	steps, err := List(parent)
	if err != nil || limit <= 0 || len(steps) <= limit {
		return nil, err
	}
	kept := map[string]bool{filepath.Base(steps[len(steps)-1].Path): true}
	for _, k := range keep {
		kept[filepath.Base(k)] = true
	}
	room := limit
	for _, s := range steps {
		if kept[filepath.Base(s.Path)] {
			room--
		}
	}
	for _, s := range slices.Backward(steps) {
		switch {
		case kept[filepath.Base(s.Path)]:
		case room > 0:
			room--
		default:
			if err := discard(s.Path); err != nil {
				return removed, fmt.Errorf("remove old checkpoint: %w", err)
			}
			removed = append(removed, s.Path)
		}
	}
	slices.Reverse(removed)
	return removed, nil
}

// Link makes parent/name a symlink to target, a checkpoint in parent given by name or path, in place of the link that
// was there. The link is relative, so that parent can be moved.
func Link(parent, name, target string) error {
	target = filepath.Base(target)
	link := filepath.Join(parent, name)
	if _, err := os.Stat(filepath.Join(parent, target)); err != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, err)
	}
	if info, err := os.Lstat(link); err == nil && info.Mode().Type() != fs.ModeSymlink {
		return fmt.Errorf("link %s to %s: there is something else of this name, want a link or nothing: move it away", link, target)
	}
	tmp := tempPath(parent, name)
	if err := removeDead(tmp); err != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, err)
	}
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, reason(err))
	}
	if err := os.Rename(tmp, link); err != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, errors.Join(reason(err), os.Remove(tmp)))
	}
	return nil
}

// replacedPrefix marks a directory that is being replaced by Save.
const replacedPrefix = ".replaced-"

// tempPath is where this process makes or unmakes parent/name. The process id keeps processes apart; whether the
// owner lives is known by its lock, as ids come again (in a container every run may have the same).
func tempPath(parent, name string) string {
	return filepath.Join(parent, fmt.Sprintf(".tmp-%s-%d", name, os.Getpid()))
}

var tempName = regexp.MustCompile(`^\.tmp-.+-\d+$`)

// errHeld says that a live process, or another Save of this one, works under the path.
var errHeld = errors.New("it is being written by another process, wait for it")

// hold marks an open temporary file or directory as in use until it is closed or the process ends.
func hold(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// removeDead removes a temporary path that nobody holds; it is errHeld if somebody does, nil if there is none.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		return os.Remove(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := hold(f); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", path, errHeld)
	} else if err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// discard removes a directory so that no crash leaves half of it under its name.
func discard(path string) error {
	tmp := tempPath(filepath.Dir(path), filepath.Base(path))
	if err := removeDead(tmp); err != nil {
		return err
	}
	if err := os.Rename(path, tmp); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// replaceFile writes a file of that size beside path, brings it to the disk and gives it the name.
func replaceFile(path string, size int64, fill func(*os.File) error) error {
	dir, name := filepath.Split(path)
	tmp := tempPath(dir, name)
	err := removeDead(tmp)
	if err == nil {
		if err = writeFile(tmp, fill); err != nil {
			err = fmt.Errorf("%w%s", reason(err), lacking(dir, size, err))
		}
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	return nil
}

// writeFile makes a new file and leaves none when it fails.
func writeFile(path string, fill func(*os.File) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
		}
	}()
	if err := hold(f); err != nil {
		return err
	}
	if err := fill(f); err != nil {
		return err
	}
	return f.Sync()
}

// syncTree brings all files and directories under root to the disk.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return syncDir(path)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// syncDir brings the names in dir to the disk. Some file systems have no such thing and say EINVAL.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = f.Sync(); errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// reason takes the temporary path out of an error that is to name the final one.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// lacking says what a file takes that a disk did not take, and what of that there is.
func lacking(dir string, size int64, err error) string {
	var disk unix.Statfs_t
	switch {
	case errors.Is(err, unix.ENOSPC) && unix.Statfs(dir, &disk) == nil:
		return fmt.Sprintf(" (it takes %.3f MB, and %.3f MB are free)", float64(size)/1e6, float64(disk.Bavail)*float64(disk.Bsize)/1e6)
	case errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return fmt.Sprintf(" (it takes %.3f MB)", float64(size)/1e6)
	}
	return ""
}

// advice says what to do about a disk that took no more.
func advice(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return ": free some space there or choose another --output_dir, then go on with --resume_from_checkpoint; earlier checkpoints are whole"
	case errors.Is(err, unix.EFBIG):
		return ": raise the limit on the size of a file (ulimit -f) or choose another --output_dir, then go on with --resume_from_checkpoint; earlier checkpoints are whole"
	}
	return ""
}
