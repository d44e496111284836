package builtin

import (
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A formula is a piece of mathematics as a tree.
type formula struct {
	kind  formulaKind
	name  string    // of a symbol or function; the brackets of a list, such as "[)"; the signs of a relation, such as "< <="
	value *big.Rat  // of a number
	point bool      // whether a number is written as a decimal
	args  []formula // what it is made of
}

type formulaKind byte

const (
	numberKind    formulaKind = iota
	symbolKind                // name; e, i, pi and infinity have kinds of their own
	eulerKind                 // e
	imaginaryKind             // i
	piKind
	infinityKind
	sumKind
	productKind
	powerKind     // base, exponent
	percentKind   // a number of hundredths
	plusMinusKind // args[0] ± args[1]; name is "±" or "∓"
	functionKind  // name of args: a known one, or an unknown such as f
	relationKind  // args[0] name[0] args[1] name[1] …
	listKind      // in brackets: a point or an interval
	setKind       // in braces, or elements with commas between
	unionKind     // of sets
	intersectKind // of sets
	withoutKind   // args[0] but not args[1], sets
	matrixKind    // rows
	matrixRowKind // elements
)

func integer(n int64) formula                  { return formula{kind: numberKind, value: big.NewRat(n, 1)} }
func node(k formulaKind, a ...formula) formula { return formula{kind: k, args: a} }
func negative(f formula) formula {
	if f.kind == numberKind {
		f.value = new(big.Rat).Neg(f.value)
		return f
	}
	return node(productKind, integer(-1), f)
}
func quotient(a, b formula) formula { return node(productKind, a, node(powerKind, b, integer(-1))) }

// parseLatex reads tidy LaTeX or plain text. What it cannot read whole it reads
// from the last equals sign on, if there are two or more, as Math-Verify does.
func parseLatex(s string) (formula, bool) {
	if len(s) > maxMathText {
		return formula{}, false
	}
	if thousands.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	p := latexParser{tokens: latexTokens(s)}
	f := p.answer()
	if !p.failed && p.at == len(p.tokens) && len(p.tokens) > 0 {
		return f, true
	}
	if i := strings.LastIndex(s, "="); i >= 0 && strings.Count(s, "=") > 1 && !strings.ContainsAny(s, ",;<>!") {
		return parseLatex(s[i+1:])
	}
	return formula{}, false
}

var thousands = regexp.MustCompile(`^\s*-?\d{1,3}(,\d{3})+(\.\d+)?\s*$`)

type latexParser struct {
	tokens []latexToken
	at     int
	depth  int
	bars   int // |s that are open
	failed bool
}

// fail ends the parsing: every loop ends at the end of the tokens.
func (p *latexParser) fail() formula {
	p.failed, p.at = true, len(p.tokens)
	return integer(0)
}

func (p *latexParser) peek() latexToken {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return latexToken{kind: '$'}
}

func (p *latexParser) isSign(signs ...string) bool {
	t := p.peek()
	return t.kind == 0 && slices.Contains(signs, t.text)
}

// take goes past the token if it is one of these signs.
func (p *latexParser) take(signs ...string) bool {
	if !p.isSign(signs...) {
		return false
	}
	p.at++
	return true
}

func (p *latexParser) want(sign string) {
	if !p.take(sign) {
		p.fail()
	}
}

// answer reads all of an answer: elements with commas between, which are a set.
// In "x = 1, 2" the x is of both.
func (p *latexParser) answer() formula {
	f := bothSigns(p.elements())
	if len(f) == 1 {
		return f[0]
	}
	if first := f[0]; first.kind == relationKind && (first.name == "=") && onlySymbols(first.args[0]) &&
		!slices.ContainsFunc(f[1:], func(x formula) bool { return x.kind == relationKind }) {
		all := slices.Concat([]formula{first.args[1]}, f[1:])
		return formula{kind: relationKind, name: "=", args: []formula{first.args[0], formula{kind: setKind, args: all}}}
	}
	return formula{kind: setKind, args: f}
}

// elements reads elements with commas between. Semicolons are the stronger ones:
// between them are points, if there are commas too.
func (p *latexParser) elements() []formula {
	var all [][]formula
	for {
		group := p.commaElements()
		all = append(all, group)
		if !p.take(";") {
			break
		}
	}
	flat := slices.Concat(all...)
	if len(all) == 1 || len(flat) == len(all) {
		return flat
	}
	points := make([]formula, len(all))
	for i, group := range all {
		points[i] = formula{kind: listKind, name: "()", args: group}
	}
	return points
}

func (p *latexParser) commaElements() []formula {
	var all []formula
	for {
		all = append(all, p.element())
		if !p.take(",") {
			return all
		}
		if t := p.peek(); t.kind == '$' { // a comma at the end
			return all
		}
	}
}

// bothSigns returns the elements of a set, two for each that has a ±. What a name
// is with a ± is the set of the two.
func bothSigns(elements []formula) []formula {
	var all []formula
	for _, f := range elements {
		if !hasKind(f, plusMinusKind) {
			all = append(all, f)
			continue
		}
		plus, minus := withSign(f, "±"), withSign(f, "∓")
		if isAssignment(f) && len(f.args) == 2 {
			both := formula{kind: setKind, args: []formula{plus.args[1], minus.args[1]}}
			all = append(all, formula{kind: relationKind, name: "=", args: []formula{f.args[0], both}})
			continue
		}
		all = append(all, plus, minus)
	}
	return all
}

func hasKind(f formula, k formulaKind) bool {
	return f.kind == k || slices.ContainsFunc(f.args, func(a formula) bool { return hasKind(a, k) })
}

// withSign returns f with a plus for each of the sign, and a minus for the other.
func withSign(f formula, sign string) formula {
	args := make([]formula, len(f.args))
	for i, a := range f.args {
		args[i] = withSign(a, sign)
	}
	f.args = args
	if f.kind == plusMinusKind {
		if f.name != sign {
			args[1] = negative(args[1])
		}
		f = node(sumKind, args...)
	}
	return f
}

// element reads sets or terms with relation signs between.
func (p *latexParser) element() formula {
	if p.depth++; p.depth > maxMathDepth {
		return p.fail()
	}
	defer func() { p.depth-- }()
	f := p.setTerm()
	var signs []string
	args := []formula{f}
	for p.isSign("=", "<", ">", "<=", ">=", "!=", "in", "~") {
		sign := p.peek().text
		p.at++
		p.take("=") // as in ==
		x := p.setTerm()
		if sign == "~" { // an approximation says nothing new, unless of a name
			if len(args) == 1 && onlySymbols(f) {
				signs, args = append(signs, "="), append(args, x)
			}
			continue
		}
		if sign == "in" {
			sign = "="
		}
		signs, args = append(signs, sign), append(args, x)
	}
	if len(args) == 1 {
		return f
	}
	return formula{kind: relationKind, name: strings.Join(signs, " "), args: args}
}

// setTerm reads sets with ∪, ∩ and ∖ between, or a term.
func (p *latexParser) setTerm() formula {
	f := p.term()
	for {
		switch {
		case p.take("∪"):
			f = node(unionKind, f, p.term())
		case p.take("∩"):
			f = node(intersectKind, f, p.term())
		case p.take("∖"):
			f = node(withoutKind, f, p.term())
		default:
			return f
		}
	}
}

// term reads products with +, - and ± between.
func (p *latexParser) term() formula {
	if p.depth++; p.depth > maxMathDepth {
		return p.fail()
	}
	defer func() { p.depth-- }()
	var f formula
	if p.isSign("±", "∓") {
		f = integer(0)
	} else {
		f = p.product()
	}
	for {
		switch sign := p.peek().text; {
		case p.take("+"):
			f = node(sumKind, f, p.product())
		case p.take("-"):
			f = node(sumKind, f, negative(p.product()))
		case p.take("±", "∓"):
			f = formula{kind: plusMinusKind, name: sign, args: []formula{f, p.product()}}
		default:
			return f
		}
	}
}

// product reads factors with multiplication and division signs between. A colon
// is the sign of a ratio.
func (p *latexParser) product() formula { return p.productOf(p.unary) }

func (p *latexParser) productOf(factor func() formula) formula {
	f := factor()
	for {
		switch {
		case p.take("*"):
			p.take("*") // as in 2**3, a power in programs
			f = node(productKind, f, factor())
		case p.take("/", ":"):
			f = quotient(f, factor())
		default:
			return f
		}
	}
}

func (p *latexParser) unary() formula { return p.signed(false) }

// argument reads what a function without parentheses is of: a product up to the
// next function.
func (p *latexParser) argument() formula {
	return p.productOf(func() formula { return p.signed(true) })
}

func (p *latexParser) signed(noFunctions bool) formula {
	minus := false
	for p.isSign("+", "-") {
		minus = minus != p.isSign("-")
		p.at++
	}
	f := p.factors(noFunctions)
	if minus {
		f = negative(f)
	}
	return f
}

// factors reads what is written side by side: a product, or a mixed number.
func (p *latexParser) factors(noFunctions bool) formula {
	f := p.powers()
	for p.startsFactor(noFunctions) {
		t := p.peek()
		if f.kind == numberKind && !f.point && f.value.IsInt() {
			switch {
			case t.kind == 'c' && t.text == "frac":
				if x := p.powers(); isFraction(x) {
					f = node(sumKind, f, x)
				} else {
					f = node(productKind, f, x)
				}
				continue
			case t.kind == 'n' && len(t.text) == 3 && t.space && !strings.Contains(t.text, "."): // 1 000
				thousand := new(big.Rat).Mul(f.value, big.NewRat(1000, 1))
				f.value = thousand.Add(thousand, p.powers().value)
				continue
			case t.kind == 'n' && p.at+2 < len(p.tokens) && p.tokens[p.at+1].text == "/" && p.tokens[p.at+2].kind == 'n': // 1 1/2
				above := p.powers()
				p.at++
				f = node(sumKind, f, quotient(above, p.powers()))
				continue
			}
		}
		if t.kind == 'n' {
			return p.fail() // 2 numbers side by side are none
		}
		f = node(productKind, f, p.powers())
	}
	return f
}

func isFraction(f formula) bool {
	return f.kind == productKind && len(f.args) == 2 && isNatural(f.args[0]) && f.args[1].kind == powerKind && isNatural(f.args[1].args[0])
}

func isNatural(f formula) bool { return f.kind == numberKind && f.value.IsInt() && f.value.Sign() > 0 }

// startsFactor reports whether the next token can start a factor.
func (p *latexParser) startsFactor(noFunctions bool) bool {
	switch t := p.peek(); t.kind {
	case 'n', 'l', 't':
		return true
	case 'c':
		return t.text != "end" && t.text != "choose" && t.text != "rfloor" && t.text != "rceil" && !(noFunctions && latexFunctions[t.text])
	case 0:
		return t.text == "(" || t.text == "[" || t.text == "{" || t.text == `\{` || t.text == "|" && p.bars == 0
	}
	return false
}

// powers reads an atom with what may stand behind it: powers, factorials, percents
// and primes. Degrees are no more than a unit.
func (p *latexParser) powers() formula {
	f := p.atom()
	for {
		switch {
		case p.take("²"):
			f = node(powerKind, f, integer(2))
		case p.take("³"):
			f = node(powerKind, f, integer(3))
		case p.take("!"):
			f = formula{kind: functionKind, name: "factorial", args: []formula{f}}
		case p.take("%"):
			f = node(percentKind, f)
		case p.take("'"):
			f = formula{kind: functionKind, name: "prime", args: []formula{f}}
		case p.take("_"):
			sub := p.subscript()
			if f.kind == symbolKind {
				f.name += "_" + sub
			} // that of a number is its base, which both answers have
		case p.take("^"):
			if p.degree() {
				continue
			}
			f = node(powerKind, f, p.exponent())
		default:
			return f
		}
	}
}

// degree goes past the sign of degrees in an exponent.
func (p *latexParser) degree() bool {
	start := p.at
	braces := p.take("{")
	t := p.peek()
	if t.kind == 'c' && (t.text == "circ" || t.text == "degree") {
		if p.at++; !braces || p.take("}") {
			return true
		}
	}
	p.at = start
	return false
}

func (p *latexParser) exponent() formula {
	if p.take("-") {
		return negative(p.exponent1())
	}
	return p.exponent1()
}

func (p *latexParser) exponent1() formula {
	if p.isSign("{") {
		return p.braces()
	}
	return p.atom()
}

// subscript reads a subscript as text.
func (p *latexParser) subscript() string {
	if !p.take("{") {
		t := p.peek()
		p.at++
		return t.text
	}
	var b strings.Builder
	for depth := 1; ; p.at++ {
		t := p.peek()
		switch {
		case t.kind == '$':
			p.fail()
			return ""
		case t.kind == 0 && t.text == "{":
			depth++
		case t.kind == 0 && t.text == "}":
			if depth--; depth == 0 {
				p.at++
				return b.String()
			}
		}
		b.WriteString(t.text)
	}
}

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
	if !p.isSign("(") {
		return f
	}
	start := p.at
	p.at++
	args := p.nested()
	if p.failed || !p.take(")") || len(args) == 1 && args[0].kind != numberKind && args[0].kind != symbolKind {
		p.at, p.failed = start, false // x(y+1) is a product
		return f
	}
	return formula{kind: functionKind, name: f.name, args: args}
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

// onlySymbols reports whether a formula is of names alone, and so what an equation
// tells the value of: x, f(x), AB, |AB|, A:B.
func onlySymbols(f formula) bool {
	switch f.kind {
	case symbolKind:
		return true
	case powerKind:
		return f.args[1].kind == numberKind && f.args[1].value.Cmp(big.NewRat(-1, 1)) == 0 && onlySymbols(f.args[0])
	case functionKind:
		_, known := mathFunctions[f.name]
		return !known || (f.name == "abs" || f.name == "prime") && onlySymbols(f.args[0])
	case productKind, sumKind, listKind:
		return len(f.args) > 0 && !slices.ContainsFunc(f.args, func(a formula) bool { return !onlySymbols(a) })
	}
	return false
}

// String returns a formula as a text that is the same for the same tree.
func (f formula) String() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(f.kind)))
	b.WriteString(f.name)
	if f.value != nil {
		b.WriteString(f.value.RatString())
	}
	if len(f.args) > 0 {
		b.WriteByte('(')
		for _, a := range f.args {
			b.WriteString(a.String())
			b.WriteByte(' ')
		}
		b.WriteByte(')')
	}
	return b.String()
}
