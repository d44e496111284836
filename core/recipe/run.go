package recipe

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"swiftgo/core/checkpoint"
	"swiftgo/core/dataset"
	"swiftgo/core/kernel"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/report"
	"swiftgo/core/trainer"
)

// runDir is the directory of a run, locked against other runs.
type runDir struct {
	dir   string
	lock  *checkpoint.DirLock
	began time.Time
	made  bool // whether the directory was not there before
	used  bool // whether training has begun
}

// openRun makes the run's directory: that of the checkpoint to resume from, or
// output_dir, or a new v<N>-<time> below it.
func openRun(c *Config) (*runDir, error) {
	r := &runDir{dir: c.OutputDir, began: time.Now()}
	switch {
	case c.ResumeFromCheckpoint != "":
		if _, err := os.Stat(c.ResumeFromCheckpoint); err != nil {
			return nil, fmt.Errorf("--resume_from_checkpoint: %w", err)
		}
		r.dir = filepath.Dir(filepath.Clean(c.ResumeFromCheckpoint))
	case c.AddVersion:
		r.dir = filepath.Join(c.OutputDir, nextVersion(c.OutputDir, r.began))
	}
	_, err := os.Stat(r.dir)
	r.made = errors.Is(err, os.ErrNotExist)
	if r.lock, err = checkpoint.Lock(r.dir); err != nil {
		return nil, err
	}
	if err := checkpoint.Sweep(r.dir); err != nil {
		r.close()
		return nil, err
	}
	if steps, err := checkpoint.List(r.dir); err != nil {
		r.close()
		return nil, err
	} else if len(steps) > 0 && c.ResumeFromCheckpoint == "" {
		r.close()
		return nil, fmt.Errorf("--output_dir %s holds the checkpoints of another run; go on from it with --resume_from_checkpoint %s, or name another directory",
			r.dir, steps[len(steps)-1].Path)
	}
	return r, nil
}

var version = regexp.MustCompile(`^v(\d+)-`)

// nextVersion returns v<N>-<time>, N one more than the largest below dir.
func nextVersion(dir string, now time.Time) string {
	next := 0
	entries, _ := os.ReadDir(dir) // not there yet: no versions
	for _, e := range entries {
		if m := version.FindStringSubmatch(e.Name()); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				next = max(next, n+1)
			}
		}
	}
	return fmt.Sprintf("v%d-%s", next, now.Format("20060102-150405"))
}

// close gives the directory free, and removes it if it was made for a run that
// did not begin.
func (r *runDir) close() {
	if r.made && !r.used {
		os.RemoveAll(r.dir)
	}
	r.lock.Unlock()
}

// arguments is what args.json keeps: every setting, and under "plugins", instead
// of the setting of that name, what of which plugin is in use.
func arguments(c *Config, reg *registry.Registry) map[string]any {
	args := c.Map()
	args["plugins"] = reg.Used()
	if own := reg.Own(); len(own) > 0 {
		args["own"] = own
	}
	return args
}

// samePlugins compares the plugins that a checkpoint was made with, as its
// args.json names them, with those that are loaded: one that is missing is an
// error, one that has changed is logged.
func samePlugins(c *Config, reg *registry.Registry) error {
	if c.ResumeFromCheckpoint == "" {
		return nil
	}
	var args struct {
		Plugins []registry.Entry `json:"plugins"`
	}
	path := filepath.Join(c.ResumeFromCheckpoint, "args.json")
	if err := checkpoint.ReadJSON(path, &args); err != nil {
		return fmt.Errorf("--resume_from_checkpoint: %w", err)
	}
	loaded := map[[2]string]registry.Entry{}
	for _, e := range reg.List() {
		loaded[[2]string{e.Kind, e.Name}] = e
	}
	for _, was := range args.Plugins {
		now, ok := loaded[[2]string{was.Kind, was.Name}]
		switch {
		case was.File == "":
		case !ok:
			return fmt.Errorf("%s: the run used %s %s of %s (sha256 %s), which is not loaded; put the file into --plugins_dir", path, was.Kind, was.Name, was.File, was.SHA256)
		case now.SHA256 != was.SHA256:
			slog.Warn("a plugin is not the one that the checkpoint was made with", "kind", was.Kind, "name", was.Name, "file", now.File, "sha256", now.SHA256, "then", was.SHA256)
		}
	}
	return nil
}

// announce says what is about to be trained, with what.
func announce(out io.Writer, c *Config, m *model.Model, train, val *dataset.Loader, steps int) {
	all, trained := 0, 0
	for _, p := range m.Params {
		all += p.Shape().TotalSize()
		if !p.Frozen() {
			trained += p.Shape().TotalSize()
		}
	}
	lib := kernel.Library()
	fmt.Fprintf(out, "model      %s, %s, %.4g M parameters, %.4g M of them trained (%s)\n", c.Model, m.Type, float64(all)/1e6, float64(trained)/1e6, c.TunerType)
	if h := m.Config.Classes; h != nil {
		from := "from the checkpoint"
		if h.New {
			from = fmt.Sprintf("new: normal with deviation %g, seed %d", m.Config.InitRange(), c.Seed)
			if c.ResumeFromCheckpoint != "" || len(c.Adapters) > 0 {
				from = "as it was saved"
			}
		}
		fmt.Fprintf(out, "head       score, num_labels %d, %s, %s\n", h.N, h.Problem, from)
	}
	fmt.Fprintf(out, "data       %s\n", train.Summary())
	if val != nil {
		fmt.Fprintf(out, "evaluation %s\n", val.Summary())
	}
	fmt.Fprintf(out, "steps      %d of %d sequences\n", steps, c.PerDeviceTrainBatchSize*c.GradientAccumulationSteps)
	fmt.Fprintf(out, "engine     %s, %s\n", lib, kernel.ISA())
	fmt.Fprintf(out, "memory     %s\n", memory(m, longest(c, train)*c.PerDeviceTrainBatchSize, longest(c, train)))
	if lib.Note != "" {
		fmt.Fprintf(out, "           %s\n", lib.Note)
	}
}

// longest returns the tokens of the longest sequence or pack, as far as is known.
func longest(c *Config, train *dataset.Loader) int {
	switch n := train.Stats().Max; {
	case train.Pack > 0:
		return train.Pack
	case n > 0:
		return n
	}
	return c.MaxLength
}

// memory says what training on so many tokens at a time needs, and what the
// machine has.
func memory(m *model.Model, tokens, longest int) string {
	need := float64(m.Memory(tokens, longest)) / 1e9
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return fmt.Sprintf("needs about %.1f GB", need)
	}
	here := float64(info.Totalram) * float64(info.Unit) / 1e9
	text := fmt.Sprintf("needs about %.1f GB, %.0f GB here", need, here)
	if need > here {
		text += ": use shorter sequences, fewer of them in a batch, --gradient_checkpointing or --torch_dtype bfloat16"
	}
	return text
}

// rescue saves the last whole step of a run that failed in an extension, and
// adds to the error where it is. The extension may fail again while it is saved.
func rescue(t *trainer.Trainer, reg *registry.Registry, failed error) error {
	var broken *registry.ExtensionError
	if !errors.As(failed, &broken) {
		return failed
	}
	err := reg.Guard(t.SaveSound)
	s := t.State()
	switch saved := filepath.Base(s.Checkpoint) == checkpoint.Name(s.Step); {
	case saved && s.Step == s.MaxSteps:
		return fmt.Errorf("%w; all %d steps are done and saved: %s", failed, s.Step, s.Checkpoint)
	case saved:
		return fmt.Errorf("%w; step %d is saved: --resume_from_checkpoint %s", failed, s.Step, s.Checkpoint)
	case s.Checkpoint != "":
		return fmt.Errorf("%w; step %d is not saved: %w; the last that is: --resume_from_checkpoint %s", failed, s.Step, err, s.Checkpoint)
	}
	return fmt.Errorf("%w; nothing is saved: %w", failed, err)
}

// end closes the run, whatever it ended with, and says where everything is.
func (r *runDir) end(out io.Writer, t *trainer.Trainer, reg *registry.Registry, failed error) (*Result, error) {
	s := t.State()
	summary := map[string]any{
		"global_step": s.Step, "last_model_checkpoint": s.Checkpoint, "best_model_checkpoint": s.BestCheckpoint, "best_metric": s.BestMetric,
		"train_runtime_s": time.Since(r.began).Seconds(), "log_history_lines": len(s.LogHistory),
	}
	if s.Stop != "" {
		summary["stopped"] = s.Stop
	}
	if gone := reg.Disabled(); len(gone) > 0 {
		summary["disabled"] = gone
	}
	if failed != nil && !errors.Is(failed, trainer.ErrInterrupted) {
		summary["error"] = failed.Error()
	}
	unreported := t.Report.Close(summary)
	sum := t.Report.Summary()
	sum.MetricName, sum.BestMetric, sum.BestCheckpoint, sum.LastCheckpoint = "eval_"+t.BestMetric, s.BestMetric, s.BestCheckpoint, s.Checkpoint
	res := &Result{Dir: r.dir, Checkpoint: s.Checkpoint, BestCheckpoint: s.BestCheckpoint, Curve: sum.Curve}
	if failed != nil {
		return res, failed
	}
	if s.Stop != "" {
		fmt.Fprintf(out, "stopped early at step %d: %s\n", s.Step, s.Stop)
	}
	for _, d := range reg.Disabled() {
		fmt.Fprintf(out, "disabled after step %d: %s\n", d.Step, d.Error)
	}
	report.PrintSummary(out, sum)
	return res, unreported
}
