package jinja

import "math"

// item is owner[key], or else the attribute of that name.
func (r *run) item(owner, key Value) Value {
	r.work(0)
	if v, ok := r.index(owner, key); ok {
		return v
	}
	if name, ok := text(key); ok {
		if v, ok := r.field(owner, name); ok {
			return v
		}
	}
	return &undefined{owner: owner, name: key}
}

// attribute is owner.name, or else owner['name'].
func (r *run) attribute(owner Value, name string) Value {
	if v, ok := r.field(owner, name); ok {
		return v
	}
	if v, ok := r.index(owner, name); ok {
		return v
	}
	return &undefined{owner: owner, name: name}
}

// index returns what Python has as owner[key].
func (r *run) index(owner, key Value) (Value, bool) {
	at := func(n int) (int, bool) {
		i, ok := number(key).(int64)
		if i < 0 {
			i += int64(n)
		}
		return int(i), ok && i >= 0 && i < int64(n)
	}
	switch x := owner.(type) {
	case *undefined:
		r.fail("%s", x.message())
	case *Dict:
		if r.hashable(key) {
			return r.get(x, key)
		}
	case *List:
		if i, ok := at(len(x.items)); ok {
			return x.items[i], true
		}
	case *Tuple:
		if i, ok := at(len(x.items)); ok {
			return x.items[i], true
		}
	case *span:
		if i, ok := at(int(x.length)); ok {
			return x.start + x.step*int64(i), true
		}
	case string:
		n := runes(x)
		r.work(len(x))
		if i, ok := at(n); ok {
			return cutText(x, n, i, 1, 1), true
		}
	case markup:
		v, ok := r.index(string(x), key)
		if ok {
			return markup(v.(string)), true
		}
	}
	return nil, false
}

func (r *run) hashable(v Value) bool {
	switch x := v.(type) {
	case *List, *Dict:
		return false
	case *Tuple:
		r.enter()
		defer r.leave()
		for _, item := range x.items {
			if !r.hashable(item) {
				return false
			}
		}
	}
	return true
}

// slice is owner[low:high:step].
func (r *run) slice(owner, low, high, step Value) Value {
	if u, ok := owner.(*undefined); ok {
		r.fail("%s", u.message())
	}
	n, ok := length(owner)
	s, isText := text(owner)
	x, isSpan := owner.(*span)
	if items := sequence(owner); !ok || items == nil && !isText && !isSpan {
		r.fail("'%s' object is not subscriptable", typeName(owner))
	}
	by := 1
	if step != nil {
		if by = int(r.needInt(step)); by == 0 {
			r.fail("slice step cannot be zero")
		}
		by = max(-math.MaxInt32, min(math.MaxInt32, by))
	}
	first, last := 0, n // bounds of an index
	if by < 0 {
		first, last = -1, n-1
	}
	bound := func(v Value, normal int) int {
		if v == nil {
			return normal
		}
		i := r.needIndex(v)
		if i < 0 {
			i += int64(n)
		}
		return int(max(int64(first), min(int64(last), i)))
	}
	from, to := bound(low, first), bound(high, last)
	if by < 0 {
		from, to = bound(low, last), bound(high, first)
	}
	count := 0
	if by > 0 && to > from {
		count = (to-from-1)/by + 1
	} else if by < 0 && to < from {
		count = (from-to-1)/-by + 1
	}
	if isText {
		r.work(len(s))
		cut := cutText(s, n, from, by, count)
		if by != 1 {
			r.grow(len(cut))
		}
		if _, safe := owner.(markup); safe {
			return markup(cut)
		}
		return cut
	}
	if isSpan {
		return &span{x.start + int64(from)*x.step, x.start + int64(to)*x.step, x.step * int64(by), int64(count)}
	}
	r.grow(16 * count)
	items := make([]Value, count)
	for i := range items {
		items[i] = (*sequence(owner))[from+i*by]
	}
	if _, ok := owner.(*List); ok {
		return &List{items}
	}
	return &Tuple{items: items}
}

// cutText returns count characters of s, which has n of them, from the one at from on.
func cutText(s string, n, from, by, count int) string {
	if by == 1 {
		if n == len(s) {
			return s[from : from+count]
		}
		s = s[skipRunes(s, from):]
		return s[:skipRunes(s, count)]
	}
	all := []rune(s)
	cut := make([]rune, count)
	for i := range cut {
		cut[i] = all[from+i*by]
	}
	return string(cut)
}
