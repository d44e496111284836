package builtin

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// parseLatex reads tidy LaTeX or plain text. What it cannot read whole it reads
// from the last equals sign on, if there are two or more, as Math-Verify does.
func parseLatex(s string) (formula, bool) {
	switch {
	case decimalComma.MatchString(s):
		s = strings.Replace(s, ",", ".", 1)
	case thousands.MatchString(s):
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

var (
	thousands    = regexp.MustCompile(`^\s*-?\d{1,3}(,\d{3})+(\.\d+)?\s*$`)
	decimalComma = regexp.MustCompile(`^\s*-?0,\d{3}\s*$`)
)

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
	start := p.at
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
				f.value = thousand.Add(thousand, p.atom().value)
				continue
			case t.kind == 'n' && p.mixed(start):
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

// mixed reports whether what comes after a whole number, that starts at a token, is
// a fraction in plain text, so that they are a mixed number: 1 1/2.
func (p *latexParser) mixed(start int) bool {
	if p.at+2 >= len(p.tokens) || p.tokens[p.at-1].kind != 'n' || start > 0 && p.tokens[start-1].text == "/" || p.tokens[p.at+1].text != "/" {
		return false
	}
	above, below := p.tokens[p.at], p.tokens[p.at+2]
	return below.kind == 'n' && !strings.Contains(above.text+below.text, ".") && (len(above.text) < len(below.text) || len(above.text) == len(below.text) && above.text < below.text)
}

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
