package builtin

import (
	"syscall"
	"testing"
	"time"

	"swiftgo/api"
)

// TestGracefulExit sends this process the signal.
func TestGracefulExit(t *testing.T) {
	c, err := newGracefulExit(own("graceful_exit", nil))
	if err != nil {
		t.Fatal(err)
	}
	s := &api.State{}
	if err := c.OnTrainBegin(s); err != nil {
		t.Fatal(err)
	}
	if c.OnStepEnd(s); s.Save || s.Stop != "" {
		t.Errorf("without a signal: save %v, stop %q", s.Save, s.Stop)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); s.Stop == "" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		c.OnStepEnd(s)
	}
	if !s.Save || s.Stop == "" {
		t.Errorf("after SIGUSR1: save %v, stop %q", s.Save, s.Stop)
	}
	c.OnTrainEnd(s)
}
