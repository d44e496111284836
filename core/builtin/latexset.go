package builtin

import (
	"math"
	"slices"
	"strings"
)

// isSet reports whether f is a set, a point or an interval.
func isSet(f formula) bool {
	switch f.kind {
	case setKind, listKind, unionKind, intersectKind, withoutKind:
		return true
	}
	return false
}

// isInterval reports whether f may be an interval. (1, 2) may also be a point.
func isInterval(f formula) bool { return f.kind == listKind && len(f.args) == 2 }

// sameSet compares sets, points and intervals. A single element is the set of it.
func (c *comparison) sameSet(a, b formula) bool {
	switch {
	case isRegion(a) || isRegion(b):
		return c.sameRegion(a, b)
	case a.kind == listKind && b.kind == listKind:
		if isInterval(a) && isInterval(b) && a.name != b.name {
			return false
		}
		return slices.EqualFunc(a.args, b.args, c.same)
	case a.kind == listKind && b.kind == setKind && len(b.args) != 1:
		return (a.name == "()" || len(a.args) != 2) && c.samePointAndSet(a, b)
	case b.kind == listKind && a.kind == setKind && len(a.args) != 1:
		return (b.name == "()" || len(b.args) != 2) && c.samePointAndSet(b, a)
	case a.kind != setKind && b.kind != setKind:
		return false // a point is no number
	}
	x, y := c.distinct(a), c.distinct(b)
	if len(x) != len(y) {
		return false
	}
	if len(x) == 1 && !(isEmpty(x[0]) && isEmpty(y[0])) {
		return c.same(x[0], y[0])
	}
	for _, e := range x {
		i := slices.IndexFunc(y, func(f formula) bool { return c.same(e, f) })
		if i < 0 {
			return false
		}
		y = slices.Delete(y, i, i+1)
	}
	return true
}

func isEmpty(f formula) bool { return f.kind == setKind && len(f.args) == 0 }

// samePointAndSet compares a point with a set that may be meant for one: element
// by element, in the order in which the set is written or in that of its values.
func (c *comparison) samePointAndSet(point, s formula) bool {
	if slices.EqualFunc(point.args, s.args, c.same) {
		return true
	}
	sorted := slices.Clone(s.args)
	slices.SortStableFunc(sorted, c.order)
	return slices.EqualFunc(point.args, sorted, c.same)
}

// distinct returns the elements of a set without repetition.
func (c *comparison) distinct(f formula) []formula {
	if f.kind != setKind {
		return []formula{f}
	}
	var all []formula
	for _, e := range f.args {
		if !slices.ContainsFunc(all, func(x formula) bool { return c.same(x, e) }) {
			all = append(all, e)
		}
	}
	return all
}

// isRegion reports whether f is made of sets.
func isRegion(f formula) bool {
	return f.kind == unionKind || f.kind == intersectKind || f.kind == withoutKind
}

// sameRegion compares sets of real numbers, one of which may be given by a relation
// in one unknown, at all the ends of their intervals, between them and around them.
// Sets with ends that are no numbers are compared part by part.
func (c *comparison) sameRegion(a, b formula) bool {
	ends, okA := c.ends(a, nil)
	ends, okB := c.ends(b, ends)
	if !okA || !okB || len(ends) > 200 {
		return a.kind == b.kind && a.name == b.name && slices.EqualFunc(a.args, b.args, c.same)
	}
	slices.Sort(ends)
	points := []float64{-1e4 - 1.0/3, -37.3, -1.7, 0.37, 2.9, 53.1, 1e4 + 1.0/3}
	for i, x := range ends {
		near := 1e-3 * max(1, math.Abs(x))
		points = append(points, x, x-near, x+near)
		if i > 0 {
			points = append(points, (x+ends[i-1])/2)
		}
	}
	unknown, ok := theUnknown(a)
	if !ok {
		return false
	}
	for _, x := range points {
		if inA, inB := c.contains(a, unknown, x), c.contains(b, "", x); inA != inB {
			return false
		}
	}
	return true
}

// ends appends the finite ends of the intervals and the elements that f has. It
// reports whether they are all numbers.
func (c *comparison) ends(f formula, all []float64) ([]float64, bool) {
	if f.kind == relationKind || !isSet(f) {
		return all, f.kind == relationKind
	}
	for _, a := range f.args {
		if isRegion(f) {
			var ok bool
			if all, ok = c.ends(a, all); !ok {
				return all, false
			}
			continue
		}
		x := c.end(a)
		if math.IsNaN(x) || hasNames(a) {
			return all, false
		}
		if !math.IsInf(x, 0) {
			all = append(all, x)
		}
	}
	return all, f.kind != listKind || len(f.args) == 2
}

// end is a real number, or NaN.
func (c *comparison) end(f formula) float64 {
	x := valuation{visits: &c.visits}.of(f)
	if math.Abs(imag(x)) > 1e-12*math.Abs(real(x)) {
		return math.NaN()
	}
	return real(x)
}

// contains reports whether a number is in a set, or fulfils a relation in one
// unknown.
func (c *comparison) contains(f formula, unknown string, x float64) bool {
	switch f.kind {
	case relationKind:
		return c.fulfils(f, unknown, x)
	case unionKind:
		return c.contains(f.args[0], unknown, x) || c.contains(f.args[1], unknown, x)
	case intersectKind:
		return c.contains(f.args[0], unknown, x) && c.contains(f.args[1], unknown, x)
	case withoutKind:
		return c.contains(f.args[0], unknown, x) && !c.contains(f.args[1], unknown, x)
	case setKind:
		return slices.ContainsFunc(f.args, func(e formula) bool { return c.at(c.end(e), x) })
	case listKind:
		low, high := c.end(f.args[0]), c.end(f.args[1])
		return x > low && x < high && !c.at(low, x) && !c.at(high, x) || f.name[0] == '[' && c.at(low, x) || f.name[1] == ']' && c.at(high, x)
	}
	return false
}

// at reports whether two numbers are the same but for rounding.
func (c *comparison) at(x, y float64) bool {
	if math.IsInf(x, 0) || math.IsInf(y, 0) {
		return x == y
	}
	slack := 1e-9 * max(1, math.Abs(x))
	if c.places > 0 {
		slack = max(slack, 0.5*math.Pow10(-c.places))
	}
	return math.Abs(x-y) <= slack
}

// theUnknown returns the one name, or value of an unknown function, that a relation
// is about. That of a set is "".
func theUnknown(f formula) (string, bool) {
	if f.kind != relationKind {
		return "", true
	}
	names := map[string]bool{}
	unknowns(f, names)
	for name := range names {
		return name, len(names) == 1
	}
	return "", false
}

func unknowns(f formula, names map[string]bool) {
	if f.kind == symbolKind {
		names[f.name] = true
		return
	}
	if _, known := mathFunctions[f.name]; f.kind == functionKind && !known {
		names[f.String()] = true
		return
	}
	for _, a := range f.args {
		unknowns(a, names)
	}
}

// fulfils reports whether a relation is true of a value of its unknown.
func (c *comparison) fulfils(f formula, unknown string, x float64) bool {
	v := valuation{known: map[string]complex128{unknown: complex(x, 0)}, visits: &c.visits}
	left := v.of(f.args[0])
	for i, sign := range strings.Fields(f.name) {
		right := v.of(f.args[i+1])
		l, r := real(left), real(right)
		equal := c.at(l, r)
		var ok bool
		switch sign {
		case "<":
			ok = l < r && !equal
		case ">":
			ok = l > r && !equal
		case "<=":
			ok = l < r || equal
		case ">=":
			ok = l > r || equal
		case "=":
			ok = equal
		case "!=":
			ok = !equal
		}
		if !ok || math.Abs(imag(left))+math.Abs(imag(right)) > 1e-9 {
			return false
		}
		left = right
	}
	return true
}
