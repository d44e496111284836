package dataset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"

	"swiftgo/api"
	"swiftgo/core/template"
)

// store is a file of encoded sequences, of which only where they are is kept in
// memory. A sequence is four numbers of 32 bits, of its tokens, whether they have
// weights, and the bytes of its source and of its columns, and then those: the
// tokens, one bit each for whether it is trained on, the weights, the rest.
type store struct {
	data    *os.File
	out     *bufio.Writer // nil once all is written
	end     int64
	index   index
	dropped rejections
}

// index is what is kept in memory, and at the end of a cached file.
type index struct {
	At      []int64
	Lengths []int32 // in tokens
	Rows    []int32 // the first sequence of each row, where those of a row stay together
	Trained int     // tokens that are trained on
	Dropped map[string]int
}

// newStore returns an empty store, whose file goes when it is closed.
func newStore() (*store, error) {
	f, err := os.CreateTemp("", "swiftgo-tokens-")
	if err != nil {
		return nil, fmt.Errorf("tokens are kept in a temporary file: %w", err)
	}
	remove(f)
	return &store{data: f, out: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (s *store) len() int { return len(s.index.At) }

func (s *store) Close() error { return s.data.Close() }

// add appends a sequence.
func (s *store) add(e *Sequence) error {
	columns, err := json.Marshal(e.Columns)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Source, err)
	}
	trained := make([]byte, (len(e.IDs)+7)/8)
	for i, label := range e.Labels {
		if label != api.Ignore {
			trained[i/8] |= 1 << (i % 8)
			s.index.Trained++
		}
	}
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.IDs)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Scale)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Source)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(columns)))
	for _, id := range e.IDs {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	b = append(b, trained...)
	for _, w := range e.Scale {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(w))
	}
	b = append(append(b, e.Source...), columns...)
	if _, err := s.out.Write(b); err != nil {
		return fmt.Errorf("keeping tokens: %w", err)
	}
	s.index.At = append(s.index.At, s.end)
	s.index.Lengths = append(s.index.Lengths, int32(len(e.IDs)))
	s.end += int64(len(b))
	return nil
}

// finish ends the writing.
func (s *store) finish() error {
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("keeping tokens: %w; is the disk of %s full?", err, os.TempDir())
	}
	s.out = nil
	return nil
}

// Sequence is a row in tokens, or a part of one that was split.
type Sequence struct {
	template.Encoded
	Source  string         // of the row
	Columns map[string]any // of the row, besides the conversation
}

// read returns sequence i.
func (s *store) read(i int) (*Sequence, error) {
	var head [16]byte
	if _, err := s.data.ReadAt(head[:], s.index.At[i]); err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	n, scales := int(binary.LittleEndian.Uint32(head[0:])), int(binary.LittleEndian.Uint32(head[4:]))
	source, columns := int(binary.LittleEndian.Uint32(head[8:])), int(binary.LittleEndian.Uint32(head[12:]))
	b := make([]byte, 4*n+(n+7)/8+4*scales+source+columns)
	if _, err := s.data.ReadAt(b, s.index.At[i]+int64(len(head))); err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	q := &Sequence{Encoded: template.Encoded{IDs: make([]int32, n), Labels: make([]int32, n)}}
	trained := b[4*n:]
	for k := range n {
		q.IDs[k], q.Labels[k] = int32(binary.LittleEndian.Uint32(b[4*k:])), api.Ignore
		if trained[k/8]&(1<<(k%8)) != 0 {
			q.Labels[k] = q.IDs[k]
		}
	}
	b = trained[(n+7)/8:]
	if scales > 0 {
		q.Scale = make([]float32, scales)
		for k := range q.Scale {
			q.Scale[k] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*k:]))
		}
		b = b[4*scales:]
	}
	q.Source = string(b[:source])
	if err := json.Unmarshal(b[source:], &q.Columns); err != nil {
		return nil, fmt.Errorf("%s: %w", q.Source, err)
	}
	return q, nil
}

// readAll returns several sequences.
func (s *store) readAll(members []int32) ([]*Sequence, error) {
	var all []*Sequence
	for _, i := range members {
		q, err := s.read(int(i))
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, nil
}

// cacheMark ends a cached file, after the number of bytes of its index.
const cacheMark = "swiftgo tokens 1"

// openStore opens the cached file at path. It is fs.ErrNotExist if there is none
// that is whole.
func openStore(path string) (*store, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &store{data: f}
	if err := s.readIndex(); err != nil {
		f.Close()
		slog.Warn("a file of cached tokens is damaged, and is made again", "path", path, "error", err)
		return nil, fs.ErrNotExist
	}
	s.dropped = rejections{count: s.index.Dropped, first: errors.New("see the log of the run that made the cached tokens")}
	return s, nil
}

func (s *store) readIndex() error {
	info, err := s.data.Stat()
	if err != nil {
		return err
	}
	tail := make([]byte, 8+len(cacheMark))
	if _, err := s.data.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint64(tail))
	at := info.Size() - int64(len(tail)) - size
	if string(tail[8:]) != cacheMark || at < 0 || size < 0 {
		return errors.New("it has no end")
	}
	return gob.NewDecoder(io.NewSectionReader(s.data, at, size)).Decode(&s.index)
}

// cache copies a finished store to path, whole or not at all.
func (s *store) cache(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tokens-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // by then it has its name, unless something failed
	var tail bytes.Buffer
	s.index.Dropped = s.dropped.count
	if err := gob.NewEncoder(&tail).Encode(s.index); err != nil {
		return err
	}
	size := binary.LittleEndian.AppendUint64(nil, uint64(tail.Len()))
	_, err = io.Copy(tmp, io.MultiReader(io.NewSectionReader(s.data, 0, s.end), &tail, bytes.NewReader(append(size, cacheMark...))))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Stats says what a dataset is, in tokens.
type Stats struct {
	Rows    int            `json:"rows"`    // sequences, where rows are split
	Tokens  int            `json:"tokens"`  // of all rows
	Trained int            `json:"trained"` // those that are trained on
	P50     int            `json:"p50"`     // of the lengths of rows, in tokens
	P95     int            `json:"p95"`
	Max     int            `json:"max"`
	Dropped map[string]int `json:"dropped,omitempty"` // rows, by reason
}

func (s *store) stats() Stats {
	st := Stats{Rows: s.len(), Trained: s.index.Trained, Dropped: s.dropped.count}
	for _, n := range s.index.Lengths {
		st.Tokens += int(n)
	}
	lengths := slices.Sorted(slices.Values(s.index.Lengths))
	at := func(share float64) int { return int(lengths[int(math.Ceil(share*float64(len(lengths))))-1]) }
	st.P50, st.P95, st.Max = at(0.5), at(0.95), at(1)
	return st
}

func (s Stats) String() string {
	var b bytes.Buffer
	if s.Trained == 0 { // of texts that are not to be written
		fmt.Fprintf(&b, "%d texts, %d tokens; a text has %d (median), %d (95%%), at most %d", s.Rows, s.Tokens, s.P50, s.P95, s.Max)
	} else {
		fmt.Fprintf(&b, "%d rows, %d tokens, %.3g%% of them trained on; a row has %d (median), %d (95%%), at most %d",
			s.Rows, s.Tokens, 100*float64(s.Trained)/float64(s.Tokens), s.P50, s.P95, s.Max)
	}
	if len(s.Dropped) > 0 {
		fmt.Fprintf(&b, "; left out: %s", rejections{count: s.Dropped})
	}
	return b.String()
}
