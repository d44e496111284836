// Package jinja renders chat templates: the Jinja2 that transformers speaks, which is that of its
// ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks, break and continue, the generation tag, and the tojson
// of Python's json.dumps.
//
// Read Parse first; a template is parsed once and rendered often. lexer.go cuts the source into tokens, parser.go and
// expression.go make the nodes of node.go from them, and eval.go walks over those. What Python's values are
// is in value.go, and what they do in repr.go, operator.go, subscript.go, method.go and format.go; filters and tests
// have files of their own. An error anywhere is a panic with an *Error, which Parse and Execute turn into what they
// return. A template comes from whoever made a model, so what it may use is bounded: see Options and run.go.
package jinja

import (
	"errors"
	"fmt"
	"time"
)

// Template is a parsed template. It may be rendered by many goroutines at once.
type Template struct {
	name string
	body []node
	top  *frame
}

// Options says what a template sees and how much it may use. What is zero takes its default.
type Options struct {
	Now    func() time.Time // the clock of strftime_now; time.Now
	Steps  int              // evaluations and, 64 to a step, bytes handled; 10,000,000
	Output int              // bytes of the result; 64 MiB
	Memory int              // bytes of all values that are made, those that were dropped included; 256 MiB
	Depth  int              // calls of macros within each other; 180, which is about what Python allows
	Time   time.Duration    // 5 s
}

// Result is a rendered template.
type Result struct {
	Text string
	// Generations are the parts Text[begin:end] that generation tags enclose: what an assistant said.
	Generations [][2]int
	// Unplaced says that a generation tag stood in a macro, a set block or the like, whose text is a value first: where
	// such text ends up in Text is not known, and Generations lacks it.
	Unplaced bool
}

// Error is a mistake in a template, or one that came up while it was rendered.
type Error struct {
	Template string
	Line     int
	Message  string
	cause    error
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Template, e.Line, e.Message) }

// Unwrap returns the *Raised of an error that the template raised itself.
func (e *Error) Unwrap() error { return e.cause }

// Raised is the error of raise_exception.
type Raised struct{ Message string }

func (e *Raised) Error() string { return e.Message }

// ErrLimit is what an error is, to errors.Is, when the template used more than Options allow.
var ErrLimit = errors.New("limit of the template engine")

// Parse reads a template. Errors begin with its name and a line.
func Parse(name, text string) (t *Template, err error) {
	defer guard(name, &err)
	body, top := parse(name, text)
	return &Template{name, body, top}, nil
}

// Render returns what the template writes for vars, with the default Options.
func (t *Template) Render(vars *Dict) (string, error) {
	result, err := t.Execute(vars, Options{})
	return result.Text, err
}

// Execute renders the template for vars, which it does not change.
func (t *Template) Execute(vars *Dict, options Options) (result Result, err error) {
	defer guard(t.name, &err)
	r := newRun(t, vars, options)
	r.body(r.root(), t.body)
	return Result{r.out.String(), r.generations, r.unplaced}, nil
}

// guard makes a panic within the engine the error that is returned.
func guard(name string, err *error) {
	switch x := recover().(type) {
	case nil:
	case *Error:
		*err = x
	default:
		*err = fmt.Errorf("%s: internal error of the template engine: %v", name, x)
	}
}

// The tables refer to functions that refer to the tables, so they are filled here.
func init() {
	defineMethods()
	defineTests()
	defineFilters()
	defineGlobals()
}
