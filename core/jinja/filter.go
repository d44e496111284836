package jinja

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// filters are what may stand after "|". Those of text are in textfilter.go.
var filters map[string]*builtin

func noFilter(name string) string { return "no filter named '" + name + "'" }

// filter is "v | name(args)".
func (r *run) filter(name string, v Value, a args) Value {
	f := filters[name]
	if f == nil {
		r.fail("%s", noFilter(name))
	}
	a.positional = append([]Value{v}, a.positional...)
	return f.call(r, a)
}

func defineFilters() {
	filters = map[string]*builtin{}
	filter := func(names, signature string, f func(r *run, a []Value) Value) {
		for name := range strings.FieldsSeq(names) {
			filters[name] = define(name, signature, f)
		}
	}
	raw := func(name string, f func(r *run, a args) Value) { filters[name] = &builtin{name: name, raw: f} }

	filter("length count", "/ value", func(r *run, a []Value) Value {
		n, ok := length(a[0])
		if !ok {
			r.fail("object of type '%s' has no len()", typeName(a[0]))
		}
		return int64(n)
	})
	filter("default d", `value default_value="" boolean=false`, func(r *run, a []Value) Value {
		if _, ok := a[0].(*undefined); ok || truth(a[2]) && !truth(a[0]) {
			return a[1]
		}
		return a[0]
	})
	filter("first", "value", func(r *run, a []Value) Value {
		if v, ok := r.iterate(a[0])(); ok {
			return v
		}
		return &undefined{hint: "no first item, sequence was empty"}
	})
	filter("last", "value", func(r *run, a []Value) Value {
		items := r.reversible(a[0])
		if len(items) == 0 {
			return &undefined{hint: "no last item, sequence was empty"}
		}
		return items[len(items)-1]
	})
	filter("list", "value", func(r *run, a []Value) Value { return &List{r.collect(a[0])} })
	filter("reverse", "value", func(r *run, a []Value) Value {
		if s, ok := text(a[0]); ok {
			n := runes(s)
			return r.slice(a[0], int64(n), nil, int64(-1))
		}
		all := slices.Clone(r.collect(a[0]))
		slices.Reverse(all)
		if _, ok := a[0].(*generator); ok {
			return &List{all}
		}
		return &generator{"list_reverseiterator", over(all)}
	})
	filter("items", "value", func(r *run, a []Value) Value {
		return r.later(func() iterator {
			switch x := a[0].(type) {
			case *undefined:
				return over(nil)
			case *Dict:
				return r.iterate(&view{"dict_items", x})
			}
			r.fail("can only get item pairs from a mapping")
			return nil
		})
	})
	filter("dictsort", `value case_sensitive=false by="key" reverse=false`, func(r *run, a []Value) Value {
		d, ok := a[0].(*Dict)
		by, _ := text(a[2])
		if !ok {
			r.fail("'%s' object has no attribute 'items'", typeName(a[0]))
		}
		at := slices.Index([]string{"key", "value"}, by)
		if at < 0 {
			r.fail("you can only sort by either \"key\" or \"value\"")
		}
		pairs := r.collect(&view{"dict_items", d})
		return &List{r.sorted(pairs, r.needInt(a[3]) != 0, func(v Value) Value { return fold(v.(*Tuple).items[at], truth(a[1])) })}
	})
	filter("sort", "value reverse=false case_sensitive=false attribute=null", func(r *run, a []Value) Value {
		gets := []func(Value) Value{}
		if s, ok := text(a[3]); ok {
			for part := range strings.SplitSeq(s, ",") {
				gets = append(gets, r.getter(part, nil))
			}
		} else {
			gets = append(gets, r.getter(a[3], nil))
		}
		return &List{r.sorted(r.collect(a[0]), r.needInt(a[1]) != 0, func(v Value) Value {
			keys := &List{}
			for _, get := range gets {
				keys.items = append(keys.items, fold(get(v), truth(a[2])))
			}
			return keys
		})}
	})
	filter("groupby", "value attribute default=null case_sensitive=false", func(r *run, a []Value) Value {
		get := r.getter(a[1], a[2])
		key := func(v Value) Value { return fold(get(v), truth(a[3])) }
		groups := &List{}
		var group *List
		var last Value
		for _, item := range r.sorted(r.collect(a[0]), false, key) {
			k := key(item)
			if group == nil || !r.equal(last, k) {
				group = &List{}
				groups.items = append(groups.items, &Tuple{[]Value{get(item), group}, []string{"grouper", "list"}})
			}
			last = k
			group.items = append(group.items, item)
		}
		return groups
	})
	filter("unique", "value case_sensitive=false attribute=null", func(r *run, a []Value) Value {
		get := r.getter(a[2], nil)
		return r.later(func() iterator {
			next, seen := r.iterate(a[0]), map[any]bool{}
			return func() (Value, bool) {
				for v, ok := next(); ok; v, ok = next() {
					if key := r.hash(fold(get(v), truth(a[1]))); !seen[key] {
						r.grow(32)
						seen[key] = true
						return v, true
					}
				}
				return nil, false
			}
		})
	})
	for name, op := range map[string]string{"min": "<", "max": ">"} {
		filter(name, "value case_sensitive=false attribute=null", func(r *run, a []Value) Value {
			get, next := r.getter(a[2], nil), r.iterate(a[0])
			best, ok := next()
			if !ok {
				return &undefined{hint: "no aggregated item, sequence was empty"}
			}
			key := fold(get(best), truth(a[1]))
			for v, ok := next(); ok; v, ok = next() {
				if k := fold(get(v), truth(a[1])); r.compare(op, k, key) {
					best, key = v, k
				}
			}
			return best
		})
	}
	filter("sum", "value attribute=null start=0", func(r *run, a []Value) Value {
		get := r.getter(a[1], nil)
		next := r.iterate(a[0])
		total := a[2]
		if _, ok := text(total); ok {
			r.fail("sum() can't sum strings")
		}
		for v, ok := next(); ok; v, ok = next() {
			total = r.arithmetic("+", total, get(v))
		}
		return total
	})
	filter("batch", "value linecount fill_with=null", func(r *run, a []Value) Value {
		return r.later(func() iterator {
			next, size := r.iterate(a[0]), r.needInt(a[1])
			var line []Value
			v, more := next()
			return func() (Value, bool) {
				for ; more; v, more = next() {
					r.grow(16)
					if full := line; int64(len(full)) == size {
						line = []Value{v}
						v, more = next()
						return &List{full}, true
					}
					line = append(line, v)
				}
				last := line
				line = nil
				if last != nil && a[2] != nil && int64(len(last)) < size {
					for range r.times(size-int64(len(last)), 16) {
						last = append(last, a[2])
					}
				}
				return &List{last}, last != nil
			}
		})
	})
	filter("slice", "value slices fill_with=null", func(r *run, a []Value) Value {
		return r.later(func() iterator {
			all, n := r.collect(a[0]), r.needInt(a[1])
			if n == 0 {
				r.fail("integer division or modulo by zero")
			}
			size, extra := int64(len(all))/n, int64(len(all))%n
			number, begin := int64(0), int64(0)
			return func() (Value, bool) {
				if number >= n {
					return nil, false
				}
				end := begin + size
				if number < extra {
					end++
				}
				r.grow(16*int(end-begin) + 64)
				part := slices.Clone(all[begin:end])
				if a[2] != nil && number >= extra {
					part = append(part, a[2])
				}
				begin = end
				number++
				return &List{part}, true
			}
		})
	})
	raw("map", func(r *run, a args) Value {
		a.positional = slices.Clone(a.positional)
		return r.later(func() iterator {
			if len(a.positional) == 0 {
				r.fail("map() misses its argument")
			}
			if !truth(a.positional[0]) {
				return over(nil)
			}
			apply := r.mapped(a)
			next := r.iterate(a.positional[0])
			return func() (Value, bool) {
				v, ok := next()
				if !ok {
					return nil, false
				}
				return apply(v), true
			}
		})
	})
	for name, kind := range map[string]struct{ wanted, attribute bool }{
		"select": {true, false}, "reject": {false, false}, "selectattr": {true, true}, "rejectattr": {false, true},
	} {
		raw(name, func(r *run, a args) Value {
			return r.later(func() iterator {
				if len(a.positional) == 0 {
					r.fail("%s() misses its argument", name)
				}
				if !truth(a.positional[0]) {
					return over(nil)
				}
				holds := r.selector(a, kind.attribute)
				next := r.iterate(a.positional[0])
				return func() (Value, bool) {
					for v, ok := next(); ok; v, ok = next() {
						r.work(0)
						if holds(v) == kind.wanted {
							return v, true
						}
					}
					return nil, false
				}
			})
		})
	}
	filter("attr", "obj name", func(r *run, a []Value) Value {
		if v, ok := r.field(a[0], r.needText(a[1])); ok {
			return v
		}
		return &undefined{owner: a[0], name: a[1]}
	})
	filter("tojson", "x ensure_ascii=false indent=null separators=null sort_keys=false", toJSON)

	filter("abs", "/ value", func(r *run, a []Value) Value {
		v := number(a[0])
		if v == nil {
			r.sign("-", a[0])
		}
		if f, ok := v.(float64); ok {
			return math.Abs(f)
		}
		if toBig(v).Sign() < 0 {
			return r.sign("-", v)
		}
		return v
	})
	filter("int", "value default=0 base=10", func(r *run, a []Value) Value {
		switch x := a[0].(type) {
		case *undefined:
			r.fail("%s", x.message())
		case float64:
			if math.IsInf(x, 0) {
				r.fail("cannot convert float infinity to integer")
			}
			if math.IsNaN(x) {
				return a[1]
			}
			return r.whole(x)
		}
		if n := number(a[0]); n != nil {
			return n
		}
		s, ok := text(a[0])
		if !ok {
			return a[1]
		}
		r.work(len(s))
		if base, ok := number(a[2]).(int64); ok {
			if n := parseInt(s, int(base)); n != nil {
				return normal(n)
			}
		}
		if f, ok := parseFloat(s); ok && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return r.whole(f)
		}
		return a[1]
	})
	filter("float", "value default=0.0", func(r *run, a []Value) Value {
		if u, ok := a[0].(*undefined); ok {
			r.fail("%s", u.message())
		}
		if n := number(a[0]); n != nil {
			return r.float(n)
		}
		if s, ok := text(a[0]); ok {
			if f, ok := parseFloat(s); ok {
				return f
			}
		}
		return a[1]
	})
	filter("round", `value precision=0 method="common"`, func(r *run, a []Value) Value {
		method, _ := text(a[2])
		if !slices.Contains([]string{"common", "ceil", "floor"}, method) {
			r.fail("method must be common, ceil or floor")
		}
		n := number(a[0])
		if n == nil {
			r.sign("-", a[0])
		}
		precision := int(r.needIndex(a[1]))
		if method == "common" {
			return r.round(n, precision)
		}
		power := r.integers("**", int64(10), int64(precision))
		scaled := r.float(number(r.arithmetic("*", n, power)))
		if method == "ceil" {
			scaled = math.Ceil(scaled)
		} else {
			scaled = math.Floor(scaled)
		}
		return r.arithmetic("/", r.whole(scaled), power)
	})
	textFilters(filter, raw)
}

// later is a generator that begins only when its first item is asked for, so that its errors come then.
func (r *run) later(begin func() iterator) *generator {
	var next iterator
	return &generator{"generator", func() (Value, bool) {
		r.enter()
		defer r.leave()
		if next == nil {
			next = begin()
		}
		return next()
	}}
}

// reversible returns the items of what reversed of Python takes.
func (r *run) reversible(v Value) []Value {
	switch v.(type) {
	case *generator, *loop, nil:
		r.fail("'%s' object is not reversible", typeName(v))
	case *undefined:
		return nil
	}
	return r.collect(v)
}

// getter returns what looks up an attribute such as "a.0.b" of a value; fallback replaces what is undefined.
func (r *run) getter(attribute Value, fallback Value) func(Value) Value {
	var path []Value
	if s, ok := text(attribute); ok {
		for part := range strings.SplitSeq(s, ".") {
			if n, err := strconv.ParseInt(part, 10, 64); err == nil && every(part, unicode.IsDigit) {
				path = append(path, n)
			} else {
				path = append(path, part)
			}
		}
	} else if attribute != nil {
		path = append(path, attribute)
	}
	return func(v Value) Value {
		for _, part := range path {
			v = r.item(v, part)
			if _, ok := v.(*undefined); ok && fallback != nil {
				v = fallback
			}
		}
		return v
	}
}

// fold returns what a value is compared by: strings without their case, unless that counts.
func fold(v Value, caseSensitive bool) Value {
	if s, ok := text(v); ok && !caseSensitive {
		return lower(s)
	}
	return v
}

// sorted sorts by what key returns. Equal items keep their order.
func (r *run) sorted(items []Value, reverse bool, key func(Value) Value) []Value {
	type keyed struct{ key, item Value }
	all := make([]keyed, len(items))
	r.grow(64 * len(items))
	for i, item := range items {
		all[i] = keyed{key(item), item}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		if reverse {
			a, b = b, a
		}
		if r.compare("<", a.key, b.key) {
			return -1
		}
		if r.compare("<", b.key, a.key) {
			return 1
		}
		return 0
	})
	out := make([]Value, len(all))
	for i, k := range all {
		out[i] = k.item
	}
	return out
}

// mapped returns what the filter map applies.
func (r *run) mapped(a args) func(Value) Value {
	if len(a.positional) == 1 {
		attribute, ok := a.take("attribute")
		fallback, _ := a.take("default")
		if !ok {
			r.fail("map requires a filter argument")
		}
		if len(a.names) > 0 {
			r.fail("unexpected keyword argument '%s'", a.names[0])
		}
		return r.getter(attribute, fallback)
	}
	name, rest := r.needText(a.positional[1]), a.positional[2:]
	return func(v Value) Value { return r.filter(name, v, args{rest, a.names, a.values}) }
}

// selector returns the test that select, reject, selectattr and rejectattr do.
func (r *run) selector(a args, attribute bool) func(Value) bool {
	rest := a.positional[1:]
	get := func(v Value) Value { return v }
	if attribute {
		if len(rest) == 0 {
			r.fail("missing parameter for attribute name")
		}
		get = r.getter(rest[0], nil)
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return func(v Value) bool { return truth(get(v)) }
	}
	name := r.needText(rest[0])
	return func(v Value) bool { return r.test(name, get(v), args{rest[1:], a.names, a.values}) }
}

// parseInt is int(s, base) of Python, or nil.
func parseInt(s string, base int) *big.Int {
	s = strings.TrimFunc(s, isSpace)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || len(digits) > maxDigits || base < 0 || base == 1 || base > 36 {
		return nil
	}
	if prefix := map[int]string{2: "0b", 8: "0o", 16: "0x"}[base]; prefix != "" && strings.HasPrefix(strings.ToLower(digits), prefix) {
		digits = strings.TrimPrefix(digits[2:], "_")
	}
	if base == 10 && (strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__")) {
		return nil
	}
	if base != 0 {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	if digits == "" || digits[0] == '-' || digits[0] == '+' {
		return nil
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return nil
	}
	if s[0] == '-' {
		n.Neg(n)
	}
	return n
}

// parseFloat is float(s) of Python.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP") || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || math.IsInf(f, 0)
}

// round is round of Python, which goes to the even neighbour.
func (r *run) round(n Value, digits int) Value {
	f, ok := n.(float64)
	if ok {
		if digits > 323 || math.IsInf(f, 0) || math.IsNaN(f) {
			return f
		}
		if digits >= 0 {
			f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
			return f
		}
		if digits < -308 {
			return math.Copysign(0, f)
		}
	}
	if digits >= 0 {
		return n
	}
	if -digits > maxDigits {
		return int64(0)
	}
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-digits)), nil))
	exact := new(big.Rat)
	if ok {
		exact.SetFloat64(f)
	} else {
		exact.SetInt(toBig(n))
	}
	exact.Quo(exact, power)
	whole := new(big.Int).Div(exact.Num(), exact.Denom())
	rest := new(big.Rat).Sub(exact, new(big.Rat).SetInt(whole))
	if c := rest.Cmp(big.NewRat(1, 2)); c > 0 || c == 0 && whole.Bit(0) == 1 {
		whole.Add(whole, big.NewInt(1))
	}
	whole.Mul(whole, power.Num())
	if ok {
		return r.float(normal(whole))
	}
	return normal(whole)
}
