package jinja

import "strings"

// args are the evaluated arguments of a call.
type args struct {
	positional []Value
	names      []string
	values     []Value // of names
}

// named returns a named argument.
func (a *args) named(name string) (Value, bool) {
	for i, n := range a.names {
		if n == name {
			return a.values[i], true
		}
	}
	return nil, false
}

// take removes a named argument and returns it.
func (a *args) take(name string) (Value, bool) {
	v, ok := a.named(name)
	if ok {
		var rest args
		for i, n := range a.names {
			if n != name {
				rest.names, rest.values = append(rest.names, n), append(rest.values, a.values[i])
			}
		}
		a.names, a.values = rest.names, rest.values
	}
	return v, ok
}

// arguments evaluates the arguments of a call.
func (r *run) arguments(s *scope, x *arguments) args {
	a := args{positional: r.all(s, x.positional), names: append([]string(nil), x.names...), values: r.all(s, x.named)}
	if x.star != nil {
		a.positional = append(a.positional, r.collect(r.eval(s, x.star))...)
	}
	if x.starstar != nil {
		v := r.eval(s, x.starstar)
		d, ok := v.(*Dict)
		if !ok {
			r.fail("argument after ** must be a mapping, not %s", typeName(v))
		}
		r.grow(32 * d.Len())
		for i, key := range d.keys {
			name, ok := text(key)
			if !ok {
				r.fail("keywords must be strings")
			}
			if len(x.names) > 0 {
				if _, twice := a.named(name); twice {
					r.fail("got multiple values for keyword argument '%s'", name)
				}
			}
			a.names, a.values = append(a.names, name), append(a.values, d.values[i])
		}
	}
	return a
}

// builtin is a filter, a test, a method or a global function that Go computes. Either f gets one value for each name
// of the signature, or raw gets the arguments as they are. The first argument of a filter, a test or a method is what
// stands before it.
type builtin struct {
	name      string
	signature []parameter
	keywords  bool // whether arguments may be named
	f         func(r *run, a []Value) Value
	raw       func(r *run, a args) Value
}

type parameter struct {
	name     string
	required bool
	normal   Value // what it is when it is not given
}

// method is a builtin with the value that it belongs to.
type method struct {
	owner Value
	f     *builtin
}

// define makes a builtin with a signature such as "value width=4 blank=false", whose defaults are JSON. A leading "/"
// says that its arguments can't be named.
func define(name, signature string, f func(r *run, a []Value) Value) *builtin {
	b := &builtin{name: name, keywords: true, f: f}
	for word := range strings.FieldsSeq(signature) {
		if word == "/" {
			b.keywords = false
			continue
		}
		name, normal, optional := strings.Cut(word, "=")
		p := parameter{name: name, required: !optional}
		if optional {
			p.normal, _ = DecodeJSON([]byte(normal))
		}
		b.signature = append(b.signature, p)
	}
	return b
}

// call calls a builtin.
func (b *builtin) call(r *run, a args) Value {
	r.work(0)
	if b.raw != nil {
		return b.raw(r, a)
	}
	if len(a.positional) > len(b.signature) {
		r.fail("%s() takes at most %d arguments, got %d", b.name, len(b.signature), len(a.positional))
	}
	if len(a.names) > 0 && !b.keywords {
		r.fail("%s() takes no keyword arguments", b.name)
	}
	values := make([]Value, len(b.signature))
	used := 0
	for i, p := range b.signature {
		v, named := a.named(p.name)
		switch {
		case i < len(a.positional):
			if named {
				r.fail("%s() got multiple values for argument '%s'", b.name, p.name)
			}
			v = a.positional[i]
		case named:
			used++
		case p.required:
			r.fail("%s() misses its argument '%s'", b.name, p.name)
		default:
			v = p.normal
		}
		values[i] = v
	}
	if used < len(a.names) {
		r.fail("%s() got an unexpected keyword argument among %s", b.name, strings.Join(a.names, ", "))
	}
	return b.f(r, values)
}

// nest counts one call within calls until the function it returns is called.
func (r *run) nest() func() {
	if r.calls++; r.calls > r.options.Depth {
		r.limit("maximum recursion depth exceeded: more than %d calls within each other", r.options.Depth)
	}
	line := r.line
	return func() {
		r.calls--
		r.line = line
	}
}

// call calls what a template calls.
func (r *run) call(f Value, a args) Value {
	switch f := f.(type) {
	case *builtin:
		return f.call(r, a)
	case *method:
		return r.method(f, a)
	case *macro:
		return f.call(r, a)
	case *loop:
		if len(a.positional) != 1 || len(a.names) > 0 {
			r.fail("loop() takes 1 argument")
		}
		return f.again(a.positional[0])
	case *joiner:
		if f.used {
			return f.separator
		}
		f.used = true
		return ""
	case *undefined:
		r.fail("%s", f.message())
	}
	r.fail("'%s' object is not callable", typeName(f))
	return nil
}

// macro is a macro with the scope in which it was made.
type macro struct {
	node  *macroNode
	scope *scope
}

func (m *macro) call(r *run, a args) Value {
	defer r.nest()()
	n := m.node
	s := m.scope.inside(n.inner)
	for _, name := range n.params {
		s.set(name, missing{})
	}
	caller := false // whether a parameter is named so
	for i, name := range n.params {
		caller = caller || name == "caller"
		if i < len(a.positional) {
			s.set(name, a.positional[i])
		} else if v, ok := a.take(name); ok {
			s.set(name, v)
		}
	}
	if n.caller && !caller {
		v, _ := a.take("caller")
		if v == nil {
			v = &undefined{hint: "No caller defined"}
		}
		s.set("caller", v)
	}
	if n.kwargs {
		rest := NewDict()
		for i, name := range a.names {
			rest.set(name, name, a.values[i])
		}
		s.set("kwargs", rest)
	} else if len(a.names) > 0 {
		r.fail("macro '%s' takes no keyword argument '%s'", n.name, a.names[0])
	}
	count := min(len(n.params), len(a.positional))
	if n.varargs {
		s.set("varargs", &Tuple{items: a.positional[count:]})
	} else if len(a.positional) > count {
		r.fail("macro '%s' takes not more than %d argument(s)", n.name, len(n.params))
	}
	return r.capture(func() {
		for i, name := range n.params {
			if s.vars[name] != (missing{}) {
				continue
			}
			if at := i - len(n.params) + len(n.defaults); at >= 0 {
				s.set(name, r.eval(s, n.defaults[at]))
			} else {
				s.set(name, &undefined{hint: "parameter '" + name + "' was not provided"})
			}
		}
		r.body(s, n.body)
	})
}

// globals are the names that every template knows.
var globals map[string]*builtin

func defineGlobals() {
	globals = map[string]*builtin{
		"range":     define("range", "/ start stop=null step=null", makeRange),
		"dict":      {name: "dict", raw: makeDict},
		"namespace": {name: "namespace", raw: func(r *run, a args) Value { return &namespace{makeDict(r, a).(*Dict)} }},
		"joiner":    define("joiner", `sep=",\u0020"`, func(r *run, a []Value) Value { return &joiner{separator: a[0]} }),
		"cycler": {name: "cycler", raw: func(r *run, a args) Value {
			if len(a.positional) == 0 {
				r.fail("at least one item has to be provided")
			}
			return &cycler{items: a.positional}
		}},
		"raise_exception": define("raise_exception", "message", func(r *run, a []Value) Value {
			message := r.str(a[0])
			panic(&Error{Template: r.template.name, Line: r.line, Message: message, cause: &Raised{message}})
		}),
		"strftime_now": define("strftime_now", "format", func(r *run, a []Value) Value {
			return r.made(strftime(r.options.Now(), r.needText(a[0])))
		}),
	}
}

const maxRange = 100_000 // of the sandbox

func makeRange(r *run, a []Value) Value {
	start, stop, step := int64(0), r.needInt(a[0]), int64(1)
	if a[1] != nil {
		start, stop = stop, r.needInt(a[1])
	}
	if a[2] != nil {
		step = r.needInt(a[2])
	}
	if step == 0 {
		r.fail("range() arg 3 must not be zero")
	}
	distance := float64(stop) - float64(start)
	if distance/float64(step) > maxRange+1 {
		r.fail("range too big: the sandbox blocks ranges of more than %d items", maxRange)
	}
	s := &span{start: start, stop: stop, step: step}
	if distance/float64(step) > 0 {
		s.length = (stop-start-sign(step))/step + 1
	}
	if s.length > maxRange {
		r.fail("range too big: the sandbox blocks ranges of more than %d items", maxRange)
	}
	return s
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

// makeDict is dict(mapping or pairs, name=value, ...).
func makeDict(r *run, a args) Value {
	d := NewDict()
	if len(a.positional) > 1 {
		r.fail("dict expected at most 1 argument, got %d", len(a.positional))
	}
	set := func(key, v Value) {
		r.grow(64)
		d.set(r.hash(key), key, v)
	}
	if len(a.positional) == 1 {
		if from, ok := a.positional[0].(*Dict); ok {
			for i, key := range from.keys {
				set(key, from.values[i])
			}
		} else {
			next := r.iterate(a.positional[0])
			for pair, ok := next(); ok; pair, ok = next() {
				two := r.collect(pair)
				if len(two) != 2 {
					r.fail("dictionary update sequence element has length %d; 2 is required", len(two))
				}
				set(two[0], two[1])
			}
		}
	}
	for i, name := range a.names {
		set(name, a.values[i])
	}
	return d
}
