package jinja

import (
	"fmt"
	"slices"
)

const (
	maxSource  = 1 << 20 // bytes of a template
	maxNesting = 200     // of brackets and tags
	maxNames   = 250     // of the named arguments of a call and the parameters of a macro
)

// parser reads the statements of a template; expression.go reads the expressions.
type parser struct {
	name    string
	tokens  []token
	pos     int
	frame   *frame
	frames  []*frame
	macros  []*macroNode // the macros around
	fors    int          // the for tags around
	loops   int          // the for tags around in the same macro, which break and continue can leave
	nesting int
	unknown []unknown
	blocks  map[string]bool
}

// frame is what Jinja2's compiler knows of one scope. A name that is set in a scope before it is read there, and that
// no scope around mentions, is undefined until it is set, whatever the caller's variables hold.
type frame struct {
	parent  *frame
	seen    map[string]bool
	missing []string
	branch  int  // the if tags around within the frame
	soft    bool // in an if tag, where an unknown filter is an error only once it is used
}

// unknown is the use of a filter or test that there is not.
type unknown struct {
	message string
	line    int
	soft    bool
}

func (p *parser) fail(line int, format string, a ...any) {
	panic(&Error{Template: p.name, Line: line, Message: fmt.Sprintf(format, a...)})
}

// parse returns the statements of text and the frame of its names.
func parse(name, text string) ([]node, *frame) {
	p := &parser{name: name, blocks: map[string]bool{}}
	if len(text) > maxSource {
		p.fail(1, "the template is %d bytes long, want at most %d", len(text), maxSource)
	}
	p.tokens = lex(name, text)
	top := p.push(nil)
	body := p.body()
	for _, u := range p.unknown {
		if !u.soft {
			p.fail(u.line, "%s", u.message)
		}
	}
	for _, f := range p.frames {
		f.missing = slices.DeleteFunc(f.missing, func(name string) bool {
			for up := f.parent; up != nil; up = up.parent {
				if up.seen[name] {
					return true
				}
			}
			return false
		})
	}
	return body, top
}

func (p *parser) push(parent *frame) *frame {
	p.frame = &frame{parent: parent, seen: map[string]bool{}}
	p.frames = append(p.frames, p.frame)
	return p.frame
}

// within reads a body in a new frame inside of the current one, in which params are set.
func (p *parser) within(read func(), params ...string) *frame {
	outer := p.frame
	inner := p.push(outer)
	for _, name := range params {
		inner.seen[name] = true
	}
	read()
	p.frame = outer
	return inner
}

// load notes that a name is read.
func (p *parser) load(name string) {
	p.frame.seen[name] = true
	for _, m := range p.macros {
		m.caller = m.caller || name == "caller"
		m.kwargs = m.kwargs || name == "kwargs"
		m.varargs = m.varargs || name == "varargs"
	}
}

// store notes that a target is set.
func (p *parser) store(target expr, line int) {
	switch x := target.(type) {
	case *tupleExpr:
		for _, item := range x.items {
			p.store(item, line)
		}
	case *attribute:
		p.load(x.x.(*name).name)
	case *name:
		if x.name == "loop" && p.fors > 0 {
			p.fail(line, "can't assign to the special loop variable")
		}
		if !p.frame.seen[x.name] && p.frame.branch == 0 {
			p.frame.missing = append(p.frame.missing, x.name)
		}
		p.frame.seen[x.name] = true
	}
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != endOfText {
		p.pos++
	}
	return t
}

// skip goes over the name or operator text where it is next.
func (p *parser) skip(text string) bool {
	if p.peek().is(text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(text string) token {
	t := p.peek()
	if !t.is(text) {
		p.fail(t.line, "expected '%s', got %v", text, t)
	}
	return p.next()
}

func (p *parser) want(k kind) token {
	t := p.peek()
	if t.kind != k {
		p.fail(t.line, "expected %v, got %v", k, t)
	}
	return p.next()
}

// nest counts one level of nesting until the function it returns is called.
func (p *parser) nest() func() {
	if p.nesting++; p.nesting > maxNesting {
		p.fail(p.peek().line, "the template is nested too deeply, want at most %d levels", maxNesting)
	}
	return func() { p.nesting-- }
}

// body reads statements up to a tag that is one of ends, and goes behind the name of that tag. Without ends it reads
// to the end of the template.
func (p *parser) body(ends ...string) []node {
	defer p.nest()()
	if ends != nil {
		p.skip(":")
		p.want(tagEnd)
	}
	var body []node
	for {
		t := p.next()
		switch t.kind {
		case plainText:
			body = append(body, &textNode{t.text})
		case printBegin:
			body = append(body, &printNode{p.tuple(true), t.line})
			p.want(printEnd)
		case tagBegin:
			tag := p.want(nameToken)
			if slices.Contains(ends, tag.text) {
				return body
			}
			body = append(body, p.statement(tag)...)
			p.want(tagEnd)
		default:
			if ends != nil {
				p.fail(t.line, "unexpected end of the template, want the tag '%s'", ends[len(ends)-1])
			}
			return body
		}
	}
}

// ended is the name of the tag that ended the last body.
func (p *parser) ended() string { return p.tokens[p.pos-1].text }

func (p *parser) statement(tag token) []node {
	switch line := tag.line; tag.text {
	case "if":
		return []node{p.ifTag(line)}
	case "for":
		return []node{p.forTag(line)}
	case "set":
		return []node{p.setTag(line)}
	case "macro":
		m := &macroNode{name: p.want(nameToken).text, line: line}
		p.store(&name{m.name}, line)
		p.macroBody(m, true, nil, "endmacro")
		return []node{m}
	case "call":
		return []node{p.callTag(line)}
	case "generation":
		m := &macroNode{line: line}
		p.macroBody(m, false, nil, "endgeneration")
		return []node{&generationNode{m, line}}
	case "filter":
		n := &filterBlock{line: line}
		n.inner = p.within(func() {
			n.filter = p.filter(nil, true)
			n.body = p.body("endfilter")
		})
		return []node{n}
	case "with":
		return []node{p.withTag(line)}
	case "block":
		return []node{p.blockTag()}
	case "print":
		var body []node
		for p.peek().kind != tagEnd {
			if body != nil {
				p.expect(",")
			}
			body = append(body, &printNode{p.expression(), line})
		}
		return body
	case "break", "continue":
		if p.loops == 0 {
			p.fail(line, "'%s' outside of a loop", tag.text)
		}
		if tag.text == "break" {
			return []node{breakNode{}}
		}
		return []node{continueNode{}}
	case "include", "import", "from", "extends":
		p.fail(line, "the tag '%s' is not supported: a chat template stands alone", tag.text)
	}
	p.fail(tag.line, "unknown tag '%s'", tag.text)
	return nil
}

func (p *parser) ifTag(line int) node {
	n := &ifNode{}
	soft := p.frame.soft
	p.frame.soft = true
	n.branches = append(n.branches, branch{test: p.tuple(false), line: line})
	p.frame.branch++
	for {
		last := &n.branches[len(n.branches)-1]
		last.body = p.body("elif", "else", "endif")
		if p.ended() != "elif" {
			break
		}
		n.branches = append(n.branches, branch{test: p.tuple(false), line: p.peek().line})
	}
	if p.ended() == "else" {
		n.otherwise = p.body("endif")
	}
	p.frame.branch--
	p.frame.soft = soft
	return n
}

func (p *parser) forTag(line int) node {
	n := &forNode{line: line}
	n.target = p.target(false)
	p.expect("in")
	n.iter = p.tuple(false)
	params := names(n.target)
	p.fors++
	if slices.Contains(params, "loop") {
		p.fail(line, "can't assign to the special loop variable")
	}
	if p.skip("if") {
		n.testFrame = p.within(func() { n.test = p.expression() }, params...)
	}
	n.recursive = p.skip("recursive")
	p.loops++
	n.inner = p.within(func() { n.body = p.body("else", "endfor") }, append(params, "loop")...)
	p.loops--
	if p.ended() == "else" {
		if n.recursive { // its body is a function of its own
			defer func(loops int) { p.loops = loops }(p.loops)
			p.loops = 0
		}
		n.elseFrame = p.within(func() { n.otherwise = p.body("endfor") })
	}
	p.fors--
	return n
}

// names returns the names that target sets.
func names(target expr) []string {
	switch x := target.(type) {
	case *name:
		return []string{x.name}
	case *tupleExpr:
		var all []string
		for _, item := range x.items {
			all = append(all, names(item)...)
		}
		return all
	}
	return nil
}

// target reads what can be assigned to: names, tuples of them and, where attributes, attributes of a namespace.
func (p *parser) target(attributes bool) expr {
	first := p.oneTarget(attributes)
	if !p.peek().is(",") {
		return first
	}
	t := &tupleExpr{[]expr{first}}
	for p.skip(",") && !p.peek().is(")") {
		t.items = append(t.items, p.oneTarget(attributes))
	}
	return t
}

func (p *parser) oneTarget(attributes bool) expr {
	defer p.nest()()
	if p.skip("(") {
		t := p.target(attributes)
		p.expect(")")
		return t
	}
	t := p.want(nameToken)
	if _, ok := constants[t.text]; ok {
		p.fail(t.line, "can't assign to '%s'", t.text)
	}
	if attributes && p.skip(".") {
		return &attribute{&name{t.text}, p.want(nameToken).text, t.line}
	}
	return &name{t.text}
}

func (p *parser) setTag(line int) node {
	target := p.target(true)
	if p.skip("=") {
		n := &setNode{target, p.tuple(true), line}
		p.store(target, line)
		return n
	}
	p.store(target, line)
	n := &setBlock{target: target, line: line}
	n.inner = p.within(func() {
		n.filter = p.filter(nil, false)
		n.body = p.body("endset")
	})
	return n
}

// macroBody reads the rest of a macro: its signature, then whatever before reads, then the body up to the tag end.
func (p *parser) macroBody(m *macroNode, signature bool, before func(), end string) {
	outer := p.frame
	m.inner = p.push(outer)
	if signature {
		p.signature(m)
	}
	if before != nil {
		p.frame = outer
		before()
		p.frame = m.inner
	}
	loops := p.loops
	p.loops = 0
	p.macros = append(p.macros, m)
	m.body = p.body(end)
	p.macros = p.macros[:len(p.macros)-1]
	p.loops = loops
	p.frame = outer
	m.kwargs = m.kwargs && !slices.Contains(m.params, "kwargs")
	m.varargs = m.varargs && !slices.Contains(m.params, "varargs")
	if i := slices.Index(m.params, "caller"); m.caller && i >= 0 && i < len(m.params)-len(m.defaults) {
		p.fail(m.line, "the parameter 'caller' must be left out or have a default")
	}
	for name, used := range map[string]bool{"caller": m.caller, "kwargs": m.kwargs, "varargs": m.varargs} {
		if used {
			m.inner.missing = slices.DeleteFunc(m.inner.missing, func(s string) bool { return s == name })
			m.inner.seen[name] = true
		}
	}
}

func (p *parser) signature(m *macroNode) {
	p.expect("(")
	for !p.peek().is(")") {
		if m.params != nil {
			p.expect(",")
		}
		t := p.want(nameToken)
		p.frame.seen[t.text] = true
		p.unique(m.params, t)
		if t.text == "loop" && p.fors > 0 {
			p.fail(t.line, "can't assign to the special loop variable")
		}
		m.params = append(m.params, t.text)
		if p.skip("=") {
			m.defaults = append(m.defaults, p.expression())
		} else if m.defaults != nil {
			p.fail(t.line, "a parameter without default follows one with a default")
		}
	}
	p.expect(")")
}

// unique checks that t is not among the names of arguments so far.
func (p *parser) unique(names []string, t token) {
	if slices.Contains(names, t.text) {
		p.fail(t.line, "argument '%s' repeated", t.text)
	}
	if len(names) >= maxNames {
		p.fail(t.line, "too many named arguments, want at most %d", maxNames)
	}
}

func (p *parser) callTag(line int) node {
	n := &callBlock{body: &macroNode{line: line}}
	p.macroBody(n.body, p.peek().is("("), func() {
		var ok bool
		if n.call, ok = p.expression().(*call); !ok {
			p.fail(line, "expected a call")
		}
	}, "endcall")
	return n
}

func (p *parser) withTag(line int) node {
	n := &withNode{line: line}
	for p.peek().kind != tagEnd && !p.peek().is(":") {
		if n.targets != nil {
			p.expect(",")
		}
		t := p.target(false)
		if p.fors > 0 && slices.Contains(names(t), "loop") {
			p.fail(line, "can't assign to the special loop variable")
		}
		n.targets = append(n.targets, t)
		p.expect("=")
		n.values = append(n.values, p.expression())
	}
	var params []string
	for _, t := range n.targets {
		params = append(params, names(t)...)
	}
	n.inner = p.within(func() { n.body = p.body("endwith") }, params...)
	return n
}

// blockTag reads a block, which sees the names of the top only.
func (p *parser) blockTag() node {
	t := p.want(nameToken)
	if p.blocks[t.text] {
		p.fail(t.line, "block '%s' defined twice", t.text)
	}
	p.blocks[t.text] = true
	if p.peek().is("scoped") || p.peek().is("required") {
		p.fail(t.line, "a %v block is not supported", p.peek())
	}
	outer, macros, loops := p.frame, p.macros, p.loops
	p.macros, p.loops = nil, 0
	n := &blockNode{inner: p.push(nil)}
	n.body = p.body("endblock")
	p.frame, p.macros, p.loops = outer, macros, loops
	p.skip(t.text)
	return n
}
