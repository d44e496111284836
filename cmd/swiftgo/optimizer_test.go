package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGracefulExit sends a run SIGUSR1: it saves, ends, and says so; perf_log has
// added its values to the log.
func TestGracefulExit(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(binary, sft("qwen2", data(t, 30), out, "--max_steps", "100000", "--callbacks", "perf_log", "graceful_exit")...)
	var text bytes.Buffer
	cmd.Stdout = &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(filepath.Join(out, "logging.jsonl")); err == nil && info.Size() > 0 {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(text.String(), "graceful_exit: user defined signal 1") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if saved, _ := filepath.Glob(filepath.Join(out, "checkpoint-*")); len(saved) != 1 {
		t.Errorf("checkpoints %v, want one", saved)
	}
	if len(logged(t, out, "MFU")) == 0 || len(logged(t, out, "TFLOP/s")) == 0 {
		t.Error("the log has neither MFU nor TFLOP/s")
	}
}
