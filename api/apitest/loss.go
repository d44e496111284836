package apitest

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Loss checks that a loss is finite, that its gradient is that of its value,
// that the tokens whose label is Ignore have no part in it, and that it can do
// with a micro-batch in which no token counts.
func Loss(t testing.TB, new func(*api.Args) (api.Loss, error), options ...Option) {
	t.Helper()
	fresh := construct(t, new, options)
	l := &lossCheck{TB: t, loss: fresh()}
	for seed := range uint64(3) {
		b, logits := batch(seed)
		l.gradient(b, logits)
		l.ignored(b, logits)
		b.Scale = weights(len(b.Labels))
		l.value(b, api.NewParam("logits", logits).Var)
	}
	b, logits := batch(1)
	for i := range b.Labels {
		b.Labels[i] = api.Ignore
	}
	l.value(b, api.Const(logits))
}

type lossCheck struct {
	testing.TB
	loss api.Loss
}

// value returns what the trainer makes of the loss: a single value as it is,
// of values per token the weighted sum of those that count.
func (l *lossCheck) value(b *api.Batch, logits *api.Var) *api.Var {
	l.Helper()
	v, err := l.loss.Compute(api.LogitsOutput(logits), b)
	if err != nil {
		l.Fatalf("compute: %v", err)
	}
	n := v.Shape().TotalSize()
	if n != 1 && n != len(b.Labels) {
		l.Fatalf("the loss has shape %v, want one value per token, [%d], or a single value", v.Shape(), len(b.Labels))
	}
	if n > 1 {
		w := weights(n)
		for i, label := range b.Labels {
			if label == api.Ignore {
				w[i] = 0
			}
		}
		v = v.Reshape(n).Mul(api.Const(tensor.New(tensor.WithShape(n), tensor.WithBacking(w)))).Sum()
	}
	if x := float64(v.Data()[0]); !finite(x) {
		l.Fatalf("the loss of labels %v is %g, want a finite number", b.Labels, x)
	}
	return v
}

// weights returns a weight for each token, none of them alike.
func weights(n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = 0.2 + 0.1*float32(i)
	}
	return w
}

// gradient compares the gradient with differences.
func (l *lossCheck) gradient(b *api.Batch, logits *tensor.Dense) {
	l.Helper()
	p := api.NewParam("logits", logits)
	if err := l.value(b, p.Var).Backward(); err != nil {
		l.Fatalf("gradient: %v", err)
	}
	grad := p.Grad()
	if grad == nil {
		l.Fatalf("no gradient reaches the logits")
	}
	for i, got := range grad {
		const h = 1.0 / 128
		at := func(d float32) float64 {
			p.Set(func(w []float32) { w[i] += d })
			defer p.Set(func(w []float32) { w[i] -= d })
			return float64(l.value(b, api.Const(p.Value())).Data()[0])
		}
		above, below := at(h), at(-h)
		want := (above - below) / (2 * h)
		if d := math.Abs(float64(got) - want); !(d <= 1e-3*max(1, math.Abs(above))+1e-2*math.Abs(want)) {
			l.Errorf("gradient to logit %d of token %d (label %d) is %g, by differences %g", i%vocab, i/vocab, b.Labels[i/vocab], got, want)
			return
		}
	}
}

// ignored changes the logits of the tokens that do not count.
func (l *lossCheck) ignored(b *api.Batch, logits *tensor.Dense) {
	l.Helper()
	before := l.value(b, api.Const(logits)).Data()[0]
	changed := logits.Clone().(*tensor.Dense)
	r := newRand(7)
	for i, label := range b.Labels {
		if label == api.Ignore {
			copy(changed.Float32s()[i*vocab:], normal(r, vocab))
		}
	}
	if after := l.value(b, api.Const(changed)).Data()[0]; after != before {
		l.Errorf("the loss changed from %g to %g with the logits of tokens whose label is Ignore", before, after)
	}
}
