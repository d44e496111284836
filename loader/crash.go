package loader

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Nothing in a process can catch a panic in a goroutine that a plugin has
// started, or a fatal error. But the runtime writes what it has to say to a
// pipe, too, at the other end of which a child of this process waits: it says
// whose fault it was and what can be done.

// crashEnv tells a child process that it is the one that waits.
const crashEnv = "SWIFTGO_CRASH_MONITOR"

// crashMain is the main of the child that MonitorCrashes starts. In any other
// process it returns at once.
func crashMain() {
	if os.Getenv(crashEnv) == "" {
		return
	}
	said, err := io.ReadAll(os.Stdin) // until the process is no more, however it ends
	if err != nil {
		os.Exit(1)
	}
	if c := newCrash(said); len(c.trace) > 0 {
		fmt.Fprintln(os.Stderr, c.report(time.Now()))
	}
	os.Exit(0)
}

// Owner is a plugin as a crash report names it.
type Owner struct {
	Name       string
	File       string   // "plugins/focal.so"
	PluginPath string   // see Plugin
	Packages   []string // that are in the plugin and not in this binary
}

// place returns file:line of the innermost function of the owner in the trace
// of a goroutine, that which started the goroutine included, or "".
func (o Owner) place(trace string) string {
	lines := strings.Split(trace, "\n")
	for i := 1; i < len(lines); i++ {
		function := strings.TrimPrefix(lines[i-1], "created by ")
		slash := strings.LastIndex(function, "/") + 1
		pkg, _, ok := strings.Cut(function[slash:], ".")
		if pkg = function[:slash] + pkg; !ok || !strings.HasPrefix(lines[i], "\t") || pkg != o.PluginPath && !slices.Contains(o.Packages, pkg) {
			continue
		}
		at, _, _ := strings.Cut(strings.TrimSpace(lines[i]), " +0x")
		return at
	}
	return ""
}

// note is what a process tells the child, as a line of JSON after noteMark.
type note struct {
	Owner *Owner `json:",omitempty"`
	Dir   string `json:",omitempty"` // of the run
}

const noteMark = "\x00swiftgo "

// monitor is the child of this process that waits.
var monitor struct {
	sync.Mutex
	pipe *os.File // nil if there is none
	dir  string
}

// MonitorCrashes has a death of this process by a plugin's fault told on
// standard error and kept in a file, after what Go says itself. It is called for
// each plugin before it is opened.
func MonitorCrashes(o Owner) error {
	monitor.Lock()
	defer monitor.Unlock()
	if monitor.pipe == nil {
		if err := startMonitor(); err != nil {
			return fmt.Errorf("crashes are not reported: %w", err)
		}
		if err := tell(note{Dir: monitor.dir}); err != nil {
			return err
		}
	}
	return tell(note{Owner: &o})
}

// ReportCrashes says in which directory of a run reports are kept and
// checkpoints are. Before that it is the directory for temporary files.
func ReportCrashes(dir string) error {
	monitor.Lock()
	defer monitor.Unlock()
	if monitor.dir = dir; monitor.pipe == nil {
		return nil
	}
	return tell(note{Dir: dir})
}

func startMonitor() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	c := exec.Command(self)
	c.Env = append(os.Environ(), crashEnv+"=1")
	c.Stdin, c.Stderr = r, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not meant for it
	if err := c.Start(); err != nil {
		w.Close()
		return err
	}
	go c.Wait() // so that it is no zombie if it is killed
	if err := debug.SetCrashOutput(w, debug.CrashOptions{}); err != nil {
		w.Close()
		return err
	}
	monitor.pipe = w
	return nil
}

func tell(n note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(monitor.pipe, "%s%s\n", noteMark, text)
	return err
}

// crash is the death of a process.
type crash struct {
	owners []Owner
	dir    string
	trace  []byte // empty if it died in peace
}

func newCrash(said []byte) *crash {
	c := &crash{}
	for line := range bytes.Lines(said) {
		var n note
		text, ok := bytes.CutPrefix(line, []byte(noteMark))
		switch {
		case !ok || json.Unmarshal(text, &n) != nil:
			c.trace = append(c.trace, line...)
		case n.Owner != nil:
			c.owners = append(c.owners, *n.Owner)
		default:
			c.dir = n.Dir
		}
	}
	return c
}

// report keeps the trace in a file and returns one line that says what is known.
func (c *crash) report(now time.Time) string {
	line := "swiftgo: died, and no plugin is in the stack: "
	at := ""
	for _, o := range c.owners {
		if at = o.place(c.goroutine()); at != "" {
			line, at = fmt.Sprintf("swiftgo: died in plugin %s (%s): ", o.Name, o.File), " at "+at
			break
		}
	}
	line += cmp.Or(cause(string(c.trace)), "a fatal error, named above,") + at // the runtime does not write the message of those to the pipe
	if path, err := c.keep(line, now); err != nil {
		line += fmt.Sprintf("; the report cannot be kept: %v", err)
	} else {
		line += "; the report is in " + path
	}
	if checkpoint := c.checkpoint(); checkpoint != "" {
		line += "; go on with --resume_from_checkpoint " + checkpoint
	}
	return line
}

// goroutine returns the trace of the goroutine that crashed, the first one.
func (c *crash) goroutine() string {
	_, trace, _ := strings.Cut("\n"+string(c.trace), "\ngoroutine ")
	trace, _, _ = strings.Cut(trace, "\n\n")
	return trace
}

// keep writes line and trace into a file and returns its path.
func (c *crash) keep(line string, now time.Time) (path string, err error) {
	dir := c.dir
	if _, err := os.Stat(dir); err != nil {
		dir = os.TempDir()
	}
	f, err := os.CreateTemp(dir, ".crash-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // by then it has its name, unless something failed
	_, err = fmt.Fprintf(f, "%s\n\n%s", line, c.trace)
	if err := cmp.Or(err, f.Close()); err != nil {
		return "", err
	}
	path = filepath.Join(dir, now.Format("crash-20060102-150405.txt"))
	return path, os.Rename(f.Name(), path)
}

// checkpoint returns the newest one of the run that can be gone on from, or "".
func (c *crash) checkpoint() (newest string) {
	if c.dir == "" {
		return ""
	}
	entries, _ := os.ReadDir(c.dir) // gone: no checkpoints
	most := 0
	for _, e := range entries {
		number, _ := strings.CutPrefix(e.Name(), "checkpoint-")
		step, err := strconv.Atoi(number)
		dir := filepath.Join(c.dir, e.Name())
		if _, none := os.Stat(filepath.Join(dir, "trainer_state.json")); err == nil && none == nil && step > most {
			newest, most = dir, step
		}
	}
	return newest
}
