package sampler

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// scored is what became of one row.
type scored struct {
	Lines   []string `json:"lines,omitempty"` // of the results
	Own     int      `json:"own,omitempty"`   // of the lines, that have the dataset's answer
	Why     string   `json:"why,omitempty"`   // there are no lines
	Answers int      `json:"answers"`         // that were sampled
	Cached  int      `json:"cached,omitempty"`
	Passed  int      `json:"passed"` // of the answers
	ORM     mean     `json:"orm"`    // of their rewards
	PRM     mean     `json:"prm"`
}

// mean is the mean of the rewards that are opinions.
type mean struct {
	Sum float64 `json:"sum"`
	N   int     `json:"n"`
}

func (m *mean) add(x float64) {
	if !math.IsNaN(x) && !math.IsInf(x, 0) {
		m.Sum, m.N = m.Sum+x, m.N+1
	}
}

func (m mean) of() float64 { return m.Sum / float64(m.N) }

// count takes in one sampled answer.
func (s *scored) count(c candidate, passed bool) {
	if passed {
		s.Passed++
	}
	s.ORM.add(c.orm)
	s.PRM.add(c.prm)
}

// Summary is what a person wants to know of a run.
type Summary struct {
	Path      string
	Questions int            // to ask
	Done      int            // whose answers are scored
	Before    int            // of those, by the run that this one goes on with
	Failed    int            // left out for having no answer
	Kept      int            // lines of the results
	Own       int            // of those, that have the dataset's own answer
	With      int            // questions of which something is kept
	Without   map[string]int // questions of which nothing is, by the reason
	Answers   int            // that were sampled
	Cached    int            // of those, taken from cache files
	Passed    int            // of those, that the reward models let pass
	ORM, PRM  mean           // of their rewards
	Elapsed   time.Duration

	began time.Time
}

func (s *Summary) add(x *scored) {
	s.Done++
	s.Kept += len(x.Lines)
	s.Own += x.Own
	s.Answers += x.Answers
	s.Cached += x.Cached
	s.Passed += x.Passed
	s.ORM = mean{s.ORM.Sum + x.ORM.Sum, s.ORM.N + x.ORM.N}
	s.PRM = mean{s.PRM.Sum + x.PRM.Sum, s.PRM.N + x.PRM.N}
	if x.Why == "" {
		s.With++
		return
	}
	if s.Without == nil {
		s.Without = map[string]int{}
	}
	s.Without[x.Why]++
}

// Short is a line for beside a bar: the share of answers that pass, and the mean
// rewards.
func (s *Summary) Short() string {
	var parts []string
	if s.Answers > 0 {
		parts = append(parts, fmt.Sprintf("%.3g%% pass", 100*float64(s.Passed)/float64(s.Answers)))
	}
	if s.ORM.N > 0 {
		parts = append(parts, fmt.Sprintf("ORM %.3g", s.ORM.of()))
	}
	if s.PRM.N > 0 {
		parts = append(parts, fmt.Sprintf("PRM %.3g", s.PRM.of()))
	}
	return strings.Join(parts, ", ")
}

// String has a line for each thing.
func (s *Summary) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	note := ""
	if s.Before > 0 {
		note = fmt.Sprintf(", %d of them before the resume", s.Before)
	}
	line("questions", "%d%s, in %s", s.Done, note, s.Elapsed.Round(time.Second/10))
	if s.Failed > 0 {
		line("failed", "%d rows got no answer and are left out; the log says why", s.Failed)
	}
	note = ""
	if s.Cached > 0 {
		note = fmt.Sprintf(", %d of them from cache files", s.Cached)
	}
	line("answers", "%d%s", s.Answers, note)
	if s.ORM.N+s.PRM.N > 0 {
		line("passed", "%d answers, %.3g%%", s.Passed, 100*float64(s.Passed)/float64(max(1, s.Answers)))
	}
	if s.ORM.N > 0 {
		line("ORM", "mean reward %.4g over %d answers", s.ORM.of(), s.ORM.N)
	}
	if s.PRM.N > 0 {
		line("PRM", "mean reward %.4g over %d answers", s.PRM.of(), s.PRM.N)
	}
	left := ""
	for _, why := range []string{nonePasses, tooEasy} {
		if n := s.Without[why]; n > 0 {
			left += fmt.Sprintf("; nothing of %d others: %s", n, why)
		}
	}
	note = ""
	if s.Own > 0 {
		note = fmt.Sprintf(", %d of them the dataset's own", s.Own)
	}
	line("kept", "%d answers to %d questions%s%s", s.Kept, s.With, note, left)
	line("results", "%s", s.Path)
	return b.String()
}
