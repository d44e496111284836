package builtin

import (
	"math/big"
	"slices"
	"strings"
)

// atom reads a number, a name, a command or a group.
func (p *latexParser) atom() formula {
	if p.depth++; p.depth > maxMathDepth {
		return p.fail()
	}
	defer func() { p.depth-- }()
	t := p.peek()
	switch t.kind {
	case 'n':
		p.at++
		value, ok := new(big.Rat).SetString(t.text)
		if !ok {
			return p.fail()
		}
		return formula{kind: numberKind, value: value, point: strings.ContainsAny(t.text, ".E")}
	case 'l':
		p.at++
		return p.named(t.text)
	case 't':
		p.at++
		return formula{kind: symbolKind, name: strings.ToLower(textName.Replace(t.text))}
	case 'c':
		p.at++
		return p.command(t.text)
	}
	switch {
	case p.isSign("{"):
		return p.braces()
	case p.isSign("(", "["):
		return p.brackets()
	case p.take(`\{`):
		f := formula{kind: setKind}
		if !p.isSign(`\}`) {
			f.args = bothSigns(p.nested())
		}
		p.want(`\}`)
		return f
	case p.take("|"):
		p.bars++
		f := p.term()
		p.bars--
		p.want("|")
		return formula{kind: functionKind, name: "abs", args: []formula{f}}
	}
	return p.fail()
}

// textName leaves of a text in \text{} what names it.
var textName = strings.NewReplacer(" ", "", "(", "", ")", "")

// named reads a letter, or an unknown function if it is of one atom or more terms.
func (p *latexParser) named(name string) formula {
	switch name {
	case "e":
		return formula{kind: eulerKind}
	case "i", "I":
		return formula{kind: imaginaryKind}
	}
	f := formula{kind: symbolKind, name: strings.ToLower(name)}
	if p.isSign("_") {
		p.at++
		f.name += "_" + p.subscript()
	}
	if !p.isCall() {
		return f
	}
	p.at++
	f.kind, f.args = functionKind, p.nested()
	p.want(")")
	return f
}

// isCall reports whether parentheses are those of a function of a name before them:
// with one atom in them, or with a comma. x(y+1) is a product.
func (p *latexParser) isCall() bool {
	if !p.isSign("(") {
		return false
	}
	rest := p.tokens[p.at+1:]
	if len(rest) > 1 && rest[0].kind != 0 && rest[1].is(")") || len(rest) > 3 && rest[0].kind != 0 && rest[1].is("_") && rest[3].is(")") {
		return true
	}
	depth := 0
	for _, t := range rest {
		switch {
		case t.is("("), t.is("["), t.is("{"), t.is(`\{`):
			depth++
		case t.is(")"), t.is("]"), t.is("}"), t.is(`\}`):
			depth--
		case t.is(",") && depth == 0:
			return true
		}
		if depth < 0 {
			break
		}
	}
	return false
}

// nested reads elements within brackets, where a bar is not the one outside.
func (p *latexParser) nested() []formula {
	bars := p.bars
	p.bars = 0
	f := p.elements()
	p.bars = bars
	return f
}

// braces reads a group in braces: a formula, or a set if there are commas.
func (p *latexParser) braces() formula {
	p.want("{")
	if p.take("}") {
		return formula{kind: setKind}
	}
	f := p.nested()
	if p.peek().kind == 'c' && p.peek().text == "choose" {
		p.at++
		f = []formula{{kind: functionKind, name: "binom", args: []formula{f[0], p.term()}}}
	}
	p.want("}")
	if len(f) == 1 {
		return f[0]
	}
	return formula{kind: setKind, args: bothSigns(f)}
}

// brackets reads a group in parentheses or square brackets, a point or an interval.
func (p *latexParser) brackets() formula {
	name := p.peek().text
	p.at++
	f := p.nested()
	if t := p.peek(); !p.take(")", "]") {
		return p.fail()
	} else {
		name += t.text
	}
	if len(f) == 1 && (name == "()" || name == "[]") {
		return f[0]
	}
	if len(f) != 2 && name != "()" && name != "[]" {
		return p.fail()
	}
	return formula{kind: listKind, name: name, args: f}
}

// command reads what follows a command.
func (p *latexParser) command(name string) formula {
	switch name {
	case "frac":
		above := p.operand(true)
		return quotient(above, p.operand(false))
	case "binom", "tbinom", "dbinom":
		n := p.operand(true)
		return formula{kind: functionKind, name: "binom", args: []formula{n, p.operand(false)}}
	case "sqrt":
		root := integer(2)
		if p.take("[") {
			root = p.term()
			p.want("]")
		}
		return formula{kind: functionKind, name: "root", args: []formula{p.operand(false), root}}
	case "pi":
		return formula{kind: piKind}
	case "infty":
		return formula{kind: infinityKind}
	case "imath":
		return formula{kind: imaginaryKind}
	case "emptyset", "varnothing":
		return formula{kind: setKind}
	case "boxed", "fbox", "phantom", "mathbf", "boldsymbol", "bm", "mathit", "mathopen", "mathclose", "mathord":
		return p.operand(false)
	case "circ", "degree":
		return p.fail() // an exponent only
	case "lfloor", "lceil":
		f := p.term()
		if t := p.peek(); t.kind != 'c' || t.text != "r"+name[1:] {
			return p.fail()
		}
		p.at++
		return formula{kind: functionKind, name: name[1:], args: []formula{f}}
	case "mathbb":
		switch set := p.subscript(); set {
		case "R":
			return formula{kind: listKind, name: "()", args: []formula{negative(formula{kind: infinityKind}), {kind: infinityKind}}}
		default:
			return formula{kind: symbolKind, name: "mathbb " + set}
		}
	case "overline", "bar", "vec", "overrightarrow", "hat", "tilde", "dot", "ddot", "widehat", "widetilde", "mathcal", "mathscr", "mathfrak":
		return formula{kind: symbolKind, name: name + " " + p.subscript()}
	case "operatorname":
		name = p.subscript()
		if !latexFunctions[name] {
			return formula{kind: symbolKind, name: strings.ToLower(name)}
		}
	case "begin":
		return p.environment()
	}
	if latexFunctions[name] {
		return p.functionOf(name)
	}
	return p.named(`\` + name)
}

// latexFunctions has the functions that are commands.
var latexFunctions = map[string]bool{
	"sin": true, "cos": true, "tan": true, "cot": true, "sec": true, "csc": true, "arcsin": true, "arccos": true, "arctan": true, "arccot": true,
	"sinh": true, "cosh": true, "tanh": true, "log": true, "ln": true, "lg": true, "exp": true, "gcd": true, "lcm": true, "max": true, "min": true, "det": true,
}

// operand reads what \frac or \sqrt is of. Without braces that is one token, of a
// number in front of another only its first digit.
func (p *latexParser) operand(first bool) formula {
	if p.isSign("{") {
		return p.braces()
	}
	if t := p.peek(); first && t.kind == 'n' && len(t.text) > 1 {
		p.tokens[p.at].text = t.text[1:]
		value, ok := new(big.Rat).SetString(t.text[:1])
		if !ok {
			return p.fail()
		}
		return formula{kind: numberKind, value: value}
	}
	return p.atom()
}

// functionOf reads the index, the power and the arguments of a known function.
func (p *latexParser) functionOf(name string) formula {
	var base, exponent *formula
	for base == nil && p.isSign("_") || exponent == nil && p.isSign("^") {
		up := p.isSign("^")
		p.at++
		x := p.exponent()
		if up {
			exponent = &x
		} else {
			base = &x
		}
	}
	var args []formula
	if p.isSign("(") {
		p.at++
		args = p.nested()
		p.want(")")
	} else {
		args = []formula{p.argument()}
	}
	switch {
	case base != nil:
		args = append(args, *base)
	case name == "log" || name == "lg":
		args = append(args, integer(10))
	}
	if exponent != nil && exponent.kind == numberKind && exponent.value.Cmp(big.NewRat(-1, 1)) == 0 && latexFunctions["arc"+name] {
		return formula{kind: functionKind, name: "arc" + name, args: args}
	}
	f := formula{kind: functionKind, name: strings.Replace(name, "lg", "log", 1), args: args}
	if exponent != nil {
		f = node(powerKind, f, *exponent)
	}
	return f
}

// environment reads a matrix, a determinant or an array after \begin.
func (p *latexParser) environment() formula {
	name := p.subscript()
	if !slices.Contains([]string{"matrix", "pmatrix", "bmatrix", "vmatrix", "Bmatrix", "array", "smallmatrix"}, name) {
		return p.fail()
	}
	if name == "array" {
		p.subscript() // its columns
	}
	bars := p.bars
	p.bars = 0
	m := node(matrixKind, node(matrixRowKind))
	for !(p.peek().kind == 'c' && p.peek().text == "end") && !p.failed {
		row := &m.args[len(m.args)-1]
		switch {
		case p.take(`\\`):
			if t := p.peek(); !(t.kind == 'c' && t.text == "end") {
				m.args = append(m.args, node(matrixRowKind))
			}
		case p.take("&"):
			if len(row.args) == 0 {
				p.fail()
			}
		default:
			row.args = append(row.args, p.term())
		}
	}
	p.at++
	p.bars = bars
	if p.failed || p.subscript() != name || slices.ContainsFunc(m.args, func(row formula) bool { return len(row.args) != len(m.args[0].args) }) {
		return p.fail()
	}
	if name == "vmatrix" {
		return formula{kind: functionKind, name: "det", args: []formula{m}}
	}
	return m
}
