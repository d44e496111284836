package report

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// screen is where people look: lines, and on a terminal a bar below them.
type screen struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil off a terminal
	text  string                   // beside the bar
	shown time.Time
	max   int
}

func newScreen(out io.Writer, terminal bool, max, start int) *screen {
	if out == nil {
		out = io.Discard
	}
	s := &screen{out: out, max: max}
	if terminal && max > 0 {
		s.bar = progressbar.NewOptions(max,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionSetElapsedTime(false),
			// The bar's own forecast would take the steps before a resume for
			// steps of this process.
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetRenderBlankState(true))
		s.bar.Set(min(start, max))
	}
	return s
}

// show moves the bar to step. It draws ten times a second at most, so that very
// short steps are not slowed down.
func (s *screen) show(step int, loss, tokensPerSecond float64, left time.Duration) {
	if s.bar == nil || step < s.max && time.Since(s.shown) < time.Second/10 {
		return
	}
	s.shown = time.Now()
	s.text = fmt.Sprintf("loss %.4g", loss)
	if tokensPerSecond > 0 && finite(tokensPerSecond) {
		s.text += fmt.Sprintf(", %.1f tok/s", tokensPerSecond)
	}
	s.text += fmt.Sprintf(", %s left", FormatTime(left))
	s.bar.Describe(s.text)
	s.bar.Set(min(step, s.max))
}

// print writes a line, above the bar where there is one.
func (s *screen) print(text string) {
	if s.bar != nil {
		s.bar.Clear()
	}
	fmt.Fprintln(s.out, text)
	if s.bar != nil {
		s.bar.Describe(s.text)
	}
}

// end leaves the bar as it stands and goes to a new line.
func (s *screen) end() {
	if s.bar != nil {
		fmt.Fprintln(s.out)
	}
}

// Tasks returns what shows how much of a task is done: on a terminal a bar that
// goes when the task ends, elsewhere nothing.
func Tasks(out io.Writer) func(task string, total int64) (add func(n int64), done func()) {
	if !isTerminal(out) {
		return nil
	}
	return func(task string, total int64) (func(n int64), func()) {
		bar := progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetDescription(task),
			progressbar.OptionThrottle(time.Second/10),
			progressbar.OptionClearOnFinish())
		return func(n int64) { bar.Add64(n) }, func() { bar.Finish() }
	}
}

// Bar shows how much of a task is done, and a text that changes: on a terminal a
// bar, elsewhere a line every ten seconds.
type Bar struct {
	out  io.Writer
	task string
	bar  *progressbar.ProgressBar // nil off a terminal, and until there is something to show
	seen time.Time
}

// NewBar returns a bar for a task, whose things are called what task says.
func NewBar(out io.Writer, task string) *Bar { return &Bar{out: out, task: task, seen: time.Now()} }

// Show says that so many things of all are done.
func (b *Bar) Show(done, all int, text string) {
	switch {
	case isTerminal(b.out):
		if b.bar == nil {
			b.bar = progressbar.NewOptions(all,
				progressbar.OptionSetWriter(b.out),
				progressbar.OptionSetWidth(24),
				progressbar.OptionShowCount(),
				progressbar.OptionShowDescriptionAtLineEnd(),
				progressbar.OptionThrottle(time.Second/10),
				progressbar.OptionClearOnFinish())
		}
		b.bar.Describe(text)
		b.bar.Set(done)
	case time.Since(b.seen) >= 10*time.Second:
		b.seen = time.Now()
		fmt.Fprintf(b.out, "%d of %d %s, %s\n", done, all, b.task, text)
	}
}

// Close takes the bar away.
func (b *Bar) Close() {
	if b.bar != nil {
		b.bar.Finish()
	}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
