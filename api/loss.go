package api

// Loss turns what the model said into what training makes smaller.
type Loss interface {
	// Compute returns one value per token, or a single value.
	//
	// Values per token, [tokens], are the rule: the trainer weighs them by the
	// loss scale, leaves out the tokens whose label is Ignore, adds them up
	// and divides by the number of tokens that count in the whole optimizer
	// step (b.Items), whatever the gradient accumulation. A single value is
	// taken as it is and added to those of the step's other micro-batches, so
	// a loss that returns one should divide by b.Items itself.
	Compute(out *Output, b *Batch) (*Var, error)
}

// LossFunc is a Loss that is only a function.
type LossFunc func(out *Output, b *Batch) (*Var, error)

// Compute calls f.
func (f LossFunc) Compute(out *Output, b *Batch) (*Var, error) { return f(out, b) }

// Ignore is the label of a token that is not trained on.
const Ignore = -100

// Batch is one micro-batch as losses and metrics see it: its sequences, end to
// end. Labels are shifted already, so that Labels[i] is what row i of the
// logits should predict.
type Batch struct {
	IDs    []int32          // [tokens], what the model read
	Labels []int32          // [tokens], Ignore where a token does not count
	Scale  []float32        // [tokens], from the loss scale; nil means all 1
	Items  float64          // tokens that count in the whole optimizer step
	Starts []int32          // index of each sequence's first token
	Rows   []map[string]any // the dataset's other columns, one map a sequence, as encoding/json has values

	Decode func(ids []int32) string // the tokenizer's
}

// Sequence returns the range [from, to) of the tokens of sequence i.
func (b *Batch) Sequence(i int) (from, to int) {
	to = len(b.Labels)
	if i+1 < len(b.Starts) {
		to = int(b.Starts[i+1])
	}
	return int(b.Starts[i]), to
}

// Output is what the model's forward pass left behind. What costs much is
// computed when it is asked for.
type Output struct {
	hidden *Var
	head   Head
	logits *Var
	argmax []int32
}

// Head is the output projection of a model, as a host gives it to NewOutput. A
// plugin needs it only to make an Output in a test.
type Head interface {
	Logits(hidden *Var) *Var                       // [tokens, vocab]
	CrossEntropy(hidden *Var, labels []int32) *Var // [tokens]
	Argmax(hidden *Var) []int32                    // [tokens]
}

// NewOutput returns the Output of a model whose last layer gave hidden,
// [tokens, dim].
func NewOutput(hidden *Var, head Head) *Output { return &Output{hidden: hidden, head: head} }

// LogitsOutput returns an Output of given logits, [tokens, vocab]. Its hidden
// state is the logits.
func LogitsOutput(logits *Var) *Output { return &Output{hidden: logits, logits: logits} }

// Hidden returns the output of the last layer after its norm, [tokens, dim].
func (o *Output) Hidden() *Var { return o.hidden }

// Logits returns the scores of all tokens of the vocabulary, [tokens, vocab].
// They are large; CrossEntropy does without them.
func (o *Output) Logits() *Var {
	if o.logits == nil {
		o.logits = o.head.Logits(o.hidden)
	}
	return o.logits
}

// CrossEntropy returns -log p(label) of each token, [tokens], and 0 where the
// label is Ignore, without ever holding the logits.
func (o *Output) CrossEntropy(labels []int32) *Var {
	if o.logits != nil {
		return CrossEntropy(o.logits, labels)
	}
	return o.head.CrossEntropy(o.hidden, labels)
}

// Argmax returns the most likely token of each row of the logits, [tokens];
// the first of equals.
func (o *Output) Argmax() []int32 {
	if o.argmax == nil {
		if o.logits != nil {
			o.argmax = argmax(o.logits)
		} else {
			o.argmax = o.head.Argmax(o.hidden)
		}
	}
	return o.argmax
}

func argmax(logits *Var) []int32 {
	n, vocab := matrix("argmax", logits)
	data, best := logits.Data(), make([]int32, n)
	for i := range best {
		row := data[i*vocab : (i+1)*vocab]
		for j, x := range row {
			if x > row[best[i]] {
				best[i] = int32(j)
			}
		}
	}
	return best
}
