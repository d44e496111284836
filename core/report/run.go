// Package report is what a training run tells people and programs: a progress
// bar or lines, logging.jsonl, TensorBoard events and, at the end, curves and a
// few words.
//
// Everything comes through Run, and the log is the record: whatever was logged
// is on disk when Log returns, and a run that is resumed reads its own log back,
// so that the log and the curves are those of one run. A disk that is full for a
// while ends no run: what it did not take is written when there is room again.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Options are what a Run must know beforehand.
type Options struct {
	MaxSteps    int
	StartStep   int       // the steps already done where a run is resumed; with 0 the log begins anew
	TensorBoard bool      // write events to runs/
	Out         io.Writer // for people: a progress bar and lines on a terminal, else lines; nil for nothing
}

// Run reports on one run. It belongs to one goroutine.
type Run struct {
	dir      string
	opts     Options
	began    time.Time
	step     int // the last one heard of
	log      *appended
	events   *events // nil without TensorBoard
	screen   *screen
	history  history
	speedSum float64 // of the tokens/s logged
	speeds   int
}

// Open begins, or with a StartStep resumes, the reports of the run in dir,
// which it makes if need be. A new run replaces the log of an earlier one in
// the same directory; a resumed one keeps the lines up to StartStep.
func Open(dir string, o Options) (*Run, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	r := &Run{dir: dir, opts: o, began: time.Now(), step: o.StartStep, history: history{}}
	log, err := openLog(filepath.Join(dir, "logging.jsonl"), o.StartStep, r.history)
	if err != nil {
		return nil, fmt.Errorf("the run's log: %w", err)
	}
	r.log = &appended{file: log}
	if o.TensorBoard {
		if r.events, err = openEvents(filepath.Join(dir, "runs"), o.StartStep); err != nil {
			log.Close()
			return nil, fmt.Errorf("TensorBoard events: %w", err)
		}
	}
	r.screen = newScreen(o.Out, isTerminal(o.Out), o.MaxSteps, o.StartStep)
	return r, nil
}

// Step moves the progress bar to step, which may be the one it is at. A speed
// that is not known is 0.
func (r *Run) Step(step int, loss, tokensPerSecond float64) {
	r.step = step
	r.screen.show(step, loss, tokensPerSecond, r.remaining(step, time.Since(r.began)))
}

// Log writes what was measured at step. The names are those of the transformers
// Trainer: loss, grad_norm, learning_rate, token_acc, epoch, and eval_ before
// those of an evaluation. Time, memory and speed are added.
func (r *Run) Log(step int, values map[string]float64) {
	r.step = step
	l := r.line(step, time.Since(r.began), values)
	r.log.add(l.json())
	r.history.add(step, values)
	if v, ok := values[keyTokens]; ok && finite(v) {
		r.speedSum, r.speeds = r.speedSum+v, r.speeds+1
	}
	r.screen.print(l.text())
	if r.events != nil {
		r.events.scalars(step, values)
	}
}

// Close ends the log with summary, draws the curves into images/ and closes all
// files. What fails keeps nothing else from being done.
func (r *Run) Close(summary map[string]any) error {
	r.screen.end()
	var errs []error
	if line, err := json.Marshal(plain(summary)); err != nil {
		errs = append(errs, fmt.Errorf("the run's summary: %w", err))
	} else {
		r.log.add(append(line, '\n'))
	}
	if err := r.log.close(); err != nil {
		errs = append(errs, fmt.Errorf("the run's log: %w", err))
	}
	if r.events != nil {
		if err := r.events.close(); err != nil {
			errs = append(errs, fmt.Errorf("TensorBoard events: %w", err))
		}
	}
	if err := r.history.draw(filepath.Join(r.dir, "images")); err != nil {
		errs = append(errs, fmt.Errorf("curves: %w", err))
	}
	return errors.Join(errs...)
}

// Summary returns what the run itself knows for PrintSummary; after Close the
// curve is there too.
func (r *Run) Summary() Summary {
	s := Summary{Steps: r.step, MaxSteps: r.opts.MaxSteps, Elapsed: time.Since(r.began)}
	if r.speeds > 0 {
		s.TokensPerSecond = r.speedSum / float64(r.speeds)
	}
	if curve := filepath.Join(r.dir, "images", imageName(tag("loss"))); exists(curve) {
		s.Curve = curve
	}
	return s
}

// line returns the line of the log for step, elapsed after the run began.
func (r *Run) line(step int, elapsed time.Duration, values map[string]float64) line {
	l := make(line, len(values)+5)
	for key, v := range values {
		if given(key) {
			l[key] = v
		}
	}
	l[keyStep] = fmt.Sprintf("%d/%d", step, r.opts.MaxSteps)
	l[keyElapsed] = FormatTime(elapsed)
	l[keyMemory] = math.Round(peakMemory()*100) / 100
	if done := step - r.opts.StartStep; done > 0 {
		l[keyRemaining] = FormatTime(r.remaining(step, elapsed))
		l[keySpeed] = elapsed.Seconds() / float64(done)
	}
	return l
}

// remaining estimates the time from step to the end. Only the steps of this
// process count: those before a resume took none of its time.
func (r *Run) remaining(step int, elapsed time.Duration) time.Duration {
	done := max(1, step-r.opts.StartStep)
	return time.Duration(float64(elapsed) / float64(done) * float64(max(0, r.opts.MaxSteps-step)))
}

// peakMemory returns the most memory this process has had, in GiB.
func peakMemory() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	unit := 1024.0
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return float64(usage.Maxrss) * unit / (1 << 30)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
