package jinja

import (
	"fmt"
	"strings"
	"time"
)

const (
	maxDepth  = 400    // of values within values
	maxEvals  = 20_000 // of expressions within expressions, those of called macros included
	maxBits   = 1 << 17
	maxDigits = 4300 // of an int that is written, as in Python
)

// run is one rendering.
type run struct {
	template    *Template
	vars        *Dict
	options     Options
	out         *strings.Builder
	captures    int // outputs around that are kept in a value and not written
	generations [][2]int
	unplaced    bool
	line        int
	steps       int
	checked     int // steps when the clock was looked at last
	memory      int
	depth       int // values within values
	evals       int // expressions within expressions
	calls       int // macros within macros
	deadline    time.Time
}

func newRun(t *Template, vars *Dict, options Options) *run {
	set := func(n *int, normal int) {
		if *n <= 0 {
			*n = normal
		}
	}
	set(&options.Steps, 10_000_000)
	set(&options.Output, 64<<20)
	set(&options.Memory, 256<<20)
	set(&options.Depth, 180)
	if options.Time <= 0 {
		options.Time = 5 * time.Second
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if vars == nil {
		vars = NewDict()
	}
	return &run{template: t, vars: vars, options: options, out: new(strings.Builder), line: 1, deadline: time.Now().Add(options.Time)}
}

// fail ends the rendering with an error at the current line.
func (r *run) fail(format string, a ...any) {
	panic(&Error{Template: r.template.name, Line: r.line, Message: fmt.Sprintf(format, a...)})
}

func (r *run) limit(format string, a ...any) {
	panic(&Error{Template: r.template.name, Line: r.line, Message: fmt.Sprintf(format, a...), cause: ErrLimit})
}

// work counts one step and the handling of n bytes.
func (r *run) work(n int) {
	r.steps += 1 + n/64
	if r.steps > r.options.Steps {
		r.limit("the template takes more than %d steps", r.options.Steps)
	}
	if r.steps-r.checked > 10_000 {
		r.checked = r.steps
		if time.Now().After(r.deadline) {
			r.limit("the template takes longer than %v", r.options.Time)
		}
	}
}

// grow counts the making of n bytes. It is called before they are made.
func (r *run) grow(n int) {
	if n < 0 || n > r.options.Memory-r.memory {
		r.limit("the template makes more than %d bytes of values", r.options.Memory)
	}
	r.memory += n
	r.work(n)
}

// made counts the making of a string and returns it.
func (r *run) made(s string) string {
	r.grow(len(s))
	return s
}

// enter counts one level of values within values, up to leave.
func (r *run) enter() {
	r.work(0)
	if r.depth++; r.depth > maxDepth {
		r.limit("maximum recursion depth exceeded: values lie more than %d levels deep", maxDepth)
	}
}

func (r *run) leave() { r.depth-- }

// write adds to the output.
func (r *run) write(s string) {
	r.grow(len(s))
	if len(s) > r.options.Output-r.out.Len() {
		r.limit("the template writes more than %d bytes", r.options.Output)
	}
	r.out.WriteString(s)
}

// capture returns what f writes.
func (r *run) capture(f func()) string {
	out := r.out
	r.out = new(strings.Builder)
	r.captures++
	f()
	r.captures--
	text := r.out.String()
	r.out = out
	return text
}

// scope holds the names that are set in one part of a template.
type scope struct {
	vars   map[string]Value
	parent *scope
}

// inside returns a scope inside of s whose names f tells.
func (s *scope) inside(f *frame) *scope {
	n := &scope{parent: s}
	for _, name := range f.missing {
		n.set(name, missing{})
	}
	return n
}

func (s *scope) set(name string, v Value) {
	if s.vars == nil {
		s.vars = map[string]Value{}
	}
	s.vars[name] = v
}

// root returns the scope of the top of the template.
func (r *run) root() *scope { return (*scope)(nil).inside(r.template.top) }

// lookup evaluates a name.
func (r *run) lookup(s *scope, name string) Value {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			if v == (missing{}) {
				return &undefined{owner: v, name: name}
			}
			return v
		}
	}
	if v, ok := r.vars.Get(name); ok {
		return v
	}
	if f := globals[name]; f != nil {
		return f
	}
	return &undefined{owner: missing{}, name: name}
}
