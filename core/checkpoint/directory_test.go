package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fillText makes a checkpoint of one file.
func fillText(text string) func(string) error {
	return func(tmp string) error { return os.WriteFile(filepath.Join(tmp, "f"), []byte(text), 0o666) }
}

func wantText(t *testing.T, dir, want string) {
	t.Helper()
	wantNames(t, dir, "f")
	if got, err := os.ReadFile(filepath.Join(dir, "f")); string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", dir, got, err, want)
	}
}

func TestSave(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "not", "there", "yet")
	for _, text := range []string{"one", "two", "three"} {
		if err := Save(parent, "c", fillText(text)); err != nil {
			t.Fatal(err)
		}
		wantNames(t, parent, "c")
		wantText(t, filepath.Join(parent, "c"), text)
	}
}

func TestSaveFails(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		dir  string
		fill func(parent string) func(tmp string) error
		want string
	}{
		{"fill fails late", "c", func(string) func(string) error {
			return func(tmp string) error { return errors.Join(fillText("new")(tmp), broken) }
		}, "broken"},
		{"fill removes tmp", "c", func(string) func(string) error { return os.RemoveAll }, "no such file"},
		{"another save is under way", "c", func(parent string) func(string) error {
			return func(string) error { return Save(parent, "c", fillText("inner")) }
		}, "is being written by another process"},
		{"name with a slash", "../c", nil, `the name is "../c"`},
		{"hidden name", ".c", nil, `the name is ".c"`},
		{"no name", "", nil, `the name is ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			if err := Save(parent, "c", fillText("old")); err != nil {
				t.Fatal(err)
			}
			var fill func(string) error
			if test.fill != nil {
				fill = test.fill(parent)
			}
			wantError(t, Save(parent, test.dir, fill), "save "+filepath.Join(parent, test.dir), test.want)
			wantNames(t, parent, "c")
			wantText(t, filepath.Join(parent, "c"), "old")
		})
	}
	t.Run("fill panics", func(t *testing.T) {
		parent := t.TempDir()
		func() {
			defer func() { recover() }()
			Save(parent, "c", func(string) error { panic("fill") })
		}()
		wantNames(t, parent)
	})
	t.Run("parent is a file", func(t *testing.T) {
		path := write(t, t.TempDir(), "file", nil)
		wantError(t, Save(path, "c", fillText("new")), "save "+filepath.Join(path, "c"), "not a directory")
	})
}

// Each row is what a crash at one instant of Save, Rotate, Link or WriteJSON leaves behind.
func TestSweepAfterCrash(t *testing.T) {
	const dead = "-999999999" // no process has this id, though that is not what counts
	tests := []struct {
		name  string
		left  map[string]string // directory to text
		want  string            // text of c
		links []string
	}{
		{"while filling, nothing before", map[string]string{".tmp-c" + dead: "new"}, "", nil},
		{"while filling, old there", map[string]string{"c": "old", ".tmp-c" + dead: "new"}, "old", nil},
		{"between the renames", map[string]string{".replaced-c": "old", ".tmp-c" + dead: "new"}, "old", nil},
		{"after the renames", map[string]string{"c": "new", ".replaced-c": "old"}, "new", nil},
		{"while the old one goes", map[string]string{"c": "new", ".tmp-.replaced-c" + dead: "half"}, "new", nil},
		{"of a process of the same id", map[string]string{"c": "old", filepath.Base(tempPath("", "c")): "new"}, "old", nil},
		{"while linking", map[string]string{"c": "old"}, "old", []string{".tmp-best" + dead}},
		{"nothing", nil, "", nil},
	}
	for _, test := range tests {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, ", save again ", again), func(t *testing.T) {
				parent := t.TempDir()
				for dir, text := range test.left {
					path := filepath.Join(parent, dir)
					if err := os.Mkdir(path, 0o777); err != nil {
						t.Fatal(err)
					}
					if err := fillText(text)(path); err != nil {
						t.Fatal(err)
					}
				}
				for _, link := range test.links {
					if err := os.Symlink("c", filepath.Join(parent, link)); err != nil {
						t.Fatal(err)
					}
				}
				want := test.want
				if again { // without Sweep before
					want = "again"
					if err := Save(parent, "c", fillText(want)); err != nil {
						t.Fatal(err)
					}
				}
				write(t, parent, ".tmp-mine", nil) // not ours
				if err := Sweep(parent); err != nil {
					t.Fatal(err)
				}
				if want == "" {
					wantNames(t, parent, ".tmp-mine")
					return
				}
				wantNames(t, parent, "c", ".tmp-mine")
				wantText(t, filepath.Join(parent, "c"), want)
			})
		}
	}
	if err := Sweep(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
}

// What is being written is not swept.
func TestSweepLive(t *testing.T) {
	parent := t.TempDir()
	err := Save(parent, "c", func(tmp string) error {
		if err := Sweep(parent); err != nil {
			return err
		}
		return fillText("new")(tmp)
	})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, filepath.Join(parent, "c"), "new")
}

// A process that saves in a loop is killed at any instant; what is there afterwards is whole.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	saved, interrupted := 0, 0
	for range 20 {
		c := start(t, "save", dir)
		for range 1 + rand.IntN(3) {
			fmt.Sscan(c.line(t), &saved)
		}
		time.Sleep(rand.N(20 * time.Millisecond)) // only chooses the instant
		c.kill()

		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name()[0] == '.' }) {
			interrupted++
		}
		checkWhole(t, dir, saved)
		if err := Sweep(dir); err != nil {
			t.Fatal(err)
		}
		checkWhole(t, dir, saved)
		if g, err := generationOf(filepath.Join(dir, "model")); err != nil || g < saved {
			t.Fatalf("model is of generation %d, %v, want %d or later", g, err, saved)
		}
		entries, err = os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name()[0] == '.' {
				t.Errorf("%s is left after Sweep", e.Name())
			}
		}
	}
	t.Logf("%d generations; %d of 20 kills came in the middle of something", saved, interrupted)
}

// checkWhole checks that every listed checkpoint and the link is whole, and the latest no older than saved.
func checkWhole(t *testing.T, dir string, saved int) {
	t.Helper()
	steps, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if g, err := generationOf(s.Path); err != nil || g != s.Step {
			t.Fatalf("%s is of generation %d, %v", s.Path, g, err)
		}
	}
	if len(steps) == 0 || steps[len(steps)-1].Step < saved {
		t.Fatalf("%d steps are listed up to %v, want %d or later", len(steps), steps, saved)
	}
	if g, err := generationOf(filepath.Join(dir, "last")); err != nil || g < saved {
		t.Fatalf("last is of generation %d, %v, want %d or later", g, err, saved)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := Save(dir, "model", fillText("old")); err != nil {
		t.Fatal(err)
	}
	c := start(t, "full", dir)
	message := c.line(t)
	c.kill()
	for _, want := range []string{"save " + filepath.Join(dir, "model"), ModelFile, "file too large (it takes 0.200 MB)", "ulimit -f"} {
		if !strings.Contains(message, want) {
			t.Errorf("the error is %q, want %q in it", message, want)
		}
	}
	wantNames(t, dir, "model")
	wantText(t, filepath.Join(dir, "model"), "old")
}

func TestRotate(t *testing.T) {
	tests := []struct {
		steps string // as they are on disk
		limit int
		keep  []string
		want  string // what is left
	}{
		{"10 20 30", 0, nil, "10 20 30"},
		{"10 20 30", -1, nil, "10 20 30"},
		{"10 20 30", 3, nil, "10 20 30"},
		{"10 20 30", 2, nil, "20 30"},
		{"10 20 30", 1, nil, "30"},
		{"9 100 20", 2, nil, "20 100"},                                             // by number, not by letter
		{"10 20 30 40", 2, []string{"checkpoint-10"}, "10 40"},                     // the best counts inside the limit
		{"10 20 30 40", 3, []string{"checkpoint-10"}, "10 30 40"},                  //
		{"10 20 30 40", 2, []string{"out/v0/checkpoint-40"}, "30 40"},              // the best is the newest
		{"10 20 30 40", 1, []string{"out/v0/checkpoint-20"}, "20 40"},              // never without the newest
		{"10 20 30 40", 1, []string{"checkpoint-40"}, "40"},                        //
		{"10 20 30 40", 2, []string{"", "checkpoint-7"}, "30 40"},                  // no best yet, or gone
		{"10 20 30 40", 2, []string{"checkpoint-10", "checkpoint-20"}, "10 20 40"}, //
		{"", 1, nil, ""},
	}
	for _, test := range tests {
		parent := t.TempDir()
		for _, s := range strings.Fields(test.steps) {
			if err := Save(parent, stepPrefix+s, fillText(s)); err != nil {
				t.Fatal(err)
			}
		}
		removed, err := Rotate(parent, test.limit, test.keep...)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, s := range strings.Fields(test.want) {
			want = append(want, stepPrefix+s)
		}
		if n := len(strings.Fields(test.steps)) - len(want); len(removed) != n {
			t.Errorf("%v: removed %v, want %d", test, removed, n)
		}
		for _, r := range removed {
			if _, err := os.Stat(r); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v: %s is said to be removed, but %v", test, r, err)
			}
		}
		wantNames(t, parent, want...)
	}
}

// A checkpoint goes under another name before its files do, so that being cut off does not leave half of it listed: if
// that name cannot be had, it stays whole.
func TestRotateCutOff(t *testing.T) {
	parent := t.TempDir()
	for _, step := range []int{1, 2} {
		if err := Save(parent, Name(step), fillText("whole")); err != nil {
			t.Fatal(err)
		}
	}
	tmp := tempPath(parent, Name(1))
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(tmp)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := hold(held); err != nil {
		t.Fatal(err)
	}
	_, err = Rotate(parent, 1)
	wantError(t, err, "remove old checkpoint", Name(1))
	wantText(t, filepath.Join(parent, Name(1)), "whole")
}

func TestList(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"checkpoint-10", "checkpoint-9", "checkpoint-0", "checkpoint-007", "checkpoint--3", "checkpoint-+4",
		"checkpoint-", "checkpoint-5-merged", "checkpoint-99999999999999999999", "12", ".tmp-checkpoint-11-1", "runs"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	write(t, parent, "checkpoint-50", nil)
	if err := os.Symlink("checkpoint-9", filepath.Join(parent, "checkpoint-60")); err != nil {
		t.Fatal(err)
	}
	steps, err := List(parent)
	var want []Step
	for _, n := range []int{0, 9, 10} {
		want = append(want, Step{n, filepath.Join(parent, Name(n))})
	}
	if err != nil || !slices.Equal(steps, want) {
		t.Errorf("listed %v, %v, want %v", steps, err, want)
	}
	if s, err := Latest(parent); err != nil || s != want[2] {
		t.Errorf("latest is %v, %v, want %v", s, err, want[2])
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(parent, "none")} {
		if _, err := Latest(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("latest of %s: error is %v, want fs.ErrNotExist with the name", dir, err)
		}
	}
}

func TestLink(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := Save(parent, name, fillText(name)); err != nil {
			t.Fatal(err)
		}
		if err := Link(parent, "best", filepath.Join(parent, name)); err != nil {
			t.Fatal(err)
		}
		wantText(t, filepath.Join(parent, "best"), name)
		if target, err := os.Readlink(filepath.Join(parent, "best")); target != name {
			t.Errorf("the link is to %q, %v, want the relative %q", target, err, name)
		}
	}
	wantNames(t, parent, "a", "b", "best")
	wantError(t, Link(parent, "best", "c"), "best", "to c", "no such file")
	wantError(t, Link(parent, "a", "b"), "something else of this name")
	wantText(t, filepath.Join(parent, "best"), "b")
	wantText(t, filepath.Join(parent, "a"), "a")
}
