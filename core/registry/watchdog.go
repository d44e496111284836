package registry

import (
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// watchdog logs which methods of plugins do not return. A call costs it a
// tenth of a microsecond, whatever the number of goroutines that call.
type watchdog struct {
	limit time.Duration
	log   *slog.Logger
	calls [64]slot
	start sync.Once
	stop  chan bool
	ended sync.WaitGroup
}

// slot holds a call that has not returned, on a cache line of its own.
type slot struct {
	call atomic.Pointer[call]
	_    [56]byte
}

type call struct {
	x      *extension
	method string
	seen   time.Time     // by the watchdog, first: a call need not ask for the time
	next   time.Duration // how long it may last before it is logged
}

// Watch has every call into a plugin that lasts longer than limit logged, again
// each time that it has lasted twice as long, until stop is called. A limit of
// 0 is none.
func (r *Registry) Watch(limit time.Duration) (stop func()) {
	if limit <= 0 || r.args.Log == nil {
		return func() {}
	}
	w := &watchdog{limit: limit, log: r.args.Log, stop: make(chan bool)}
	r.watchdog = w
	return func() {
		close(w.stop)
		w.ended.Wait()
	}
}

// enter notes that a method of x is being called, until the slot is left.
func (x *extension) enter(method string) *slot {
	w := x.registry.watchdog
	if w == nil || x.File == "" {
		return nil
	}
	w.start.Do(func() { w.ended.Go(w.run) })
	c := &call{x: x, method: method, next: w.limit}
	first := rand.IntN(len(w.calls))
	for i := range w.calls {
		if s := &w.calls[(first+i)%len(w.calls)]; s.call.Load() == nil && s.call.CompareAndSwap(nil, c) {
			return s
		}
	}
	return nil // there is enough to log
}

func (s *slot) leave() {
	if s != nil {
		s.call.Store(nil)
	}
}

func (w *watchdog) run() {
	tick := time.NewTicker(min(w.limit/10, time.Second))
	defer tick.Stop()
	for {
		var now time.Time
		select {
		case <-w.stop:
			return
		case now = <-tick.C:
		}
		for i := range w.calls {
			c := w.calls[i].call.Load()
			if c == nil {
				continue
			}
			if c.seen.IsZero() {
				c.seen = now
			}
			if lasted := now.Sub(c.seen); lasted >= c.next {
				c.next *= 2
				w.log.Warn("an extension has not returned", "kind", c.x.Kind, "name", c.x.Name, "plugin", c.x.File, "method", c.method,
					"seconds", int(lasted.Seconds()), "at", c.x.running())
			}
		}
	}
}

// running returns file:line where a goroutine is in a guarded call of x, or "".
func (x *extension) running() string {
	all := make([]runtime.StackRecord, runtime.NumGoroutine()+16)
	n, ok := runtime.GoroutineProfile(all)
	if !ok { // more have started
		return ""
	}
	for _, r := range all[:n] {
		frames := framesOf(r.Stack())
		if slices.ContainsFunc(frames, func(f runtime.Frame) bool { return f.Function == "swiftgo/core/registry.(*extension).guard" }) {
			if at := x.place(frames); at != "" {
				return at
			}
		}
	}
	return ""
}
