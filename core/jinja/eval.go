package jinja

// signal says how a body ended.
type signal uint8

const (
	ended signal = iota
	broken
	continued
)

// body runs statements until one breaks or continues the loop around.
func (r *run) body(s *scope, body []node) signal {
	for _, n := range body {
		if signal := r.exec(s, n); signal != ended {
			return signal
		}
	}
	return ended
}

func (r *run) exec(s *scope, n node) signal {
	r.work(0)
	switch n := n.(type) {
	case *textNode:
		r.write(n.text)
	case *printNode:
		r.line = n.line
		r.write(r.str(r.eval(s, n.x)))
	case *ifNode:
		for i := range n.branches {
			b := &n.branches[i]
			r.line = b.line
			if truth(r.eval(s, b.test)) {
				return r.body(s, b.body)
			}
		}
		return r.body(s, n.otherwise)
	case *forNode:
		r.line = n.line
		l := &loop{r: r, node: n, scope: s}
		if v := r.eval(s, n.iter); n.recursive {
			r.write(r.capture(func() { l.run(v) }))
		} else {
			return l.run(v)
		}
	case *setNode:
		r.line = n.line
		v := r.eval(s, n.value)
		r.line = n.line
		r.assign(s, n.target, v)
	case *setBlock:
		r.line = n.line
		inner := s.inside(n.inner)
		var signal signal
		var v Value = r.capture(func() { signal = r.body(inner, n.body) })
		if signal != ended {
			return signal
		}
		if n.filter != nil {
			v = r.filtered(inner, n.filter, v)
		}
		r.assign(s, n.target, v)
	case *filterBlock:
		inner := s.inside(n.inner)
		var signal signal
		v := r.capture(func() { signal = r.body(inner, n.body) })
		if signal != ended {
			return signal
		}
		r.write(r.str(r.filtered(inner, n.filter, v)))
	case *macroNode:
		s.set(n.name, &macro{n, s})
	case *callBlock:
		r.line = n.call.line
		f := r.eval(s, n.call.f)
		a := r.arguments(s, &n.call.args)
		if _, ok := a.named("caller"); ok {
			r.fail("argument 'caller' repeated")
		}
		a.names = append(a.names, "caller")
		a.values = append(a.values, &macro{n.body, s})
		r.line = n.call.line
		r.write(r.str(r.call(f, a)))
	case *generationNode:
		r.generation(s, n)
	case *withNode:
		r.line = n.line
		inner := s.inside(n.inner)
		for i, target := range n.targets {
			r.assign(inner, target, r.eval(s, n.values[i]))
		}
		return r.body(inner, n.body)
	case *blockNode:
		root := s
		for root.parent != nil {
			root = root.parent
		}
		r.body(root.inside(n.inner), n.body)
	case breakNode:
		return broken
	case continueNode:
		return continued
	}
	return ended
}

// generation writes a body and notes where it stands. transformers calls it as a macro is called, so that what is set
// in it does not leave it.
func (r *run) generation(s *scope, n *generationNode) {
	if n.body.caller {
		s = &scope{parent: s}
		s.set("caller", &undefined{hint: "No caller defined"})
	}
	inner := s.inside(n.body.inner)
	if r.captures > 0 {
		r.unplaced = true
		r.body(inner, n.body.body)
		return
	}
	at := len(r.generations)
	r.generations = append(r.generations, [2]int{r.out.Len()})
	r.body(inner, n.body.body)
	r.generations[at][1] = r.out.Len()
}

// assign sets a target to v.
func (r *run) assign(s *scope, target expr, v Value) {
	switch t := target.(type) {
	case *name:
		s.set(t.name, v)
	case *attribute:
		n, ok := r.eval(s, t.x).(*namespace)
		if !ok {
			r.fail("cannot assign attribute on non-namespace object")
		}
		r.grow(32)
		n.attributes.set(t.name, t.name, v)
	case *tupleExpr:
		next := r.iterate(v)
		for i, item := range t.items {
			x, ok := next()
			if !ok {
				r.fail("not enough values to unpack (expected %d, got %d)", len(t.items), i)
			}
			r.assign(s, item, x)
		}
		if _, more := next(); more {
			r.fail("too many values to unpack (expected %d)", len(t.items))
		}
	}
}

// loop is a for tag while it runs: the value of the name loop.
type loop struct {
	r       *run
	node    *forNode
	scope   *scope // around the for tag
	depth   int
	items   Value
	next    iterator
	index   int // of the current item, from 0
	current Value
	before  Value
	peeked  bool // whether after holds the next item
	after   Value
	last    bool // whether there is no next item; tells only where peeked
	length  int  // once known
	changed Value
}

// run runs the body for each item of v. A signal is one of the else branch, which means the loop around.
func (l *loop) run(v Value) signal {
	r, n := l.r, l.node
	l.items, l.index, l.length = v, -1, -1
	l.next = r.iterate(v)
	if n.test != nil {
		l.items = &generator{kind: "generator"}
		l.next = l.tested(l.next)
	}
	whole := false // whether the body was run to its end once
	for item, ok := l.advance(); ok; item, ok = l.advance() {
		r.work(0)
		s := l.scope.inside(n.inner)
		r.assign(s, n.target, item)
		s.set("loop", l)
		signal := r.body(s, n.body)
		if signal == broken {
			break
		}
		whole = whole || signal == ended
	}
	if !whole && n.otherwise != nil {
		return r.body(l.scope.inside(n.elseFrame), n.otherwise)
	}
	return ended
}

// tested returns the items for which the test of the for tag holds.
func (l *loop) tested(next iterator) iterator {
	return func() (Value, bool) {
		for item, ok := next(); ok; item, ok = next() {
			l.r.work(0)
			s := l.scope.inside(l.node.testFrame)
			l.r.assign(s, l.node.target, item)
			if truth(l.r.eval(s, l.node.test)) {
				return item, true
			}
		}
		return nil, false
	}
}

// advance goes to the next item.
func (l *loop) advance() (Value, bool) {
	item, ok := l.peek()
	if ok {
		l.peeked = false
		l.index++
		l.before, l.current = l.current, item
	}
	return item, ok
}

func (l *loop) peek() (Value, bool) {
	if !l.peeked {
		item, ok := l.next()
		l.after, l.last, l.peeked = item, !ok, true
	}
	return l.after, !l.last
}

// len returns the number of items, for which it reads all of those that have no length.
func (l *loop) len() int {
	if l.length >= 0 {
		return l.length
	}
	if n, ok := length(l.items); ok {
		l.length = n
		return n
	}
	rest := l.r.collect(&generator{next: l.next})
	l.next = over(rest)
	l.length = len(rest) + l.index + 1
	if l.peeked && !l.last {
		l.length++
	}
	return l.length
}

// again renders a recursive loop for other items.
func (l *loop) again(items Value) string {
	if !l.node.recursive {
		l.r.fail("the loop must have the 'recursive' marker to be called recursively")
	}
	defer l.r.nest()()
	return l.r.capture(func() { (&loop{r: l.r, node: l.node, scope: l.scope, depth: l.depth + 1}).run(items) })
}

// attribute returns what the template reads as loop.name.
func (l *loop) attribute(name string) (Value, bool) {
	number := func(n int) (Value, bool) { return int64(n), true }
	switch name {
	case "index":
		return number(l.index + 1)
	case "index0":
		return number(l.index)
	case "revindex":
		return number(l.len() - l.index)
	case "revindex0":
		return number(l.len() - l.index - 1)
	case "length":
		return number(l.len())
	case "depth":
		return number(l.depth + 1)
	case "depth0":
		return number(l.depth)
	case "first":
		return l.index == 0, true
	case "last":
		_, more := l.peek()
		return !more, true
	case "previtem":
		if l.index == 0 {
			return &undefined{hint: "there is no previous item"}, true
		}
		return l.before, true
	case "nextitem":
		if item, ok := l.peek(); ok {
			return item, true
		}
		return &undefined{hint: "there is no next item"}, true
	case "cycle":
		return &builtin{name: "cycle", raw: func(r *run, a args) Value {
			if len(a.positional) == 0 {
				r.fail("no items for cycling given")
			}
			return a.positional[l.index%len(a.positional)]
		}}, true
	case "changed":
		return &builtin{name: "changed", raw: func(r *run, a args) Value {
			now := &Tuple{items: a.positional}
			if l.changed != nil && r.equal(l.changed, now) {
				return false
			}
			l.changed = now
			return true
		}}, true
	}
	return nil, false
}

// eval evaluates an expression.
func (r *run) eval(s *scope, x expr) Value {
	r.work(0)
	if r.evals++; r.evals > maxEvals {
		r.limit("maximum recursion depth exceeded: more than %d expressions lie within each other", maxEvals)
	}
	v := r.value(s, x)
	r.evals--
	return v
}

func (r *run) value(s *scope, x expr) Value {
	switch x := x.(type) {
	case *constant:
		return x.value
	case *name:
		return r.lookup(s, x.name)
	case *attribute:
		owner := r.eval(s, x.x)
		r.line = x.line
		return r.attribute(owner, x.name)
	case *item:
		owner, key := r.eval(s, x.x), r.eval(s, x.key)
		r.line = x.line
		return r.item(owner, key)
	case *slice:
		owner, low, high, step := r.eval(s, x.x), r.optional(s, x.low), r.optional(s, x.high), r.optional(s, x.step)
		r.line = x.line
		return r.slice(owner, low, high, step)
	case *call:
		f := r.eval(s, x.f)
		a := r.arguments(s, &x.args)
		r.line = x.line
		return r.call(f, a)
	case *filterExpr:
		return r.filtered(s, x, nil)
	case *testExpr:
		v := r.eval(s, x.x)
		a := r.arguments(s, &x.args)
		r.line = x.line
		return r.test(x.name, v, a)
	case *listExpr:
		return &List{r.all(s, x.items)}
	case *tupleExpr:
		return &Tuple{items: r.all(s, x.items)}
	case *dictExpr:
		d := NewDict()
		for i, key := range x.keys {
			k, v := r.eval(s, key), r.eval(s, x.values[i])
			r.grow(64)
			d.set(r.hash(k), k, v)
		}
		return d
	case *not:
		return !truth(r.eval(s, x.x))
	case *logic:
		if left := r.eval(s, x.left); truth(left) != x.and {
			return left
		}
		return r.eval(s, x.right)
	case *conditional:
		if truth(r.eval(s, x.test)) {
			return r.eval(s, x.yes)
		}
		if x.no == nil {
			return &undefined{hint: "the inline if-expression evaluated to false and no else section was defined"}
		}
		return r.eval(s, x.no)
	case *concat:
		parts := make([]string, len(x.parts))
		for i, part := range x.parts {
			parts[i] = r.str(r.eval(s, part))
		}
		return r.join(parts, "")
	case *compare:
		left := r.eval(s, x.first)
		for i, op := range x.ops {
			right := r.eval(s, x.rest[i])
			r.line = x.line
			if !r.compare(op, left, right) {
				return false
			}
			left = right
		}
		return true
	case *unary:
		v := r.eval(s, x.x)
		r.line = x.line
		return r.sign(x.op, v)
	case *binary:
		left, right := r.eval(s, x.left), r.eval(s, x.right)
		r.line = x.line
		return r.arithmetic(x.op, left, right)
	}
	r.fail("an expression of type %T has no value", x)
	return nil
}

func (r *run) optional(s *scope, x expr) Value {
	if x == nil {
		return nil
	}
	return r.eval(s, x)
}

func (r *run) all(s *scope, items []expr) []Value {
	r.grow(16 * len(items))
	all := make([]Value, len(items))
	for i, item := range items {
		all[i] = r.eval(s, item)
	}
	return all
}

// filtered applies a chain of filters; block is the value of the innermost, where that is the text of a block.
func (r *run) filtered(s *scope, x expr, block Value) Value {
	f := x.(*filterExpr)
	v := block
	if inner, ok := f.x.(*filterExpr); ok && block != nil {
		v = r.filtered(s, inner, block)
	} else if f.x != nil {
		v = r.eval(s, f.x)
	}
	a := r.arguments(s, &f.args)
	r.line = f.line
	return r.filter(f.name, v, a)
}
