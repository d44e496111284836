package registry

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
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
		for _, x := range r.used {
			if at := frameOf(x.pkg); at != "" && x.File != "" {
				panic(x.panicked(v, at))
			}
		}
		panic(v)
	}()
	return f()
}

// guard calls f and names the extension in its error or panic.
func (x *extension) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = x.panicked(v, frameOf(x.pkg))
		}
	}()
	return x.wrap(f())
}

// must is guard for methods without an error.
func (x *extension) must(f func() error) {
	if err := x.guard(f); err != nil {
		panic(err)
	}
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
	return x.wrap(err)
}

// frameOf returns file:line of the innermost function of a package that is
// being called, or "".
func frameOf(pkg string) string {
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	for {
		f, more := frames.Next()
		if pkg != "" && strings.HasPrefix(f.Function, pkg+".") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}

// packageOf returns the package of the function f, as stack traces write it.
func packageOf(f any) string {
	fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer())
	if fn == nil {
		return ""
	}
	slash := strings.LastIndex(fn.Name(), "/") + 1
	pkg, _, _ := strings.Cut(fn.Name()[slash:], ".")
	return fn.Name()[:slash] + pkg
}

// construct calls the constructor of all kinds but the optimizer.
func construct[T any](r *Registry, kind, name string) (made T, x *extension, err error) {
	if x, err = r.find(kind, name); err != nil {
		return made, nil, err
	}
	err = x.guard(func() error {
		if made, err = x.construct.(func(*api.Args) (T, error))(r.argsOf(x)); err != nil {
			return err
		}
		return constructed(made)
	})
	if err != nil {
		return made, nil, err
	}
	r.use(x)
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
