package generate

import (
	"cmp"
	"strings"

	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

// Settings are what may be said of sampling; what is nil stays as the model has
// it.
type Settings struct {
	Temperature       *float64 `json:"temperature"`
	TopK              *int     `json:"top_k"`
	TopP              *float64 `json:"top_p"`
	MinP              *float64 `json:"min_p"`
	RepetitionPenalty *float64 `json:"repetition_penalty"`
	Seed              *int64   `json:"seed"`
}

// Over returns p with what is said.
func (s *Settings) Over(p model.Sampling) model.Sampling {
	p.Temperature, p.TopK, p.TopP = value(s.Temperature, p.Temperature), value(s.TopK, p.TopK), value(s.TopP, p.TopP)
	p.MinP, p.RepetitionPenalty, p.Seed = value(s.MinP, p.MinP), value(s.RepetitionPenalty, p.RepetitionPenalty), value(s.Seed, p.Seed)
	if p.TopK == -1 { // vLLM's word for all
		p.TopK = 0
	}
	return p
}

func value[T any](said *T, otherwise T) T { return *cmp.Or(said, &otherwise) }

// Logprobs are the log probabilities of an answer's tokens as OpenAI writes
// them.
type Logprobs struct {
	Content []TokenLogprob `json:"content"`
}

// TokenLogprob is the log probability of a token.
type TokenLogprob struct {
	Token   string         `json:"token"`
	Logprob float64        `json:"logprob"`
	Bytes   []int          `json:"bytes"`
	Top     []TokenLogprob `json:"top_logprobs,omitempty"`
}

// NewLogprobs writes the log probabilities of tokens.
func NewLogprobs(t *tokenizer.Tokenizer, tokens []model.Token) *Logprobs {
	all := &Logprobs{Content: []TokenLogprob{}}
	for _, token := range tokens {
		l := newTokenLogprob(t, token.ID, token.Logprob)
		for _, top := range token.Top {
			l.Top = append(l.Top, newTokenLogprob(t, top.ID, top.Logprob))
		}
		all.Content = append(all.Content, l)
	}
	return all
}

func newTokenLogprob(t *tokenizer.Tokenizer, id int32, logprob float64) TokenLogprob {
	text := t.Decode([]int32{id}, false)
	// The first token of a text may lose the space before it: look at the second.
	if second, ok := strings.CutPrefix(t.Decode([]int32{id, id}, false), text); ok {
		text = second
	}
	bytes := make([]int, len(text))
	for i := range len(text) {
		bytes[i] = int(text[i])
	}
	return TokenLogprob{Token: text, Logprob: logprob, Bytes: bytes}
}
