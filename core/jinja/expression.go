package jinja

import (
	"slices"
	"strings"
)

// constants are the names that stand for values.
var constants = map[string]Value{"true": true, "True": true, "false": false, "False": false, "none": nil, "None": nil}

// tuple reads an expression, or several with commas between.
func (p *parser) tuple(conditionals bool) expr {
	one := func() expr {
		if conditionals {
			return p.expression()
		}
		defer p.nest()()
		return p.or()
	}
	first := one()
	if !p.peek().is(",") {
		return first
	}
	t := &tupleExpr{[]expr{first}}
	for p.skip(",") {
		if n := p.peek(); n.kind == tagEnd || n.kind == printEnd || n.is(")") {
			break
		}
		t.items = append(t.items, one())
	}
	return t
}

// expression reads an expression, which may be "a if b else c".
func (p *parser) expression() expr {
	defer p.nest()()
	known := len(p.unknown)
	x := p.or()
	for p.skip("if") {
		c := &conditional{test: p.or(), yes: x}
		if p.skip("else") {
			c.no = p.expression()
		}
		for i := known; i < len(p.unknown); i++ {
			p.unknown[i].soft = true
		}
		x = c
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for p.skip("or") {
		x = &logic{false, x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.skip("and") {
		x = &logic{true, x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.skip("not") {
		defer p.nest()()
		return &not{p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	c := &compare{first: p.sum(), line: p.peek().line}
	for {
		t := p.peek()
		op := t.text
		switch {
		case t.kind == operator && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, op), t.is("in"):
			p.next()
		case t.is("not") && p.tokens[p.pos+1].is("in"):
			p.pos += 2
			op = "not in"
		case c.ops == nil:
			return c.first
		default:
			return c
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
}

// operators reads operands with ops between them, of which the left ones bind first.
func (p *parser) operators(operand func() expr, ops ...string) expr {
	x := operand()
	for t := p.peek(); t.kind == operator && slices.Contains(ops, t.text); t = p.peek() {
		p.next()
		x = &binary{t.text, x, operand(), t.line}
	}
	return x
}

func (p *parser) sum() expr { return p.operators(p.concat, "+", "-") }

func (p *parser) concat() expr {
	x := p.product()
	if !p.peek().is("~") {
		return x
	}
	c := &concat{[]expr{x}}
	for p.skip("~") {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) product() expr { return p.operators(p.power, "*", "/", "//", "%") }

// power reads a ** b ** c, which is (a ** b) ** c here, other than in Python.
func (p *parser) power() expr {
	return p.operators(func() expr { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) expr {
	var x expr
	if t := p.peek(); t.is("-") || t.is("+") {
		defer p.nest()()
		p.next()
		x = &unary{t.text, p.unary(false), t.line}
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	for filters {
		switch t := p.peek(); {
		case t.is("|"):
			x = p.filter(x, false)
		case t.is("is"):
			x = p.test(x)
		case t.is("("):
			x = &call{x, p.arguments(), t.line}
		default:
			return x
		}
	}
	return x
}

func (p *parser) primary() expr {
	t := p.next()
	switch {
	case t.kind == nameToken:
		if v, ok := constants[t.text]; ok {
			return &constant{v}
		}
		p.load(t.text)
		return &name{t.text}
	case t.kind == stringToken:
		var b strings.Builder
		b.WriteString(t.value.(string))
		for p.peek().kind == stringToken {
			b.WriteString(p.next().value.(string))
		}
		return &constant{b.String()}
	case t.kind == numberToken:
		return &constant{t.value}
	case t.is("("):
		if p.skip(")") {
			return &tupleExpr{}
		}
		x := p.tuple(true)
		p.expect(")")
		return x
	case t.is("["):
		x := &listExpr{}
		for !p.skip("]") {
			if x.items != nil {
				p.expect(",")
				if p.skip("]") {
					break
				}
			}
			x.items = append(x.items, p.expression())
		}
		return x
	case t.is("{"):
		x := &dictExpr{}
		for !p.skip("}") {
			if x.keys != nil {
				p.expect(",")
				if p.skip("}") {
					break
				}
			}
			x.keys = append(x.keys, p.expression())
			p.expect(":")
			x.values = append(x.values, p.expression())
		}
		return x
	}
	p.fail(t.line, "expected an expression, got %v", t)
	return nil
}

func (p *parser) postfix(x expr) expr {
	for {
		switch t := p.peek(); {
		case t.is("."):
			p.next()
			switch n := p.next(); {
			case n.kind == nameToken:
				x = &attribute{x, n.text, t.line}
			case n.kind == numberToken && integral(n.value):
				x = &item{x, &constant{n.value}, t.line}
			default:
				p.fail(n.line, "expected a name or number, got %v", n)
			}
		case t.is("["):
			p.next()
			x = p.subscript(x, t.line)
		case t.is("("):
			x = &call{x, p.arguments(), t.line}
		default:
			return x
		}
	}
}

// subscript reads the rest of x[...].
func (p *parser) subscript(x expr, line int) expr {
	s := &slice{x: x, line: line}
	part := func(at *expr) {
		if t := p.peek(); !t.is(":") && !t.is("]") {
			*at = p.expression()
		}
	}
	part(&s.low)
	if p.skip(":") {
		part(&s.high)
		if p.skip(":") {
			part(&s.step)
		}
		p.expect("]")
		return s
	}
	if s.low == nil {
		s.low = &tupleExpr{}
	}
	if p.peek().is(",") {
		t := &tupleExpr{[]expr{s.low}}
		for p.skip(",") {
			t.items = append(t.items, p.expression())
		}
		s.low = t
	}
	p.expect("]")
	return &item{x, s.low, line}
}

func (p *parser) arguments() arguments {
	var a arguments
	line := p.expect("(").line
	for first := true; !p.skip(")"); first = false {
		if !first {
			p.expect(",")
			if p.skip(")") {
				break
			}
		}
		t := p.peek()
		switch ok := a.starstar == nil; {
		case ok && a.star == nil && p.skip("*"):
			a.star = p.expression()
		case ok && p.skip("**"):
			a.starstar = p.expression()
		case ok && t.kind == nameToken && p.tokens[p.pos+1].is("="):
			p.pos += 2
			p.unique(a.names, t)
			a.names = append(a.names, t.text)
			a.named = append(a.named, p.expression())
		case ok && a.star == nil && a.names == nil:
			a.positional = append(a.positional, p.expression())
		default:
			p.fail(line, "invalid order of the arguments of a call")
		}
	}
	return a
}

// dotted reads the name of a filter or test.
func (p *parser) dotted() token {
	t := p.want(nameToken)
	for p.skip(".") {
		t.text += "." + p.want(nameToken).text
	}
	return t
}

// filter reads "| name(args)" as often as it is there; where begun the first "|" is left out.
func (p *parser) filter(x expr, begun bool) expr {
	for begun || p.skip("|") {
		begun = false
		t := p.dotted()
		if filters[t.text] == nil {
			p.unknown = append(p.unknown, unknown{noFilter(t.text), t.line, p.frame.soft})
		}
		f := &filterExpr{x: x, name: t.text, line: t.line}
		if p.peek().is("(") {
			f.args = p.arguments()
		}
		x = f
	}
	return x
}

// test reads "is not name arg".
func (p *parser) test(x expr) expr {
	line := p.expect("is").line
	negated := p.skip("not")
	t := p.dotted()
	if tests[t.text] == nil {
		p.unknown = append(p.unknown, unknown{noTest(t.text), line, p.frame.soft})
	}
	n := &testExpr{x: x, name: t.text, line: line}
	switch t := p.peek(); {
	case t.is("("):
		n.args = p.arguments()
	case t.is("is"):
		p.fail(t.line, "tests can't be chained with 'is'")
	case t.kind == stringToken, t.kind == numberToken, t.is("["), t.is("{"),
		t.kind == nameToken && !t.is("else") && !t.is("or") && !t.is("and"):
		n.args.positional = []expr{p.postfix(p.primary())}
	}
	if negated {
		return &not{n}
	}
	return n
}
