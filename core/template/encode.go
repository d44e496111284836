package template

import (
	"errors"
	"fmt"
	"slices"

	"swiftgo/api"
	"swiftgo/core/registry"
)

// Tokenizer is what an Encoder needs of a tokenizer.
type Tokenizer interface {
	Encode(text string, special bool) []int32
	Decode(ids []int32, skipSpecial bool) string
	ID(token string) (int32, bool)
}

// Encoder encodes conversations. It may be used from several goroutines.
type Encoder struct {
	Chat      *Chat
	Tokenizer Tokenizer
	Scale     api.LossScale     // a Strategy or a Chain; only Prompt does without
	Tools     api.AgentTemplate // nil: conversations with tools are an error
	System    string            // the system prompt of conversations without one; "" is the chat template's
	MaskOnly  bool              // weights say whether a token is trained on, and no more

	Vocab      int    // rows of the model's embedding, which no token may be beyond; 0 is any number
	MaxLength  int    // in tokens; 0 is any length
	Truncation string // of what is longer: left and right cut there, split makes several sequences, delete is a *TooLongError
}

// Encoded is a conversation in tokens. Labels[i] is IDs[i] where that token is
// trained on, else api.Ignore: they are not shifted yet.
type Encoded struct {
	IDs    []int32
	Labels []int32
	Scale  []float32 // the weight of each token; nil if all are 0 or 1
}

// ErrNothingTrained is returned for a conversation with no token to train on.
var ErrNothingTrained = errors.New("nothing of the conversation is trained on")

// TooLongError reports a conversation that is longer than the longest sequence.
type TooLongError struct{ Length, Max int }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the conversation has %d tokens, max_length is %d", e.Length, e.Max)
}

// Encode returns the tokens of a conversation, what is trained on and how much
// it weighs: one sequence, unless it is split for being too long. A conversation
// with no label at all is ErrNothingTrained.
func (e *Encoder) Encode(c *Conversation) ([]*Encoded, error) {
	pieces, err := e.Pieces(c)
	if err != nil {
		return nil, err
	}
	ids, weights := e.tokens(pieces)
	if err := e.known(ids); err != nil {
		return nil, err
	}
	labels := make([]int32, len(ids))
	for i, w := range weights {
		labels[i], weights[i] = api.Ignore, max(0, w)
		if w > 0 {
			labels[i] = ids[i]
		}
	}
	e.endTurns(ids, labels, weights)
	var out []*Encoded
	add := func(from, to int) {
		if enc := newEncoded(ids[from:to], labels[from:to], weights[from:to]); enc != nil {
			if e.MaskOnly {
				enc.Scale = nil
			}
			out = append(out, enc)
		}
	}
	switch n := len(ids); {
	case e.MaxLength == 0 || n <= e.MaxLength:
		add(0, n)
	case e.Truncation == "left":
		add(n-e.MaxLength, n)
	case e.Truncation == "right":
		add(0, e.MaxLength)
	case e.Truncation == "split":
		for from := 0; from < n; from += e.MaxLength {
			add(from, min(n, from+e.MaxLength))
		}
	default:
		return nil, &TooLongError{n, e.MaxLength}
	}
	if len(out) == 0 {
		return nil, ErrNothingTrained
	}
	return out, nil
}

// newEncoded returns a sequence, nil if nothing of it is trained on.
func newEncoded(ids, labels []int32, weights []float32) *Encoded {
	if len(ids) > 0 { // nothing predicts the first token
		labels[0], weights[0] = api.Ignore, 0
	}
	if !slices.ContainsFunc(labels, func(l int32) bool { return l != api.Ignore }) {
		return nil
	}
	enc := &Encoded{IDs: ids, Labels: labels}
	if slices.ContainsFunc(weights, func(w float32) bool { return w != 0 && w != 1 }) {
		enc.Scale = weights
	}
	return enc
}

// Piece is a stretch of the rendered conversation with one author and one
// weight.
type Piece struct {
	Text   string
	Role   api.Role
	Weight float64
	ids    []int32 // in place of text, for tokens that text cannot spell
}

// Pieces returns the whole conversation as it is written for training, weighed
// by the loss scale.
func (e *Encoder) Pieces(c *Conversation) (weighed []Piece, err error) {
	defer registry.Catch(&err) // Weigh returns no error
	segments, err := e.render(c, true, !e.lastRoundOnly())
	if err != nil {
		return nil, err
	}
	var out []Piece
	for _, s := range segments {
		pieces, err := e.weigh(s)
		if err != nil {
			return nil, err
		}
		if s.ids != nil { // whole tokens: they cannot be split
			weight := 0.0
			if len(pieces) > 0 {
				weight = pieces[0].Weight
			}
			out = append(out, Piece{s.Text, s.Role, weight, s.ids})
			continue
		}
		for _, p := range pieces {
			if p.Text != "" {
				out = append(out, Piece{p.Text, s.Role, p.Weight, nil})
			}
		}
	}
	return out, nil
}

// tokens encodes pieces; neighbours of equal weight are encoded as one text, so
// that the tokens do not depend on where the template's pieces end.
func (e *Encoder) tokens(pieces []Piece) (ids []int32, weights []float32) {
	text, weight := "", 0.0
	add := func(run []int32, w float64) {
		ids = append(ids, run...)
		for range run {
			weights = append(weights, float32(w))
		}
	}
	flush := func() {
		if text != "" {
			add(e.Tokenizer.Encode(text, false), weight)
		}
		text = ""
	}
	for _, p := range pieces {
		if p.Weight != weight || p.ids != nil {
			flush()
		}
		if p.ids != nil {
			add(p.ids, p.Weight)
			continue
		}
		text, weight = text+p.Text, p.Weight
	}
	flush()
	return ids, weights
}

// endTurns gives labels to the text that ends a turn after an answer that is
// trained on, as at the end of the last turn: the model must learn to stop in
// every turn.
func (e *Encoder) endTurns(ids, labels []int32, weights []float32) {
	var end []Piece
	for _, text := range e.Chat.Suffix {
		p := Piece{Text: text}
		if text == eosPiece {
			p = Piece{ids: []int32{e.Chat.EOS}}
		}
		end = append(end, p)
	}
	suffix, _ := e.tokens(end)
	for start := 1; start < len(ids); start++ {
		if labels[start] != api.Ignore || labels[start-1] == api.Ignore {
			continue
		}
		stop := start
		for stop < len(ids) && labels[stop] == api.Ignore {
			stop++
		}
		if stop-start >= len(suffix) && slices.Equal(ids[start:start+len(suffix)], suffix) {
			copy(labels[start:], suffix)
			for i := range suffix {
				weights[start+i] = 1
			}
		}
		start = stop
	}
}

// Prompt returns the tokens that a model continues: the conversation up to
// where the assistant begins to write, or, if its last message is the
// assistant's, to the end of that. See [Conversation.Cut].
func (e *Encoder) Prompt(c *Conversation) ([]int32, error) {
	segments, err := e.render(c, false, false)
	if err != nil {
		return nil, err
	}
	return e.unlabelled(segments)
}

// Text returns the tokens of a conversation that a model reads and does not
// continue: to the end of the answer, if its last message is the assistant's,
// else as Prompt, with what the tokenizer puts after a text.
func (e *Encoder) Text(c *Conversation) ([]int32, error) {
	answered := len(c.Messages) > 0 && c.Messages[len(c.Messages)-1].Role == Assistant
	segments, err := e.render(c, answered, false)
	if err != nil {
		return nil, err
	}
	ids, err := e.unlabelled(segments)
	if err != nil {
		return nil, err
	}
	if !answered && e.Chat.AddBOS {
		_, after := e.around()
		ids = append(ids, after...)
	}
	switch n := len(ids); {
	case n == 0:
		return nil, errors.New("there is no text")
	case e.MaxLength == 0 || n <= e.MaxLength:
		return ids, nil
	case e.Truncation == "left":
		return ids[n-e.MaxLength:], nil
	case e.Truncation == "right":
		return ids[:e.MaxLength], nil
	default:
		return nil, &TooLongError{n, e.MaxLength}
	}
}

// unlabelled returns the tokens of segments that nothing is trained on of.
func (e *Encoder) unlabelled(segments []segment) ([]int32, error) {
	pieces := make([]Piece, len(segments))
	for i, s := range segments {
		pieces[i] = Piece{s.Text, s.Role, 0, s.ids}
		if s.Role == api.Response { // tokenised apart, as in training
			pieces[i].Weight = 1
		}
	}
	ids, _ := e.tokens(pieces)
	return ids, e.known(ids)
}

// known refuses tokens that the model has no embedding of.
func (e *Encoder) known(ids []int32) error {
	for _, id := range ids {
		if e.Vocab > 0 && int(id) >= e.Vocab {
			return fmt.Errorf("token %d, %q, is beyond the model's vocabulary of %d; want the tokenizer that belongs to the model", id, e.Tokenizer.Decode([]int32{id}, false), e.Vocab)
		}
	}
	return nil
}

// Stop returns the tokens that end an answer.
func (e *Encoder) Stop() []int32 {
	var stop []int32
	if e.Chat.EOS >= 0 {
		stop = append(stop, e.Chat.EOS)
	}
	for _, token := range e.Chat.Stop {
		if id, ok := e.Tokenizer.ID(token); ok && !slices.Contains(stop, id) {
			stop = append(stop, id)
		}
	}
	return stop
}

// Run is a stretch of tokens that are all trained on or all not, with one
// weight.
type Run struct {
	Text    string  `json:"text"`
	Weight  float32 `json:"weight"`
	Trained bool    `json:"trained"`
}

// Runs returns what is trained on, for people to read.
func (e *Encoded) Runs(decode func(ids []int32) string) []Run {
	var runs []Run
	from := 0
	at := func(i int) Run {
		r := Run{Trained: e.Labels[i] != api.Ignore}
		switch {
		case e.Scale != nil:
			r.Weight = e.Scale[i]
		case r.Trained:
			r.Weight = 1
		}
		return r
	}
	for i := range e.IDs {
		if i+1 < len(e.IDs) && at(i+1) == at(i) {
			continue
		}
		r := at(i)
		r.Text = decode(e.IDs[from : i+1])
		runs, from = append(runs, r), i+1
	}
	return runs
}

// Shift returns labels and weights moved one token back, so that those of token
// i are of the token that follows it, as a loss reads them. The last token has
// api.Ignore. Weights may be nil.
func (e *Encoded) Shift() (labels []int32, scale []float32) {
	labels = append(slices.Clone(e.Labels[1:]), api.Ignore)
	if e.Scale != nil {
		scale = append(slices.Clone(e.Scale[1:]), 0)
	}
	return labels, scale
}
