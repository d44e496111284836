package report

import (
	"fmt"
	"io"
	"time"
)

// Summary is what a person wants to know when a run is over. What is zero is
// not told.
type Summary struct {
	Steps, MaxSteps int
	Elapsed         time.Duration
	TokensPerSecond float64
	MetricName      string // of BestMetric
	BestMetric      *float64
	BestCheckpoint  string
	LastCheckpoint  string
	Curve           string // the file with the curve of the training loss
}

// PrintSummary writes s to w, a line a thing.
func PrintSummary(w io.Writer, s Summary) {
	fmt.Fprintf(w, "steps      %d of %d in %s", s.Steps, s.MaxSteps, FormatTime(s.Elapsed))
	if s.TokensPerSecond > 0 {
		fmt.Fprintf(w, ", %.1f tokens/s", s.TokensPerSecond)
	}
	fmt.Fprintln(w)
	if s.BestMetric != nil {
		fmt.Fprintf(w, "best       %s %.5g", s.MetricName, *s.BestMetric)
		if s.BestCheckpoint != "" {
			fmt.Fprintf(w, "  %s", s.BestCheckpoint)
		}
		fmt.Fprintln(w)
	}
	if s.LastCheckpoint != "" {
		fmt.Fprintf(w, "last       %s\n", s.LastCheckpoint)
	}
	if s.Curve != "" {
		fmt.Fprintf(w, "loss curve %s\n", s.Curve)
	}
}
