package jinja

import (
	"math/big"
	"unicode"
)

// tests are what may stand after "is".
var tests map[string]*builtin

func noTest(name string) string { return "no test named '" + name + "'" }

// test is "v is name(args)".
func (r *run) test(name string, v Value, a args) bool {
	f := tests[name]
	if f == nil {
		r.fail("%s", noTest(name))
	}
	a.positional = append([]Value{v}, a.positional...)
	return truth(f.call(r, a))
}

func defineTests() {
	tests = map[string]*builtin{}
	is := func(name, signature string, f func(r *run, a []Value) bool) {
		tests[name] = define(name, signature, func(r *run, a []Value) Value { return f(r, a) })
	}
	// plain defines a test that looks at the value only.
	plain := func(name string, f func(v Value) bool) {
		is(name, "value", func(r *run, a []Value) bool { return f(a[0]) })
	}
	plain("defined", func(v Value) bool { _, ok := v.(*undefined); return !ok })
	plain("undefined", func(v Value) bool { _, ok := v.(*undefined); return ok })
	plain("none", func(v Value) bool { return v == nil })
	plain("boolean", func(v Value) bool { _, ok := v.(bool); return ok })
	plain("true", func(v Value) bool { return v == true })
	plain("false", func(v Value) bool { return v == false })
	plain("integer", integral)
	plain("float", func(v Value) bool { _, ok := v.(float64); return ok })
	plain("number", func(v Value) bool { return number(v) != nil })
	plain("string", func(v Value) bool { _, ok := text(v); return ok })
	plain("escaped", func(v Value) bool { _, ok := v.(markup); return ok })
	plain("mapping", func(v Value) bool { _, ok := v.(*Dict); return ok })
	plain("sequence", func(v Value) bool {
		switch v.(type) {
		case *view, *loop:
			return false
		}
		_, ok := length(v)
		return ok
	})
	plain("iterable", func(v Value) bool {
		switch v.(type) {
		case *generator, *loop:
			return true
		}
		_, ok := length(v)
		return ok
	})
	plain("callable", func(v Value) bool {
		switch v.(type) {
		case *builtin, *method, *macro, *loop, *joiner, *undefined:
			return true
		}
		return false
	})
	is("lower", "value", func(r *run, a []Value) bool { return allCased(r.str(a[0]), unicode.IsLower) })
	is("upper", "value", func(r *run, a []Value) bool { return allCased(r.str(a[0]), unicode.IsUpper) })
	modulo := func(r *run, a, b Value, want int64) bool { return r.equal(r.arithmetic("%", a, b), want) }
	is("odd", "value", func(r *run, a []Value) bool { return modulo(r, a[0], int64(2), 1) })
	is("even", "value", func(r *run, a []Value) bool { return modulo(r, a[0], int64(2), 0) })
	is("divisibleby", "value num", func(r *run, a []Value) bool { return modulo(r, a[0], a[1], 0) })
	is("sameas", "value other", func(r *run, a []Value) bool { return same(a[0], a[1]) })
	is("in", "value seq", func(r *run, a []Value) bool { return r.contains(a[1], a[0]) })
	is("filter", "value", func(r *run, a []Value) bool { return filters[r.needText(a[0])] != nil })
	is("test", "value", func(r *run, a []Value) bool { return tests[r.needText(a[0])] != nil })
	for op, names := range map[string][]string{
		"==": {"==", "eq", "equalto"}, "!=": {"!=", "ne"}, "<": {"<", "lt", "lessthan"}, "<=": {"<=", "le"},
		">": {">", "gt", "greaterthan"}, ">=": {">=", "ge"},
	} {
		for _, name := range names {
			is(name, "/ a b", func(r *run, a []Value) bool { return r.compare(op, a[0], a[1]) })
		}
	}
}

// same is the operator "is" of Python, as far as it can be told: equal strings and ints count as one.
func same(a, b Value) bool {
	x, ok := a.(*big.Int)
	y, both := b.(*big.Int)
	return a == b || ok && both && x.Cmp(y) == 0
}
