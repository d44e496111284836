package dataset

import (
	"fmt"
	"math/rand/v2"

	"swiftgo/api"
	"swiftgo/core/template"
)

// Loader makes batches of a dataset. What it gives depends on nothing but the
// seed and the place asked for, so a run resumes by asking for the next place.
// It is for one goroutine.
type Loader struct {
	rows    []Row
	encoded []*template.Encoded
	stats   Stats
	Batching

	epoch int   // whose order it is
	order []int // nil before the first epoch
}

// Batching says how rows become batches.
type Batching struct {
	Batch      int   // sequences in a micro-batch
	Accumulate int   // micro-batches in an optimizer step
	Shuffle    bool  // every epoch in an order of its own
	Seed       int64 // of the order
	Strict     bool  // a row that cannot be written is an error
}

// NewLoader encodes a dataset. Rows that are too long or have nothing to train
// on are left out and counted; it is an error if none is left.
func NewLoader(d *Dataset, enc *template.Encoder, b Batching) (*Loader, error) {
	if b.Batch < 1 || b.Accumulate < 1 {
		return nil, fmt.Errorf("batches of %d sequences, %d to a step; want 1 or more of each", b.Batch, b.Accumulate)
	}
	rows, encoded, dropped, err := d.keep(enc, b.Strict)
	if err != nil {
		return nil, err
	}
	return &Loader{rows: rows, encoded: encoded, stats: stats(encoded, dropped), Batching: b}, nil
}

// Stats returns the numbers of the dataset.
func (l *Loader) Stats() Stats { return l.stats }

// Summary returns the numbers of the dataset in words.
func (l *Loader) Summary() string { return l.stats.String() }

// StepsPerEpoch returns the number of optimizer steps in an epoch, the last of
// which may be smaller.
func (l *Loader) StepsPerEpoch() int {
	return ceil(ceil(len(l.rows), l.Batch), l.Accumulate)
}

func ceil(n, d int) int { return (n + d - 1) / d }

// Step returns the micro-batches of one optimizer step: that of index, from 0,
// in the epoch.
func (l *Loader) Step(epoch, index int) ([]*api.Batch, error) {
	rows, err := l.step(epoch, index)
	if err != nil {
		return nil, err
	}
	var batches []*api.Batch
	items := 0.0
	for len(rows) > 0 {
		n := min(l.Batch, len(rows))
		b := l.batch(rows[:n])
		for _, label := range b.Labels {
			if label != api.Ignore {
				items++
			}
		}
		batches, rows = append(batches, b), rows[n:]
	}
	for _, b := range batches {
		b.Items = items
	}
	return batches, nil
}

// Sources returns where the rows of one optimizer step stand.
func (l *Loader) Sources(epoch, index int) ([]string, error) {
	rows, err := l.step(epoch, index)
	sources := make([]string, len(rows))
	for i, row := range rows {
		sources[i] = l.rows[row].Source
	}
	return sources, err
}

// step returns the indices of the rows of one optimizer step.
func (l *Loader) step(epoch, index int) ([]int, error) {
	if epoch < 0 || index < 0 || index >= l.StepsPerEpoch() {
		return nil, fmt.Errorf("there is no step %d in epoch %d; an epoch has %d steps", index, epoch, l.StepsPerEpoch())
	}
	if l.order == nil || l.Shuffle && epoch != l.epoch {
		l.order, l.epoch = l.shuffled(epoch), epoch
	}
	size := l.Batch * l.Accumulate
	return l.order[index*size : min((index+1)*size, len(l.order))], nil
}

// shuffled returns the order of the rows in an epoch.
func (l *Loader) shuffled(epoch int) []int {
	if l.Shuffle {
		return rand.New(rand.NewPCG(uint64(l.Seed), uint64(epoch))).Perm(len(l.rows))
	}
	order := make([]int, len(l.rows))
	for i := range order {
		order[i] = i
	}
	return order
}

// batch puts rows end to end.
func (l *Loader) batch(rows []int) *api.Batch {
	b := &api.Batch{}
	scaled := false
	for _, row := range rows {
		scaled = scaled || l.encoded[row].Scale != nil
	}
	for _, row := range rows {
		e := l.encoded[row]
		labels, scale := e.Shift()
		b.Starts = append(b.Starts, int32(len(b.IDs)))
		b.IDs, b.Labels = append(b.IDs, e.IDs...), append(b.Labels, labels...)
		b.Rows = append(b.Rows, l.rows[row].Columns)
		for i := 0; scaled && i < len(labels); i++ {
			w := float32(1) // of a row whose weights are all 0 or 1
			if scale != nil {
				w = scale[i]
			}
			b.Scale = append(b.Scale, w)
		}
	}
	return b
}
