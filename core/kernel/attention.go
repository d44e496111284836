package kernel

// #include "table.h"
import "C"

const (
	queryBlock = 64 // queries and keys that attention.h takes at a time
	padding    = 16 // rows and columns that it rounds up to
)

func roundUp(n int) int { return (n + padding - 1) / padding * padding }

// span is one sequence among those that stand end to end: where it begins, its length, and where its rows begin in
// memory that gives every sequence a rounded-up length.
type span struct{ at, n, padded int }

// spans returns the sequences of n tokens that begin at starts, the longest rounded-up length, and the sum of them.
func spans(starts []int32, n int) (all []span, longest, total int) {
	for i, s := range starts {
		end := n
		if i+1 < len(starts) {
			end = int(starts[i+1])
		}
		all = append(all, span{int(s), end - int(s), total})
		longest = max(longest, roundUp(end-int(s)))
		total += roundUp(end - int(s))
	}
	return all, longest, total
}

// Attention is causal, grouped-query attention over sequences that stand end to end and cannot see each other. q and o
// are [tokens, heads·headDim], k and v [tokens, kvHeads·headDim], lse is [heads, tokens]. starts holds the index of
// each sequence's first token; the first is 0.
func Attention(p *Pool, starts []int32, heads, kvHeads, headDim int, q, k, v, o, lse []float32) {
	n := len(q) / (heads * headDim)
	need("k", n*kvHeads*headDim, len(k))
	need("v", n*kvHeads*headDim, len(v))
	need("o", n*heads*headDim, len(o))
	need("lse", n*heads, len(lse))
	all, _, total := spans(starts, n)
	hp := (headDim + padding - 1) / padding * padding
	tmp := queryBlock * (headDim + queryBlock + hp)
	buf := scratch(kvHeads*total*(headDim+hp) + p.Workers()*tmp)
	defer buf.done()
	free := buf.x
	kt, vp, work := take(&free, kvHeads*total*headDim), take(&free, kvHeads*total*hp), free
	ldk, ldq := kvHeads*headDim, heads*headDim
	p.Run(len(all)*kvHeads, func(i, _ int) {
		s, g := all[i/kvHeads], i%kvHeads
		row := g*total + s.padded
		C.k_pack_columns(C.long(s.n), C.long(headDim), cfloat(k[s.at*ldk+g*headDim:]), C.long(ldk), cfloat(kt[row*headDim:]))
		C.k_pack_rows(C.long(s.n), C.long(headDim), C.long(hp), 1, cfloat(v[s.at*ldk+g*headDim:]), C.long(ldk), cfloat(vp[row*hp:]))
	})
	type unit struct{ seq, block int }
	var units []unit
	for i, s := range all {
		for b := (s.n+queryBlock-1)/queryBlock - 1; b >= 0; b-- { // long ones first
			units = append(units, unit{i, b})
		}
	}
	p.Run(len(units)*heads, func(i, worker int) {
		u, h := units[i/heads], i%heads
		s, i0 := all[u.seq], u.block*queryBlock
		row, at := h/(heads/kvHeads)*total+s.padded, s.at+i0
		C.k_attention(C.long(i0), C.long(min(queryBlock, s.n-i0)), C.long(headDim), C.long(hp), cfloat(q[at*ldq+h*headDim:]), C.long(ldq),
			cfloat(kt[row*headDim:]), cfloat(vp[row*hp:]), cfloat(o[at*ldq+h*headDim:]), C.long(ldq), cfloat(lse[h*n+at:]), cfloat(work[worker*tmp:]))
	})
}

// AttentionBackward sets dq, dk and dv from dy, the gradient of o, and what Attention was given and gave.
func AttentionBackward(p *Pool, starts []int32, heads, kvHeads, headDim int, q, k, v, o, lse, dy, dq, dk, dv []float32) {
	n := len(q) / (heads * headDim)
	for _, x := range []struct {
		name string
		x    []float32
		dim  int
	}{{"k", k, kvHeads}, {"v", v, kvHeads}, {"o", o, heads}, {"dy", dy, heads}, {"dq", dq, heads}, {"dk", dk, kvHeads}, {"dv", dv, kvHeads}} {
		need(x.name, n*x.dim*headDim, len(x.x))
	}
	need("lse", n*heads, len(lse))
	all, longest, total := spans(starts, n)
	hp := (headDim + padding - 1) / padding * padding
	tmp := 2*queryBlock*queryBlock + longest*(3*hp+1)
	buf := scratch(kvHeads*total*(2*headDim+hp) + 2*heads*total*hp + p.Workers()*tmp)
	defer buf.done()
	free := buf.x
	kt, vt, kp := take(&free, kvHeads*total*headDim), take(&free, kvHeads*total*headDim), take(&free, kvHeads*total*hp)
	hk, hv, work := take(&free, heads*total*hp), take(&free, heads*total*hp), free
	ldk, ldq, group := kvHeads*headDim, heads*headDim, heads/kvHeads
	p.Run(len(all)*kvHeads, func(i, _ int) {
		s, g := all[i/kvHeads], i%kvHeads
		row, from := g*total+s.padded, s.at*ldk+g*headDim
		C.k_pack_columns(C.long(s.n), C.long(headDim), cfloat(k[from:]), C.long(ldk), cfloat(kt[row*headDim:]))
		C.k_pack_columns(C.long(s.n), C.long(headDim), cfloat(v[from:]), C.long(ldk), cfloat(vt[row*headDim:]))
		C.k_pack_rows(C.long(s.n), C.long(headDim), C.long(hp), 1, cfloat(k[from:]), C.long(ldk), cfloat(kp[row*hp:]))
	})
	p.Run(len(all)*heads, func(i, worker int) {
		s, h := all[i/heads], i%heads
		row, own, at := h/group*total+s.padded, (h*total+s.padded)*hp, s.at*ldq+h*headDim
		C.k_attention_backward(C.long(s.n), C.long(headDim), C.long(hp), cfloat(q[at:]), cfloat(o[at:]), cfloat(dy[at:]), C.long(ldq),
			cfloat(kt[row*headDim:]), cfloat(vt[row*headDim:]), cfloat(kp[row*hp:]), cfloat(lse[h*n+s.at:]), cfloat(dq[at:]),
			cfloat(hk[own:]), cfloat(hv[own:]), cfloat(work[worker*tmp:]))
	})
	p.Run(len(all)*kvHeads, func(i, _ int) {
		s, g := all[i/kvHeads], i%kvHeads
		first, to := (g*group*total+s.padded)*hp, s.at*ldk+g*headDim
		for _, x := range [2]struct{ from, to []float32 }{{hk, dk}, {hv, dv}} {
			C.k_attention_merge(C.long(s.n), C.long(headDim), C.long(hp), C.long(group), C.long(total*hp), cfloat(x.from[first:]), cfloat(x.to[to:]), C.long(ldk))
		}
	})
}
