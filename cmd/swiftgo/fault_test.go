package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
)

// filesOf returns the names of all files below dir.
func filesOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sound holds that every checkpoint of the run in dir is whole: that it has the
// files and the tensors of the checkpoint of that step in another run, which
// nothing disturbed. It returns the newest, "" if there is none.
func sound(t *testing.T, dir, whole string) (newest string) {
	t.Helper()
	named, err := filepath.Glob(filepath.Join(dir, "checkpoint-*"))
	if err != nil || len(named) == 0 {
		return ""
	}
	steps, err := checkpoint.List(dir)
	if err != nil || len(steps) != len(named) {
		t.Fatalf("%v, of which %v are checkpoints: %v", named, steps, err)
	}
	for _, s := range steps {
		want := filepath.Join(whole, filepath.Base(s.Path))
		files := filesOf(t, s.Path)
		if other := filesOf(t, want); !slices.Equal(files, other) {
			t.Fatalf("%s has %v, want %v", s.Path, files, other)
		}
		for _, name := range files {
			text := read(t, filepath.Join(s.Path, name))
			switch filepath.Ext(name) {
			case ".safetensors":
				if !bytes.Equal(text, read(t, filepath.Join(want, name))) {
					t.Errorf("%s of %s differs", name, s.Path)
				}
			case ".json":
				if !json.Valid(text) {
					t.Errorf("%s of %s is no JSON", name, s.Path)
				}
			}
		}
		newest = s.Path
	}
	for _, link := range []string{"last", "best"} {
		path := filepath.Join(dir, link)
		if _, err := os.Lstat(path); err == nil {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("a link leads nowhere: %v", err)
			}
		}
	}
	return newest
}

// byStep returns the values under key in a run's log.
func byStep(t *testing.T, dir, key string) map[string]json.Number {
	t.Helper()
	all := map[string]json.Number{}
	for line := range strings.Lines(string(read(t, filepath.Join(dir, "logging.jsonl")))) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var l map[string]any
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if x, ok := l[key].(json.Number); ok {
			all[l["global_step/max_steps"].(string)] = x
		}
	}
	return all
}

// sameEnd holds that a run that was disturbed logged what one logged that was
// not, but for the lines that may be missing, and that nothing is left of what
// disturbed it.
func sameEnd(t *testing.T, dir, whole string, missing ...string) {
	t.Helper()
	for _, key := range []string{"loss", "grad_norm", "token_acc", "eval_loss"} {
		want, got := byStep(t, whole, key), byStep(t, dir, key)
		for _, m := range missing {
			delete(want, m)
			delete(got, m)
		}
		if len(want) == 0 && key != "eval_loss" || !maps.Equal(want, got) {
			t.Errorf("%s\n%v, want\n%v", key, got, want)
		}
	}
	if newest := sound(t, dir, whole); filepath.Base(newest) != filepath.Base(sound(t, whole, whole)) {
		t.Errorf("the last checkpoint is %s", newest)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".[tr]*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// TestKilledWhileSaving kills runs that save after every step, at instants drawn
// while they save: every checkpoint that is there is whole, and the run that goes
// on from the newest, killed again and again, computes what one does that nothing
// disturbed.
func TestKilledWhileSaving(t *testing.T) {
	seed, kills := uint64(time.Now().UnixNano()), 10
	if text := os.Getenv("TEST_SEED"); text != "" {
		fmt.Sscan(text, &seed)
	}
	if os.Getenv("TEST_LONG") != "" {
		kills = 40
	}
	t.Logf("TEST_SEED=%d draws the same instants", seed)
	dataset := data(t, 30)
	for i, flags := range []string{
		"--tuner_type full --max_shard_size 100KB --save_total_limit 2",
		"--tuner_type lora --lora_dtype bfloat16 --modules_to_save lm_head --save_total_limit 1",
		"--tuner_type full --torch_dtype bfloat16",
	} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			dir := t.TempDir()
			whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
			steps := 3 * kills
			args := func(out string, more ...string) []string {
				all := append(strings.Fields(flags), "--threads", "1", "--learning_rate", "1e-2", "--max_steps", fmt.Sprint(steps), "--save_steps", "1",
					"--split_dataset_ratio", "0.1", "--eval_steps", "2", "--create_checkpoint_symlink")
				return sft("llama", dataset, out, append(all, more...)...)
			}
			began := time.Now()
			must(t, args(whole, "--save_total_limit", "0")...)
			span := time.Since(began) / time.Duration(2*steps) // about that of a save
			newest, inside := "", 0
			for n, runs := 0, 0; n < kills; runs++ {
				if runs > 3*kills {
					t.Fatalf("only %d of %d runs were killed", n, runs)
				}
				var resume []string
				if newest != "" {
					resume = []string{"--resume_from_checkpoint", newest}
				}
				if killedWhileSaving(t, cut, 1+r.IntN(2), time.Duration(r.Float64()*float64(span)), args(cut, resume...)) {
					n++
				} else {
					sameEnd(t, cut, whole)
				}
				if left, _ := filepath.Glob(filepath.Join(cut, ".[tr]*")); len(left) > 0 {
					inside++
				}
				before := newest
				if newest = sound(t, cut, whole); stepOf(newest) < stepOf(before) {
					t.Fatalf("after %s the newest is %q", before, newest)
				}
				if stepOf(newest) == steps { // it was faster than the kill
					newest, cut = "", cut+"again"
				}
			}
			if newest != "" {
				must(t, args(cut, "--resume_from_checkpoint", newest)...)
				sameEnd(t, cut, whole)
			}
			if inside == 0 {
				t.Error("no kill came in the middle of a save; is the test blind?")
			}
			t.Logf("%d of %d kills came in the middle of a save, at the end at step %d of %d", inside, kills, stepOf(newest), steps)
		})
	}
}

func stepOf(path string) (step int) {
	fmt.Sscanf(filepath.Base(path), "checkpoint-%d", &step)
	return step
}

// killedWhileSaving runs the binary and kills it some time after it has begun to
// save for the nth time. It reports whether the run was not over before.
func killedWhileSaving(t *testing.T, dir string, n int, after time.Duration, args []string) bool {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	begun := map[string]bool{}
	for len(begun) < n && len(exited) == 0 {
		temporary, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf(".tmp-checkpoint-*-%d", cmd.Process.Pid)))
		for _, path := range temporary {
			begun[path] = true
		}
		time.Sleep(200 * time.Microsecond)
	}
	time.Sleep(after) // only chooses the instant
	cmd.Process.Kill()
	err := <-exited
	if err != nil && cmd.ProcessState.ExitCode() >= 0 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return err != nil
}

// faulty returns the flags of a run of six steps in three epochs that has the
// plugin late for everything a run can have a plugin for. Nothing of it fails but
// what more says.
func faulty(dir, dataset, out string, more ...string) []string {
	flags := []string{"--plugins_dir", dir, "--threads", "1", "--max_steps", "6", "--save_steps", "2", "--val_dataset", dataset + "#2", "--eval_steps", "2",
		"--callbacks", "late_hook", "--loss_type", "late_loss", "--optimizer", "late_optimizer", "--tuner_type", "late_tuner", "--eval_metric", "late_metric"}
	for _, name := range []string{"loss", "optimizer", "tuner", "metric"} {
		flags = append(flags, "--late_"+name+".in", "nothing")
	}
	return sft("llama", dataset, out, append(flags, more...)...)
}

// late returns a folder with the plugin of that name alone.
func late(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	copyTo(t, read(t, badDir(t)+"/late.so"), dir+"/late.so")
	return dir
}

// TestFaults has each hook and method of a plugin panic, from its nth call on.
// One line names it, with its file and line; the last whole step is saved, or it
// is said that there is none, or why not; every checkpoint is whole, and the run
// that goes on from the newest ends as one that nothing disturbed.
func TestFaults(t *testing.T) {
	dir, dataset := late(t), data(t, 8)
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, faulty(dir, dataset, whole, "--save_steps", "1")...)
	const none, half, done = "no step was done", "the weights may be half updated", "all 6 steps are done and saved"
	cases := []struct {
		name, in string
		call     int
		saved    int    // the newest step
		said     string // if it is not where to go on from
	}{
		{"hook", "OnInitEnd", 1, 0, none}, {"hook", "OnTrainBegin", 1, 0, none}, {"hook", "OnEpochBegin", 1, 0, none}, {"hook", "OnStepBegin", 1, 0, none},
		{"hook", "OnEpochBegin", 2, 2, ""}, {"hook", "OnStepBegin", 4, 3, ""}, {"hook", "OnSubstepEnd", 4, 3, ""}, {"hook", "OnPreOptimizerStep", 4, 3, ""},
		{"hook", "OnOptimizerStep", 4, 2, half}, {"hook", "OnOptimizerStep", 1, 0, none}, {"hook", "OnStepEnd", 3, 3, ""}, {"hook", "OnLog", 4, 3, ""},
		{"hook", "OnPredictionStep", 4, 4, ""}, {"hook", "OnEvaluate", 2, 4, ""}, {"hook", "OnSave", 2, 4, ""}, {"hook", "OnEpochEnd", 2, 4, ""},
		{"hook", "OnTrainEnd", 1, 6, done}, {"hook", "Save", 1, 0, "nothing is saved: checkpoint of step 2"}, {"hook", "Save", 2, 2, "step 4 is not saved"}, {"hook", "Load", 1, 2, "-"},
		{"loss", "Compute", 9, 3, ""}, {"loss", "gradient", 8, 3, ""},
		{"optimizer", "Step", 4, 2, half}, {"optimizer", "Schedule", 4, 3, ""}, {"optimizer", "State", 2, 2, "step 4 is not saved"},
		{"optimizer", "Rates", 3, 3, ""}, {"optimizer", "Restore", 1, 2, "-"},
		{"metric", "Add", 2, 2, ""}, {"metric", "Result", 1, 2, ""},
		{"tuner", "Prepare", 1, 0, "-"}, {"tuner", "Callback", 1, 0, "-"}, {"tuner", "Forward", 9, 3, ""}, {"tuner", "gradient", 8, 3, ""}, {"tuner", "Penalty", 8, 3, ""},
		{"tuner", "OnStepEnd", 3, 3, ""}, {"tuner", "Save", 2, 2, "step 4 is not saved"}, {"tuner", "State", 2, 2, "step 4 is not saved"},
		{"tuner", "Load", 1, 2, "-"}, {"tuner", "Restore", 1, 2, "-"},
	}
	seen := map[string]bool{"OnPredict": true} // for later, nothing calls it yet
	for _, c := range cases {
		seen[c.in] = true
		t.Run(fmt.Sprint(c.name, " ", c.in, " ", c.call), func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			fails := []string{"--late_" + c.name + ".in", c.in, "--late_" + c.name + ".call", fmt.Sprint(c.call)}
			if c.saved > 0 && c.said == "-" { // it is called where a run goes on
				from := filepath.Join(out, checkpoint.Name(c.saved))
				if err := errors.Join(os.CopyFS(from, os.DirFS(filepath.Join(whole, checkpoint.Name(c.saved)))), os.WriteFile(filepath.Join(out, "logging.jsonl"), firstLines(t, whole, c.saved), 0o644)); err != nil {
					t.Fatal(err)
				}
				fails = append(fails, "--resume_from_checkpoint", from)
			}
			text, err := swiftgo(faulty(dir, dataset, out, fails...)...)
			newest := sound(t, out, whole)
			where := c.said
			if c.said == "" {
				where = "step " + fmt.Sprint(c.saved) + " is saved: --resume_from_checkpoint " + newest
			} else if c.saved > 0 && c.said != done && c.said != "-" {
				where += "…; the last that is: --resume_from_checkpoint " + newest
			} else if c.said == "-" {
				where = ""
			}
			var exit *exec.ExitError
			kind := map[string]string{"hook": "callback"}[c.name]
			if kind == "" {
				kind = c.name
			}
			if want := "…swiftgo: …" + kind + " late_" + c.name + " (" + filepath.Base(dir) + "/late.so): panicked: late (…late.go:…)…" + where + "…"; !errors.As(err, &exit) || exit.ExitCode() != 1 ||
				!like(text, want) || strings.Contains(text, "goroutine ") {
				t.Fatalf("%v\n%s\nwant %s", err, text, want)
			}
			if stepOf(newest) != c.saved {
				t.Fatalf("the newest checkpoint is %q, want that of step %d\n%s", newest, c.saved, text)
			}
			var missing []string
			switch c.in { // no line is logged of the step that fails when it is over; what it would say goes into the next
			case "OnStepEnd", "OnLog", "Rates":
				missing = []string{"3/6", "4/6"}
			case "OnPredictionStep", "OnEvaluate", "Add", "Result": // nor of an evaluation
				missing = []string{"2/6", "4/6"}
			}
			switch {
			case c.said == done:
				missing = nil
			case newest == "":
				must(t, faulty(dir, dataset, out)...)
			default:
				must(t, faulty(dir, dataset, out, "--resume_from_checkpoint", newest)...)
			}
			sameEnd(t, out, whole, missing...)
		})
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[api.Callback]()) {
		if !seen[f.Name] {
			t.Errorf("no run has %s fail", f.Name)
		}
	}
}

// firstLines returns the log of a run up to a step.
func firstLines(t *testing.T, dir string, step int) (text []byte) {
	for line := range bytes.Lines(read(t, filepath.Join(dir, "logging.jsonl"))) {
		if text = append(text, line...); bytes.Contains(line, fmt.Appendf(nil, `"%d/`, step)) && bytes.Contains(line, []byte(`"eval_loss"`)) {
			break
		}
	}
	return text
}

// TestSignals sends a run SIGTERM or SIGINT in the middle of a step: it saves and
// says so, and goes on from there.
func TestSignals(t *testing.T) {
	dir, dataset := late(t), data(t, 8)
	args := func(out string, more ...string) []string {
		return sft("llama", dataset, out, append([]string{"--plugins_dir", dir, "--threads", "1", "--max_steps", "60", "--learning_rate", "1e-2", "--callbacks", "late_hook"}, more...)...)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, args(whole, "--save_steps", "1")...)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			text, err := swiftgo(args(out, "--late_hook.in", "OnSubstepEnd", "--late_hook.call", "4", "--late_hook.signal", fmt.Sprint(int(signal)))...)
			newest := sound(t, out, whole)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.Contains(text, "interrupted; the last step is saved") || stepOf(newest) < 4 || stepOf(newest) == 60 {
				t.Fatalf("%v, %q\n%s", err, newest, text)
			}
			must(t, args(out, "--resume_from_checkpoint", newest)...)
			sameEnd(t, out, whole)
		})
	}
}

// TestFileLimit has a checkpoint meet the limit on the size of a file, which is
// met where a full disk is.
func TestFileLimit(t *testing.T) {
	dataset, dir := data(t, 8), t.TempDir()
	whole, out := filepath.Join(dir, "whole"), filepath.Join(dir, "out")
	args := func(out string, more ...string) []string {
		return sft("llama", dataset, out, append([]string{"--tuner_type", "full", "--max_steps", "4", "--save_steps", "2"}, more...)...)
	}
	must(t, args(whole)...)
	killed(t, out, 2, 4, args(out))
	resume := args(out, "--resume_from_checkpoint", filepath.Join(out, "checkpoint-2"))
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -f 1500 && exec "$0" "$@"`, binary}, resume...)...) // blocks of 512 bytes: the model fits, the optimizer does not
	text, err := cmd.CombinedOutput()
	if want := "…swiftgo: checkpoint of step 4: save " + filepath.Join(out, "checkpoint-4") + ": write …optimizer.safetensors: file too large (it takes 0.9… MB): raise the limit …; earlier checkpoints are whole\n"; err == nil || !like(string(text), want) {
		t.Errorf("%v\n%s\nwant %s", err, text, want)
	}
	if newest := sound(t, out, whole); stepOf(newest) != 2 {
		t.Errorf("the newest checkpoint is %q", newest)
	}
	must(t, resume...)
	sameEnd(t, out, whole)
}

// TestFullDisk has the disk of a run full for a while. With a checkpoint in that
// while the run ends, and goes on when there is room; without, the log catches up.
func TestFullDisk(t *testing.T) {
	dir, dataset := late(t), data(t, 8)
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("needs to mount a tmpfs, as root: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	args := func(out, from, to, saves string, more ...string) []string {
		return sft("llama", dataset, out, append([]string{"--plugins_dir", dir, "--tuner_type", "full", "--threads", "1", "--max_steps", "30", "--save_steps", saves,
			"--callbacks", "late_disk", "--late_disk.dir", disk, "--late_disk.from", from, "--late_disk.to", to}, more...)...)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, args(whole, "0", "0", "10")...)
	t.Run("saving", func(t *testing.T) {
		out := filepath.Join(disk, "saving")
		text, err := swiftgo(args(out, "12", "0", "10")...)
		if want := "…swiftgo: checkpoint of step 20: save " + filepath.Join(out, "checkpoint-20") + ": …no space left on device…: free some space there or choose another --output_dir, then go on with --resume_from_checkpoint; earlier checkpoints are whole\n"; err == nil || !like(text, want) {
			t.Errorf("%v\n%s\nwant %s", err, text, want)
		}
		newest := sound(t, out, whole)
		if stepOf(newest) != 10 {
			t.Fatalf("the newest checkpoint is %q", newest)
		}
		if text, err := swiftgo(args(out, "0", "0", "10", "--resume_from_checkpoint", newest)...); err == nil || !strings.Contains(text, "no space left on device: choose another --output_dir") {
			t.Errorf("with a disk that is still full: %v\n%s", err, text)
		}
		info, err := os.Stat(filepath.Join(disk, "full"))
		if err == nil {
			err = os.Truncate(filepath.Join(disk, "full"), info.Size()-800_000) // too little still
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, err := swiftgo(args(out, "0", "0", "10", "--resume_from_checkpoint", newest)...); err == nil || !like(text, "…write …safetensors: no space left on device (it takes 0.… MB, and 0.… MB are free): free some space…") {
			t.Errorf("with a disk that is almost full: %v\n%s", err, text)
		}
		if err := os.Remove(filepath.Join(disk, "full")); err != nil {
			t.Fatal(err)
		}
		must(t, args(out, "0", "0", "10", "--resume_from_checkpoint", newest)...)
		sameEnd(t, out, whole)
	})
	t.Run("logging", func(t *testing.T) {
		out := filepath.Join(disk, "logging")
		text := must(t, args(out, "2", "29", "30")...)
		if strings.Count(text, "logging.jsonl: no space left on device") != 1 {
			t.Errorf("it said\n%s", text)
		}
		sameEnd(t, out, whole)
		events, _ := filepath.Glob(filepath.Join(out, "runs", "*"))
		if len(events) != 1 {
			t.Fatalf("events %v", events)
		}
		data, n := read(t, events[0]), 0
		for ; len(data) > 16; n++ { // the record's length, below 64 KB, and a sum, the record, and a sum
			data = data[min(len(data), 16+int(data[0])+int(data[1])<<8):]
		}
		if n != 31 || len(data) > 0 {
			t.Errorf("%d events, and %d bytes behind them; want 31 and none", n, len(data))
		}
	})
}

// TestBestGone moves a run, and then removes its best checkpoint: it goes on from
// another both times.
func TestBestGone(t *testing.T) {
	dir, dataset := t.TempDir(), data(t, 8)
	out, moved := filepath.Join(dir, "out"), filepath.Join(dir, "moved")
	args := func(out string, more ...string) []string { // the first evaluation is the best
		return sft("llama", dataset, out, append([]string{"--max_steps", "4", "--save_steps", "1", "--split_dataset_ratio", "0.2", "--eval_steps", "1",
			"--learning_rate", "1e-2", "--greater_is_better", "true", "--create_checkpoint_symlink"}, more...)...)
	}
	must(t, args(out)...)
	if err := os.Rename(out, moved); err != nil {
		t.Fatal(err)
	}
	resume := args(moved, "--resume_from_checkpoint", filepath.Join(moved, "checkpoint-2"))
	if text := must(t, resume...); !like(text, "…best       eval_loss … "+filepath.Join(moved, "checkpoint-1")+"\n…") {
		t.Errorf("a run that was moved:\n%s", text)
	}
	if err := os.RemoveAll(filepath.Join(moved, "checkpoint-1")); err != nil {
		t.Fatal(err)
	}
	if text := must(t, resume...); !strings.Contains(text, "the best checkpoint so far is not there any more") {
		t.Errorf("without the best:\n%s", text)
	}
}

// TestReadOnly has an output directory that cannot be written, which is said
// before a weight is read.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	must(t, sft("llama", data(t, 8), out, "--max_steps", "1")...)
	reason := "permission denied"
	if os.Geteuid() != 0 {
		if err := errors.Join(os.Chmod(out, 0o555), os.Chmod(dir, 0o555)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o755); os.Chmod(out, 0o755) })
	} else {
		reason = "read-only file system"
		err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
		if err == nil {
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			err = syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
		}
		if err != nil {
			t.Skip("needs a read-only directory, for which root mounts one: ", err)
		}
	}
	model := filepath.Join(t.TempDir(), "model")
	if err := errors.Join(os.CopyFS(model, os.DirFS(filepath.Join(models, "llama"))), os.Remove(filepath.Join(model, checkpoint.ModelFile))); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		dir, want string
		more      []string
	}{
		"the directory": {out, "cannot write to the directory " + out + ": " + reason, nil},
		"one in it":     {filepath.Join(dir, "new"), "cannot make the directory " + filepath.Join(dir, "new") + ": " + reason, nil},
		"a version":     {out, "cannot make the directory " + filepath.Join(out, "v0-…") + ": " + reason, []string{"--add_version", "true"}},
		"a resume":      {out, "cannot write to the directory " + out + ": " + reason, []string{"--max_steps", "2", "--resume_from_checkpoint", filepath.Join(out, "checkpoint-1")}},
	} {
		text, err := swiftgo(sft("llama", data(t, 8), c.dir, append([]string{"--model", model}, c.more...)...)...)
		if err == nil || !like(text, "…swiftgo: "+c.want+": choose another --output_dir…\n") {
			t.Errorf("%s: %v\n%s", what, err, text)
		}
	}
}
