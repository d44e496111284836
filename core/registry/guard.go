package registry

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"swiftgo/api"
)

// ExtensionError is what went wrong in an extension.
type ExtensionError struct {
	Entry
	Err error
}

func (e *ExtensionError) Error() string { return fmt.Sprintf("%v: %v", e.Entry, e.Err) }

func (e *ExtensionError) Unwrap() error { return e.Err }

// Catch, deferred, turns a panic with an *ExtensionError into *err. It belongs
// in every goroutine that calls a method of an extension which returns no
// error: LossScale.Weigh, Schedule, Stateful.State and Rated.Rates.
func Catch(err *error) {
	v := recover()
	if v == nil {
		return
	}
	e, ok := v.(*ExtensionError)
	if !ok {
		panic(v)
	}
	*err = e
}

// Guard calls f as Catch would have it, and also turns a panic into an error
// whose stack leads through a plugin: one in the gradient of an operation that
// a loss made, or in what a tuner wrapped around a layer, both of which run
// long after the method that left them there.
func (r *Registry) Guard(f func() error) (err error) {
	defer Catch(&err)
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if x, at := r.culprit(stack()); x != nil {
			panic(x.panicked(v, at))
		}
		panic(v)
	}()
	return f()
}

// culprit returns the extension that most likely left behind what is being
// called, and the line, or nil if no plugin is. One plugin may have several in
// use, and what they left behind may be nobody's method.
func (r *Registry) culprit(frames []runtime.Frame) (culprit *extension, at string) {
	on := func(prefix string) bool {
		return prefix != "" && slices.ContainsFunc(frames, func(f runtime.Frame) bool { return strings.HasPrefix(f.Function, prefix) })
	}
	most := -1
	for _, x := range r.used {
		place := x.place(frames)
		if x.File == "" || place == "" {
			continue
		}
		likely := 0
		switch {
		case on(x.receiver):
			likely = 3
		case x.Kind == tuner && on("swiftgo/api.(*Linear).Forward"):
			likely = 2
		case x.Kind == tuner || x.Kind == loss:
			likely = 1
		}
		if likely > most {
			culprit, at, most = x, place, likely
		}
	}
	return culprit, at
}

// guard calls a method of the extension, by f, and names the extension in its
// error or panic. Of one that is disabled the error is ErrDisabled.
func (x *extension) guard(method string, f func() error) (err error) {
	if x.disabled {
		return ErrDisabled
	}
	call := x.enter(method)
	defer func() {
		call.leave()
		if v := recover(); v != nil {
			err = x.panicked(v, x.place(stack()))
			if x.mayDisable() {
				err = x.disable(err)
			}
		}
	}()
	return x.wrap(f())
}

// must is guard for methods without an error.
func (x *extension) must(method string, f func() error) {
	if err := x.guard(method, f); err != nil {
		panic(err)
	}
}

// mayFail is guard for what the run can do without.
func (x *extension) mayFail(method string, f func() error) error {
	if err := x.guard(method, f); err != ErrDisabled {
		return err
	}
	return nil
}

func (x *extension) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &ExtensionError{x.Entry, err}
}

// panicked returns the error for a panic with v, in the extension's source
// line at if that is known.
func (x *extension) panicked(v any, at string) error {
	var err error
	switch v := v.(type) {
	case *ExtensionError:
		return v
	case *api.ShapeError:
		err = v
	case error:
		err = fmt.Errorf("panicked: %w", v)
	default:
		err = fmt.Errorf("panicked: %v", v)
	}
	if at != "" {
		err = fmt.Errorf("%w (%s)", err, at)
	}
	if x.registry.step != nil && x.File != "" && !x.optional() {
		err = fmt.Errorf("%w; --plugin_on_panic disable leaves out callbacks and metrics only, as a %s decides what is computed", err, x.Kind)
	}
	return x.wrap(err)
}

// stack returns what is being called, the innermost first. In a deferred
// function during a panic that is where the panic is.
func stack() []runtime.Frame {
	var pcs [256]uintptr
	return framesOf(pcs[:runtime.Callers(2, pcs[:])])
}

func framesOf(pcs []uintptr) (all []runtime.Frame) {
	if len(pcs) == 0 {
		return nil
	}
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		all = append(all, f)
		if !more {
			return all
		}
	}
}

// place returns file:line of the innermost of frames that is in a package of
// the extension's plugin alone, or "".
func (x *extension) place(frames []runtime.Frame) string {
	for _, f := range frames {
		if pkg := packageIn(f.Function); pkg != "" && (pkg == x.pkg || slices.Contains(x.Packages, pkg)) {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
	return ""
}

// packageOf returns the package of the function f, as stack traces write it.
func packageOf(f any) string {
	if fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer()); fn != nil {
		return packageIn(fn.Name())
	}
	return ""
}

// packageIn returns the package in the name of a function.
func packageIn(function string) string {
	slash := strings.LastIndex(function, "/") + 1
	pkg, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + pkg
}

// receiverOf returns what the names of the methods of v begin with in stack
// traces, or "" if its type is not a named one.
func receiverOf(v any) string {
	t, format := reflect.TypeOf(v), "%s.%s."
	if t.Kind() == reflect.Pointer {
		t, format = t.Elem(), "%s.(*%s)."
	}
	if t.Name() == "" {
		return ""
	}
	slash := strings.LastIndex(t.PkgPath(), "/") + 1
	pkg := t.PkgPath()[:slash] + strings.ReplaceAll(t.PkgPath()[slash:], ".", "%2e")
	return fmt.Sprintf(format, pkg, t.Name())
}

// construct calls the constructor of all kinds but the optimizer.
func construct[T any](r *Registry, kind, name string) (made T, x *extension, err error) {
	if x, err = r.find(kind, name); err != nil {
		return made, x, err
	}
	err = x.guard("constructor", func() error {
		if made, err = x.construct.(func(*api.Args) (T, error))(r.argsOf(x)); err != nil {
			return err
		}
		return constructed(made)
	})
	if err != nil {
		return made, x, err
	}
	r.use(x, made)
	return made, x, nil
}

// constructed returns an error if what a constructor returned without one is of
// no use.
func constructed(made any) error {
	v := reflect.ValueOf(made)
	if made == nil || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil() {
		return errors.New("the constructor returned nil and no error")
	}
	if c, ok := made.(*api.Callback); ok && (c.Save == nil) != (c.Load == nil) {
		return errors.New("only one of Save and Load is set, want both or neither")
	}
	return nil
}
