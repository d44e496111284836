package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The naive twins: each kernel in float64, as its formula is written.

func naiveMatMul(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) []float64 {
	y := wide(c)
	for i := range m {
		for j := range n {
			var s float64
			for l := range k {
				ia, ib := i*lda+l, l*ldb+j
				if transA {
					ia = l*lda + i
				}
				if transB {
					ib = j*ldb + l
				}
				s += float64(a[ia]) * float64(b[ib])
			}
			if acc {
				s += y[i*ldc+j]
			}
			y[i*ldc+j] = s
		}
	}
	return y
}

func naiveRMSNorm(x, w []float32, eps float32) (y, rstd []float64) {
	h := len(w)
	for i := 0; i < len(x); i += h {
		var s float64
		for _, v := range x[i:][:h] {
			s += float64(v) * float64(v)
		}
		r := 1 / math.Sqrt(s/float64(h)+float64(eps))
		rstd = append(rstd, r)
		for j, v := range x[i:][:h] {
			y = append(y, float64(v)*r*float64(w[j]))
		}
	}
	return y, rstd
}

func naiveRMSNormBackward(x, w []float32, eps float32, dy []float32) (dx, dw []float64) {
	h := len(w)
	_, rstd := naiveRMSNorm(x, w, eps)
	dw = make([]float64, h)
	for i, r := range rstd {
		row, d := x[i*h:][:h], dy[i*h:][:h]
		var s float64
		for j := range h {
			s += float64(d[j]) * float64(w[j]) * float64(row[j])
			dw[j] += float64(d[j]) * float64(row[j]) * r
		}
		for j := range h {
			dx = append(dx, float64(d[j])*float64(w[j])*r-float64(row[j])*s*r*r*r/float64(h))
		}
	}
	return dx, dw
}

func naiveRope(heads, hd int, x []float32, ld int, table []float32, positions []int32, sign float64) []float64 {
	y := wide(x)
	for i, pos := range positions {
		for h := range heads {
			for j := range hd / 2 {
				a := i*ld + h*hd + j
				b := a + hd/2
				cos, sin := float64(table[int(pos)*hd+j]), sign*float64(table[int(pos)*hd+hd/2+j])
				y[a], y[b] = y[a]*cos-y[b]*sin, y[b]*cos+y[a]*sin
			}
		}
	}
	return y
}

func naiveSwiGLU(g, u []float32) (y []float64) {
	for i := range g {
		y = append(y, float64(g[i])/(1+math.Exp(-float64(g[i])))*float64(u[i]))
	}
	return y
}

func naiveSwiGLUBackward(g, u, dy []float32) (dg, du []float64) {
	for i := range g {
		x, d := float64(g[i]), float64(dy[i])
		s := 1 / (1 + math.Exp(-x))
		dg = append(dg, d*float64(u[i])*(s+x*s*(1-s)))
		du = append(du, d*x*s)
	}
	return dg, du
}

// naiveAttention also gives the gradients, for the gradient do of o.
func naiveAttention(starts []int32, heads, kvHeads, hd int, q, k, v, do []float32) (o, lse, dq, dk, dv []float64) {
	n := len(q) / (heads * hd)
	o, dq, dk, dv = make([]float64, len(q)), make([]float64, len(q)), make([]float64, len(k)), make([]float64, len(k))
	lse = make([]float64, heads*n)
	sc := 1 / math.Sqrt(float64(hd))
	start := 0
	for i := range n {
		if j := slices.Index(starts, int32(i)); j >= 0 {
			start = i
		}
		for h := range heads {
			qi, g := (i*heads+h)*hd, h/(heads/kvHeads)
			p := make([]float64, i+1)
			var sum float64
			for j := start; j <= i; j++ {
				for d := range hd {
					p[j] += float64(q[qi+d]) * float64(k[(j*kvHeads+g)*hd+d]) * sc
				}
			}
			top := slices.Max(p[start:])
			for j := start; j <= i; j++ {
				p[j] = math.Exp(p[j] - top)
				sum += p[j]
			}
			lse[h*n+i] = top + math.Log(sum)
			var mean float64 // Σ p · dp
			dp := make([]float64, i+1)
			for j := start; j <= i; j++ {
				p[j] /= sum
				for d := range hd {
					o[qi+d] += p[j] * float64(v[(j*kvHeads+g)*hd+d])
					dp[j] += float64(do[qi+d]) * float64(v[(j*kvHeads+g)*hd+d])
					dv[(j*kvHeads+g)*hd+d] += p[j] * float64(do[qi+d])
				}
				mean += p[j] * dp[j]
			}
			for j := start; j <= i; j++ {
				ds := p[j] * (dp[j] - mean) * sc
				for d := range hd {
					dq[qi+d] += ds * float64(k[(j*kvHeads+g)*hd+d])
					dk[(j*kvHeads+g)*hd+d] += ds * float64(q[qi+d])
				}
			}
		}
	}
	return o, lse, dq, dk, dv
}

// naiveCrossEntropy also gives the gradient to w of Σ dloss·loss.
func naiveCrossEntropy(h int, x, w []float32, labels []int32, dloss []float32) (loss, lse, dx, dw []float64, argmax []int32) {
	vocab := len(w) / h
	dx, dw = make([]float64, len(x)), make([]float64, len(w))
	for i, label := range labels {
		if label == Ignore {
			loss, lse, argmax = append(loss, 0), append(lse, 0), append(argmax, -1)
			continue
		}
		l := make([]float64, vocab)
		for v := range l {
			for j := range h {
				l[v] += float64(x[i*h+j]) * float64(w[v*h+j])
			}
		}
		top := slices.Max(l)
		var sum float64
		for _, z := range l {
			sum += math.Exp(z - top)
		}
		z := top + math.Log(sum)
		loss, lse, argmax = append(loss, z-l[label]), append(lse, z), append(argmax, int32(slices.Index(l, top)))
		for v := range l {
			d := math.Exp(l[v] - z)
			if v == int(label) {
				d--
			}
			for j := range h {
				dx[i*h+j] += d * float64(w[v*h+j])
				dw[v*h+j] += float64(dloss[i]) * d * float64(x[i*h+j])
			}
		}
	}
	return loss, lse, dx, dw, argmax
}

func naiveAdamW(a AdamW, w, g, m, v []float32) (nw, nm, nv []float64) {
	for i := range w {
		d := float64(g[i]) * a.GradScale
		mi := a.Beta1*float64(m[i]) + (1-a.Beta1)*d
		vi := a.Beta2*float64(v[i]) + (1-a.Beta2)*d*d
		nw = append(nw, float64(w[i])*(1-a.LR*a.WeightDecay)-a.LR*(mi/a.Correction1)/(math.Sqrt(vi/a.Correction2)+a.Eps))
		nm, nv = append(nm, mi), append(nv, vi)
	}
	return nw, nm, nv
}

// What the tests share.

// eachISA runs f on every instruction set of this CPU.
func eachISA(t *testing.T, f func(t *testing.T)) {
	for _, isa := range []string{"avx512", "avx2", "base"} {
		t.Run(isa, func(t *testing.T) {
			if err := SetISA(isa); err != nil {
				t.Skip("needs the instruction set: ", err)
			}
			defer SetISA("")
			f(t)
		})
	}
}

// eachPool runs f on one worker and on three, and compares what it returns bit by bit.
func eachPool(t *testing.T, f func(p *Pool) [][]float32) [][]float32 {
	t.Helper()
	one, three := NewPool(1), NewPool(3)
	defer one.Close()
	defer three.Close()
	want, got := f(one), f(three)
	for i := range want {
		for j := range want[i] {
			if math.Float32bits(want[i][j]) != math.Float32bits(got[i][j]) {
				t.Fatalf("output %d differs at %d: %g with one worker, %g with three", i, j, want[i][j], got[i][j])
			}
		}
	}
	return want
}

func random(n int, scale float64) []float32 {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

// other is random numbers that are not those of random.
func other(n int, scale float64) []float32 { return random(n+1, scale)[1:] }

func filled(n int, x float32) []float32 { return slices.Repeat([]float32{x}, n) }

func wide(x []float32) (y []float64) {
	for _, v := range x {
		y = append(y, float64(v))
	}
	return y
}

// near fails if got is further from want than tol, relative to the element and to the size of them all.
func near(t *testing.T, name string, got []float32, want []float64, tol float64) {
	t.Helper()
	nearBeside(t, name, got, want, tol, 0)
}

// nearBeside is near for differences of numbers of the given size, which may be all that rounding leaves.
func nearBeside(t *testing.T, name string, got []float32, want []float64, tol, size float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", name, len(got), len(want))
	}
	var sum float64
	for _, w := range want {
		sum += w * w
	}
	size = max(size, math.Sqrt(sum/float64(max(1, len(want)))))
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= tol*(math.Abs(w)+size)) {
			t.Fatalf("%s[%d] of %d is %g, want %g: off by %.1e", name, i, len(want), got[i], w, d/(math.Abs(w)+size))
		}
	}
}

func same(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s[%d] is %g, want %g", name, i, got[i], want[i])
		}
	}
}

func panics(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if got := fmt.Sprint(recover()); got != want {
			t.Errorf("panic is %q, want %q", got, want)
		}
	}()
	f()
}
