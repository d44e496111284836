package loader

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// diesEnv makes the test binary a process that dies as it says, in the
// directory of a run, with the package of the test as its plugin.
const diesEnv = "SWIFTGO_TEST_DIES"

func init() {
	crashMain()
	how, dir, ok := strings.Cut(os.Getenv(diesEnv), " ")
	if !ok {
		return
	}
	mine := Owner{Name: "mine", File: "plugins/mine.so", PluginPath: "swiftgo/loader"}
	if how == "stranger" {
		mine.PluginPath = "example.com/other"
	}
	if err := MonitorCrashes(Owner{Name: "other", File: "plugins/other.so", PluginPath: "example.com/more"}); err != nil {
		panic(err)
	}
	if err := MonitorCrashes(mine); err != nil {
		panic(err)
	}
	if how != "nowhere" {
		if err := ReportCrashes(dir); err != nil {
			panic(err)
		}
	}
	switch how {
	case "panic", "stranger", "nowhere":
		go func() { panic("no luck\nat all") }()
	case "created":
		go strings.Repeat("a", -1) // no function of the package is called
	case "fatal":
		go func() { new(sync.Mutex).Unlock() }()
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "exit":
		os.Exit(7)
	}
	time.Sleep(time.Minute)
	os.Exit(8)
}

// die runs a process that dies and returns its exit status and what it said.
func die(t *testing.T, how, dir string) (code int, said string) {
	t.Helper()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), diesEnv+"="+how+" "+dir, "TMPDIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run() // ends when nobody can write to out any more: no child is left
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", how, err, out.String())
	}
	return exit.ExitCode(), out.String()
}

// TestCrashes has processes die in all ways and reads what is said of it.
func TestCrashes(t *testing.T) {
	const file, goOn = `; the report is in (\S+/crash-\d{8}-\d{6}\.txt)`, `; go on with --resume_from_checkpoint \S+/checkpoint-20`
	for _, c := range []struct {
		how  string
		code int
		want string // at the end
	}{
		{"panic", 2, `\nswiftgo: died in plugin mine \(plugins/mine\.so\): panic: no luck at \S*loader/crash_test\.go:\d+` + file + goOn},
		{"created", 2, `\nswiftgo: died in plugin mine \(plugins/mine\.so\): panic: strings: negative Repeat count at \S*loader/crash_test\.go:\d+` + file + goOn},
		{"fatal", 2, `\nswiftgo: died in plugin mine \(plugins/mine\.so\): a fatal error, named above, at \S*loader/crash_test\.go:\d+` + file + goOn},
		{"stranger", 2, `\nswiftgo: died, and no plugin is in the stack: panic: no luck` + file + goOn},
		{"nowhere", 2, `\nswiftgo: died in plugin mine \(plugins/mine\.so\): panic: no luck at \S*loader/crash_test\.go:\d+` + file},
		{"kill", -1, ""},
		{"exit", 7, ""},
	} {
		dir := t.TempDir()
		for _, name := range []string{"checkpoint-9", "checkpoint-20", "checkpoint-30", "checkpoint-x"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
				t.Fatal(err)
			}
			if name != "checkpoint-30" { // saved with --save_only_model
				if err := os.WriteFile(filepath.Join(dir, name, "trainer_state.json"), nil, 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}
		code, said := die(t, c.how, dir)
		if code != c.code {
			t.Errorf("%s: exit status %d, want %d", c.how, code, c.code)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*crash-*"))
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			if said != "" || len(left) > 0 {
				t.Errorf("%s: said %q and left %v, want nothing", c.how, said, left)
			}
			continue
		}
		m := regexp.MustCompile(c.want + `\n$`).FindStringSubmatch(said)
		if m == nil {
			t.Errorf("%s: said\n%s\nwant at the end %s", c.how, said, c.want)
			continue
		}
		line := strings.TrimPrefix(m[0], "\n")
		trace := strings.TrimSuffix(said, line)
		if !strings.Contains(trace, "\ngoroutine ") {
			t.Errorf("%s: Go's own trace is hidden:\n%s", c.how, said)
		}
		text, err := os.ReadFile(m[1])
		kept, _, _ := strings.Cut(line, "; the report")
		trace = strings.TrimPrefix(trace, "fatal error: sync: unlock of unlocked mutex\n") // goes to standard error only
		if err != nil || string(text) != kept+"\n\n"+trace {
			t.Errorf("%s: the report is %v\n%s\nwant\n%s\n\n%s", c.how, err, text, kept, trace)
		}
		if len(left) != 1 || left[0] != m[1] {
			t.Errorf("%s: left %v, want %s", c.how, left, m[1])
		}
	}
}

// TestPlace reads traces as the runtime writes them.
func TestPlace(t *testing.T) {
	const trace = `35 gp=0xc000102fc0 m=3 mp=0xc000080008 [syscall]:
runtime.cgocall(0x4f2c40, 0xc00009ff08)
	runtime/cgocall.go:167 +0x4b fp=0xc00009fee0
example.com/dep.(*T[...]).Deep({0xc000012345, 0x3})
	example.com/dep@v1.0.0/dep.go:7 +0x25
example.com/mine%2ev2/sub.init.0.func1(...)
	example.com/mine.v2/sub/sub.go:30
example.com/mine%2ev2.(*loss).Compute(0xc0000)
	example.com/mine.v2/mine.go:12 +0x1d
swiftgo/core/registry.(*extension).guard(0xc0001)
	swiftgo/core/registry/guard.go:100 +0x1d
created by example.com/starter.Start in goroutine 1
	example.com/starter/starter.go:5 +0x4f`
	for _, c := range []struct {
		owner Owner
		want  string
	}{
		{Owner{PluginPath: "example.com/mine%2ev2"}, "example.com/mine.v2/mine.go:12"},
		{Owner{PluginPath: "example.com/mine%2ev2", Packages: []string{"example.com/mine%2ev2/sub"}}, "example.com/mine.v2/sub/sub.go:30"},
		{Owner{PluginPath: "example.com/mine%2ev2", Packages: []string{"example.com/dep"}}, "example.com/dep@v1.0.0/dep.go:7"},
		{Owner{PluginPath: "example.com/starter"}, "example.com/starter/starter.go:5"},
		{Owner{PluginPath: "example.com/mine"}, ""},
		{Owner{PluginPath: "example.com/other", Packages: []string{"runtime/cgo"}}, ""},
	} {
		if got := c.owner.place(trace); got != c.want {
			t.Errorf("place of %+v is %q, want %q", c.owner, got, c.want)
		}
	}
}
