package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCrash has a plugin end the process in ways that nothing can catch: a line
// after Go's own names it and says from where the run can go on, and the report
// is in the run's directory.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	copyTo(t, read(t, badDir(t)+"/late.so"), dir+"/late.so")
	for name, want := range map[string]string{
		"late_goroutine": "panic: in the background at swiftgo/cmd/swiftgo/testdata/bad/late/late.go:…",
		"late_fatal":     "fatal error: sync: unlock of unlocked mutex at swiftgo/cmd/swiftgo/testdata/bad/late/late.go:…",
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			text, err := swiftgo(sft("qwen2", data(t, 30), out, "--max_steps", "6", "--save_steps", "2", "--plugins_dir", dir, "--callbacks", name)...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Fatalf("%v\n%s", err, text)
			}
			line := text[strings.Index(text, "swiftgo: died"):]
			want = "swiftgo: died in plugin late (" + filepath.Base(dir) + "/late.so): " + want +
				"; the report is in " + out + "/crash-….txt; go on with --resume_from_checkpoint " + filepath.Join(out, "checkpoint-2") + "\n"
			if !like(line, want) && name != "late_fatal" || !strings.Contains(line, "died in plugin late") {
				t.Errorf("it said\n%swant\n%s", line, want)
			}
			if reports, _ := filepath.Glob(filepath.Join(out, "crash-*.txt")); len(reports) != 1 || !strings.Contains(string(read(t, reports[0])), "late.go") {
				t.Errorf("reports %v", reports)
			}
		})
	}
}

// TestPanics has an extension of each other kind panic: one line names it, with
// its file and line, and no trace reaches the user.
func TestPanics(t *testing.T) {
	dir := t.TempDir()
	copyTo(t, read(t, badDir(t)+"/late.so"), dir+"/late.so")
	for _, c := range [][]string{
		{"loss_scale late_scale", "--loss_scale", "late_scale"},
		{"metric late_metric", "--eval_metric", "late_metric", "--split_dataset_ratio", "0.2", "--eval_steps", "2"},
		{"tuner late_tuner", "--tuner_type", "late_tuner"},
	} {
		t.Run(c[0], func(t *testing.T) {
			text, err := swiftgo(sft("qwen2", data(t, 30), filepath.Join(t.TempDir(), "out"), append(c[1:], "--max_steps", "6", "--plugins_dir", dir)...)...)
			if err == nil || !like(text, "…swiftgo: …"+c[0]+" ("+filepath.Base(dir)+"/late.so): panicked: late (…late.go:…)…") || strings.Contains(text, "goroutine ") {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// TestDisableOnPanic goes on without a callback and a metric that panic, and
// says so in the log and at the end; what such a run saved can be gone on from.
func TestDisableOnPanic(t *testing.T) {
	dir := t.TempDir()
	copyTo(t, read(t, badDir(t)+"/late.so"), dir+"/late.so")
	dataset, out := data(t, 30), filepath.Join(t.TempDir(), "out")
	flags := []string{"--max_steps", "6", "--save_steps", "2", "--plugins_dir", dir, "--plugin_on_panic", "disable", "--split_dataset_ratio", "0.2", "--eval_steps", "2"}
	text := must(t, sft("qwen2", dataset, out, append(flags, "--callbacks", "late_callback", "--eval_metric", "late_metric")...)...)
	for _, want := range []string{"disabled after step 2: metric late_metric", "disabled after step 3: callback late_callback"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if log := string(read(t, filepath.Join(out, "logging.jsonl"))); !strings.Contains(log, `"disabled"`) {
		t.Errorf("logging.jsonl does not say what was disabled")
	}
	if losses := logged(t, out, "loss"); len(losses) != 6 {
		t.Errorf("losses %v, want 6", losses)
	}
	must(t, sft("qwen2", dataset, out, append(flags, "--callbacks", "late_callback", "--resume_from_checkpoint", filepath.Join(out, "checkpoint-4"))...)...)
	if text, err := swiftgo(sft("qwen2", dataset, out, "--plugin_on_panic", "ignore")...); err == nil || !strings.Contains(text, `--plugin_on_panic is "ignore", want stop, disable`) {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestWatchdog has a callback that takes its time named while it does.
func TestWatchdog(t *testing.T) {
	dir := t.TempDir()
	copyTo(t, read(t, badDir(t)+"/late.so"), dir+"/late.so")
	text := must(t, sft("qwen2", data(t, 30), filepath.Join(t.TempDir(), "out"), "--max_steps", "3", "--plugins_dir", dir, "--callbacks", "late_return", "--plugin_watchdog", "1")...)
	if !like(text, `…an extension has not returned…name=late_return…method=OnStepEnd…at=…late.go:…`) {
		t.Errorf("it is not named:\n%s", text)
	}
}

// TestTryWatch tries a plugin in one process as it is written: with a mistake,
// mended, and changed.
func TestTryWatch(t *testing.T) {
	root := tree{"plug/a.go": orm("a_plug")}.write(t)
	cmd := exec.Command(binary, "plugin", "try", "orm", "a_plug", "--watch", "plug")
	cmd.Dir, cmd.Env = root, append(os.Environ(), offline...)
	cmd.Stdin = strings.NewReader(`{"text": "4", "truth": "4"}` + "\n")
	until := watched(t, cmd)
	source := filepath.Join(root, "plug", "a.go")
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(source, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	until(`{"ok":0}`)
	until("waiting")
	change(orm("a_plug") + "\nvar x int = \"text\"\n")
	until("cannot use")
	until("waiting")
	change(strings.Replace(orm("a_plug"), "return make([]float64, len(cs)), nil", "return []float64{7}, nil", 1))
	until(`{"ok":7}`)
	until("waiting")
	change(strings.Replace(orm("a_plug"), "return make([]float64, len(cs)), nil", `panic("no")`, 1))
	until(`{"error":"orm a_plug (`)
	until("waiting")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ended with %v", err)
	}
}

// TestNoexec has a cache folder from which nothing can be mapped to run.
func TestNoexec(t *testing.T) {
	cache := t.TempDir()
	if err := syscall.Mount("none", cache, "tmpfs", syscall.MS_NOEXEC, ""); err != nil {
		t.Skip("needs to mount a tmpfs, as root: ", err)
	}
	defer syscall.Unmount(cache, 0)
	for _, command := range []string{"check", "doctor"} {
		text, err := in(".", []string{"SWIFTGO_CACHE_DIR=" + cache, "SWIFTGO_PLUGINS_DIR=" + plugins}, binary, "plugin", command)
		if want := "its file system is mounted noexec; name another folder with SWIFTGO_CACHE_DIR"; err == nil || !strings.Contains(text, want) || strings.Contains(text, "goroutine ") {
			t.Errorf("plugin %s: %v\n%s", command, err, text)
		}
	}
}
