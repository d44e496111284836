package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRescue has an extension of a plugin panic in the third step: the error
// names it and where it was, the last whole step is saved, and a run that goes on
// from there does what one does that was never disturbed.
func TestRescue(t *testing.T) {
	dir := t.TempDir()
	copyTo(t, read(t, badDir(t)+"/late.so"), dir+"/late.so")
	dataset := data(t, 30)
	for _, c := range []struct {
		flags []string
		want  string
		saved string
	}{
		{[]string{"--callbacks", "late_callback"}, "callback late_callback (" + filepath.Base(dir) + "/late.so): panicked: late (…late.go:…)", "checkpoint-3"},
		{[]string{"--loss_type", "late_loss"}, "loss late_loss (" + filepath.Base(dir) + "/late.so): panicked: late (…late.go:…)", "checkpoint-2"},
		{[]string{"--optimizer", "late_optimizer"}, "optimizer late_optimizer (" + filepath.Base(dir) + "/late.so): panicked: late (…late.go:…); nothing is saved: the weights may be half updated", ""},
	} {
		t.Run(c.flags[1], func(t *testing.T) {
			flags := []string{"--max_steps", "6", "--learning_rate", "1e-2", "--plugins_dir", dir}
			out := filepath.Join(t.TempDir(), "out")
			text, err := swiftgo(sft("qwen2", dataset, out, append(flags, c.flags...)...)...)
			if err == nil || !like(text, "…"+c.want+"…") || strings.Contains(text, "goroutine ") {
				t.Fatalf("%v\n%s", err, text)
			}
			saved := filepath.Join(out, c.saved)
			if c.saved == "" {
				if all, _ := filepath.Glob(filepath.Join(out, "checkpoint-*")); len(all) > 0 {
					t.Errorf("saved %v", all)
				}
				return
			}
			if _, err := os.Stat(saved); err != nil || !strings.Contains(text, "--resume_from_checkpoint "+saved) {
				t.Fatalf("%v\n%s", err, text)
			}
			whole := filepath.Join(t.TempDir(), "whole")
			must(t, sft("qwen2", dataset, whole, flags...)...)
			must(t, sft("qwen2", dataset, out, append(flags, "--resume_from_checkpoint", saved)...)...)
			want, got := logged(t, whole, "loss"), logged(t, out, "loss")
			const after = 2 // steps, that of the failure and one that is logged with it left out
			if len(want) != 6 || len(got) < after || !slices.Equal(got[len(got)-after:], want[len(want)-after:]) {
				t.Errorf("losses %v, want %v at the end", got, want)
			}
		})
	}
}
