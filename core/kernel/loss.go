package kernel

// #include "table.h"
import "C"

import (
	"math"
)

// ignored is the label of a token that does not count.
const ignored = -100

// CrossEntropy sets loss [n] to -log p(label) of each token, where p is the softmax of x [n, h] times wᵀ, w [vocab, h];
// lse [n] to the logarithm of the sum of e^logit; best [n] to the word of the largest logit, the first of equals; and
// dx [n, h], if it is not nil, to the gradient of each token's own loss to its row of x. A token whose label is -100
// costs nothing and gets zeros.
//
// It goes through the vocabulary in blocks and never holds [n, vocab].
func CrossEntropy(p *Pool, x, w []float32, labels []int32, loss, lse, dx []float32, best []int32) {
	n := len(labels)
	need("loss", n, len(loss))
	need("lse", n, len(lse))
	need("best", n, len(best))
	clear(loss[:n])
	clear(lse[:n])
	clear(best[:n])
	clear(dx)
	c := compact(x, w, labels)
	defer c.buf.done()
	if len(c.rows) == 0 {
		return
	}
	m, s, tl := take(&c.free, len(c.rows)), take(&c.free, len(c.rows)), take(&c.free, len(c.rows))
	logits := take(&c.free, len(c.rows)*c.block)
	ends := make([]float32, 2*len(c.rows)) // loss and lse of the rows
	top := make([]int32, len(c.rows))
	for i := range m {
		m[i], s[i], tl[i] = float32(math.Inf(-1)), 0, 0
	}
	var acc []float32
	if dx != nil {
		acc = make([]float32, len(c.rows)*c.h)
	}
	sub := func(x []float32, i int) *C.float {
		if x == nil {
			return nil
		}
		return cfloat(x[i:])
	}
	c.blocks(func(v0, nb int, block []float32) {
		MatMul(false, true, len(c.rows), nb, c.h, c.x, c.h, block, c.h, false, logits, nb)
		p.rows(len(c.rows), nb, func(a, b int) {
			C.k_loss_block(C.long(b-a), C.long(nb), C.long(v0), cint32(c.labels[a:]), cfloat(logits[a*nb:]), cfloat(m[a:]), cfloat(s[a:]), cfloat(tl[a:]),
				cint32(top[a:]), C.long(c.h), sub(acc, a*c.h))
		})
		if acc != nil {
			MatMul(false, false, len(c.rows), c.h, nb, logits, nb, block, c.h, true, acc, c.h)
		}
	})
	p.rows(len(c.rows), c.h, func(a, b int) {
		C.k_loss_end(C.long(b-a), C.long(c.h), cfloat(w), cint32(c.labels[a:]), cfloat(m[a:]), cfloat(s[a:]), cfloat(tl[a:]),
			cfloat(ends[a:]), cfloat(ends[len(c.rows)+a:]), sub(acc, a*c.h))
	})
	for i, row := range c.rows {
		loss[row], lse[row], best[row] = max(0, ends[i]), ends[len(c.rows)+i], top[i]
		if dx != nil {
			copy(dx[row*c.h:(row+1)*c.h], acc[i*c.h:])
		}
	}
}

// CrossEntropyBackwardW adds to dw [vocab, h] the gradient to w of the sum of dloss·loss.
func CrossEntropyBackwardW(p *Pool, x, w []float32, labels []int32, lse, dloss, dw []float32) {
	need("lse", len(labels), len(lse))
	need("dloss", len(labels), len(dloss))
	need("dw", len(w), len(dw))
	c := compact(x, w, labels)
	defer c.buf.done()
	if len(c.rows) == 0 {
		return
	}
	z, d, logits := take(&c.free, len(c.rows)), take(&c.free, len(c.rows)), take(&c.free, len(c.rows)*c.block)
	for i, row := range c.rows {
		z[i], d[i] = lse[row], dloss[row]
	}
	c.blocks(func(v0, nb int, block []float32) {
		MatMul(false, true, len(c.rows), nb, c.h, c.x, c.h, block, c.h, false, logits, nb)
		p.rows(len(c.rows), nb, func(a, b int) {
			C.k_loss_weight(C.long(b-a), C.long(nb), C.long(v0), cint32(c.labels[a:]), cfloat(z[a:]), cfloat(d[a:]), cfloat(logits[a*nb:]))
		})
		MatMul(true, false, nb, c.h, len(c.rows), logits, nb, c.x, c.h, true, dw[v0*c.h:], c.h)
	})
}

// counting is the rows of a batch that count in the loss, one after the other.
type counting struct {
	h, vocab, block int
	rows            []int
	labels          []int32
	x, w            []float32
	buf             *buffer
	free            []float32 // scratch for what belongs to the rows
}

// blockElements bounds the logits that are held at a time, so that they stay in the cache.
const blockElements = 2 << 20

func compact(x, w []float32, labels []int32) *counting {
	c := &counting{h: len(x) / max(1, len(labels)), w: w}
	c.vocab = len(w) / max(1, c.h)
	for i, label := range labels {
		if label == ignored {
			continue
		}
		if label < 0 || int(label) >= c.vocab {
			panic("kernel: a label is outside the vocabulary")
		}
		c.rows, c.labels = append(c.rows, i), append(c.labels, label)
	}
	c.block = min(c.vocab, max(256, min(4096, blockElements/max(1, len(c.rows))/padding*padding)))
	c.buf = scratch(len(c.rows) * (c.h + 3 + c.block))
	c.free = c.buf.x
	c.x = take(&c.free, len(c.rows)*c.h)
	for i, row := range c.rows {
		copy(c.x[i*c.h:(i+1)*c.h], x[row*c.h:])
	}
	return c
}

// blocks calls f for each block of nb words from v0, with their rows of w.
func (c *counting) blocks(f func(v0, nb int, block []float32)) {
	for v0 := 0; v0 < c.vocab; v0 += c.block {
		nb := min(c.block, c.vocab-v0)
		f(v0, nb, c.w[v0*c.h:(v0+nb)*c.h])
	}
}
