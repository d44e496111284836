package builtin

import (
	"math"
	"slices"

	"swiftgo/api"
)

// margin is how far apart in cosine distance the sides of a pair that do not
// belong together are pushed.
const margin = 0.5

// pairLoss is a loss of pairs, from the cosine of each, [pairs], and its label.
type pairLoss func(cosine *api.Var, labels []float64) *api.Var

func newPairLoss(f pairLoss) func(*api.Args) (api.Loss, error) {
	return func(args *api.Args) (api.Loss, error) { return f, args.Decode(&none{}) }
}

// Compute returns a single value.
func (f pairLoss) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	e, err := newEmbeddings(out, b)
	if err != nil {
		return nil, err
	}
	v, w, err := e.pairs()
	if err != nil {
		return nil, err
	}
	return f(cosine(v, w), e.labels).Scale(share(b)), nil
}

// cosine returns that of each row of v with the same of w, [rows].
func cosine(v, w *api.Var) *api.Var {
	length := func(v *api.Var) *api.Var { return v.Mul(v).Sum(1).Sqrt().Max(1e-8) }
	return v.Mul(w).Sum(1).Div(length(v)).Div(length(w))
}

// cosineSimilarity is the mean square of cosine minus label.
func cosineSimilarity(cosine *api.Var, labels []float64) *api.Var {
	off := cosine.Sub(weights(labels, func(y float64) float64 { return y }))
	return off.Mul(off).Mean()
}

// contrastive is the mean of ½(y·d² + (1-y)·max(0, margin-d)²), d being the
// cosine distance, of Hadsell et al. 2006.
func contrastive(cosine *api.Var, labels []float64) *api.Var {
	near, far := squares(cosine)
	near = near.Mul(weights(labels, func(y float64) float64 { return y }))
	far = far.Mul(weights(labels, func(y float64) float64 { return 1 - y }))
	return near.Add(far).Scale(0.5).Mean()
}

// onlineContrastive is the sum of d² of the hard positive pairs and of
// max(0, margin-d)² of the hard negative ones, as in sentence-transformers: the
// positive pairs farther than the nearest negative, and the other way round.
func onlineContrastive(cosine *api.Var, labels []float64) *api.Var {
	var apart [2][]float64 // distances of pairs labelled 0 and 1
	for i, y := range labels {
		if y == 0 || y == 1 {
			apart[int(y)] = append(apart[int(y)], 1-float64(cosine.Data()[i]))
		}
	}
	negative, positive := apart[0], apart[1]
	nearest, farthest := mean(positive), mean(negative) // of the other kind, if there are several
	if len(negative) > 1 {
		nearest = slices.Min(negative)
	}
	if len(positive) > 1 {
		farthest = slices.Max(positive)
	}
	hard := func(label float64, is func(distance float64) bool) *api.Var {
		w := api.Full(0, len(labels))
		for i, y := range labels {
			w.Float32s()[i] = float32(btoi(y == label && is(1-float64(cosine.Data()[i]))))
		}
		return api.Const(w)
	}
	near, far := squares(cosine)
	near = near.Mul(hard(1, func(d float64) bool { return d > nearest }))
	return near.Add(far.Mul(hard(0, func(d float64) bool { return d < farthest }))).Sum()
}

// squares returns d² and max(0, margin-d)² of each pair.
func squares(cosine *api.Var) (near, far *api.Var) {
	distance := cosine.OneMinus()
	short := distance.Neg().Shift(margin).Max(0)
	return distance.Mul(distance), short.Mul(short)
}

// weights returns f of each label.
func weights(labels []float64, f func(float64) float64) *api.Var {
	w := api.Full(0, len(labels))
	for i, y := range labels {
		w.Float32s()[i] = float32(f(y))
	}
	return api.Const(w)
}

// mean returns NaN of none.
func mean(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
