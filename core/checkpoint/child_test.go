package checkpoint

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the main of the child processes that the tests start, kill and starve: this binary again, with the
// work to do in the environment and the directory as its argument.
func TestMain(m *testing.M) {
	work, ok := children[os.Getenv(childWork)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := work(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

const childWork = "SWIFTGO_CHECKPOINT_TEST_CHILD"

var children = map[string]func(dir string) error{
	"save": saveForever,
	"full": saveTooMuch,
	"lock": lockForever,
}

// saveForever saves every step, and the step "model" again and again, rotating and linking as a trainer does. Each
// line that it prints is a generation of "model" that is saved.
func saveForever(dir string) error {
	first := 1
	if s, err := Latest(dir); err == nil {
		first = s.Step + 1
	}
	for generation := first; ; generation++ {
		for _, name := range []string{"model", Name(generation)} {
			if err := Save(dir, name, func(tmp string) error { return fillGeneration(tmp, generation) }); err != nil {
				return err
			}
		}
		if err := Link(dir, "last", Name(generation)); err != nil {
			return err
		}
		if _, err := Rotate(dir, 2); err != nil {
			return err
		}
		fmt.Println(generation)
	}
}

// saveTooMuch saves what is beyond the limit on the size of a file. (A file system that is full says ENOSPC at the
// same places.)
func saveTooMuch(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100_000, Max: 100_000}); err != nil {
		return err
	}
	return Save(dir, "model", func(tmp string) error {
		data := make([]float32, 50_000)
		return WriteSharded(tmp, []Tensor{{Name: "a", Shape: []int{len(data)}, Dtype: F32, Data: data}}, DefaultShardBytes)
	})
}

func lockForever(dir string) error {
	lock, err := Lock(dir)
	if err != nil {
		return err
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin) // until it is killed
	return lock.Unlock()
}

const shardsOfGeneration = 3

// fillGeneration makes a checkpoint of several files that all hold the generation.
func fillGeneration(dir string, generation int) error {
	var tensors []Tensor
	for i := range shardsOfGeneration {
		data := slices.Repeat([]float32{float32(generation)}, 1000)
		tensors = append(tensors, Tensor{Name: fmt.Sprint(i), Shape: []int{len(data)}, Dtype: F32, Data: data})
	}
	if err := WriteSharded(dir, tensors, 4000); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
		return err
	}
	return WriteJSON(filepath.Join(dir, "sub", StateFile), State{GlobalStep: generation})
}

// generationOf reads a checkpoint of fillGeneration and fails when it is not whole.
func generationOf(dir string) (int, error) {
	var s State
	if err := ReadJSON(filepath.Join(dir, "sub", StateFile), &s); err != nil {
		return 0, err
	}
	w, err := Open(dir)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	if n := len(w.Names()); n != shardsOfGeneration {
		return 0, fmt.Errorf("%s has %d tensors, want %d", dir, n, shardsOfGeneration)
	}
	for _, name := range w.Names() {
		data, _, err := w.Read(name)
		if err != nil {
			return 0, err
		}
		for _, v := range data {
			if v != float32(s.GlobalStep) {
				return 0, fmt.Errorf("%s is of generation %d, but a value of %s of %v", dir, s.GlobalStep, name, v)
			}
		}
	}
	return s.GlobalStep, nil
}

// child is a child process at work.
type child struct {
	*exec.Cmd
	out *bufio.Reader
}

func start(t *testing.T, work, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childWork+"="+work)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, bufio.NewReader(out)}
	t.Cleanup(c.kill)
	return c
}

// line waits for the next line that the child prints.
func (c *child) line(t *testing.T) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the child ended after %q: %v", s, err)
	}
	return strings.TrimSpace(s)
}

// kill ends the child with SIGKILL. It may be called again.
func (c *child) kill() {
	c.Process.Kill()
	c.Wait()
}
