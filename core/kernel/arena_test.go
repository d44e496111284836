package kernel

import (
	"errors"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func newArena(t *testing.T, size int) *Arena {
	a, err := NewArena(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// TestArenaBlocksAreApart gives blocks out and takes them back at random, and looks whether anybody writes on another's.
// TestArenaScope sees that a scope frees what was allocated inside, also what took the place of a block from before, and
// nothing else.
func TestArenaScope(t *testing.T) {
	a, err := NewArena(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	before, freed := a.Alloc(100), a.Alloc(200)
	var kept, inner []float32
	a.Scope(func() []float32 {
		a.Free(freed)
		a.Alloc(200)
		a.Free(a.Alloc(300))
		a.Scope(func() []float32 {
			a.Alloc(500)
			inner = a.Alloc(400)
			return inner
		})
		kept = a.Alloc(600)
		return kept
	})
	if want := classSize(100*4) + classSize(600*4); a.Used() != want {
		t.Errorf("%d bytes are in use, want %d", a.Used(), want)
	}
	a.Free(before)
	a.Free(kept)
	panics(t, "kernel: Free of memory that this arena did not allocate, or that was freed before", func() { a.Free(inner) })
}

func TestArenaBlocksAreApart(t *testing.T) {
	a := newArena(t, 0)
	r := rand.New(rand.NewPCG(1, 2))
	type block struct {
		x    []float32
		mark float32
	}
	var blocks []block
	for i := range 20000 {
		if r.IntN(100) < 52 {
			x := a.Alloc(1 + r.IntN(1<<r.IntN(12)))
			if p := uintptr(unsafe.Pointer(&x[0])); p%64 != 0 {
				t.Fatalf("block is at %#x, want a multiple of 64", p)
			}
			for j := range x {
				x[j] = float32(i)
			}
			blocks = append(blocks, block{x, float32(i)})
		} else if len(blocks) > 0 {
			k := r.IntN(len(blocks))
			b := blocks[k]
			if b.x[0] != b.mark || b.x[len(b.x)-1] != b.mark {
				t.Fatalf("block %g has %g and %g at its ends", b.mark, b.x[0], b.x[len(b.x)-1])
			}
			a.Free(b.x)
			blocks[k] = blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
		}
	}
	for _, b := range blocks {
		a.Free(b.x[:1]) // a shorter slice of it will do
	}
	if a.Used() != 0 {
		t.Errorf("%d bytes are in use, want 0", a.Used())
	}
}

func TestArenaUsesMemoryAgain(t *testing.T) {
	a := newArena(t, 0)
	x := a.Alloc(1000)
	peak := a.Peak()
	if a.Used() < 4000 || a.Used() > 4500 || peak != a.Used() {
		t.Errorf("used %d and peak %d bytes, want a little over 4000", a.Used(), peak)
	}
	a.Free(x)
	if y := a.Alloc(990); &x[0] != &y[0] {
		t.Error("a block of nearly the same size is not where the one before was")
	}
	a.Reset()
	if y := a.Alloc(5); &x[0] != &y[0] || a.Peak() != peak {
		t.Error("memory is not used again after Reset")
	}
	x[999] = 1
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if y := a.Alloc(1000); &x[0] != &y[0] || y[999] != 0 {
		t.Error("Release did not give the memory back")
	}
	if a.Alloc(0) != nil {
		t.Error("Alloc(0) is not nil")
	}
	a.Free(nil)
}

func TestArenaRunsOut(t *testing.T) {
	a := newArena(t, 1<<20)
	x := a.Alloc(100 << 10)
	defer func() {
		err, _ := recover().(error)
		var oom *OutOfMemory
		if !errors.As(err, &oom) || oom.Limit != 1<<20 || oom.Need < 200<<12 {
			t.Errorf("panic is %v, want *OutOfMemory", err)
		}
		a.Free(x)
		a.Alloc(100 << 10) // and it goes on
	}()
	a.Alloc(200 << 10)
}

func TestArenaRefusesToFreeTwice(t *testing.T) {
	a := newArena(t, 1<<20)
	x := a.Alloc(10)
	a.Free(x)
	const want = "kernel: Free of memory that this arena did not allocate, or that was freed before"
	panics(t, want, func() { a.Free(x) })
	panics(t, want, func() { a.Free(make([]float32, 3)) })
}
