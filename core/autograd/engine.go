// Package autograd is the engine behind package api's tape: where the memory of
// a training step comes from, who multiplies its matrices, and the operations
// that only models need (embedding, RMSNorm, RoPE, attention, SwiGLU, the fused
// output projection and cross entropy), each made with api.Apply on the C
// kernels of package kernel.
//
// An Engine is a gorgonia tensor.Engine: a tensor that carries one carries it on
// to every result, so that a plugin's operations use it without knowing of it.
// All of it is called from one goroutine.
package autograd

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/kernel"
)

// Engine computes in float32 on the CPU.
type Engine struct {
	tensor.StdEng
	pool  *kernel.Pool
	arena *kernel.Arena
}

var (
	_ api.Engine          = (*Engine)(nil)
	_ tensor.MatMuler     = (*Engine)(nil)
	_ tensor.Adder        = (*Engine)(nil)
	_ tensor.NonStdEngine = (*Engine)(nil)
)

// reserved is the address space set aside for a step's tensors; only what is
// used of it takes memory.
const reserved = 1 << 38

// NewEngine returns an engine with the given number of threads, 0 for as many
// as there are cores. The matrix library is opened once in a process, by the
// first engine.
func NewEngine(threads int) (*Engine, error) {
	if err := kernel.Open(threads); err != nil {
		return nil, err
	}
	arena, err := kernel.NewArena(reserved)
	if err != nil {
		return nil, fmt.Errorf("memory for a training step: %w", err)
	}
	return &Engine{pool: kernel.DefaultPool(), arena: arena}, nil
}

// Reset takes back the memory of every tensor that New, Alloc or an operation
// made. Nothing computed before may be used any more.
func (e *Engine) Reset() { e.arena.Reset() }

// Peak returns the most memory, in bytes, that tensors took between two Resets.
func (e *Engine) Peak() int { return e.arena.Peak() }

// Param returns a tensor on e with memory of its own, which outlives Reset.
func (e *Engine) Param(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data), tensor.WithEngine(e))
}

// New returns a tensor that lives until Reset; its elements are not set.
func (e *Engine) New(shape ...int) *tensor.Dense {
	return e.Param(e.arena.Alloc(tensor.Shape(shape).TotalSize()), shape...)
}

// BF16 returns a tensor on e of a weight in bfloat16, in memory of its own. It
// can be multiplied with; package api converts it for everything else, and where
// it is written to.
func (e *Engine) BF16(data []uint16, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data), tensor.WithEngine(e))
}

// Float32 returns the elements of t: its own, or those of BF16 converted.
func (e *Engine) Float32(t *tensor.Dense) []float32 {
	w := weight(t)
	if w.BF16 == nil {
		return w.F32
	}
	x := make([]float32, len(w.BF16))
	kernel.FromBF16(e.pool, w.BF16, x)
	return x
}

// weight returns the elements of t, whichever type they have.
func weight(t *tensor.Dense) kernel.Weight {
	if t.Dtype() == tensor.Uint16 {
		return kernel.Weight{BF16: t.Uint16s()}
	}
	return kernel.Weight{F32: t.Float32s()}
}

// Recycle takes back the memory of a tensor from New, and the tensor itself.
func (e *Engine) Recycle(t *tensor.Dense) {
	e.arena.Free(t.Float32s())
	tensor.ReturnTensor(t)
}

// Rows calls f on ranges that make up [0, n), on all threads. Small work stays
// on the caller.
func (e *Engine) Rows(n int, f func(from, to int)) {
	if n < 2 {
		f(0, n)
		return
	}
	e.pool.Rows(n, f)
}

// Gemm sets c, or with add adds to it, op(a)·op(b).
func (e *Engine) Gemm(transA, transB bool, a, b, c *tensor.Dense, add bool) {
	m, n := c.Shape()[0], c.Shape()[1]
	if !transA {
		kernel.MatMulWeight(e.pool, transB, m, n, a.Shape()[1], e.Float32(a), weight(b), add, c.Float32s())
		return
	}
	kernel.MatMul(true, transB, m, n, a.Shape()[0], e.Float32(a), a.Shape()[1], e.Float32(b), b.Shape()[1], add, c.Float32s(), n)
}

// Accumulate adds the elements of x to those of sum.
func (e *Engine) Accumulate(sum, x *tensor.Dense) { kernel.AddTo(e.pool, x.Float32s(), sum.Float32s()) }

// gradients calls f with memory for the gradients of vs, all of whose elements
// it sets: that of the gradients themselves, or, where there is something to be
// added to or no gradient is wanted, some that is taken back afterwards.
func (e *Engine) gradients(f func(d [][]float32), vs ...*api.Var) {
	d := make([][]float32, len(vs))
	var next func(i int)
	next = func(i int) {
		if i == len(vs) {
			f(d)
			return
		}
		aside := func() {
			d[i] = e.arena.Alloc(vs[i].Shape().TotalSize())
			next(i + 1)
		}
		switch v, first := vs[i], slices.Index(vs, vs[i]); {
		case !v.Needs():
			aside()
		case first < i:
			aside()
			kernel.AddTo(e.pool, d[i], d[first])
		default:
			v.AddGrad(func(sum *tensor.Dense, add bool) {
				if d[i] = sum.Float32s(); !add {
					next(i + 1)
					d[i] = nil
					return
				}
				aside()
				kernel.AddTo(e.pool, d[i], sum.Float32s())
			})
		}
		e.arena.Free(d[i])
	}
	next(0)
}

// SumSquares returns the sum of the squares of t's elements.
func (e *Engine) SumSquares(t *tensor.Dense) float64 {
	if t == nil {
		return 0
	}
	return kernel.SumSquares(e.pool, t.Float32s())
}

// Drop is dropout, see api.Model.Dropout.
func (e *Engine) Drop(seed uint64, p float64, x, y *tensor.Dense, add bool) {
	kernel.Dropout(e.pool, seed, p, e.Float32(x), y.Float32s(), add)
}

// AdamW moves a parameter w with gradient g, in the given step from 1 of the
// optimizer; avg and avgSq are the averages of its gradients.
func (e *Engine) AdamW(w, g, avg, avgSq []float32, lr, beta1, beta2, epsilon, decay float64, step int) {
	kernel.AdamW{LR: lr, Beta1: beta1, Beta2: beta2, Eps: epsilon, WeightDecay: decay, GradScale: 1,
		Correction1: 1 - math.Pow(beta1, float64(step)), Correction2: 1 - math.Pow(beta2, float64(step))}.Update(e.pool, w, g, avg, avgSq)
}

// Scale multiplies t's elements, in place.
func (e *Engine) Scale(t *tensor.Dense, s float32) {
	if t != nil {
		kernel.Scale(e.pool, s, t.Float32s())
	}
}

// MatMul is gorgonia's own matrix product, for tensors of plugins that call it.
func (e *Engine) MatMul(a, b, prealloc tensor.Tensor) error {
	x, okA := a.(*tensor.Dense)
	y, okB := b.(*tensor.Dense)
	z, okC := prealloc.(*tensor.Dense)
	if !okA || !okB || !okC || x.Dtype() != tensor.Float32 || x.RequiresIterator() || y.RequiresIterator() || z.RequiresIterator() {
		return e.StdEng.MatMul(a, b, prealloc)
	}
	e.Gemm(false, false, x, y, z, false)
	return nil
}

// NonStdAlloc says that gorgonia is to allocate with Alloc.
func (e *Engine) NonStdAlloc() {}

// Alloc returns zeroed memory that lives until Reset.
func (e *Engine) Alloc(size int64) (tensor.Memory, error) {
	x := e.arena.Alloc(int(size+3) / 4)
	clear(x)
	return memory(x), nil
}

type memory []float32

func (m memory) Uintptr() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(m))) }
func (m memory) MemSize() uintptr { return uintptr(len(m)) * 4 }
