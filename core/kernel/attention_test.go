package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestAttention(t *testing.T) {
	shapes := []struct{ heads, kvHeads, hd int }{{1, 1, 8}, {2, 1, 16}, {3, 3, 32}, {4, 2, 48}, {14, 2, 64}, {2, 2, 80}, {6, 3, 128}, {2, 1, 5}, {1, 1, 1}, {2, 1, 97}}
	packed := []struct {
		n      int
		starts []int32
	}{{1, []int32{0}}, {29, []int32{0}}, {64, []int32{0}}, {65, []int32{0}}, {200, []int32{0}}, {150, []int32{0, 1, 30, 94}}, {131, []int32{0, 0, 67, 131}}, {0, nil}}
	eachISA(t, func(t *testing.T) {
		for _, s := range shapes {
			for _, c := range packed {
				q, k, v := random(c.n*s.heads*s.hd, 1.5), other(c.n*s.kvHeads*s.hd, 1), random(c.n*s.kvHeads*s.hd, 1)
				do := other(len(q), 1)
				out := eachPool(t, func(p *Pool) [][]float32 {
					nan := float32(math.NaN()) // what is not written will show
					o, lse := filled(len(q), nan), filled(s.heads*c.n, nan)
					dq, dk, dv := filled(len(q), nan), filled(len(k), nan), filled(len(k), nan)
					Attention(p, c.starts, s.heads, s.kvHeads, s.hd, q, k, v, o, lse)
					AttentionBackward(p, c.starts, s.heads, s.kvHeads, s.hd, q, k, v, o, lse, do, dq, dk, dv)
					return [][]float32{o, lse, dq, dk, dv}
				})
				o, lse, dq, dk, dv := naiveAttention(c.starts, s.heads, s.kvHeads, s.hd, q, k, v, do)
				name, size := fmt.Sprintf("%+v %+v: ", s, c), 0.0
				if c.n == 1 {
					size = .5 // dq and dk are differences of equals
				}
				for i, want := range [][]float64{o, lse, dq, dk, dv} {
					nearBeside(t, name+[]string{"o", "lse", "dq", "dk", "dv"}[i], out[i], want, 2e-5, size)
				}
			}
		}
	})
}

// TestAttentionLargeScores has scores that overflow the exponential unless the maximum is taken off.
func TestAttentionLargeScores(t *testing.T) {
	p := NewPool(1)
	eachISA(t, func(t *testing.T) {
		const n, hd = 100, 16
		q, k, v := filled(n*hd, 30), random(n*hd, 30), random(n*hd, 1)
		o, lse := make([]float32, n*hd), make([]float32, n)
		Attention(p, []int32{0}, 1, 1, hd, q, k, v, o, lse)
		want, wantLSE, _, _, _ := naiveAttention([]int32{0}, 1, 1, hd, q, k, v, o)
		near(t, "o", o, want, 1e-3)
		near(t, "lse", lse, wantLSE, 1e-6)
	})
}

func TestAttentionKeepsNaN(t *testing.T) {
	p := NewPool(1)
	eachISA(t, func(t *testing.T) {
		const n, hd = 100, 16
		starts := []int32{0, 40}
		for _, bad := range []int{0, 39, 40, 77, 99} {
			for which := range 3 {
				x := [][]float32{random(n*hd, 1), random(n*hd, 1), random(n*hd, 1)}
				x[which][bad*hd+3] = float32(math.NaN())
				o, lse := make([]float32, n*hd), make([]float32, n)
				Attention(p, starts, 1, 1, hd, x[0], x[1], x[2], o, lse)
				isNaN := func(v float32) bool { return v != v }
				if !slices.ContainsFunc(o[bad*hd:][:hd], isNaN) {
					t.Errorf("NaN in row %d of input %d is lost", bad, which)
				}
				other := o[:40*hd]
				if bad < 40 {
					other = o[40*hd:]
				}
				if slices.ContainsFunc(other, isNaN) {
					t.Errorf("NaN in row %d of input %d is seen by the other sequence", bad, which)
				}
			}
		}
	})
}

func TestAttentionCached(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		for _, s := range []struct{ heads, kvHeads, hd, n int }{{1, 1, 8, 1}, {14, 2, 64, 29}, {4, 2, 80, 300}, {2, 1, 5, 77}} {
			ldq := s.heads * s.hd
			q, k, v := random(s.n*ldq, 1), other(s.n*s.kvHeads*s.hd, 1), random(s.n*s.kvHeads*s.hd, 1)
			want, _, _, _, _ := naiveAttention([]int32{0}, s.heads, s.kvHeads, s.hd, q, k, v, q)
			for _, m := range []int{0, 1, s.n, s.n - s.n/2, s.n % attentionBlock, s.n - min(s.n, 128)} { // new tokens
				out := eachPool(t, func(p *Pool) [][]float32 {
					o := make([]float32, m*ldq)
					AttentionCached(p, s.heads, s.kvHeads, s.hd, q[(s.n-m)*ldq:], k, v, o)
					return [][]float32{o}
				})
				near(t, fmt.Sprintf("%+v, %d new: o", s, m), out[0], want[(s.n-m)*ldq:], 1e-5)
			}
		}
	})
}

func TestAttentionRefusesShapes(t *testing.T) {
	p := NewPool(1)
	x := make([]float32, 24)
	panics(t, "kernel: Attention: 3 heads of 2, 2 of them for keys and values, want a multiple", func() { Attention(p, []int32{0}, 3, 2, 2, x, x, x, x, x) })
	panics(t, "kernel: Attention: sequences start at [0 5 4], want 0 and then no less than the one before, up to 12", func() {
		Attention(p, []int32{0, 5, 4}, 1, 1, 2, x, x, x, x, x[:12])
	})
	panics(t, "kernel: Attention: sequences start at [1], want 0 and then no less than the one before, up to 12", func() {
		Attention(p, []int32{1}, 1, 1, 2, x, x, x, x, x[:12])
	})
	panics(t, "kernel: Attention: 12 tokens and no sequence, want one to start at 0", func() { Attention(p, nil, 1, 1, 2, x, x, x, x, x[:12]) })
	panics(t, "kernel: AttentionCached: q has 3 tokens and k 2, want at least as many", func() { AttentionCached(p, 1, 1, 2, x[:6], x[:4], x[:4], x[:6]) })
}
