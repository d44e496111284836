package builtin

import (
	"math"
	"math/big"
	"math/cmplx"
	"slices"
	"strings"
)

// A comparison decides whether formulas are the same answer. It ends: what takes
// too long to compare is not the same.
type comparison struct {
	places int // decimal places that a decimal need agree to with another number, or 0 for exactly
	visits int
}

// sameFormula reports whether two answers are the same mathematics, as Math-Verify
// does it: x = 3 is 3, an order counts in a point and not in a set, a relation is
// the set that it describes. Unlike Math-Verify's, the sides may be exchanged.
// With places, a decimal is the number that it is rounded from.
func sameFormula(a, b formula, places int) bool {
	c := comparison{places, maxVisits}
	return c.same(a, b)
}

func (c *comparison) same(a, b formula) bool {
	if c.visits--; c.visits < 0 {
		return false
	}
	a, b = shortChain(a), shortChain(b)
	switch isA, isB := isAssignment(a), isAssignment(b); {
	case isA && !isEquation(b):
		a = a.args[1]
	case isB && !isEquation(a):
		b = b.args[1]
	}
	switch {
	case a.kind == relationKind && b.kind == relationKind:
		return c.sameRelation(a, b)
	case a.kind == relationKind:
		return isSet(b) && c.sameRegion(a, b)
	case b.kind == relationKind:
		return isSet(a) && c.sameRegion(b, a)
	case isSet(a) || isSet(b):
		return c.sameSet(a, b)
	case a.kind == symbolKind || b.kind == symbolKind:
		return sameName(a, b)
	}
	if x, ok := a.rows(); ok {
		y, ok := b.rows()
		return ok && slices.EqualFunc(x, y, func(x, y []formula) bool { return slices.EqualFunc(x, y, c.same) })
	}
	return c.sameNumber(a, b)
}

// isEquation reports whether f has only equals signs.
func isEquation(f formula) bool {
	return f.kind == relationKind && strings.Trim(f.name, "= ") == ""
}

// isAssignment reports whether f tells what a name is.
func isAssignment(f formula) bool { return isEquation(f) && onlySymbols(f.args[0]) }

// shortChain leaves of x = 1 + 1 = 2 only x = 2.
func shortChain(f formula) formula {
	if isAssignment(f) && len(f.args) > 2 {
		return formula{kind: relationKind, name: "=", args: []formula{f.args[0], f.args[len(f.args)-1]}}
	}
	return f
}

// sameName compares names, and a name with letters that are multiplied: \text{odd}
// is odd. Capitals are as small letters.
func sameName(a, b formula) bool {
	x, ok := joinedName(a)
	y, is := joinedName(b)
	return ok && is && x == y
}

func joinedName(f formula) (string, bool) {
	switch f.kind {
	case symbolKind:
		return f.name, true
	case eulerKind:
		return "e", true
	case imaginaryKind:
		return "i", true
	case productKind:
		x, ok := joinedName(f.args[0])
		y, is := joinedName(f.args[1])
		return x + y, ok && is
	case functionKind:
		if _, known := mathFunctions[f.name]; !known && len(f.args) == 1 { // even(x) too is letters
			x, ok := joinedName(f.args[0])
			return f.name + x, ok
		}
	}
	return "", false
}

// sameNumber compares numbers, and formulas with names by their values at a few
// points.
func (c *comparison) sameNumber(a, b formula) bool {
	x, exactA := c.exact(a)
	y, exactB := c.exact(b)
	rounded := c.places > 0 && (isDecimal(a) || isDecimal(b))
	if exactA && exactB {
		return x.Cmp(y) == 0 || rounded && x.FloatString(c.places) == y.FloatString(c.places)
	}
	compared := 0
	for point := range 6 {
		v := valuation{point: point, visits: &c.visits}
		x, y := v.of(a), v.of(b)
		badX, badY := cmplx.IsNaN(x) || cmplx.IsInf(x), cmplx.IsNaN(y) || cmplx.IsInf(y)
		if badX && badY {
			if x == y && a.hasKind(infinityKind) && b.hasKind(infinityKind) {
				compared++
			}
			continue
		}
		if badX || badY || !nearly(x, y) && !(rounded && nearPlaces(x, y, c.places)) {
			return false
		}
		if compared++; !hasNames(a) && !hasNames(b) {
			break
		}
	}
	return compared > 0
}

// isDecimal reports whether f is one number that is written with a point.
func isDecimal(f formula) bool {
	return f.kind == numberKind && f.point || f.kind == percentKind && isDecimal(f.args[0])
}

func hasNames(f formula) bool {
	_, known := mathFunctions[f.name]
	return f.kind == symbolKind || f.kind == functionKind && !known || slices.ContainsFunc(f.args, hasNames)
}

// nearly allows for the rounding of 64-bit floating point.
func nearly(x, y complex128) bool {
	size := max(cmplx.Abs(x), cmplx.Abs(y))
	return cmplx.Abs(x-y) <= 1e-10*size || size < 1e-13
}

func nearPlaces(x, y complex128, places int) bool {
	unit := math.Pow10(places)
	return math.Round(real(x)*unit) == math.Round(real(y)*unit) && math.Round(imag(x)*unit) == math.Round(imag(y)*unit)
}

// sameRelation compares equations and inequalities: part by part, from the other
// end, or, of two sides, whether one difference of them is a multiple of the other.
func (c *comparison) sameRelation(a, b formula) bool {
	signsA, signsB := strings.Fields(a.name), strings.Fields(b.name)
	if slices.Equal(signsA, signsB) && slices.EqualFunc(a.args, b.args, c.same) {
		return true
	}
	flipped := make([]string, len(signsB))
	for i, s := range signsB {
		flipped[len(signsB)-1-i] = flip[s]
	}
	args := slices.Clone(b.args)
	slices.Reverse(args)
	if slices.Equal(signsA, flipped) && slices.EqualFunc(a.args, args, c.same) {
		return true
	}
	if len(signsA) != 1 || len(signsB) != 1 || slices.ContainsFunc(a.args, isSet) || slices.ContainsFunc(b.args, isSet) {
		return false
	}
	differenceA, differenceB := node(sumKind, a.args[0], negative(a.args[1])), node(sumKind, b.args[0], negative(b.args[1]))
	switch {
	case signsA[0] == signsB[0]:
	case signsA[0] == flipped[0]:
		differenceB = negative(differenceB)
	default:
		return false
	}
	return c.multiples(differenceA, differenceB, signsA[0] == "=" || signsA[0] == "!=")
}

var flip = map[string]string{"=": "=", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

// multiples reports whether a is a constant times b, at all points; a positive one
// unless either will do.
func (c *comparison) multiples(a, b formula, either bool) bool {
	var ratio complex128
	compared := 0
	for point := range 6 {
		v := valuation{point: point, visits: &c.visits}
		x, y := v.of(a), v.of(b)
		r := x / y
		if nearly(x, 0) && nearly(y, 0) || cmplx.IsNaN(x) && cmplx.IsNaN(y) {
			continue
		}
		if cmplx.IsNaN(r) || cmplx.IsInf(r) || r == 0 || compared > 0 && !nearly(r, ratio) || !either && !(real(r) > 0 && math.Abs(imag(r)) < 1e-9*real(r)) {
			return false
		}
		ratio = r
		compared++
	}
	return compared > 1
}

// rows returns the elements of a matrix, of a sum or product of matrices, or of one
// that is multiplied by a number.
func (f formula) rows() ([][]formula, bool) { return f.rowsOf(maxMatrices) }

// Sizes past which matrices are not multiplied: the elements grow with each product.
const (
	maxMatrices       = 4
	maxMatrixProducts = 64 // of elements, in one product of matrices
)

func (f formula) rowsOf(matrices int) ([][]formula, bool) {
	switch f.kind {
	case matrixKind:
		rows := make([][]formula, len(f.args))
		for i, row := range f.args {
			rows[i] = row.args
		}
		return rows, true
	case sumKind, productKind:
		if f.kind == productKind {
			matrices--
		}
		x, ok := f.args[0].rowsOf(matrices)
		y, is := f.args[1].rowsOf(matrices)
		switch {
		case ok && is && f.kind == sumKind && len(x) == len(y) && len(x[0]) == len(y[0]):
			return byElement(x, func(i, j int) formula { return node(sumKind, x[i][j], y[i][j]) }), true
		case ok && is && f.kind == productKind && matrices > 0 && len(x[0]) == len(y) && len(x)*len(y)*len(y[0]) <= maxMatrixProducts:
			return matrixProduct(x, y), true
		case ok && !is && f.kind == productKind:
			return byElement(x, func(i, j int) formula { return node(productKind, x[i][j], f.args[1]) }), true
		case is && !ok && f.kind == productKind:
			return byElement(y, func(i, j int) formula { return node(productKind, f.args[0], y[i][j]) }), true
		}
	}
	return nil, false
}

func byElement(like [][]formula, element func(i, j int) formula) [][]formula {
	rows := make([][]formula, len(like))
	for i := range like {
		for j := range like[i] {
			rows[i] = append(rows[i], element(i, j))
		}
	}
	return rows
}

func matrixProduct(x, y [][]formula) [][]formula {
	rows := make([][]formula, len(x))
	for i := range x {
		for j := range y[0] {
			total := integer(0)
			for k := range y {
				total = node(sumKind, total, node(productKind, x[i][k], y[k][j]))
			}
			rows[i] = append(rows[i], total)
		}
	}
	return rows
}

// order is that of two elements of a set: by their values, those that have none
// last and alike.
func (c *comparison) order(a, b formula) int {
	x, y := c.sortKey(a), c.sortKey(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func (c *comparison) sortKey(f formula) float64 {
	if isAssignment(f) {
		f = f.args[len(f.args)-1]
	}
	if x, ok := c.exact(f); ok {
		key, _ := new(big.Float).SetRat(x).Float64()
		return key
	}
	if key := real(valuation{visits: &c.visits}.of(f)); !math.IsNaN(key) {
		return key
	}
	return math.Inf(1)
}
