package kernel

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestPoolRunsEachOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		p := NewPool(workers)
		defer p.Close()
		for n := range 40 {
			counts := make([]atomic.Int32, n)
			busy := make([]atomic.Int32, workers)
			p.Run(n, func(i, worker int) {
				if busy[worker].Add(1) != 1 {
					t.Errorf("two calls have worker %d", worker)
				}
				counts[i].Add(1)
				busy[worker].Add(-1)
			})
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Fatalf("%d workers: f(%d of %d) was called %d times", workers, i, n, c)
				}
			}
		}
	}
}

func TestPoolRowsCover(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for _, n := range []int{0, 1, 2, 11, 12, 13, 1000, 100000} {
		for _, divide := range []func(n int, f func(r0, r1 int)){
			p.Rows, p.flat, func(n int, f func(r0, r1 int)) { p.rows(n, 1000, f) },
		} {
			counts := make([]atomic.Int32, n)
			divide(n, func(r0, r1 int) {
				for r := r0; r < r1; r++ {
					counts[r].Add(1)
				}
			})
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Fatalf("row %d of %d was given out %d times", i, n, c)
				}
			}
		}
	}
}

func TestPoolPassesPanicsOn(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for bad := range 20 {
		func() {
			defer func() {
				if v := recover(); v != bad {
					t.Errorf("recovered %v, want %d", v, bad)
				}
			}()
			p.Run(20, func(i, _ int) {
				if i == bad {
					panic(i)
				}
			})
			t.Error("Run returned")
		}()
	}
	var sum atomic.Int32 // and it is as good as new
	p.Run(10, func(i, _ int) { sum.Add(int32(i)) })
	if sum.Load() != 45 {
		t.Errorf("sum is %d, want 45", sum.Load())
	}
}

func TestPoolRunInsideAndBesideRun(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var calls atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				p.Run(5, func(_, _ int) { p.Run(4, func(_, _ int) { calls.Add(1) }) })
			}
		})
	}
	wg.Wait()
	if want := int32(4 * 50 * 5 * 4); calls.Load() != want {
		t.Errorf("%d calls, want %d", calls.Load(), want)
	}
}
