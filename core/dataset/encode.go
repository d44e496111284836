package dataset

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"swiftgo/core/registry"
	"swiftgo/core/template"
)

// Reasons for which a row that is read well is left out.
const (
	tooLong    = "longer than max_length"
	notTrained = "nothing to train on"
	notWritten = "cannot be written"
)

// encodeAll encodes the rows, several at a time, and returns what came of each
// in their order.
func encodeAll(rows []Row, enc *template.Encoder) ([]*template.Encoded, []error) {
	encoded, errs := make([]*template.Encoded, len(rows)), make([]error, len(rows))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(rows); i = int(next.Add(1)) - 1 {
				encoded[i], errs[i] = enc.Encode(&rows[i].Conversation)
			}
		})
	}
	workers.Wait()
	return encoded, errs
}

// keep returns the rows that could be encoded. Rows that are too long or have
// nothing to train on are left out and counted; so are others with an error,
// unless strict.
func (d *Dataset) keep(enc *template.Encoder, strict bool) (rows []Row, encoded []*template.Encoded, dropped rejections, err error) {
	dropped.addAll(d.dropped)
	var long, untrained int
	shortest := math.MaxInt
	all, errs := encodeAll(d.rows, enc)
	for i, err := range errs {
		row := d.rows[i]
		var length *template.TooLongError
		switch {
		case err == nil:
			rows, encoded = append(rows, row), append(encoded, all[i])
			continue
		case errors.As(err, &length):
			long, shortest = long+1, min(shortest, length.Length)
		case errors.Is(err, template.ErrNothingTrained):
			untrained++
		default:
			err = fmt.Errorf("%s: %w", row.Source, err)
			var broken *registry.ExtensionError // not the row's fault
			if strict || errors.As(err, &broken) || errors.Is(err, template.ErrNoAgentTemplate) {
				return nil, nil, dropped, err
			}
			dropped.add(notWritten, err)
		}
	}
	switch {
	case len(rows) > 0:
	case long == len(d.rows):
		return nil, nil, dropped, fmt.Errorf("max_length %d is smaller than every row (shortest: %d tokens); raise --max_length or cut with --truncation_strategy", enc.MaxLength, shortest)
	default:
		why := dropped.first
		if dropped.count[notWritten] == 0 {
			why = template.ErrNothingTrained
		}
		return nil, nil, dropped, fmt.Errorf("none of %d rows can be trained on: %d %s, %d %s, %d %s; such as: %w",
			len(d.rows), untrained, notTrained, long, tooLong, dropped.count[notWritten], notWritten, why)
	}
	dropped.addAll(rejections{count: positive(map[string]int{tooLong: long, notTrained: untrained})})
	return rows, encoded, dropped, nil
}

// positive leaves the reasons out that no row had.
func positive(count map[string]int) map[string]int {
	for reason, n := range count {
		if n == 0 {
			delete(count, reason)
		}
	}
	return count
}

// Stats says what a dataset is, in tokens.
type Stats struct {
	Rows          int
	Tokens        int // of all rows
	Trained       int // those that are trained on
	P50, P95, Max int // of the lengths of rows, in tokens
	Dropped       map[string]int
}

func stats(encoded []*template.Encoded, dropped rejections) Stats {
	s := Stats{Rows: len(encoded), Dropped: dropped.count}
	lengths := make([]int, len(encoded))
	for i, e := range encoded {
		lengths[i] = len(e.IDs)
		s.Tokens += len(e.IDs)
		for _, label := range e.Labels {
			if label >= 0 {
				s.Trained++
			}
		}
	}
	slices.Sort(lengths)
	at := func(share float64) int { return lengths[int(math.Ceil(share*float64(len(lengths))))-1] }
	s.P50, s.P95, s.Max = at(0.5), at(0.95), at(1)
	return s
}

func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, %d tokens, %.3g%% of them trained on; a row has %d (median), %d (95%%), at most %d",
		s.Rows, s.Tokens, 100*float64(s.Trained)/float64(s.Tokens), s.P50, s.P95, s.Max)
	if len(s.Dropped) > 0 {
		fmt.Fprintf(&b, "; left out: %s", rejections{count: s.Dropped})
	}
	return b.String()
}
