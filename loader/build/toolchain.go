package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"swiftgo/loader"
)

// toolchain is a go command of the release that this binary was built with.
type toolchain struct {
	path string
	env  []string // over the environment of this process
	log  io.Writer
}

// release is the Go release of this binary, without the experiments in it.
func release() string {
	r, _, _ := strings.Cut(runtime.Version(), " X:")
	return r
}

// newToolchain looks for the go command, "" being the one of PATH, and for what
// else a build needs.
func newToolchain(ctx context.Context, command string, log io.Writer) (*toolchain, error) {
	if command == "" {
		command = "go"
	}
	path, err := exec.LookPath(command)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("no go command: %w; install %s from https://go.dev/dl", err, release())
	}
	g := &toolchain{path: path, log: log}
	var found string
	// The go command that is there may be able to fetch the right one.
	for _, choice := range []string{"local", release()} {
		g.env = []string{"GOTOOLCHAIN=" + choice, "GO111MODULE=on"}
		out, err := g.run(ctx, os.TempDir(), "env", "GOVERSION", "CC", "GOFLAGS")
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			found += fmt.Sprintf("; with GOTOOLCHAIN=%s: %v", choice, err)
			continue
		}
		lines := strings.Split(out+"\n\n", "\n")
		if version, _, _ := strings.Cut(lines[0], " X:"); version != release() {
			found += fmt.Sprintf("; with GOTOOLCHAIN=%s it is %s", choice, lines[0])
			continue
		}
		if _, err := exec.LookPath(strings.Fields(lines[1] + " cc")[0]); err != nil {
			return nil, fmt.Errorf("no C compiler, without which Go cannot build plugins: %w; install one, such as gcc, or name one in CC", err)
		}
		g.env = append(g.env, "CGO_ENABLED=1", "GOFLAGS="+ownFlags(lines[2]))
		return g, nil
	}
	return nil, fmt.Errorf("this swiftgo was built with %s, and %s is another release%s; install %s from https://go.dev/dl, or name its go command with --go",
		release(), path, found, release())
}

// ownFlags returns those of an author's GOFLAGS that do not change what is built.
func ownFlags(goflags string) string {
	flags := []string{"-buildvcs=false"} // something, or the go command falls back on what go env -w set
	for _, f := range strings.Fields(goflags) {
		if f == "-modcacherw" || strings.HasPrefix(f, "-modcacherw=") || strings.HasPrefix(f, "-p=") {
			flags = append(flags, f)
		}
	}
	return strings.Join(flags, " ")
}

// flagsOf returns the flags with which a plugin must be built to fit the host,
// and sets the environment for it.
func (g *toolchain) flagsOf(host *loader.File) ([]string, error) {
	const rebuild = "build swiftgo with ./build.sh"
	if host.Setting("-trimpath") != "true" {
		return nil, errors.New("this swiftgo was built without -trimpath, so only plugins that are built in the very same folders fit it; " + rebuild + ", or with -trimpath")
	}
	if host.Setting("-pgo") != "" {
		return nil, fmt.Errorf("this swiftgo was built with the profile %s, which every plugin would have to be built with; %s", host.Setting("-pgo"), rebuild)
	}
	var flags []string
	env := map[string]string{"GOEXPERIMENT": "", "GOFIPS140": "off"}
	for _, s := range host.Build.Settings {
		switch s.Key {
		case "-trimpath", "-tags", "-race", "-msan", "-asan", "-gcflags", "-asmflags":
			flags = append(flags, s.Key+"="+s.Value)
		case "GOOS", "GOARCH", "GOAMD64", "GOEXPERIMENT", "GOFIPS140":
			env[s.Key] = s.Value
		case "-cover":
			return nil, errors.New("this swiftgo was built with -cover, and no plugin can fit it; " + rebuild)
		}
	}
	for _, key := range sorted(env) {
		g.env = append(g.env, key+"="+env[key])
	}
	return flags, nil
}

// run runs the go command and returns what it prints. An error is what it says.
func (g *toolchain) run(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, g.path, args...)
	c.Dir = dir
	c.Env = append(c.Environ(), g.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // compiler and linker end with it
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	switch text := strings.TrimSpace(said.String()); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && text != "":
		return "", errors.New(text)
	case err != nil:
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	g.note("%s", said.String())
	return out.String(), nil
}

// note passes on what is no error.
func (g *toolchain) note(format string, args ...any) {
	if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" && g.log != nil {
		fmt.Fprintln(g.log, text)
	}
}
