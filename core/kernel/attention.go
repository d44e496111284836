package kernel

// #include "table.h"
import "C"

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	attentionBlock = 64 // BLOCK in attention.h
	attentionPad   = 16 // PAD
)

// Attention is causal, grouped-query attention over sequences packed end to end, which do not see each other:
// o = softmax(q·kᵀ/√headDim)·v for each head. q and o are [n, heads·headDim], k and v [n, kvHeads·headDim].
// starts has the first row of each sequence, the first being 0. lse [heads, n], the log of the sum of exp of the scores,
// is kept for the backward pass.
func Attention(p *Pool, starts []int32, heads, kvHeads, headDim int, q, k, v, o, lse []float32) {
	defer begin(AttentionPart).end()
	s := newAttentionShape("Attention", starts, heads, kvHeads, headDim, k, v)
	checkLen("Attention", "q", q, s.n*s.ldq)
	checkLen("Attention", "o", o, len(q))
	checkLen("Attention", "lse", lse, heads*s.n)
	if s.n > 0 {
		s.forward(p, 0, q, k, v, o, lse)
	}
}

// forward is Attention without the first queries, a multiple of attentionBlock: q, o and lse have none of them. There
// are such only where there is one sequence.
func (s *attentionShape) forward(p *Pool, first int, q, k, v, o, lse []float32) {
	size := s.kvHeads * s.padded
	kt, vp := scratch().Alloc(size*s.hd), scratch().Alloc(size*s.hp)
	tmpSize := attentionBlock * (s.hd + attentionBlock + s.hp)
	tmp := scratch().Alloc(p.Workers() * tmpSize)
	defer scratch().Free(kt)
	defer scratch().Free(vp)
	defer scratch().Free(tmp)
	s.eachKVHead(p, func(seq sequence, g int) {
		s.packColumns(seq, g, k, kt)
		s.packRows(seq, g, v, vp)
	})

	type unit struct {
		seq sequence
		i0  int // first query of the block, counted in the sequence
	}
	var units []unit
	for _, seq := range s.seqs {
		for i := first; i < seq.n; i += attentionBlock {
			units = append(units, unit{seq, i})
		}
	}
	slices.SortStableFunc(units, func(a, b unit) int { return cmp.Compare(b.i0, a.i0) }) // the longest first
	p.Run(len(units)*s.heads, func(i, worker int) {
		u, h := units[i/s.heads], i%s.heads
		kv := h/s.group*s.padded + u.seq.padded
		row := u.seq.start + u.i0 - first
		x := row*s.ldq + h*s.hd
		C.k_attention(C.long(u.i0), C.long(min(attentionBlock, u.seq.n-u.i0)), C.long(s.hd), C.long(s.hp),
			cfloat(q[x:]), C.long(s.ldq), cfloat(kt[kv*s.hd:]), cfloat(vp[kv*s.hp:]),
			cfloat(o[x:]), C.long(s.ldq), cfloat(lse[h*(s.n-first)+row:]), cfloat(tmp[worker*tmpSize:]))
	})
}

// AttentionBackward writes the gradients to q, k and v. o and lse are those of Attention, do is the gradient to o.
func AttentionBackward(p *Pool, starts []int32, heads, kvHeads, headDim int, q, k, v, o, lse, do, dq, dk, dv []float32) {
	defer begin(AttentionPart).end()
	s := newAttentionShape("AttentionBackward", starts, heads, kvHeads, headDim, k, v)
	checkLen("AttentionBackward", "q", q, s.n*s.ldq)
	checkLen("AttentionBackward", "o", o, len(q))
	checkLen("AttentionBackward", "lse", lse, heads*s.n)
	checkLen("AttentionBackward", "do", do, len(q))
	checkLen("AttentionBackward", "dq", dq, len(q))
	checkLen("AttentionBackward", "dk", dk, len(k))
	checkLen("AttentionBackward", "dv", dv, len(k))
	if s.n == 0 {
		return
	}
	size := s.kvHeads * s.padded
	kt, vt, kp := scratch().Alloc(size*s.hd), scratch().Alloc(size*s.hd), scratch().Alloc(size*s.hp)
	// Each head has its own dk and dv, which are then added up over the group in a fixed order.
	dkp, dvp := scratch().Alloc(heads*s.padded*s.hp), scratch().Alloc(heads*s.padded*s.hp)
	tmpSize := 2*attentionBlock*attentionBlock + roundUp(s.longest, attentionPad)*(3*s.hp+1)
	tmp := scratch().Alloc(p.Workers() * tmpSize)
	defer func() {
		for _, x := range [][]float32{kt, vt, kp, dkp, dvp, tmp} {
			scratch().Free(x)
		}
	}()
	s.eachKVHead(p, func(seq sequence, g int) {
		s.packColumns(seq, g, k, kt)
		s.packColumns(seq, g, v, vt)
		s.packRows(seq, g, k, kp)
	})
	longestFirst := slices.Clone(s.seqs)
	slices.SortStableFunc(longestFirst, func(a, b sequence) int { return cmp.Compare(b.n, a.n) })
	p.Run(len(s.seqs)*heads, func(i, worker int) {
		seq, h := longestFirst[i/heads], i%heads
		kv, own := h/s.group*s.padded+seq.padded, (h*s.padded+seq.padded)*s.hp
		x := seq.start*s.ldq + h*s.hd
		C.k_attention_backward(C.long(seq.n), C.long(s.hd), C.long(s.hp), cfloat(q[x:]), cfloat(o[x:]), cfloat(do[x:]), C.long(s.ldq),
			cfloat(kt[kv*s.hd:]), cfloat(vt[kv*s.hd:]), cfloat(kp[kv*s.hp:]), cfloat(lse[h*s.n+seq.start:]),
			cfloat(dq[x:]), cfloat(dkp[own:]), cfloat(dvp[own:]), cfloat(tmp[worker*tmpSize:]))
	})
	s.eachKVHead(p, func(seq sequence, g int) {
		own, x := (g*s.group*s.padded+seq.padded)*s.hp, seq.start*s.ldk+g*s.hd
		merge := func(from, to []float32) {
			C.k_attention_merge(C.long(seq.n), C.long(s.hd), C.long(s.hp), C.long(s.group), C.long(s.padded*s.hp), cfloat(from[own:]), cfloat(to[x:]), C.long(s.ldk))
		}
		merge(dkp, dk)
		merge(dvp, dv)
	})
}

// AttentionCached is attention of the last tokens of one sequence: q and o [m, heads·headDim] are its last m tokens, the
// keys and values of all its t tokens are k and v [t, kvHeads·headDim].
func AttentionCached(p *Pool, heads, kvHeads, headDim int, q, k, v, o []float32) {
	defer begin(AttentionPart).end()
	checkHeads("AttentionCached", heads, kvHeads, headDim)
	m, t := rowsOf("AttentionCached", "q", q, heads*headDim), rowsOf("AttentionCached", "k", k, kvHeads*headDim)
	checkLen("AttentionCached", "v", v, len(k))
	checkLen("AttentionCached", "o", o, len(q))
	switch {
	case m > t:
		panic(fmt.Sprintf("kernel: AttentionCached: q has %d tokens and k %d, want at least as many", m, t))
	case m >= attentionPad && (t-m)%attentionBlock == 0: // a prompt, or a block of one
		s := newAttentionShape("AttentionCached", []int32{0}, heads, kvHeads, headDim, k, v)
		lse := scratch().Alloc(heads * m)
		defer scratch().Free(lse)
		s.forward(p, t-m, q, k, v, o, lse)
		return
	}
	tmp := scratch().Alloc(p.Workers() * t)
	defer scratch().Free(tmp)
	one := func(i, worker int) {
		row, h := i/heads, i%heads
		x, g := i*headDim, h/(heads/kvHeads)*headDim
		C.k_attention_one(C.long(t-m+row+1), C.long(headDim), cfloat(q[x:]), cfloat(k[g:]), cfloat(v[g:]), C.long(kvHeads*headDim),
			cfloat(o[x:]), cfloat(tmp[worker*t:]))
	}
	if m*heads*t*headDim < pieceSize {
		for i := range m * heads {
			one(i, 0)
		}
		return
	}
	p.Run(m*heads, one)
}

// sequence is one of the packed sequences.
type sequence struct {
	start, n int // rows
	padded   int // its start where every sequence has its length rounded up
}

type attentionShape struct {
	n, heads, kvHeads, group int
	hd, hp                   int // the size of a head, and the same rounded up
	ldq, ldk                 int // between rows of q and of k
	seqs                     []sequence
	padded, longest          int // rows of all sequences with their lengths rounded up; of the longest
}

func newAttentionShape(f string, starts []int32, heads, kvHeads, headDim int, k, v []float32) attentionShape {
	checkHeads(f, heads, kvHeads, headDim)
	s := attentionShape{heads: heads, kvHeads: kvHeads, group: heads / kvHeads, hd: headDim, hp: roundUp(headDim, attentionPad),
		ldq: heads * headDim, ldk: kvHeads * headDim}
	s.n = rowsOf(f, "k", k, s.ldk)
	checkLen(f, "v", v, s.n*s.ldk)
	for i, start := range starts {
		end := s.n
		if i+1 < len(starts) {
			end = int(starts[i+1])
		}
		n := end - int(start)
		if n < 0 || end > s.n || i == 0 && start != 0 {
			panic(fmt.Sprintf("kernel: %s: sequences start at %v, want 0 and then no less than the one before, up to %d", f, starts, s.n))
		}
		if n == 0 {
			continue
		}
		s.seqs = append(s.seqs, sequence{start: int(start), n: n, padded: s.padded})
		s.padded += roundUp(n, attentionPad)
		s.longest = max(s.longest, n)
	}
	if len(starts) == 0 && s.n > 0 {
		panic(fmt.Sprintf("kernel: %s: %d tokens and no sequence, want one to start at 0", f, s.n))
	}
	return s
}

func (s *attentionShape) eachKVHead(p *Pool, f func(seq sequence, g int)) {
	p.rows(len(s.seqs)*s.kvHeads, s.hd*(s.n/len(s.seqs)+1), func(r0, r1 int) {
		for r := r0; r < r1; r++ {
			f(s.seqs[r/s.kvHeads], r%s.kvHeads)
		}
	})
}

// packColumns packs one sequence of one key-value head of x transposed, packRows as it is.
func (s *attentionShape) packColumns(seq sequence, g int, x, packed []float32) {
	C.k_pack_columns(C.long(seq.n), C.long(s.hd), cfloat(x[seq.start*s.ldk+g*s.hd:]), C.long(s.ldk), cfloat(packed[(g*s.padded+seq.padded)*s.hd:]))
}

func (s *attentionShape) packRows(seq sequence, g int, x, packed []float32) {
	C.k_pack_rows(C.long(seq.n), C.long(s.hd), C.long(s.hp), 1, cfloat(x[seq.start*s.ldk+g*s.hd:]), C.long(s.ldk), cfloat(packed[(g*s.padded+seq.padded)*s.hp:]))
}

func checkHeads(f string, heads, kvHeads, headDim int) {
	if heads <= 0 || kvHeads <= 0 || headDim <= 0 || heads%kvHeads != 0 {
		panic(fmt.Sprintf("kernel: %s: %d heads of %d, %d of them for keys and values, want a multiple", f, heads, headDim, kvHeads))
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
