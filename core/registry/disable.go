package registry

import (
	"errors"
	"slices"
)

// Disabled is an extension that has panicked and is not called again.
type Disabled struct {
	Entry
	Step  int    `json:"step"` // that the run had done
	Error string `json:"error"`
}

// ErrDisabled is what Save of a disabled callback returns, and Result of a
// disabled metric. Their other methods do nothing when disabled, and return no
// error.
var ErrDisabled = errors.New("disabled after a panic")

// DisableOnPanic has callbacks and metrics of plugins that panic logged and not
// called again, instead of the panic being an error. All other kinds, and those
// built in, decide what is computed or are the host's own fault, so theirs stay
// errors; so do panics of the first constructor, as the run has not begun. step
// says how many steps are done.
func (r *Registry) DisableOnPanic(step func() int) { r.step = step }

// Disabled returns the extensions that were disabled, in the order they were.
func (r *Registry) Disabled() []Disabled { return r.disabled }

func (x *extension) optional() bool { return x.Kind == callback || x.Kind == metric }

func (x *extension) mayDisable() bool {
	return x.registry.step != nil && x.File != "" && x.optional() && slices.Contains(x.registry.used, x)
}

// disable takes the extension out of the run because of an error.
func (x *extension) disable(err error) error {
	r := x.registry
	x.disabled = true
	r.disabled = append(r.disabled, Disabled{x.Entry, r.step(), err.Error()})
	if r.args.Log != nil {
		r.args.Log.Warn("an extension is disabled, and the run goes on without it", "error", err)
	}
	return ErrDisabled
}
