package kernel

// #include "table.h"
import "C"

import (
	"fmt"
	"math"
)

// Ignore is the label of a token that has no loss.
const Ignore = -100

const (
	lossTokens = 2048    // tokens at a time
	lossLogits = 2 << 20 // logits at a time, for many tokens: they stay in the cache
	lossWords  = 4096    // words at a time, for few
)

// TokenLoss is what CrossEntropy writes. Only Loss must be there.
type TokenLoss struct {
	Loss   []float32 // [n] of each token; 0 where the label is Ignore
	LSE    []float32 // [n] log of the sum of exp of its logits, for CrossEntropyBackwardW; nil if not wanted
	DX     []float32 // [n, h] gradient of each token's own loss to its hidden state; nil if not wanted
	Argmax []int32   // [n] the word of the largest logit; -1 where the label is Ignore; nil if not wanted
}

// CrossEntropy is the loss of hidden states x [n, h] whose logits are x·wᵀ, for the output projection w [vocab, h].
// Only a block of logits exists at any time, and tokens with the label Ignore cost nothing.
func CrossEntropy(p *Pool, hidden int, x []float32, w Weight, labels []int32, out TokenLoss) {
	defer begin(LossPart).end()
	t := newLossRows("CrossEntropy", hidden, x, w, labels, nil)
	n := len(labels)
	checkLen("CrossEntropy", "Loss", out.Loss, n)
	clear(out.Loss)
	if out.LSE != nil {
		checkLen("CrossEntropy", "LSE", out.LSE, n)
		clear(out.LSE)
	}
	if out.DX != nil {
		checkLen("CrossEntropy", "DX", out.DX, len(x))
	}
	if out.Argmax != nil {
		checkLen("CrossEntropy", "Argmax", out.Argmax, n)
		for i := range out.Argmax {
			out.Argmax[i] = -1
		}
	}
	next := 0 // rows of DX before it are written
	for len(t.rows) > 0 {
		c := t.take()
		m, s, target := scratch().Alloc(c.n), scratch().Alloc(c.n), scratch().Alloc(c.n)
		loss, lse := scratch().Alloc(c.n), scratch().Alloc(c.n)
		best := make([]int32, c.n)
		var acc []float32
		if out.DX != nil {
			acc = scratch().Alloc(c.n * hidden)
			clear(acc)
		}
		for i := range m {
			m[i], s[i], best[i] = float32(math.Inf(-1)), 0, -1
		}
		c.eachBlock(p, w, func(v0, words int, logits []float32) {
			p.rows(c.n, words, func(r0, r1 int) {
				C.k_loss_block(C.long(r1-r0), C.long(words), C.long(v0), cint32(c.labels[r0:]), cfloat(logits[r0*words:]),
					cfloat(m[r0:]), cfloat(s[r0:]), cfloat(target[r0:]), cint32(best[r0:]), C.long(hidden), cfloat(tail(acc, r0*hidden)))
			})
			if acc != nil {
				MatMulWeight(p, false, c.n, hidden, words, logits, w.from(v0*hidden), true, acc)
			}
		})
		var right []float32 // rows of w
		if acc != nil {
			right = scratch().Alloc(c.n * hidden)
			w.Rows(p, hidden, c.labels, right)
		}
		p.rows(c.n, hidden, func(r0, r1 int) {
			C.k_loss_end(C.long(r1-r0), C.long(hidden), cfloat(tail(right, r0*hidden)), cfloat(m[r0:]), cfloat(s[r0:]), cfloat(target[r0:]),
				cfloat(loss[r0:]), cfloat(lse[r0:]), cfloat(tail(acc, r0*hidden)))
		})
		for i, row := range c.rows {
			out.Loss[row] = loss[i]
			if out.LSE != nil {
				out.LSE[row] = lse[i]
			}
			if out.Argmax != nil {
				out.Argmax[row] = best[i]
			}
			if out.DX != nil {
				clear(out.DX[next*hidden : row*hidden])
				copy(out.DX[row*hidden:][:hidden], acc[i*hidden:])
				next = row + 1
			}
		}
		for _, x := range [][]float32{m, s, target, loss, lse, acc, right, c.x} {
			scratch().Free(x)
		}
	}
	if out.DX != nil {
		clear(out.DX[next*hidden:])
	}
}

// CrossEntropyBackwardW adds the gradient of Σ dloss·loss to the output projection to dw [vocab, h]. lse is the LSE of
// CrossEntropy with the same x, w and labels; dloss [n].
func CrossEntropyBackwardW(p *Pool, hidden int, x, w []float32, labels []int32, lse, dloss, dw []float32) {
	defer begin(LossPart).end()
	checkLen("CrossEntropyBackwardW", "lse", lse, len(labels))
	checkLen("CrossEntropyBackwardW", "dloss", dloss, len(labels))
	checkLen("CrossEntropyBackwardW", "dw", dw, len(w))
	t := newLossRows("CrossEntropyBackwardW", hidden, x, Weight{F32: w}, labels, dloss)
	for len(t.rows) > 0 {
		c := t.take()
		z, d := scratch().Alloc(c.n), scratch().Alloc(c.n)
		for i, row := range c.rows {
			z[i], d[i] = lse[row], dloss[row]
		}
		c.eachBlock(p, Weight{F32: w}, func(v0, words int, logits []float32) {
			p.rows(c.n, words, func(r0, r1 int) {
				C.k_loss_weight(C.long(r1-r0), C.long(words), C.long(v0), cint32(c.labels[r0:]), cfloat(z[r0:]), cfloat(d[r0:]), cfloat(logits[r0*words:]))
			})
			MatMul(true, false, words, hidden, c.n, logits, words, c.x, hidden, true, dw[v0*hidden:], hidden)
		})
		for _, x := range [][]float32{z, d, c.x} {
			scratch().Free(x)
		}
	}
}

// LossMemory is how many floats CrossEntropy needs while it runs on n tokens.
func LossMemory(n, hidden, vocab int) int {
	n = min(n, lossTokens)
	return n * (3*hidden + lossBlock(n, vocab))
}

// lossBlock is the number of words at a time for n tokens. It is no power of two: with one between the rows of logits the
// product with their transpose, for the gradient to the weight, takes twice as long, as columns fall into few lines of the cache.
func lossBlock(n, vocab int) int {
	words := min(lossWords, max(1, lossLogits/max(1, n)))
	if words >= 256 {
		words -= words%32 - 16
	}
	return min(vocab, words)
}

// lossRows are the tokens that have a loss and that still have to be computed.
type lossRows struct {
	hidden int
	x      []float32
	labels []int32
	rows   []int
}

// newLossRows picks the rows whose label is not Ignore and whose dloss, if there is one, is not 0.
func newLossRows(f string, hidden int, x []float32, w Weight, labels []int32, dloss []float32) *lossRows {
	checkLen(f, "x", x, len(labels)*hidden)
	if w.Len()%hidden != 0 {
		panic(fmt.Sprintf("kernel: %s: w has %d elements, want a multiple of %d", f, w.Len(), hidden))
	}
	vocab := w.Len() / hidden
	t := &lossRows{hidden: hidden, x: x, labels: labels}
	for i, label := range labels {
		if label == Ignore || dloss != nil && dloss[i] == 0 {
			continue
		}
		if label < 0 || int(label) >= vocab {
			panic(fmt.Sprintf("kernel: %s: label %d of token %d is not in the vocabulary of %d", f, label, i, vocab))
		}
		t.rows = append(t.rows, i)
	}
	return t
}

// lossChunk is some of the rows, put together.
type lossChunk struct {
	n, hidden int
	rows      []int
	x         []float32 // [n, h], from the scratch arena
	labels    []int32
}

func (t *lossRows) take() lossChunk {
	n := min(lossTokens, len(t.rows))
	c := lossChunk{n: n, hidden: t.hidden, rows: t.rows[:n], x: scratch().Alloc(n * t.hidden), labels: make([]int32, n)}
	t.rows = t.rows[n:]
	for i, row := range c.rows {
		copy(c.x[i*t.hidden:][:t.hidden], t.x[row*t.hidden:])
		c.labels[i] = t.labels[row]
	}
	return c
}

// eachBlock calls f with the logits [n, words] of each block of the vocabulary; f may write on them.
func (c lossChunk) eachBlock(p *Pool, w Weight, f func(v0, words int, logits []float32)) {
	vocab := w.Len() / c.hidden
	block := lossBlock(c.n, vocab)
	logits := scratch().Alloc(c.n * block)
	defer scratch().Free(logits)
	for v0 := 0; v0 < vocab; v0 += block {
		words := min(block, vocab-v0)
		l := logits[:c.n*words]
		MatMulWeight(p, true, c.n, words, c.hidden, c.x, w.from(v0*c.hidden), false, l)
		f(v0, words, l)
	}
}

// tail is x[i:], or nil for nil.
func tail(x []float32, i int) []float32 {
	if x == nil {
		return nil
	}
	return x[i:]
}
