package registry_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/registry"
)

// TestDisable has every method of every kind panic in a run that leaves out
// what it can: callbacks and metrics, which are called once and not again.
func TestDisable(t *testing.T) {
	panics := false
	called := 0
	r := faults(t, func() {
		if called++; panics {
			panic("no luck")
		}
	})
	r.DisableOnPanic(func() int { return 7 })
	calls(t, r) // the run has begun
	panics = true
	for name, err := range calls(t, r) {
		kind, method, _ := strings.Cut(name, " ")
		switch {
		case name == "callback Save", name == "metric Result":
			if err != registry.ErrDisabled {
				t.Errorf("%s: %v, want ErrDisabled", name, err)
			}
		case kind == "callback" || kind == "metric":
			if err != nil {
				t.Errorf("%s: %v, want none", name, err)
			}
		case err == nil || !strings.HasSuffix(err.Error(), "; --plugin_on_panic disable leaves out callbacks and metrics only, as a "+kind+" decides what is computed"):
			t.Errorf("%s %s: %v", kind, method, err)
		}
	}
	disabled := r.Disabled()
	if len(disabled) != 2 || disabled[0].Kind != "metric" || disabled[1].Kind != "callback" || disabled[1].Step != 7 ||
		!strings.HasPrefix(disabled[1].Error, "callback x (plugins/focal.so): panicked: no luck (") {
		t.Errorf("disabled %+v", disabled)
	}
	called = 0
	m, err := r.Metric("x")
	if err != nil {
		t.Fatal(err)
	}
	if values, err := m.Result(); values != nil || err != registry.ErrDisabled || m.Add(nil, nil) != nil || called != 0 {
		t.Errorf("a disabled metric has %v, %v and was called %d times", values, err, called)
	}
}

// TestNotDisabled has what stays an error although panics disable: an error that
// is no panic, what is built in, and a constructor before the run has begun.
func TestNotDisabled(t *testing.T) {
	for name, c := range map[string]struct {
		from registry.Origin
		new  func(*api.Args) (*api.Callback, error)
		want string
	}{
		"error": {plugin, func(*api.Args) (*api.Callback, error) {
			return &api.Callback{OnLog: func(*api.State) error { return errors.New("no") }}, nil
		}, "callback x (plugins/focal.so): OnLog: no"},
		"built in": {registry.Origin{}, func(*api.Args) (*api.Callback, error) {
			return &api.Callback{OnLog: func(*api.State) error { panic("no") }}, nil
		}, "callback x: panicked: no ("},
		"constructor": {plugin, func(*api.Args) (*api.Callback, error) { panic("no") }, "callback x (plugins/focal.so): panicked: no ("},
	} {
		r := registry.New(api.Args{}, nil)
		r.DisableOnPanic(func() int { return 0 })
		add(t, r, c.from, api.Exports{Callbacks: api.Callbacks{"x": c.new}})
		cb, err := r.Callback("x")
		if err == nil {
			err = cb.OnLog(nil)
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(r.Disabled()) != 0 {
			t.Errorf("%s: %v, disabled %v, want %s", name, err, r.Disabled(), c.want)
		}
	}
}

// TestDisabledMetricConstructor has a metric disabled by its constructor, in the
// second evaluation.
func TestDisabledMetricConstructor(t *testing.T) {
	var log bytes.Buffer
	r := registry.New(api.Args{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	r.DisableOnPanic(func() int { return 3 })
	n := 0
	add(t, r, plugin, api.Exports{Metrics: api.Metrics{"x": func(*api.Args) (api.Metric, error) {
		if n++; n > 1 {
			panic("no")
		}
		return faulty{func() {}}, nil
	}}})
	for range 3 {
		m, err := r.Metric("x")
		if err != nil || m.Add(nil, nil) != nil {
			t.Errorf("metric: %v", err)
		}
	}
	if n != 2 || len(r.Disabled()) != 1 || r.Disabled()[0].Step != 3 || strings.Count(log.String(), "metric x (plugins/focal.so): panicked: no") != 1 {
		t.Errorf("constructed %d times, disabled %v, log\n%s", n, r.Disabled(), log.String())
	}
}
