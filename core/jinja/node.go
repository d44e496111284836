package jinja

// expr is an expression: one of the types below that say so.
type expr any

// Expressions.
type (
	constant  struct{ value Value }
	name      struct{ name string }
	listExpr  struct{ items []expr }
	tupleExpr struct{ items []expr }
	dictExpr  struct{ keys, values []expr }
	concat    struct{ parts []expr }
	not       struct{ x expr }
	unary     struct { // + or -
		op   string
		x    expr
		line int
	}
	binary struct { // arithmetic
		op          string
		left, right expr
		line        int
	}
	logic struct { // and, or
		and         bool
		left, right expr
	}
	compare struct { // a < b <= c
		first expr
		ops   []string
		rest  []expr
		line  int
	}
	conditional struct{ test, yes, no expr } // no may be nil
	attribute   struct {                     // x.name
		x    expr
		name string
		line int
	}
	item struct { // x[key]
		x, key expr
		line   int
	}
	slice struct { // x[low:high:step]; each may be nil
		x, low, high, step expr
		line               int
	}
	call struct {
		f    expr
		args arguments
		line int
	}
	filterExpr struct { // x|name(args); x is nil where a block is filtered
		x    expr
		name string
		args arguments
		line int
	}
	testExpr struct { // x is name(args)
		x    expr
		name string
		args arguments
		line int
	}
)

// arguments are those of a call.
type arguments struct {
	positional     []expr
	names          []string
	named          []expr
	star, starstar expr // may be nil
}

// node is a statement: one of the types below.
type node any

// Targets of assignments are *name, *attribute (of a namespace) and *tupleExpr.
type (
	textNode  struct{ text string }
	printNode struct {
		x    expr
		line int
	}
	ifNode struct {
		branches  []branch
		otherwise []node
	}
	branch struct {
		test expr
		body []node
		line int
	}
	forNode struct {
		target, iter, test          expr // test may be nil
		recursive                   bool
		body, otherwise             []node
		inner, testFrame, elseFrame *frame
		line                        int
	}
	setNode struct {
		target, value expr
		line          int
	}
	setBlock struct {
		target expr
		filter expr // may be nil
		body   []node
		inner  *frame
		line   int
	}
	macroNode struct {
		name                    string
		params                  []string
		defaults                []expr // of the last parameters
		body                    []node
		caller, kwargs, varargs bool // whether the body speaks of them
		inner                   *frame
		line                    int
	}
	callBlock struct {
		call *call
		body *macroNode
	}
	filterBlock struct {
		filter expr
		body   []node
		inner  *frame
		line   int
	}
	withNode struct {
		targets, values []expr
		body            []node
		inner           *frame
		line            int
	}
	blockNode struct {
		body  []node
		inner *frame
	}
	generationNode struct {
		body *macroNode
		line int
	}
	breakNode    struct{}
	continueNode struct{}
)
