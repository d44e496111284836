package loader

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// OwnerCheck says who else than the user of this process and root may be able to
// change a plugin. A file is as safe as the folders above it, so all of them are
// looked at, as sshd does with its keys (StrictModes).
type OwnerCheck string

const (
	OwnerStrict OwnerCheck = "strict" // nobody
	OwnerGroup  OwnerCheck = "group"  // the groups of files and folders
	OwnerOff    OwnerCheck = "off"    // anybody
)

var ownerChecks = []OwnerCheck{OwnerStrict, OwnerGroup, OwnerOff}

// ParseOwnerCheck returns the OwnerCheck that text names; "" is OwnerStrict.
func ParseOwnerCheck(text string) (OwnerCheck, error) {
	if text == "" {
		return OwnerStrict, nil
	}
	if !slices.Contains(ownerChecks, OwnerCheck(text)) {
		return "", fmt.Errorf("the owner check is %q, want strict, group or off", text)
	}
	return OwnerCheck(text), nil
}

// Trusted returns an error if someone could change the file or folder at path:
// where the path leads to, and on the way there.
func (c OwnerCheck) Trusted(path string) error {
	if c == OwnerOff {
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // openFile says what is wrong with it
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	if filepath.Dir(real) != dir {
		return &Error{Err: fmt.Errorf("a link that leads out of the folder, to %s", real), Hint: fmt.Sprintf("cp --remove-destination %s %s, or give --plugins_owner_check off", shellWord(real), shellWord(path))}
	}
	seen := map[string]bool{}
	for _, p := range []string{filepath.Dir(path), real} { // the link's folder, then the file and its folders
		for ; !seen[p]; p = filepath.Dir(p) {
			seen[p] = true
			info, err := os.Stat(p)
			if err != nil {
				return err
			}
			if err := c.entry(p, info, uint32(os.Geteuid())); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry checks one file or folder for a process of the user uid.
func (c OwnerCheck) entry(path string, info fs.FileInfo, uid uint32) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the owner of %s is not known", path)
	}
	const off = ", or give --plugins_owner_check off"
	mode := info.Mode()
	switch writable := mode.Perm() & 0o022; {
	case stat.Uid != 0 && stat.Uid != uid:
		return &Error{Err: fmt.Errorf("%s belongs to user %d, who could change it; want root or the user of this process, %d", path, stat.Uid, uid), Hint: fmt.Sprintf("chown %d %s%s", uid, shellWord(path), off)}
	case info.IsDir() && mode&os.ModeSticky != 0: // such as /tmp: entries can be replaced by their owner only
		return nil
	case writable&0o002 != 0:
		return &Error{Err: fmt.Errorf("%s can be written by everybody (mode %v)", path, mode), Hint: "chmod go-w " + shellWord(path) + off}
	case writable != 0 && c != OwnerGroup:
		return &Error{Err: fmt.Errorf("%s can be written by its group, %d (mode %v)", path, stat.Gid, mode), Hint: "chmod g-w " + shellWord(path) + ", or give --plugins_owner_check group"}
	}
	return nil
}

// shellWord returns path as a shell takes it.
func shellWord(path string) string {
	if strings.ContainsAny(path, " \t\n'\"\\$`!*?[](){}<>|&;#~") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
