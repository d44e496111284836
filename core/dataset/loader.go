package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"

	"swiftgo/api"
	"swiftgo/core/template"
)

// Loader makes batches of a dataset. What it hands out depends on nothing but the
// seed and the place asked for, so a run resumes by asking for the next place.
// It is for one goroutine.
type Loader struct {
	Batching
	store *store    // of all sequences, or
	live  *stream   // what makes them
	packs [][]int32 // sequences that go together, as one; nil is one by one
	stats Stats

	verdict func(*Sequence) int32 // label of the last token of a sequence; nil where tokens have their own

	epoch int     // whose order it is
	order []int32 // of units
}

// Batching says how rows become batches.
type Batching struct {
	Batch      int    // sequences, or packs of them, in a micro-batch
	Accumulate int    // micro-batches in an optimizer step
	Shuffle    bool   // every epoch in an order of its own
	Seed       int64  // of the order
	ByLength   bool   // sequences of about one length go into a step together
	Pack       int    // tokens of sequences that are put together, and cannot see each other; 0 is none
	Cache      string // file of the encoded rows, read if it is there and made if not; "" is none
}

// NewLoader encodes a dataset, or, if it is a lazy one, prepares to encode its
// rows when they are used. Rows that are too long or have nothing to train on are
// left out and counted.
func NewLoader(d *Dataset, enc *template.Encoder, b Batching) (*Loader, error) {
	if b.Batch < 1 || b.Accumulate < 1 {
		return nil, fmt.Errorf("batches of %d sequences, %d to a step; want 1 or more of each", b.Batch, b.Accumulate)
	}
	l := &Loader{Batching: b}
	if d.options.Task != Answer {
		l.verdict = d.options.verdict
	}
	if d.options.Lazy {
		l.live = newStream(d, enc, l)
		_, err := l.live.units(0, 1) // a dataset without one is found now
		return l, err
	}
	s, err := d.encoded(enc, b.Cache)
	if err != nil {
		return nil, err
	}
	l.store, l.stats = s, s.stats()
	for i, from := range s.index.Rows {
		to := int32(s.len())
		if i+1 < len(s.index.Rows) {
			to = s.index.Rows[i+1]
		}
		var row []int32
		for k := from; k < to; k++ {
			row = append(row, k)
		}
		l.packs = append(l.packs, row)
	}
	if b.Pack > 0 {
		if l.stats.Max > b.Pack {
			s.Close()
			return nil, tooLongToPack(b.Pack, l.stats.Max)
		}
		l.packs = pack(s.index.Lengths, b.Pack)
	}
	return l, nil
}

// encoded returns the rows in tokens, from the cached file if it is there.
func (d *Dataset) encoded(enc *template.Encoder, cache string) (*store, error) {
	if cache != "" {
		s, err := openStore(cache)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	s, err := newStore()
	if err != nil {
		return nil, err
	}
	err = d.encode(enc, s)
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	if cache != "" {
		if err := s.cache(cache); err != nil {
			slog.Warn("the tokens are not cached", "error", err)
		}
	}
	return s, nil
}

// Close gives the tokens up.
func (l *Loader) Close() error {
	if l.store == nil {
		return nil
	}
	return l.store.Close()
}

// Stats returns the numbers of the dataset; of one that is encoded as it is used
// only the number of rows is known.
func (l *Loader) Stats() Stats {
	if l.live != nil {
		return Stats{Rows: l.live.rows.Len(), Dropped: l.live.dropped.count}
	}
	return l.stats
}

// Summary returns the numbers of the dataset in words.
func (l *Loader) Summary() string {
	switch {
	case l.live != nil:
		return fmt.Sprintf("%d rows, turned into tokens as they are used", l.live.rows.Len())
	case l.store.index.Rows != nil:
		return fmt.Sprintf("%d rows of %v", len(l.packs), l.stats)
	case l.packs != nil:
		return fmt.Sprintf("%v; in %d packs of at most %d tokens, %.3g%% full", l.stats, len(l.packs), l.Pack, 100*float64(l.stats.Tokens)/float64(len(l.packs)*l.Pack))
	}
	return l.stats.String()
}

// Sequences returns those from from up to to, in the order of the rows. It ends
// early where there are no more.
func (l *Loader) Sequences(from, to int) ([]*Sequence, error) {
	if l.live != nil {
		to = min(to, l.units()) // in case no row is left out
		units, err := newStream(l.live.rows, l.live.enc, &Loader{}).units(from, max(0, to-from))
		return slices.Concat(units...), err
	}
	var members []int32
	for i := from; i < min(to, l.store.len()); i++ {
		members = append(members, int32(i))
	}
	return l.store.readAll(members)
}

// units is the number of sequences, or of packs of them, in an epoch. Of rows that
// are encoded as they are used it is not known, and taken to be one a row.
func (l *Loader) units() int {
	switch {
	case l.live != nil:
		return l.live.rows.Len()
	case l.packs != nil:
		return len(l.packs)
	}
	return l.store.len()
}

// StepsPerEpoch returns the number of optimizer steps in an epoch, the last of
// which may be smaller.
func (l *Loader) StepsPerEpoch() int {
	return ceil(ceil(l.units(), l.Batch), l.Accumulate)
}

func ceil(n, d int) int { return (n + d - 1) / d }

// Step returns the micro-batches of one optimizer step: that of index, from 0,
// in the epoch.
func (l *Loader) Step(epoch, index int) ([]*api.Batch, error) {
	units, err := l.step(epoch, index)
	if err != nil {
		return nil, err
	}
	var batches []*api.Batch
	items := 0.0
	for len(units) > 0 {
		n := min(l.Batch, len(units))
		var sequences []*Sequence
		for _, u := range units[:n] {
			sequences = append(sequences, u...)
		}
		b := batch(sequences, l.verdict)
		for _, label := range b.Labels {
			if label != api.Ignore {
				items++
			}
		}
		batches, units = append(batches, b), units[n:]
	}
	for _, b := range batches {
		b.Items = items
	}
	return batches, nil
}

// Sources returns where the rows of one optimizer step stand.
func (l *Loader) Sources(epoch, index int) ([]string, error) {
	units, err := l.step(epoch, index)
	var sources []string
	for _, u := range units {
		for _, q := range u {
			sources = append(sources, q.Source)
		}
	}
	return sources, err
}

// step returns the units of one optimizer step, each of which is a sequence or a
// pack of them.
func (l *Loader) step(epoch, index int) ([][]*Sequence, error) {
	if epoch < 0 || index < 0 || index >= l.StepsPerEpoch() {
		return nil, fmt.Errorf("there is no step %d in epoch %d; an epoch has %d steps", index, epoch, l.StepsPerEpoch())
	}
	size := l.Batch * l.Accumulate
	if l.live != nil {
		return l.live.units((epoch*l.StepsPerEpoch()+index)*size, size)
	}
	if l.order == nil || l.epoch != epoch {
		l.epoch, l.order = epoch, l.shuffled(epoch, l.units())
		if l.ByLength {
			l.byLength(l.order)
		}
	}
	var units [][]*Sequence
	for _, u := range l.order[index*size : min((index+1)*size, len(l.order))] {
		members := []int32{u}
		if l.packs != nil {
			members = l.packs[u]
		}
		unit, err := l.store.readAll(members)
		if err != nil {
			return nil, err
		}
		units = append(units, unit)
	}
	return units, nil
}

// shuffled returns the order of n units in an epoch.
func (l *Loader) shuffled(epoch, n int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	if l.Shuffle {
		r := rand.New(rand.NewPCG(uint64(l.Seed), uint64(epoch)))
		r.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return order
}

// byLength sorts an order within long stretches of it, from the longest sequence
// down, as transformers' LengthGroupedSampler does: the sequences of a step are
// of about one length, and which they are is still random. The longest of all is
// in the first step, where what is too long for the memory shows at once.
func (l *Loader) byLength(order []int32) {
	size := l.Batch * l.Accumulate
	stretch := size * max(1, min(len(order)/(size*4), 50))
	lengths := l.store.index.Lengths
	longest := 0
	for from := 0; from < len(order); from += stretch {
		part := order[from:min(from+stretch, len(order))]
		slices.SortStableFunc(part, func(a, b int32) int { return cmp.Compare(lengths[b], lengths[a]) })
		if lengths[part[0]] > lengths[order[longest]] {
			longest = from
		}
	}
	order[0], order[longest] = order[longest], order[0]
}

// batch puts sequences end to end. Where there is a verdict the last token has it
// as its label.
func batch(sequences []*Sequence, verdict func(*Sequence) int32) *api.Batch {
	b := &api.Batch{}
	scaled := false
	for _, q := range sequences {
		scaled = scaled || q.Scale != nil
	}
	for _, q := range sequences {
		labels, scale := q.Shift()
		if verdict != nil {
			labels[len(labels)-1] = verdict(q)
		}
		b.Starts = append(b.Starts, int32(len(b.IDs)))
		b.IDs, b.Labels = append(b.IDs, q.IDs...), append(b.Labels, labels...)
		b.Rows = append(b.Rows, q.Columns)
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
