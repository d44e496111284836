package model_test

import (
	"math"
	"testing"

	"swiftgo/api"
	"swiftgo/core/model"
)

// TestNormalized sees the hidden states at length 1, in their direction.
func TestNormalized(t *testing.T) {
	m, ref, _ := load(t, "qwen2")
	out := m.Forward(ref.InputIDs[0], []int32{0})
	unit := model.Normalized(out).Hidden()
	dim := unit.Shape()[1]
	for i := range unit.Shape()[0] {
		v, w := unit.Data()[i*dim:(i+1)*dim], out.Hidden().Data()[i*dim:(i+1)*dim]
		var vv, vw, ww float64
		for k := range v {
			vv, vw, ww = vv+float64(v[k])*float64(v[k]), vw+float64(v[k])*float64(w[k]), ww+float64(w[k])*float64(w[k])
		}
		if math.Abs(vv-1) > 1e-5 || math.Abs(vw-math.Sqrt(ww)) > 1e-5*math.Sqrt(ww) {
			t.Fatalf("token %d: length² %g, along the state %g of %g", i, vv, vw, math.Sqrt(ww))
		}
	}
}

// TestJudged compares the one logit of a token with the difference of two, with
// the head as it is and wrapped.
func TestJudged(t *testing.T) {
	const yes, no = 7, 3
	for _, wrapped := range []bool{false, true} {
		m, ref, _ := load(t, "qwen2")
		if wrapped {
			for _, l := range m.Linears {
				if l.Part == api.LMHead {
					l.Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Scale(2) })
				}
			}
		}
		out := m.Forward(ref.InputIDs[0], []int32{0})
		judged := m.Judged(out, yes, no)
		n, vocab := out.Logits().Shape()[0], out.Logits().Shape()[1]
		if got := judged.Logits().Shape(); len(got) != 2 || got[0] != n || got[1] != 1 {
			t.Fatalf("logits of shape %v, want [%d 1]", got, n)
		}
		for i := range n {
			want := float64(out.Logits().Data()[i*vocab+yes]) - float64(out.Logits().Data()[i*vocab+no])
			if got := float64(judged.Logits().Data()[i]); math.Abs(got-want) > 1e-4 {
				t.Fatalf("wrapped %v, token %d: %g, want %g", wrapped, i, got, want)
			}
		}
	}
}
