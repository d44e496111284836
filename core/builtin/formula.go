package builtin

import (
	"math/big"
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

func isFraction(f formula) bool {
	return f.kind == productKind && len(f.args) == 2 && isNatural(f.args[0]) && f.args[1].kind == powerKind && isNatural(f.args[1].args[0])
}

func isNatural(f formula) bool { return f.kind == numberKind && f.value.IsInt() && f.value.Sign() > 0 }

// bothSigns returns the elements of a set, two for each that has a ±. What a name
// is with a ± is the set of the two.
func bothSigns(elements []formula) []formula {
	var all []formula
	for _, f := range elements {
		if !f.hasKind(plusMinusKind) {
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

func (f formula) hasKind(k formulaKind) bool {
	return f.kind == k || slices.ContainsFunc(f.args, func(a formula) bool { return a.hasKind(k) })
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
