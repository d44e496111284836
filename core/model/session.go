package model

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"swiftgo/api"
)

// Session continues many prompts at a time. Prompts join and sequences leave
// between any two steps, so that a long answer holds up no short one.
//
// A step reads one token of every sequence that is being continued, and a block
// of prompts that have not been read yet, and chooses the next token
// of each sequence that has been read to its end. What a sequence says does not
// depend on the others, but for the rounding of matrix products, whose order of
// adding may differ with the number of rows (logits by about 1e-6).
//
// Each sequence has the keys and values of its tokens, in memory that grows with
// its length and is given back when it ends. A Session is used from one
// goroutine, the model's. After a panic in Step, out of a tuner's code, its
// sequences are of no use any more.
type Session struct {
	Block int // most tokens of prompts that a step reads, and a quarter of it while answers are being written
	m     *Model
	open  []*Sequence
}

// defaultBlock is a Session's Block: large enough for matrix products to be at
// their fastest, and a quarter of it small enough for others not to wait long.
const defaultBlock = 1024

// Sequence is a prompt and its continuation.
type Sequence struct {
	Prompt int     // tokens of the prompt
	Text   []int32 // the prompt and its continuation
	Last   Token   // the newest
	Ended  Ending

	sampling Sampling
	rand     *rand.Rand
	read     int         // tokens of Text whose keys and values are kept
	keys     [][]float32 // of each layer, [read, kvHeads·headDim]
	values   [][]float32
	twins    []*Sequence // that wait for the prompt to be read
	waits    bool        // is a twin
}

// Ending is why a sequence has ended, "" while it has not. The words are
// OpenAI's.
type Ending string

// The endings of a sequence.
const (
	EndStop   Ending = "stop"   // a stop token was next
	EndLength Ending = "length" // it has MaxTokens, or all that the model can read
)

// New returns the continuation so far.
func (q *Sequence) New() []int32 { return q.Text[q.Prompt:] }

// NewSession returns a session without sequences.
func (m *Model) NewSession() *Session { return &Session{Block: defaultBlock, m: m} }

// Len returns the number of sequences that have not ended.
func (s *Session) Len() int { return len(s.open) }

// Add lets n sequences continue a prompt, which is read once for all of them.
func (s *Session) Add(prompt []int32, n int, p Sampling) ([]*Sequence, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := s.m.Config.CheckPrompt(prompt); err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("%d sequences are wanted, want 1 or more", n)
	}
	all := make([]*Sequence, n)
	for i := range all {
		all[i] = &Sequence{Prompt: len(prompt), Text: slices.Clone(prompt), sampling: p, waits: i > 0,
			rand: rand.New(rand.NewPCG(uint64(p.Seed), uint64(i)))}
	}
	first := all[0]
	first.twins = slices.Clone(all[1:])
	first.keys, first.values = make([][]float32, s.m.Layers), make([][]float32, s.m.Layers)
	s.open = append(s.open, all...)
	return all, nil
}

// CheckPrompt refuses what a model cannot continue.
func (c *Config) CheckPrompt(prompt []int32) error {
	switch {
	case len(prompt) == 0:
		return errors.New("the prompt is empty; want at least one token")
	case len(prompt) >= c.MaxLength():
		return fmt.Errorf("the prompt has %d tokens, and the model reads at most %d with the answer", len(prompt), c.MaxLength())
	}
	for _, id := range prompt {
		if id < 0 || int(id) >= c.VocabSize {
			return fmt.Errorf("the prompt has token %d, and the model's vocabulary %d", id, c.VocabSize)
		}
	}
	return nil
}

// Drop ends a sequence where it is.
func (s *Session) Drop(q *Sequence) {
	s.open = slices.DeleteFunc(s.open, func(o *Sequence) bool { return o == q })
	if q.waits {
		for _, o := range s.open {
			o.twins = slices.DeleteFunc(o.twins, func(t *Sequence) bool { return t == q })
		}
	}
	if len(q.twins) > 0 { // the first of them reads on
		heir := q.twins[0]
		heir.read, heir.keys, heir.values, heir.twins, heir.waits = q.read, q.keys, q.values, q.twins[1:], false
	}
	q.keys, q.values, q.twins = nil, nil, nil
}

// Step goes on with every sequence and returns those that have a new token,
// Last, or have ended, or both.
func (s *Session) Step() []*Sequence {
	if len(s.open) == 0 {
		return nil
	}
	s.m.Training = false
	s.m.Engine.Reset()
	reads := s.reads()
	logits, ready := s.m.advance(reads)
	vocab := s.m.Config.VocabSize
	var told []*Sequence
	var of []int // the row of logits of each
	for row, q := range ready {
		told, of = append(told, q), append(of, row)
		for _, t := range q.twins {
			t.share(q)
			told, of = append(told, t), append(of, row)
		}
		q.twins = nil
	}
	s.m.Engine.Rows(len(told), func(from, to int) {
		own := make([]float32, vocab) // choosing changes logits, which may be of several sequences
		for i := from; i < to; i++ {
			copy(own, logits[of[i]*vocab:(of[i]+1)*vocab])
			told[i].choose(own, logits[of[i]*vocab:(of[i]+1)*vocab], s.m.Config.MaxLength())
		}
	})
	s.open = slices.DeleteFunc(s.open, func(q *Sequence) bool {
		if q.Ended == "" {
			return false
		}
		q.keys, q.values = nil, nil
		return true
	})
	return told
}

// span is a stretch of a sequence that a step reads.
type span struct {
	*Sequence
	to int // up to here, from read on
}

// reads returns what a step reads: the next token of all sequences that are
// being continued, and of prompts the first block.
func (s *Session) reads() []span {
	var all []span
	left := s.Block
	if slices.ContainsFunc(s.open, func(q *Sequence) bool { return !q.waits && q.read >= q.Prompt }) {
		left /= 4
	}
	left = max(1, left)
	for _, q := range s.open {
		if q.waits {
			continue
		}
		n := len(q.Text) - q.read
		if q.read < q.Prompt {
			n = min(n, left)
			left -= n
		}
		if n > 0 {
			all = append(all, span{q, q.read + n})
		}
	}
	return all
}

// share lets a twin go on from what q has read; what it appends is its own.
func (t *Sequence) share(q *Sequence) {
	t.read, t.waits = q.read, false
	for layer := range q.keys {
		k, v := q.keys[layer], q.values[layer]
		t.keys, t.values = append(t.keys, k[:len(k):len(k)]), append(t.values, v[:len(v):len(v)])
	}
}

// choose takes the next token. own is a copy of the logits.
func (q *Sequence) choose(own, logits []float32, most int) {
	t := Token{ID: q.sampling.next(own, q.Text, q.rand)}
	q.sampling.logprobs(&t, logits)
	if q.Last = t; slices.Contains(q.sampling.Stop, t.ID) {
		q.Ended = EndStop
		return
	}
	q.Text = append(q.Text, t.ID)
	if len(q.New()) == q.sampling.MaxTokens || len(q.Text) >= most {
		q.Ended = EndLength
	}
}

// advance reads the spans, keeps their keys and values, and returns which of
// the sequences have been read to their end, and the logits [ready, vocab] of
// what follows each.
func (m *Model) advance(spans []span) (logits []float32, ready []*Sequence) {
	var ids, positions, last []int32
	for _, s := range spans {
		for i := s.read; i < s.to; i++ {
			ids, positions = append(ids, s.Text[i]), append(positions, int32(i))
		}
		if s.to == len(s.Text) {
			last, ready = append(last, int32(len(ids)-1)), append(ready, s.Sequence)
		}
	}
	m.reach(positions)
	c := m.Config
	out := m.forward(m.Engine.Embedding(m.embed.Var, ids), positions, func(layer int, q, k, v *api.Var) *api.Var {
		o := m.Engine.New(q.Shape()...)
		from, wide, narrow := 0, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		for _, s := range spans {
			to := from + s.to - s.read
			s.keys[layer] = append(s.keys[layer], k.Data()[from*narrow:to*narrow]...)
			s.values[layer] = append(s.values[layer], v.Data()[from*narrow:to*narrow]...)
			m.Engine.AttendCached(c.Heads, c.KVHeads, c.HeadDim, q.Data()[from*wide:to*wide], s.keys[layer], s.values[layer], o.Float32s()[from*wide:to*wide])
			from = to
		}
		return api.Const(o)
	})
	for _, s := range spans {
		s.Sequence.read = s.to
	}
	if len(ready) > 0 {
		logits = head{m}.Logits(out.Hidden().Detach().Gather(last)).Data()
	}
	return logits, ready
}
