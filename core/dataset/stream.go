package dataset

import (
	"fmt"

	"swiftgo/core/template"
)

// stream encodes rows when they are used: epoch after epoch without end, each in
// its own order, without the rows that are left out. It can only go forward; to
// go back it begins again, so that where it stands follows from the number of
// units that were taken from it.
type stream struct {
	*encoding
	loader *Loader

	taken   int // units
	last    [][]*Sequence
	epoch   int // of the next row
	order   []int32
	next    int         // place of the next row in the order
	since   int         // rows since the last one that had a sequence
	waiting []*Sequence // that were made and not handed out
}

func newStream(d *Dataset, enc *template.Encoder, l *Loader) *stream {
	return &stream{encoding: newEncoding(d, enc), loader: l, epoch: -1}
}

// units returns n units, after the first from of the stream.
func (s *stream) units(from, n int) ([][]*Sequence, error) {
	if s.taken == from+n && len(s.last) == n {
		return s.last, nil // once more
	}
	if s.taken > from {
		*s = *newStream(s.rows, s.enc, s.loader)
	}
	s.last = nil
	for s.taken < from+n {
		u, err := s.unit()
		if err != nil {
			return nil, err
		}
		if s.taken++; s.taken > from {
			s.last = append(s.last, u)
		}
	}
	return s.last, nil
}

// unit returns the next sequence, or as many as fit into a pack.
func (s *stream) unit() ([]*Sequence, error) {
	var unit []*Sequence
	room := s.loader.Pack
	for {
		if len(s.waiting) == 0 {
			if err := s.fill(); err != nil {
				return nil, err
			}
		}
		q := s.waiting[0]
		if len(unit) > 0 && len(q.IDs) > room {
			return unit, nil
		}
		if s.loader.Pack > 0 && len(q.IDs) > s.loader.Pack {
			return nil, tooLongToPack(s.loader.Pack, len(q.IDs))
		}
		unit, s.waiting = append(unit, q), s.waiting[1:]
		if s.loader.Pack == 0 {
			return unit, nil
		}
		room -= len(q.IDs)
	}
}

// fill encodes rows until one has sequences.
func (s *stream) fill() error {
	for {
		if s.since > s.rows.Len() {
			return s.none()
		}
		if s.next == len(s.order) {
			s.epoch, s.next = s.epoch+1, 0
			s.order = s.loader.shuffled(s.epoch, s.rows.Len())
		}
		r := s.row(int(s.order[s.next]))
		s.next, s.since = s.next+1, s.since+1
		if err := s.count(r); err != nil {
			return err
		}
		for _, q := range r.sequences {
			s.waiting, s.since = append(s.waiting, q), 0
		}
		if len(s.waiting) > 0 {
			return nil
		}
	}
}

func tooLongToPack(pack, tokens int) error {
	return fmt.Errorf("--packing_length is %d, and a row has %d tokens; want packs as long as the longest row, --max_length", pack, tokens)
}
