package registry_test

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/core/registry"
)

// warnings is a slog.Handler that sends each record's attributes.
type warnings chan map[string]any

func (warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler     { return w }
func (w warnings) WithGroup(string) slog.Handler          { return w }
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	all := map[string]any{"message": r.Message}
	r.Attrs(func(a slog.Attr) bool { all[a.Key] = a.Value.Any(); return true })
	w <- all
	return nil
}

// TestWatch blocks a metric until it has been named twice. The goroutine that
// names it ends with the run.
func TestWatch(t *testing.T) {
	w := make(warnings)
	r := registry.New(api.Args{Log: slog.New(w)}, nil)
	release := make(chan bool)
	add(t, r, registry.Origin{}, api.Exports{Metrics: api.Metrics{"quick": func(*api.Args) (api.Metric, error) { return faulty{func() {}}, nil }}})
	add(t, r, plugin, api.Exports{Metrics: api.Metrics{"x": func(*api.Args) (api.Metric, error) { return faulty{func() { <-release }}, nil }}})
	before := runtime.NumGoroutine()
	stop := r.Watch(20 * time.Millisecond)
	if quick, err := r.Metric("quick"); err != nil || quick.Add(nil, nil) != nil || runtime.NumGoroutine() > before {
		t.Errorf("%v; %d goroutines without a plugin in use, want %d", err, runtime.NumGoroutine(), before)
	}
	m, err := r.Metric("x")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- m.Add(nil, nil) }()
	for range 2 {
		got := <-w
		at, _ := got["at"].(string)
		delete(got, "at")
		delete(got, "seconds")
		want := map[string]any{"message": "an extension has not returned", "kind": "metric", "name": "x", "plugin": "plugins/focal.so", "method": "Add"}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %v, want %v", k, got[k], v)
			}
		}
		if !strings.Contains(at, "/watchdog_test.go:") {
			t.Errorf("it is at %q", at)
		}
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the call returned %v", err)
	}
	stop()
	for runtime.NumGoroutine() > before { // the one above may be about to end
		runtime.Gosched()
	}
	if m.Add(nil, nil) != nil || runtime.NumGoroutine() > before { // one from an earlier test may have ended
		t.Error("a call after the end is watched")
	}
}

// BenchmarkGuard measures what a guarded call costs, from all goroutines.
func BenchmarkGuard(b *testing.B) {
	for _, c := range []struct {
		name  string
		from  registry.Origin
		limit time.Duration
	}{{"built in", registry.Origin{}, time.Minute}, {"plugin", plugin, 0}, {"plugin watched", plugin, time.Minute}} {
		b.Run(c.name, func(b *testing.B) {
			r := registry.New(api.Args{Log: slog.Default()}, nil)
			if err := r.Add(c.from, api.Exports{LossScales: api.LossScales{"x": func(*api.Args) (api.LossScale, error) { return weighs(nil), nil }}}); err != nil {
				b.Fatal(err)
			}
			defer r.Watch(c.limit)()
			s, err := r.LossScale("x")
			if err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(8)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					s.Weigh(api.Segment{})
				}
			})
		})
	}
}
