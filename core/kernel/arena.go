package kernel

import (
	"fmt"
	"math/bits"
	"sync"
	"syscall"
	"unsafe"
)

// Arena hands out memory outside the Go heap, where the garbage collector neither scans nor moves it. It reserves one
// region of addresses at the start and takes physical memory only as pages are touched. Any goroutine may call it.
type Arena struct {
	mu    sync.Mutex
	mem   []byte
	off   int                      // what lies beyond was never handed out since the last Reset
	peak  int                      // the largest off
	used  int                      // bytes of the blocks in live
	live  map[unsafe.Pointer]int   // block to its size class
	free  map[int][]unsafe.Pointer // size class to blocks
	marks int                      // scopes that are open
	since []unsafe.Pointer         // blocks handed out while any is
}

// OutOfMemory is what Alloc panics with.
type OutOfMemory struct {
	Need, Limit int // bytes
}

func (e *OutOfMemory) Error() string {
	return fmt.Sprintf("out of memory: %d MiB are needed and %d MiB are there; use shorter sequences, fewer of them in a batch, or gradient checkpointing",
		e.Need>>20, e.Limit>>20)
}

// DefaultArenaSize is plenty for a machine that this program is meant for, and little of its address space.
const DefaultArenaSize = 64 << 30

const minArenaSize = 64 << 20

// NewArena reserves size bytes of addresses, or half of it as often as the system refuses; 0 means DefaultArenaSize.
func NewArena(size int) (*Arena, error) {
	if size <= 0 {
		size = DefaultArenaSize
	}
	for {
		mem, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err == nil {
			return &Arena{mem: mem, live: map[unsafe.Pointer]int{}, free: map[int][]unsafe.Pointer{}}, nil
		}
		if size /= 2; size < minArenaSize {
			return nil, fmt.Errorf("reserve %d MiB of addresses: %w", size*2>>20, err)
		}
	}
}

// Alloc returns n numbers, on a multiple of 64 bytes and of any value. It panics with *OutOfMemory.
func (a *Arena) Alloc(n int) []float32 {
	if n == 0 {
		return nil
	}
	size := classSize(n * 4)
	a.mu.Lock()
	defer a.mu.Unlock()
	var block unsafe.Pointer
	if list := a.free[size]; len(list) > 0 {
		block = list[len(list)-1]
		a.free[size] = list[:len(list)-1]
	} else {
		if size > len(a.mem)-a.off {
			panic(&OutOfMemory{Need: a.off + size, Limit: len(a.mem)})
		}
		block = unsafe.Pointer(&a.mem[a.off])
		a.off += size
		a.peak = max(a.peak, a.off)
	}
	a.live[block] = size
	a.used += size
	if a.marks > 0 {
		a.since = append(a.since, block)
	}
	return unsafe.Slice((*float32)(block), n)
}

// Free makes the memory of x, as Alloc returned it, usable again. It panics if x is not in use.
func (a *Arena) Free(x []float32) {
	if cap(x) == 0 {
		return
	}
	block := unsafe.Pointer(unsafe.SliceData(x))
	a.mu.Lock()
	defer a.mu.Unlock()
	size, ok := a.live[block]
	if !ok {
		panic("kernel: Free of memory that this arena did not allocate, or that was freed before")
	}
	a.release(block, size)
}

func (a *Arena) release(block unsafe.Pointer, size int) {
	delete(a.live, block)
	a.used -= size
	a.free[size] = append(a.free[size], block)
}

// Scope calls f and then frees what was allocated while it ran and is still in use, but for what f returns.
func (a *Arena) Scope(f func() (keep []float32)) {
	a.mu.Lock()
	from := len(a.since)
	a.marks++
	a.mu.Unlock()
	keep := unsafe.Pointer(unsafe.SliceData(f()))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.marks--
	for _, block := range a.since[from:] {
		if size, ok := a.live[block]; ok && block != keep {
			a.release(block, size)
		}
	}
	a.since = a.since[:from]
	if keep != nil && a.marks > 0 {
		a.since = append(a.since, keep)
	}
}

// Reset makes all memory usable again. Slices handed out before may not be used any more.
func (a *Arena) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reset()
}

func (a *Arena) reset() {
	a.off, a.used, a.marks, a.since = 0, 0, 0, a.since[:0]
	clear(a.live)
	clear(a.free)
}

// Release is a Reset that also gives the physical memory back to the system.
func (a *Arena) Release() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reset()
	if err := syscall.Madvise(a.mem, syscall.MADV_DONTNEED); err != nil {
		return fmt.Errorf("give memory back: %w", err)
	}
	a.peak = 0
	return nil
}

// Close gives the addresses back too. Neither the arena nor memory from it may be used after it.
func (a *Arena) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	mem := a.mem
	a.mem = nil
	a.reset()
	return syscall.Munmap(mem)
}

// Used is the number of bytes in use.
func (a *Arena) Used() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// Peak is the largest number of bytes that were ever taken from the system since the start or the last Release.
func (a *Arena) Peak() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peak
}

// classSize rounds a number of bytes up to one of eight sizes between each two powers of two, all of them multiples of
// 64. Blocks of nearly the same size can take each other's place, and what is lost are addresses, since a page that
// nobody touches costs nothing.
func classSize(n int) int {
	step := max(64, 1<<max(0, bits.Len(uint(n-1))-4))
	return (n + step - 1) / step * step
}

// scratch has the memory that a function of this package needs while it runs.
var scratch = sync.OnceValue(func() *Arena {
	a, err := NewArena(0)
	if err != nil {
		panic(err)
	}
	return a
})
