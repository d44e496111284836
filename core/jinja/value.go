package jinja

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Value is what templates compute with: nil (None), bool, int64, *big.Int, float64, string, *List, *Dict, or a value
// of the engine's own, such as a macro. Int and float are apart as they are in Python.
type Value any

// List is a list of Python. It does not change once it is made: the sandbox refuses every method that would.
type List struct{ items []Value }

// Tuple is a tuple of Python. fields are the names of a named tuple.
type Tuple struct {
	items  []Value
	fields []string
}

// Dict is a dict of Python: it keeps the order in which keys were first set.
type Dict struct {
	keys, values []Value
	index        map[any]int // by hash of the key
}

// Values that only the engine makes.
type (
	markup    string   // a string that filter "safe" or "escape" made
	missing   struct{} // in a scope: a name that is not set yet
	undefined struct { // what a missing thing evaluates to
		hint  string // the whole message, or else owner and name tell it
		owner any
		name  Value
	}
	namespace struct{ attributes *Dict }
	generator struct { // what lazy filters return
		kind string
		next iterator
	}
	span struct{ start, stop, step, length int64 } // range(...)
	view struct {                                  // keys(), values() or items() of a dict
		kind string
		dict *Dict
	}
	cycler struct {
		items []Value
		pos   int
	}
	joiner struct {
		separator Value
		used      bool
	}
)

// iterator returns the next item, and false at the end.
type iterator func() (Value, bool)

// NewList returns a list of items.
func NewList(items ...Value) *List { return &List{items} }

// Items returns the items of the list, which the caller must not change.
func (l *List) Items() []Value { return l.items }

// NewDict returns an empty dict.
func NewDict() *Dict { return &Dict{index: map[any]int{}} }

// Len returns the number of keys.
func (d *Dict) Len() int { return len(d.keys) }

// Keys returns the keys in their order, which the caller must not change.
func (d *Dict) Keys() []Value { return d.keys }

// Get returns the value of a key that is a string.
func (d *Dict) Get(key string) (Value, bool) {
	if i, ok := d.index[key]; ok {
		return d.values[i], true
	}
	return nil, false
}

// Set sets the value of a key, as Of makes it. A new key comes last, a known one keeps its place.
func (d *Dict) Set(key string, value any) error {
	v, err := Of(value)
	if err == nil {
		d.set(key, key, v)
	}
	return err
}

func (d *Dict) set(hash any, key, value Value) {
	if i, ok := d.index[hash]; ok {
		d.values[i] = value
		return
	}
	d.index[hash] = len(d.keys)
	d.keys = append(d.keys, key)
	d.values = append(d.values, value)
}

// Of makes a Value of a Go value: of nil, bools, numbers, strings, Values, and slices and maps of those. The keys of a
// Go map, which has no order, are sorted.
func Of(x any) (Value, error) {
	switch x := x.(type) {
	case nil, bool, int64, float64, string, *List, *Tuple, *Dict:
		return x, nil
	case int:
		return int64(x), nil
	case int32:
		return int64(x), nil
	case float32:
		return float64(x), nil
	case *big.Int:
		return normal(x), nil
	case []string:
		l := &List{}
		for _, s := range x {
			l.items = append(l.items, s)
		}
		return l, nil
	case []any:
		l := &List{}
		for _, item := range x {
			v, err := Of(item)
			if err != nil {
				return nil, err
			}
			l.items = append(l.items, v)
		}
		return l, nil
	case map[string]any:
		d := NewDict()
		keys := make([]string, 0, len(x))
		for key := range x {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if err := d.Set(key, x[key]); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	return nil, fmt.Errorf("a template can't compute with a %T", x)
}

// normal returns x as int64 where it fits.
func normal(x *big.Int) Value {
	if x.IsInt64() {
		return x.Int64()
	}
	return x
}

func integral(v Value) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

// text returns v where it is a string of either kind.
func text(v Value) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case markup:
		return string(x), true
	}
	return "", false
}

// typeName is the name of the type in Python.
func typeName(v Value) string {
	switch x := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "Markup"
	case *List:
		return "list"
	case *Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *undefined:
		return "Undefined"
	case *namespace:
		return "Namespace"
	case *generator:
		return x.kind
	case *span:
		return "range"
	case *view:
		return x.kind
	case *macro:
		return "Macro"
	case *loop:
		return "LoopContext"
	case *cycler:
		return "Cycler"
	case *joiner:
		return "Joiner"
	case *builtin:
		return "function"
	case *method:
		return "builtin_function_or_method"
	}
	return fmt.Sprintf("%T", v)
}

func (u *undefined) message() string {
	if u.hint != "" {
		return u.hint
	}
	owner := typeName(u.owner) + " object"
	name, attribute := u.name.(string)
	switch {
	case u.owner == missing{}:
		return fmt.Sprintf("'%s' is undefined", name)
	case u.owner == nil:
		owner = "None"
	}
	if attribute {
		return fmt.Sprintf("'%s' has no attribute '%s'", owner, name)
	}
	if text, ok := integerText(u.name); ok {
		return fmt.Sprintf("%s has no element %s", owner, text)
	}
	return fmt.Sprintf("%s has no such element", owner)
}

// truth says whether v counts as true.
func truth(v Value) bool {
	switch x := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return x
	case int64:
		return x != 0
	case float64:
		return x != 0
	}
	if n, ok := length(v); ok {
		return n > 0
	}
	return true
}

// length is len of Python, counted in characters.
func length(v Value) (int, bool) {
	switch x := v.(type) {
	case string:
		return runes(x), true
	case markup:
		return runes(string(x)), true
	case *List:
		return len(x.items), true
	case *Tuple:
		return len(x.items), true
	case *Dict:
		return len(x.keys), true
	case *view:
		return len(x.dict.keys), true
	case *span:
		return int(x.length), true
	case *undefined:
		return 0, true
	case *loop:
		return x.len(), true
	}
	return 0, false
}

// bigKey, tupleKey and undefinedKey are hashes of keys that are no comparable Go value.
type (
	bigKey       string
	tupleKey     string
	undefinedKey struct{}
)

// hash returns what is equal for keys that Python holds equal, such as 1, 1.0 and True.
func (r *run) hash(v Value) any {
	switch x := v.(type) {
	case nil, string:
		return x
	case markup:
		return string(x)
	case bool:
		if x {
			return int64(1)
		}
		return int64(0)
	case int64:
		return x
	case *big.Int:
		return bigKey(x.String())
	case float64:
		if x == math.Trunc(x) && !math.IsInf(x, 0) {
			whole, _ := big.NewFloat(x).Int(nil)
			return r.hash(normal(whole))
		}
		return x
	case *Tuple:
		var b strings.Builder
		r.enter()
		defer r.leave()
		for _, item := range x.items {
			h := r.hash(item)
			if s, ok := h.(string); ok {
				h = strconv.Quote(s)
			}
			fmt.Fprintf(&b, "%T %v,", h, h)
			r.grow(b.Len())
		}
		return tupleKey(b.String())
	case *undefined:
		return undefinedKey{}
	case *List, *Dict:
		r.fail("unhashable type: '%s'", typeName(v))
	}
	return v
}

// get returns the value of a key of any type.
func (r *run) get(d *Dict, key Value) (Value, bool) {
	if i, ok := d.index[r.hash(key)]; ok {
		return d.values[i], true
	}
	return nil, false
}

// iterate goes over what v holds, as for does.
func (r *run) iterate(v Value) iterator {
	if s, ok := text(v); ok {
		return func() (Value, bool) {
			if s == "" {
				return nil, false
			}
			n := runeLen(s)
			c := s[:n]
			s = s[n:]
			return c, true
		}
	}
	switch x := v.(type) {
	case *List:
		return over(x.items)
	case *Tuple:
		return over(x.items)
	case *Dict:
		return over(x.keys)
	case *view:
		switch x.kind {
		case "dict_keys":
			return over(x.dict.keys)
		case "dict_values":
			return over(x.dict.values)
		}
		i := -1
		return func() (Value, bool) {
			if i++; i >= len(x.dict.keys) {
				return nil, false
			}
			return &Tuple{items: []Value{x.dict.keys[i], x.dict.values[i]}}, true
		}
	case *span:
		var i int64
		return func() (Value, bool) {
			if i >= x.length {
				return nil, false
			}
			i++
			return x.start + (i-1)*x.step, true
		}
	case *generator:
		return x.next
	case *undefined:
		return over(nil)
	case *loop:
		return func() (Value, bool) {
			item, ok := x.advance()
			return &Tuple{items: []Value{item, x}}, ok
		}
	}
	r.fail("'%s' object is not iterable", typeName(v))
	return nil
}

func over(items []Value) iterator {
	i := 0
	return func() (Value, bool) {
		if i >= len(items) {
			return nil, false
		}
		i++
		return items[i-1], true
	}
}

// collect returns all items of v. The caller must not change them.
func (r *run) collect(v Value) []Value {
	switch x := v.(type) {
	case *List:
		return x.items
	case *Tuple:
		return x.items
	}
	var all []Value
	next := r.iterate(v)
	for item, ok := next(); ok; item, ok = next() {
		r.grow(16)
		all = append(all, item)
	}
	return all
}
