package builtin

import (
	"cmp"
	"math"
	"slices"
)

// mat is a matrix: rows of numbers, end to end.
type mat struct {
	rows, cols int
	x          []float64
}

func newMat(rows, cols int) mat { return mat{rows, cols, make([]float64, rows*cols)} }

func (m mat) row(i int) []float64 { return m.x[i*m.cols : (i+1)*m.cols] }

func (m mat) transposed() mat {
	t := newMat(m.cols, m.rows)
	for i := range m.rows {
		for j, x := range m.row(i) {
			t.x[j*m.rows+i] = x
		}
	}
	return t
}

// times returns m·n.
func (m mat) times(n mat) mat {
	p := newMat(m.rows, n.cols)
	for i := range m.rows {
		to := p.row(i)
		for k, x := range m.row(i) {
			for j, y := range n.row(k) {
				to[j] += x * y
			}
		}
	}
	return p
}

// svd returns the singular value decomposition a = uᵀ·diag(s)·v with the values
// in falling order; the rows of u and v are the singular vectors, as many as the
// shorter side of a. It is the method of Golub and Kahan: Householder reflections
// to a mat of two diagonals, then QR iterations with shifts. The signs of the
// vectors, which the decomposition leaves open, come out as LAPACK's for small
// matrices, since GaLore's momentum depends on them. It changes a.
func svd(a mat) (u mat, s []float64, v mat) {
	switch {
	case a.cols > 0 && a.rows > a.cols && a.rows >= 11*a.cols/6: // much taller than wide: only the triangle is left to do
		q, r := qr(a)
		u, s, v = svd(r)
		return u.times(q), s, v
	case a.cols > a.rows && a.cols >= 11*a.rows/6:
		q, r := qr(a.transposed())
		u, s, v = svd(r.transposed())
		return u, s, v.times(q)
	case a.cols > a.rows:
		v, s, u = svd(a.transposed())
		return u, s, v
	}
	b := bidiagonalize(a)
	b.diagonalize()
	return b.sorted()
}

// qr returns a = qᵀ·r, q with orthonormal rows and r an upper triangle, for a
// that is not wider than tall.
func qr(a mat) (q, r mat) {
	n := a.cols
	t := a.transposed() // reflections are of columns
	var all []reflection
	for i := range n {
		h, alpha := reflectionOf(t.row(i)[i:])
		t.row(i)[i] = alpha
		for j := i + 1; j < n; j++ {
			h.apply(t.row(j)[i:])
		}
		all = append(all, h)
	}
	r = newMat(n, n)
	for i := range n {
		for j := i; j < n; j++ {
			r.row(i)[j] = t.row(j)[i]
		}
	}
	return unreflected(all, 0, n, a.rows), r
}

// reflection is x ↦ x - scale·v·(v·x).
type reflection struct {
	v     []float64
	scale float64
}

// reflectionOf returns the reflection that leaves only the first number of x, and
// that number.
func reflectionOf(x []float64) (reflection, float64) {
	var tail float64
	for _, y := range x[1:] {
		tail += y * y
	}
	if tail == 0 {
		return reflection{v: make([]float64, len(x))}, x[0]
	}
	first := -math.Copysign(math.Sqrt(x[0]*x[0]+tail), x[0])
	v := slices.Clone(x)
	v[0] -= first
	return reflection{v, 2 / (v[0]*v[0] + tail)}, first
}

func (h reflection) apply(x []float64) {
	if h.scale == 0 {
		return
	}
	var dot float64
	for i, y := range h.v {
		dot += y * x[i]
	}
	dot *= h.scale
	for i, y := range h.v {
		x[i] -= dot * y
	}
}

// unreflected returns the first n rows of the transposed product of reflections,
// in their order, of which the first is of the numbers from skip on.
func unreflected(all []reflection, skip, n, size int) mat {
	q := newMat(n, size)
	for i := range n {
		q.row(i)[i] = 1
		for k := min(len(all)-1, i-skip); k >= 0; k-- { // later ones meet only zeros
			all[k].apply(q.row(i)[k+skip:])
		}
	}
	return q
}

// bidiagonal is uᵀ·b·v with b of the diagonal d and, above it, e.
type bidiagonal struct {
	d, e []float64
	u, v mat
}

// bidiagonalize reflects the columns and the rows of a in turn.
func bidiagonalize(a mat) *bidiagonal {
	m, n := a.rows, a.cols
	b := &bidiagonal{d: make([]float64, n), e: make([]float64, max(0, n-1))}
	var left, right []reflection
	column := make([]float64, m)
	for i := range n {
		for r := i; r < m; r++ {
			column[r] = a.row(r)[i]
		}
		h, first := reflectionOf(column[i:])
		left, b.d[i] = append(left, h), first
		a.reflectRows(h, i, i+1)
		if i+1 < n {
			h, first := reflectionOf(a.row(i)[i+1:])
			right, b.e[i] = append(right, h), first
			for r := i + 1; r < m; r++ {
				h.apply(a.row(r)[i+1:])
			}
		}
	}
	b.u, b.v = unreflected(left, 0, n, m), unreflected(right, 1, n, n)
	return b
}

// reflectRows applies h to the columns of m from column on, below row.
func (m mat) reflectRows(h reflection, row, column int) {
	if h.scale == 0 || column == m.cols {
		return
	}
	dots := make([]float64, m.cols-column)
	for k, y := range h.v {
		for j, x := range m.row(row + k)[column:] {
			dots[j] += y * x
		}
	}
	for k, y := range h.v {
		to := m.row(row + k)[column:]
		for j, dot := range dots {
			to[j] -= h.scale * y * dot
		}
	}
}

// diagonalize takes e to 0, from the end on.
func (b *bidiagonal) diagonalize() {
	const most = 60 // iterations for a value; a few are enough
	const small = 1e-15
	down, from, to := true, -1, -1
	for rounds := most * len(b.d); rounds > 0; rounds-- {
		hi := len(b.d) - 1 // the end of the last block that is not diagonal
		for hi > 0 && math.Abs(b.e[hi-1]) <= small*(math.Abs(b.d[hi])+math.Abs(b.d[hi-1])) {
			b.e[hi-1] = 0
			hi--
		}
		if hi <= 0 {
			return
		}
		lo := hi - 1
		for lo > 0 && math.Abs(b.e[lo-1]) > small*(math.Abs(b.d[lo])+math.Abs(b.d[lo-1])) {
			lo--
		}
		if lo > 0 {
			b.e[lo-1] = 0
		}
		if lo == hi-1 {
			b.two(lo)
			continue
		}
		if lo > to || hi < from { // a new block: from its larger end to its smaller
			down = math.Abs(b.d[lo]) >= math.Abs(b.d[hi])
		}
		from, to = lo, hi
		if down {
			b.chaseDown(lo, hi)
		} else {
			b.chaseUp(lo, hi)
		}
	}
}

// chaseDown is one QR iteration on the block [lo, hi], with the smaller singular
// value of its last two rows as the shift.
func (b *bidiagonal) chaseDown(lo, hi int) {
	d, e := b.d, b.e
	f, g := shifted(d[lo], least(d[hi-1], e[hi-1], d[hi])), e[lo]
	for i := lo; i < hi; i++ {
		c, s, r := rotation(f, g)
		if i > lo {
			e[i-1] = r
		}
		f, e[i] = c*d[i]+s*e[i], c*e[i]-s*d[i]
		g, d[i+1] = s*d[i+1], c*d[i+1]
		b.v.rotate(i, c, s)
		c, s, d[i] = rotation(f, g)
		f, d[i+1] = c*e[i]+s*d[i+1], c*d[i+1]-s*e[i]
		if i < hi-1 {
			g, e[i+1] = s*e[i+1], c*e[i+1]
		}
		b.u.rotate(i, c, s)
	}
	e[hi-1] = f
}

// chaseUp is chaseDown from the other end.
func (b *bidiagonal) chaseUp(lo, hi int) {
	d, e := b.d, b.e
	f, g := shifted(d[hi], least(d[lo], e[lo], d[lo+1])), e[hi-1]
	for i := hi; i > lo; i-- {
		c, s, r := rotation(f, g)
		if i < hi {
			e[i] = r
		}
		f, e[i-1] = c*d[i]+s*e[i-1], c*e[i-1]-s*d[i]
		g, d[i-1] = s*d[i-1], c*d[i-1]
		b.u.rotate(i-1, c, -s)
		c, s, d[i] = rotation(f, g)
		f, d[i-1] = c*e[i-1]+s*d[i-1], c*d[i-1]-s*e[i-1]
		if i > lo+1 {
			g, e[i-2] = s*e[i-2], c*e[i-2]
		}
		b.v.rotate(i-1, c, -s)
	}
	e[lo] = f
}

// two takes the off-diagonal number of the 2×2 block at i to 0 in one go.
func (b *bidiagonal) two(i int) {
	f, g, h := b.d[i], b.e[i], b.d[i+1]
	var u, v [2]float64 // the vectors of the larger value
	if math.Abs(f) >= math.Abs(h) {
		angle := 0.5 * math.Atan2(2*f*g, f*f-g*g-h*h)
		v = [2]float64{math.Cos(angle), math.Sin(angle)}
		u = unit(f*v[0]+g*v[1], h*v[1], f)
	} else {
		angle := 0.5 * math.Atan2(2*g*h, f*f+g*g-h*h)
		sign := math.Copysign(1, math.Sin(angle))
		u = [2]float64{sign * math.Cos(angle), sign * math.Sin(angle)}
		v = unit(f*u[0], g*u[0]+h*u[1], h)
	}
	larger := u[0]*(f*v[0]+g*v[1]) + u[1]*h*v[1]
	smaller := -u[1]*(-f*v[1]+g*v[0]) + u[0]*h*v[0]
	b.d[i], b.e[i], b.d[i+1] = larger, 0, smaller
	b.u.rotate(i, u[0], u[1])
	b.v.rotate(i, v[0], v[1])
}

// unit returns (x, y) with length 1, and turned round where sign is negative.
func unit(x, y, sign float64) [2]float64 {
	length := math.Copysign(math.Hypot(x, y), sign)
	if length == 0 {
		return [2]float64{1, 0}
	}
	return [2]float64{x / length, y / length}
}

// rotate turns rows i and i+1 into each other.
func (m mat) rotate(i int, c, s float64) {
	p, q := m.row(i), m.row(i+1)
	for k := range p {
		p[k], q[k] = c*p[k]+s*q[k], c*q[k]-s*p[k]
	}
}

// rotation returns c and s with c·f+s·g = r and c·g-s·f = 0, c not negative.
func rotation(f, g float64) (c, s, r float64) {
	switch {
	case g == 0:
		return 1, 0, f
	case f == 0:
		return 0, math.Copysign(1, g), math.Abs(g)
	}
	r = math.Copysign(math.Hypot(f, g), f)
	return f / r, g / r, r
}

// shifted returns (d² - shift²)/d, the first number that an iteration rotates.
func shifted(d, shift float64) float64 {
	if d == 0 {
		return 0
	}
	return (math.Abs(d) - shift) * (math.Copysign(1, d) + shift/d)
}

// least returns the smaller singular value of [[f, g], [0, h]].
func least(f, g, h float64) float64 {
	sum, product := f*f+g*g+h*h, math.Abs(f*h)
	larger := math.Sqrt((sum + math.Sqrt(max(0, sum*sum-4*product*product))) / 2)
	if larger == 0 {
		return 0
	}
	return product / larger
}

// sorted returns the parts with values from 0 up, in falling order.
func (b *bidiagonal) sorted() (u mat, s []float64, v mat) {
	n := len(b.d)
	order := make([]int, n)
	for i := range order {
		order[i] = i
		if b.d[i] < 0 {
			b.d[i] = -b.d[i]
			for k, x := range b.v.row(i) {
				b.v.row(i)[k] = -x
			}
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(b.d[j], b.d[i]) })
	u, v = newMat(n, b.u.cols), newMat(n, b.v.cols)
	for to, from := range order {
		s = append(s, b.d[from])
		copy(u.row(to), b.u.row(from))
		copy(v.row(to), b.v.row(from))
	}
	return u, s, v
}
