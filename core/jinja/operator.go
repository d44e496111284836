package jinja

import (
	"cmp"
	"math"
	"math/big"
	"strings"
)

// number returns v as int64, *big.Int or float64, or nil where it is no number.
func number(v Value) Value {
	switch x := v.(type) {
	case bool:
		if x {
			return int64(1)
		}
		return int64(0)
	case int64, *big.Int, float64:
		return x
	}
	return nil
}

func toBig(v Value) *big.Int {
	if x, ok := v.(int64); ok {
		return big.NewInt(x)
	}
	return v.(*big.Int)
}

// float returns a number as float64.
func (r *run) float(v Value) float64 {
	switch x := v.(type) {
	case int64:
		return float64(x)
	case *big.Int:
		f, _ := new(big.Float).SetInt(x).Float64()
		if math.IsInf(f, 0) {
			r.fail("int too large to convert to float")
		}
		return f
	}
	return v.(float64)
}

// arithmetic is + - * / // % ** of Python.
func (r *run) arithmetic(op string, a, b Value) Value {
	r.work(0)
	if x, y := number(a), number(b); x != nil && y != nil {
		_, f := x.(float64)
		_, g := y.(float64)
		switch {
		case f || g:
			return r.floats(op, r.float(x), r.float(y))
		case op == "/":
			if toBig(y).Sign() == 0 {
				r.fail("division by zero")
			}
			q, _ := new(big.Rat).SetFrac(toBig(x), toBig(y)).Float64()
			if math.IsInf(q, 0) {
				r.fail("integer division result too large for a float")
			}
			return q
		}
		return r.integers(op, x, y)
	}
	if s, ok := text(a); ok && op == "%" {
		_, safe := a.(markup)
		if out := r.printf(s, b, safe); safe {
			return markup(out)
		} else {
			return out
		}
	}
	for _, v := range []Value{a, b} {
		if u, ok := v.(*undefined); ok {
			r.fail("%s", u.message())
		}
	}
	switch op {
	case "+":
		if v, ok := r.plus(a, b); ok {
			return v
		}
	case "*":
		if n := number(b); n != nil && integral(n) {
			if v, ok := r.repeat(a, n); ok {
				return v
			}
		}
		if n := number(a); n != nil && integral(n) {
			if v, ok := r.repeat(b, n); ok {
				return v
			}
		}
	}
	if _, ok := text(a); ok && op == "+" {
		r.fail("can only concatenate str (not \"%s\") to str", typeName(b))
	}
	if l := typeName(a); op == "+" && (l == "list" || l == "tuple") {
		r.fail("can only concatenate %s (not \"%s\") to %s", l, typeName(b), l)
	}
	r.fail("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
	return nil
}

// plus joins two strings, lists or tuples.
func (r *run) plus(a, b Value) (Value, bool) {
	s, ok := text(a)
	t, both := text(b)
	switch {
	case ok && both:
		_, safe := a.(markup)
		_, other := b.(markup)
		if !safe && !other {
			return r.join([]string{s, t}, ""), true
		}
		return markup(r.join([]string{r.escape(a), r.escape(b)}, "")), true
	case ok != both:
		return nil, false
	}
	switch x := a.(type) {
	case *List:
		if y, ok := b.(*List); ok {
			r.grow(16 * (len(x.items) + len(y.items)))
			return &List{append(append([]Value{}, x.items...), y.items...)}, true
		}
	case *Tuple:
		if y, ok := b.(*Tuple); ok {
			r.grow(16 * (len(x.items) + len(y.items)))
			return &Tuple{items: append(append([]Value{}, x.items...), y.items...)}, true
		}
	}
	return nil, false
}

// repeat is a sequence times a number.
func (r *run) repeat(v Value, times Value) (Value, bool) {
	items := func(items []Value) []Value {
		n := r.times(times, 16*len(items))
		all := make([]Value, 0, len(items)*n)
		for range n {
			all = append(all, items...)
		}
		return all
	}
	switch x := v.(type) {
	case string:
		return strings.Repeat(x, r.times(times, len(x))), true
	case markup:
		return markup(strings.Repeat(string(x), r.times(times, len(x)))), true
	case *List:
		return &List{items(x.items)}, true
	case *Tuple:
		return &Tuple{items: items(x.items)}, true
	}
	return nil, false
}

// times returns a count of things of size bytes, and counts those bytes.
func (r *run) times(times Value, size int) int {
	if toBig(times).Sign() <= 0 || size == 0 {
		return 0
	}
	n, ok := times.(int64)
	if !ok || n > int64(r.options.Memory/size) {
		n = math.MaxInt64 / int64(size)
	}
	r.grow(int(n) * size)
	return int(n)
}

func (r *run) floats(op string, x, y float64) Value {
	if y == 0 && (op == "/" || op == "//" || op == "%") {
		r.fail("float division by zero")
	}
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	case "**":
		if x == 0 && y < 0 {
			r.fail("0.0 cannot be raised to a negative power")
		}
		p := math.Pow(x, y)
		if math.IsNaN(p) && !math.IsNaN(x) && !math.IsNaN(y) {
			r.fail("complex numbers are not supported")
		}
		if math.IsInf(p, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
			r.fail("numerical result out of range")
		}
		return p
	}
	mod := math.Mod(x, y)
	div := (x - mod) / y
	if mod != 0 && (y < 0) != (mod < 0) {
		mod += y
		div--
	} else if mod == 0 {
		mod = math.Copysign(0, y)
	}
	if op == "%" {
		return mod
	}
	if div == 0 {
		return math.Copysign(0, x/y)
	}
	whole := math.Floor(div)
	if div-whole > 0.5 {
		whole++
	}
	return whole
}

func (r *run) integers(op string, x, y Value) Value {
	a, small := x.(int64)
	b, both := y.(int64)
	if small && both {
		const half = 1 << 31
		tiny := -half < a && a < half && -half < b && b < half
		switch {
		case op == "+" && a > -1<<62 && a < 1<<62 && b > -1<<62 && b < 1<<62:
			return a + b
		case op == "-" && a > -1<<62 && a < 1<<62 && b > -1<<62 && b < 1<<62:
			return a - b
		case op == "*" && tiny:
			return a * b
		}
	}
	l, m, z := toBig(x), toBig(y), new(big.Int)
	r.work(l.BitLen() + m.BitLen())
	switch op {
	case "+":
		z.Add(l, m)
	case "-":
		z.Sub(l, m)
	case "*":
		z.Mul(l, m)
	case "//", "%":
		if m.Sign() == 0 {
			r.fail("integer division or modulo by zero")
		}
		div, mod := new(big.Int).QuoRem(l, m, z)
		if mod.Sign() != 0 && mod.Sign() != m.Sign() {
			mod.Add(mod, m)
			div.Sub(div, big.NewInt(1))
		}
		if op == "//" {
			z = div
		}
	case "**":
		if m.Sign() < 0 {
			if l.Sign() == 0 {
				r.fail("0.0 cannot be raised to a negative power")
			}
			return r.floats(op, r.float(x), r.float(y))
		}
		if l.BitLen() > 1 && (!m.IsInt64() || m.Int64() > maxBits || int64(l.BitLen()-1)*m.Int64() > maxBits) {
			r.limit("the integer has more than %d bits", maxBits)
		}
		if l.BitLen() <= 1 { // 0, 1 and -1, for which only the parity of the exponent counts
			m = new(big.Int).Add(new(big.Int).And(m, big.NewInt(1)), big.NewInt(2*int64(m.Sign())))
		}
		z.Exp(l, m, nil)
	}
	if z.BitLen() > maxBits {
		r.limit("the integer has more than %d bits", maxBits)
	}
	return normal(z)
}

// sign is + or - before a value.
func (r *run) sign(op string, v Value) Value {
	switch x := number(v).(type) {
	case int64:
		if op == "-" {
			return r.integers("-", int64(0), x)
		}
		return x
	case *big.Int:
		if op == "-" {
			return normal(new(big.Int).Neg(x))
		}
		return x
	case float64:
		if op == "-" {
			return -x
		}
		return x
	}
	if u, ok := v.(*undefined); ok {
		r.fail("%s", u.message())
	}
	r.fail("bad operand type for unary %s: '%s'", op, typeName(v))
	return nil
}

// compare is a comparison or "in" of Python.
func (r *run) compare(op string, a, b Value) bool {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	c, ok := r.order(op, a, b)
	if !ok { // a NaN
		return false
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// numbers compares two numbers exactly; it is not ok for a NaN.
func numbers(x, y Value) (c int, ok bool) {
	a, small := x.(int64)
	b, both := y.(int64)
	if small && both {
		return cmp.Compare(a, b), true
	}
	exact := func(v Value) (*big.Rat, int) {
		f, isFloat := v.(float64)
		switch {
		case !isFloat:
			return new(big.Rat).SetInt(toBig(v)), 0
		case math.IsInf(f, 0):
			return new(big.Rat), int(math.Copysign(1, f))
		}
		return new(big.Rat).SetFloat64(f), 0
	}
	f, isFloat := x.(float64)
	g, bothFloat := y.(float64)
	switch {
	case isFloat && f != f, bothFloat && g != g:
		return 0, false
	case isFloat && bothFloat && f < g:
		return -1, true
	case isFloat && bothFloat && f > g:
		return 1, true
	case isFloat && bothFloat:
		return 0, true
	}
	p, i := exact(x)
	q, j := exact(y)
	if i != j {
		return i - j, true
	}
	return p.Cmp(q), true
}

// order compares two values of which one may be less.
func (r *run) order(op string, a, b Value) (c int, ok bool) {
	r.work(0)
	if x, y := number(a), number(b); x != nil && y != nil {
		return numbers(x, y)
	}
	if s, ok := text(a); ok {
		if t, ok := text(b); ok {
			r.work(min(len(s), len(t)))
			return strings.Compare(s, t), true
		}
	}
	for _, v := range []Value{a, b} {
		if u, ok := v.(*undefined); ok {
			r.fail("%s", u.message())
		}
	}
	x, y := sequence(a), sequence(b)
	if x == nil || y == nil || typeName(a) != typeName(b) {
		r.fail("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	}
	r.enter()
	defer r.leave()
	for i := range min(len(*x), len(*y)) {
		if !r.equal((*x)[i], (*y)[i]) {
			return r.order(op, (*x)[i], (*y)[i])
		}
	}
	return len(*x) - len(*y), true
}

// sequence returns the items of a list or tuple.
func sequence(v Value) *[]Value {
	switch x := v.(type) {
	case *List:
		return &x.items
	case *Tuple:
		return &x.items
	}
	return nil
}

// equal is == of Python.
func (r *run) equal(a, b Value) bool {
	r.work(0)
	if x, y := number(a), number(b); x != nil && y != nil {
		c, ok := numbers(x, y)
		return ok && c == 0
	}
	if s, ok := text(a); ok {
		t, ok := text(b)
		if ok && len(s) == len(t) {
			r.work(len(s))
			return s == t
		}
		return false
	}
	if x, y := sequence(a), sequence(b); x != nil && y != nil {
		if typeName(a) != typeName(b) || len(*x) != len(*y) {
			return false
		}
		r.enter()
		defer r.leave()
		for i := range *x {
			if !r.equal((*x)[i], (*y)[i]) {
				return false
			}
		}
		return true
	}
	switch x := a.(type) {
	case *Dict:
		y, ok := b.(*Dict)
		if !ok || x.Len() != y.Len() {
			return false
		}
		r.enter()
		defer r.leave()
		for i, key := range x.keys {
			if v, ok := r.get(y, key); !ok || !r.equal(x.values[i], v) {
				return false
			}
		}
		return true
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case *span:
		y, ok := b.(*span)
		return ok && x.length == y.length && (x.length == 0 || x.start == y.start && (x.length == 1 || x.step == y.step))
	}
	return a == b
}

// contains is "v in all".
func (r *run) contains(all, v Value) bool {
	if s, ok := text(all); ok {
		t, ok := text(v)
		if !ok {
			r.fail("'in <string>' requires string as left operand, not %s", typeName(v))
		}
		r.work(len(s))
		return strings.Contains(s, t)
	}
	switch x := all.(type) {
	case *Dict:
		_, ok := r.get(x, v)
		return ok
	case *view:
		if x.kind == "dict_keys" {
			_, ok := r.get(x.dict, v)
			return ok
		}
	case *List, *Tuple, *span, *generator, *undefined, *loop:
	default:
		r.fail("argument of type '%s' is not iterable", typeName(all))
	}
	next := r.iterate(all)
	for item, ok := next(); ok; item, ok = next() {
		if r.equal(item, v) {
			return true
		}
	}
	return false
}
