package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestCrossEntropy(t *testing.T) {
	skipWithoutLibrary(t)
	shapes := []struct{ n, h, vocab int }{{1, 8, 3}, {7, 16, 50}, {29, 24, lossWords + 37}, {70, 8, 257}, {lossTokens + 5, 4, lossLogits/lossTokens + 19}, {0, 8, 3}}
	eachISA(t, func(t *testing.T) {
		for _, s := range shapes {
			for _, ignored := range []int{0, 1, 3} { // of five tokens
				x, w := random(s.n*s.h, 1), other(s.vocab*s.h, 1)
				labels, dloss := make([]int32, s.n), random(s.n, 1)
				for i := range labels {
					labels[i] = int32(i * 7919 % s.vocab)
					if i%5 < ignored {
						labels[i] = Ignore
					}
				}
				var argmax []int32
				out := eachPool(t, func(p *Pool) [][]float32 {
					nan := float32(math.NaN())
					o := TokenLoss{Loss: filled(s.n, nan), LSE: filled(s.n, nan), DX: filled(len(x), nan), Argmax: make([]int32, s.n)}
					CrossEntropy(p, s.h, x, Weight{F32: w}, labels, o)
					argmax = o.Argmax
					alone := filled(s.n, nan)
					CrossEntropy(p, s.h, x, Weight{F32: w}, labels, TokenLoss{Loss: alone})
					dw := filled(len(w), .5)
					CrossEntropyBackwardW(p, s.h, x, w, labels, o.LSE, dloss, dw)
					return [][]float32{o.Loss, o.LSE, o.DX, dw, alone}
				})
				loss, lse, dx, dw, wantArgmax := naiveCrossEntropy(s.h, x, w, labels, dloss)
				name := fmt.Sprintf("%+v, %d of 5 ignored: ", s, ignored)
				near(t, name+"loss", out[0], loss, 2e-6)
				near(t, name+"lse", out[1], lse, 2e-6)
				near(t, name+"dx", out[2], dx, 1e-5)
				near(t, name+"dw", out[3], plus(dw, .5), 1e-5)
				near(t, name+"loss alone", out[4], loss, 2e-6)
				if !slices.Equal(argmax, wantArgmax) {
					t.Fatalf("%sargmax is %v, want %v", name, argmax, wantArgmax)
				}
			}
		}
	})
}

func TestCrossEntropyTakesFirstOfEqual(t *testing.T) {
	skipWithoutLibrary(t)
	const vocab = 2*lossWords + 5
	x, w := []float32{1}, filled(vocab, 2)
	w[0] = 1
	out := TokenLoss{Loss: make([]float32, 1), Argmax: make([]int32, 1)}
	eachISA(t, func(t *testing.T) {
		CrossEntropy(NewPool(1), 1, x, Weight{F32: w}, []int32{5}, out)
		if out.Argmax[0] != 1 {
			t.Errorf("argmax is %d, want 1", out.Argmax[0])
		}
	})
}

func TestCrossEntropyKeepsNaN(t *testing.T) {
	skipWithoutLibrary(t)
	eachISA(t, func(t *testing.T) {
		const vocab, h = lossWords + 37, 2
		for _, bad := range []int{0, 15, 16, lossWords - 1, lossWords, vocab - 1} {
			w := random(vocab*h, 1)
			w[bad*h] = float32(math.NaN())
			loss := make([]float32, 1)
			CrossEntropy(NewPool(1), h, []float32{1, 1}, Weight{F32: w}, []int32{3}, TokenLoss{Loss: loss})
			if loss[0] == loss[0] {
				t.Errorf("loss is %g though the logit of word %d is NaN", loss[0], bad)
			}
		}
		// A token with a NaN does not spoil the others.
		loss := make([]float32, 3)
		CrossEntropy(NewPool(1), h, []float32{1, 1, float32(math.NaN()), 1, 1, 1}, Weight{F32: random(vocab*h, 1)}, []int32{3, 3, 3}, TokenLoss{Loss: loss})
		if loss[0] != loss[0] || loss[1] == loss[1] || loss[2] != loss[2] {
			t.Errorf("losses are %v, want the second alone to be NaN", loss)
		}
	})
}

func TestCrossEntropyRefusesLabels(t *testing.T) {
	x := make([]float32, 6)
	for _, label := range []int32{3, -1} {
		panics(t, fmt.Sprintf("kernel: CrossEntropy: label %d of token 1 is not in the vocabulary of 3", label), func() {
			CrossEntropy(NewPool(1), 2, x[:4], Weight{F32: x}, []int32{0, label}, TokenLoss{Loss: x[:2]})
		})
	}
}
