package model

import "swiftgo/api"

// Normalized returns out with hidden states of length 1, as embedding models are
// trained and compared. It has no logits.
func Normalized(out *api.Output) *api.Output {
	h := out.Hidden()
	length := h.Mul(h).Sum(1).Sqrt().Max(1e-12).Reshape(h.Shape()[0], 1)
	return api.NewOutput(h.Div(length), noTokens{func(*api.Var) *api.Var {
		panic("an embedding model has no logits; want a loss or metric of hidden states")
	}})
}

// Judged returns out with one logit a token, [tokens, 1]: by how much the token
// yes is more likely to follow than no.
func (m *Model) Judged(out *api.Output, yes, no int32) *api.Output {
	return api.NewOutput(out.Hidden(), noTokens{func(hidden *api.Var) *api.Var {
		if m.head.Wrapped() { // by a tuner: what it does is not known here
			all := m.head.Forward(hidden)
			at := func(id int32) *api.Var { return all.Slice(1, int(id), int(id)+1) }
			return at(yes).Sub(at(no))
		}
		w := m.head.Weight
		return hidden.MatMulT(w.Gather([]int32{yes}).Sub(w.Gather([]int32{no})))
	}})
}

// noTokens is the head of a model that predicts no tokens.
type noTokens struct {
	logits func(hidden *api.Var) *api.Var
}

func (h noTokens) Logits(hidden *api.Var) *api.Var { return h.logits(hidden) }

func (noTokens) CrossEntropy(*api.Var, []int32) *api.Var { panic(unpredicted) }

func (noTokens) Argmax(*api.Var) []int32 { panic(unpredicted) }

const unpredicted = "the task's model predicts no tokens; want a loss or metric of the task"
