package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool runs the pieces of one operation on goroutines that live as long as it does. The caller works too.
type Pool struct {
	wake []chan struct{} // one for each worker but the caller
	done chan struct{}   // the last worker to finish says so

	mu       sync.Mutex // held by the Run that uses the workers
	f        func(i, worker int)
	n        int64
	next     atomic.Int64
	busy     atomic.Int64 // workers that have not finished
	panicked atomic.Pointer[any]
}

// NewPool starts a pool of n workers, the caller of Run counted; 0 means one a CPU.
func NewPool(n int) *Pool {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	p := &Pool{done: make(chan struct{}, 1)}
	for w := 1; w < n; w++ {
		wake := make(chan struct{}, 1)
		p.wake = append(p.wake, wake)
		go func() {
			for range wake {
				p.drain(w)
				if p.busy.Add(-1) == 0 {
					p.done <- struct{}{}
				}
			}
		}()
	}
	return p
}

// Workers is the number of workers: the worker that Run passes is below it.
func (p *Pool) Workers() int { return len(p.wake) + 1 }

// Close ends the workers. The pool may not be used after it.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wake {
		close(w)
	}
}

// Run calls f(i, worker) once for every i in [0,n), in no order, and returns when all have returned. No two of its calls
// that run at the same time have the same worker. If f panics, the rest is given up and Run panics with the same value.
// A Run inside f, or beside another Run, does all its work on its caller, as worker 0.
func (p *Pool) Run(n int, f func(i, worker int)) {
	if n <= 1 || len(p.wake) == 0 || !p.mu.TryLock() {
		for i := range n {
			f(i, 0)
		}
		return
	}
	defer p.mu.Unlock()
	p.f, p.n = f, int64(n)
	p.next.Store(0)
	wake := p.wake[:min(len(p.wake), n-1)]
	p.busy.Store(int64(len(wake)))
	for _, w := range wake {
		w <- struct{}{}
	}
	p.drain(0)
	for i := 0; i < 1000 && p.busy.Load() != 0; i++ { // most often the others are about to end: do not go to sleep
	}
	<-p.done
	p.f = nil
	if v := p.panicked.Swap(nil); v != nil {
		panic(*v)
	}
}

func (p *Pool) drain(worker int) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked.CompareAndSwap(nil, &v)
			p.next.Store(p.n)
		}
	}()
	for i := p.next.Add(1) - 1; i < p.n; i = p.next.Add(1) - 1 {
		p.f(int(i), worker)
	}
}

// Rows divides n rows among the workers: f is called with pieces [r0,r1) that cover [0,n).
func (p *Pool) Rows(n int, f func(r0, r1 int)) { p.rows(n, 1, f) }

// pieceSize is the number of elements below which a piece is not worth another goroutine's time.
const pieceSize = 1 << 13

// rows is Rows with at least pieceSize elements a piece, for rows of the given width.
func (p *Pool) rows(n, width int, f func(r0, r1 int)) {
	if n == 0 {
		return
	}
	pieces := min(n, 4*p.Workers())
	if width > 1 {
		pieces = max(1, min(pieces, n*width/pieceSize))
	}
	if pieces == 1 {
		f(0, n)
		return
	}
	p.Run(pieces, func(i, _ int) { f(i*n/pieces, (i+1)*n/pieces) })
}

// lineSize is the number of elements at whose multiples a flat array is divided.
const lineSize = 64

// flat divides n elements among the workers at multiples of lineSize, so that an element is in the same place of the
// same vector however many workers there are.
func (p *Pool) flat(n int, f func(i0, i1 int)) {
	p.rows((n+lineSize-1)/lineSize, lineSize, func(r0, r1 int) { f(r0*lineSize, min(n, r1*lineSize)) })
}
