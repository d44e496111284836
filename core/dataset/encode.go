package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"

	"swiftgo/core/registry"
	"swiftgo/core/template"
)

// Reasons for which a row that is read well is left out.
const (
	tooLong    = "longer than max_length"
	notTrained = "nothing to train on"
	notWritten = "cannot be written"
)

var errImages = bad("has images", "the row has images, and the models here read text")

// encoding turns rows into sequences, and counts those that have none.
type encoding struct {
	rows     *Dataset
	enc      *template.Encoder
	dropped  rejections
	shortest int // of the rows that are too long, in tokens
}

func newEncoding(d *Dataset, enc *template.Encoder) *encoding {
	return &encoding{rows: d, enc: enc, dropped: d.dropped.clone(), shortest: math.MaxInt}
}

// encoded is what became of a row.
type encoded struct {
	row       *Row
	sequences []*Sequence
	err       error
	lost      bool // the row could not be read, though it once could
}

// row encodes row i. It may be called from several goroutines.
func (e *encoding) row(i int) (r encoded) {
	if r.row, r.err = e.rows.Row(i); r.err != nil {
		r.lost = r.row == nil || !e.rows.options.Lazy
		return r
	}
	if r.row.HasImages() {
		r.err = errImages
		return r
	}
	switch e.rows.options.Task {
	case Embedding, Reranking:
		r.sequences, r.err = e.judged(r.row)
		return r
	case Classification:
		r.sequences, r.err = e.classified(r.row)
		return r
	}
	sequences, err := e.enc.Encode(&r.row.Conversation)
	for _, q := range sequences {
		r.sequences = append(r.sequences, &Sequence{Encoded: *q, Source: r.row.Source, Columns: r.row.Columns})
	}
	r.err = err
	return r
}

// count counts a row that has no sequences. Those that are too long or have
// nothing to train on are left out, and others with an error too, unless strict;
// what is not the row's fault is an error in any case.
func (e *encoding) count(r encoded) error {
	var length *template.TooLongError
	var broken *registry.ExtensionError
	switch {
	case r.err == nil:
	case r.lost:
		return r.err
	case errors.As(r.err, &length):
		e.dropped.add(tooLong, 1)
		e.shortest = min(e.shortest, length.Length)
	case errors.Is(r.err, template.ErrNothingTrained):
		e.dropped.add(notTrained, 1)
	default:
		strict := e.rows.options.Strict || errors.As(r.err, &broken) || errors.Is(r.err, template.ErrNoAgentTemplate)
		return e.dropped.leaveOut(r.row.Source, r.err, strict)
	}
	return nil
}

// none is the error of a dataset that has no sequence at all.
func (e *encoding) none() error {
	n := e.rows.Len()
	if e.dropped.count[tooLong] == n {
		return fmt.Errorf("max_length %d is smaller than every row (shortest: %d tokens); raise --max_length or cut with --truncation_strategy", e.enc.MaxLength, e.shortest)
	}
	why := e.dropped.first
	if why == nil {
		why = template.ErrNothingTrained
	}
	return fmt.Errorf("none of %d rows can be trained on: %v; such as: %w", n, e.dropped, why)
}

// encode writes the sequences of all rows into a store.
func (d *Dataset) encode(enc *template.Encoder, s *store) error {
	e := newEncoding(d, enc)
	add, done := d.options.Progress.begin("tokenizing", int64(d.Len()))
	defer done()
	next := -1
	err := inOrder(d.options.workers(),
		func() (int, error) {
			if next++; next == d.Len() {
				return 0, io.EOF
			}
			return next, nil
		},
		e.row,
		func(r encoded) error {
			add(1)
			if len(r.sequences) > 0 && d.options.Task != Answer {
				s.index.Rows = append(s.index.Rows, int32(s.len()))
			}
			for _, q := range r.sequences {
				if err := s.add(q); err != nil {
					return err
				}
			}
			return e.count(r)
		})
	if err == nil && s.len() == 0 {
		err = e.none()
	}
	s.dropped = e.dropped
	return err
}
