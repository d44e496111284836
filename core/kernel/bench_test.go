package kernel

import (
	"fmt"
	"testing"
)

// rate reports a benchmark's floating-point operations, n each time.
func rate(b *testing.B, n float64) {
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// The shapes are those of Qwen2.5-0.5B: [tokens, in] to out.
func BenchmarkMatMul(b *testing.B) {
	info := Library()
	for _, s := range []struct{ m, n, k int }{{512, 4864, 896}, {512, 896, 4864}, {512, 896, 896}, {512, 128, 896}, {1, 4864, 896}} {
		for _, trans := range []bool{true, false} { // forward with the weights as stored, and backward
			b.Run(fmt.Sprintf("%s/%dx%dx%d/trans=%v", info.Name, s.m, s.n, s.k, trans), func(b *testing.B) {
				x, w, y := random(s.m*s.k, 1), random(s.k*s.n, 1), make([]float32, s.m*s.n)
				ldw := s.n
				if trans {
					ldw = s.k
				}
				for b.Loop() {
					MatMul(false, trans, s.m, s.n, s.k, x, s.k, w, ldw, false, y, s.n)
				}
				rate(b, 2*float64(s.m)*float64(s.n)*float64(s.k))
			})
		}
	}
}

func BenchmarkAttention(b *testing.B) {
	const heads, kvHeads, hd = 14, 2, 64
	p := DefaultPool()
	for _, n := range []int{29, 512, 2048} {
		q, k, v := random(n*heads*hd, 1), random(n*kvHeads*hd, 1), other(n*kvHeads*hd, 1)
		o, lse, do := make([]float32, len(q)), make([]float32, heads*n), other(len(q), 1)
		dq, dk, dv := make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))
		starts := []int32{0}
		pairs := float64(n) * float64(n+1) / 2 * heads * hd * 2 // operations of one product
		for _, isa := range []string{"avx512", "avx2", "base"} {
			if SetISA(isa) != nil {
				continue
			}
			b.Run(fmt.Sprintf("forward/%d/%s", n, isa), func(b *testing.B) {
				for b.Loop() {
					Attention(p, starts, heads, kvHeads, hd, q, k, v, o, lse)
				}
				rate(b, 2*pairs)
			})
			b.Run(fmt.Sprintf("backward/%d/%s", n, isa), func(b *testing.B) {
				for b.Loop() {
					AttentionBackward(p, starts, heads, kvHeads, hd, q, k, v, o, lse, do, dq, dk, dv)
				}
				rate(b, 5*pairs)
			})
		}
		SetISA("")
	}
	n := 1024
	q, k, o := random(heads*hd, 1), random(n*kvHeads*hd, 1), make([]float32, heads*hd)
	b.Run("cached/1024", func(b *testing.B) {
		for b.Loop() {
			AttentionCached(p, heads, kvHeads, hd, q, k, k, o)
		}
	})
}

// A kernel whose loop the compiler left scalar shows here: ten times the time of its neighbours.
func BenchmarkRows(b *testing.B) {
	p := DefaultPool()
	const n, h = 512, 4864
	x, y, z := random(n*h, 1), other(n*h, 1), make([]float32, n*h)
	dx, dy, half := make([]float32, n*h), make([]float32, n*h), make([]uint16, n*h)
	w, rstd, dw, squares := random(h, 1), make([]float32, n), make([]float32, h), other(n*h, 1)
	for i := range squares {
		squares[i] *= squares[i]
	}
	table, positions := random(n*64, 1), make([]int32, n)
	step := AdamW{LR: 1e-9, Beta1: .9, Beta2: .999, Eps: 1e-8, WeightDecay: .1, Correction1: .1, Correction2: .1, GradScale: 1}
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"RMSNorm", func() { RMSNorm(p, x, w, 1e-6, z, rstd) }},
		{"RMSNormBackward", func() { RMSNormBackward(p, x, w, rstd, y, true, dx, dw) }},
		{"Rope", func() { Rope(p, h/64, 64, z, h, table, positions, 1) }},
		{"SwiGLU", func() { SwiGLU(p, x, y, z) }},
		{"SwiGLUBackward", func() { SwiGLUBackward(p, x, y, z, dx, dy) }},
		{"Add", func() { Add(p, x, y, z) }},
		{"Axpy", func() { Axpy(p, 1e-9, x, dx) }},
		{"SumSquares", func() { SumSquares(p, x) }},
		{"SumRows", func() { SumRows(p, x, dw) }},
		{"MulRows", func() { MulRows(p, x, w, z) }},
		{"AdamW", func() { step.Update(p, dx, y, dy, squares) }},
		{"ToBF16", func() { ToBF16(p, x, half) }},
		{"FromBF16", func() { FromBF16(p, half, z) }},
		{"ToF16", func() { ToF16(p, x, half) }},
		{"FromF16", func() { FromF16(p, half, z) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.f()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*h), "ns/element")
		})
	}
}

func BenchmarkCrossEntropy(b *testing.B) {
	p := DefaultPool()
	const n, h, vocab = 512, 896, 151936
	x, w, labels := random(n*h, 1), random(vocab*h, .05), make([]int32, n)
	out := TokenLoss{Loss: make([]float32, n), LSE: make([]float32, n), DX: make([]float32, n*h), Argmax: make([]int32, n)}
	b.Run("512x896x151936", func(b *testing.B) {
		for b.Loop() {
			CrossEntropy(p, h, x, Weight{F32: w}, labels, out)
		}
		rate(b, 4*n*h*vocab)
	})
}

func BenchmarkPool(b *testing.B) {
	p := DefaultPool()
	for b.Loop() {
		p.Run(8, func(_, _ int) {})
	}
}

// BenchmarkFewRows multiplies few rows with weights that are no longer in the cache.
func BenchmarkFewRows(b *testing.B) {
	const n, k, weights = 4864, 896, 12
	var w [weights]Weight
	for _, kind := range []string{"float32", "bfloat16"} {
		for i := range w {
			x := random(n*k, 1)
			if w[i] = (Weight{F32: x}); kind == "bfloat16" {
				h, _ := half(x)
				w[i] = Weight{BF16: h}
			}
		}
		for _, m := range []int{1, 2, 4, 8, 16} {
			b.Run(fmt.Sprintf("%s/%d", kind, m), func(b *testing.B) {
				x, y, i := random(m*k, 1), make([]float32, m*n), 0
				for b.Loop() {
					MatMulWeight(DefaultPool(), true, m, n, k, x, w[i%weights], false, y)
					i++
				}
				b.ReportMetric(float64(4*len(w[0].F32)+2*len(w[0].BF16))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			})
		}
	}
}
