package model

import (
	"swiftgo/api"
)

// Normalized returns out with hidden states of length 1, as embedding models are
// trained and compared.
func Normalized(out *api.Output) *api.Output {
	h := out.Hidden()
	length := h.Mul(h).Sum(1).Sqrt().Max(1e-12).Reshape(h.Shape()[0], 1)
	return api.NewOutput(h.Div(length), noHead{})
}

// noHead is the head of a model that predicts no tokens.
type noHead struct{}

func (noHead) Logits(*api.Var) *api.Var { panic(noLogits) }

func (noHead) CrossEntropy(*api.Var, []int32) *api.Var { panic(noLogits) }

func (noHead) Argmax(*api.Var) []int32 { panic(noLogits) }

const noLogits = "an embedding model has no logits; want a loss or metric of hidden states"

// Judged returns out with one logit a token, [tokens, 1]: by how much the token
// yes is more likely to follow than no.
func (m *Model) Judged(out *api.Output, yes, no int32) *api.Output {
	return api.NewOutput(out.Hidden(), judge{m, yes, no})
}

// judge is the head that tells yes from no. A label is 1 or 0.
type judge struct {
	m       *Model
	yes, no int32
}

func (j judge) Logits(hidden *api.Var) *api.Var {
	if j.m.head.Wrapped() { // by a tuner: what it does is not known here
		all := j.m.head.Forward(hidden)
		at := func(id int32) *api.Var { return all.Slice(1, int(id), int(id)+1) }
		return at(j.yes).Sub(at(j.no))
	}
	w := j.m.head.Weight
	return hidden.MatMulT(w.Gather([]int32{j.yes}).Sub(w.Gather([]int32{j.no})))
}

// both returns the logits of no and yes, [tokens, 2].
func (j judge) both(hidden *api.Var) *api.Var {
	logits := j.Logits(hidden)
	return api.Concat(1, api.Const(api.Full(0, logits.Shape()[0], 1)), logits)
}

func (j judge) CrossEntropy(hidden *api.Var, labels []int32) *api.Var {
	return api.CrossEntropy(j.both(hidden), labels)
}

func (j judge) Argmax(hidden *api.Var) []int32 {
	return api.LogitsOutput(j.both(hidden.Detach())).Argmax()
}
