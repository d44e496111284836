package loader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"plugin"
	"strings"
	"syscall"
	"time"

	"swiftgo/api"
)

// probeEnv names the plugin that a child process is to open.
const probeEnv = "SWIFTGO_PROBE"

// report is what the child found in a plugin.
type report struct {
	Error    string
	Refused  bool // by plugin.Open
	Manifest api.Manifest
	Names    map[string][]string // by kind
}

// ProbeMain must be the first thing that the main of a program with plugins
// calls. In a child process of this package it does what that is there for, opens
// a plugin and reports what is in it, or waits for a crash, and ends the process;
// else it returns at once.
func ProbeMain() {
	crashMain()
	path := os.Getenv(probeEnv)
	if path == "" {
		return
	}
	os.Unsetenv(probeEnv)
	syscall.CloseOnExec(3)
	out := os.NewFile(3, "report")
	var r report
	p, err := plugin.Open(path)
	if err != nil {
		r.Error, r.Refused = err.Error(), true
	} else {
		exports, manifest, err := collect(lookup(p))
		r.Manifest, r.Names = manifest, namesByKind(&exports)
		if err != nil {
			r.Error = err.Error()
		}
	}
	if err := json.NewEncoder(out).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// probe opens the copy of a plugin in a child process.
func probe(f *File, private string, timeout time.Duration) (report, error) {
	fail := func(err error, hint string) (report, error) { return report{}, &Error{f.Path, err, hint} }
	if os.Getenv(probeEnv) != "" {
		return fail(errors.New("probed by a program whose main does not begin with loader.ProbeMain()"), "call it there")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fail(err, "")
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c := exec.CommandContext(ctx, self)
	c.Env = append(os.Environ(), probeEnv+"="+private)
	c.ExtraFiles = []*os.File{w}
	output := &head{}
	c.Stdout, c.Stderr = output, output
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGQUIT) } // it says where it hangs
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		w.Close()
		return fail(err, "")
	}
	w.Close()
	said := make(chan []byte, 1)
	go func() {
		data, _ := io.ReadAll(r)
		said <- data
	}()
	if err = c.Wait(); errors.Is(err, exec.ErrWaitDelay) { // it ended well, and a process that it started goes on
		err = nil
	}
	r.SetReadDeadline(time.Now().Add(time.Second)) // a process that the plugin started may hold the pipe
	var rep report
	if json.Unmarshal(<-said, &rep) == nil {
		switch {
		case rep.Refused:
			return report{}, refused(f.Path, errors.New(rep.Error))
		case rep.Error != "":
			return rep, &Error{f.Path, errors.New(rep.Error), "mend the plugin"}
		}
		return rep, nil
	}
	at := place(output.String(), f.PluginPath)
	const hint = "mend the plugin's init functions and package variables; they must have no effect outside it"
	switch text := cause(output.String()); {
	case ctx.Err() != nil:
		return fail(fmt.Errorf("still not open after %v%s", timeout, at), hint)
	case err == nil:
		return fail(errors.New("ended the process with status 0 while it was opened: an init function calls os.Exit"), hint)
	case text != "":
		return fail(fmt.Errorf("died while it was opened: %s%s", text, at), hint)
	default:
		return fail(fmt.Errorf("ended the process while it was opened: %v%s", err, at), hint)
	}
}

// cause returns the line of a dying Go program's last words that says why.
func cause(output string) string {
	for line := range strings.Lines(output) {
		for _, sign := range []string{"panic: ", "fatal error: ", "SIG", "runtime: "} {
			if strings.HasPrefix(line, sign) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// place returns " at file:line" for the innermost function of the plugin in a
// stack trace, or "".
func place(output, pluginPath string) string {
	lines := strings.Split(output, "\n")
	for i := 1; i < len(lines); i++ {
		if strings.HasPrefix(lines[i-1], pluginPath+".") {
			file, _, _ := strings.Cut(strings.TrimSpace(lines[i]), " +0x")
			return " at " + file
		}
	}
	return ""
}

// head keeps the first bytes written to it.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	const most = 1 << 18
	if room := most - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
