package builtin

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// The ways in which the matrices of LoRA begin:
//
//	true           A as kaiming_uniform_(a=√5), B 0
//	false          both as such: the model does not start unchanged
//	gaussian       A normal with deviation 1/rank, B 0
//	pissa          the largest singular values of W (Meng et al. 2024)
//	pissa_niter_N  the same, nearly, from N iterations of a random subspace (Halko et al. 2011): faster for large weights
//	olora          the first columns of the QR decomposition of W (Büyükakyüz 2024)
//
// The last three take scale·B·A out of the base weight, which a program that
// loads the adapter has to do again, as PEFT and this one do. Of pissa_niter_N
// PEFT draws other numbers each time, so the adapter is exact there only as the
// plain LoRA in converted/default.

// mutates reports whether a way to begin takes something out of the base weight.
func mutates(name string) bool { return strings.HasPrefix(name, "pissa") || name == "olora" }

// checkStart refuses what is no way to begin.
func checkStart(tuner, name string) error {
	if n, ok := strings.CutPrefix(name, "pissa_niter_"); ok {
		if i, err := strconv.Atoi(n); err != nil || i < 0 || i > 1000 {
			return fmt.Errorf("init_weights of %s is %s, want pissa_niter_N with a number N of iterations, e.g. pissa_niter_16", tuner, name)
		}
		return nil
	}
	switch name {
	case "true", "false", "gaussian", "pissa", "olora":
		return nil
	}
	return fmt.Errorf("init_weights of %s is %q, want true, false, gaussian, pissa, pissa_niter_N or olora", tuner, name)
}

// startValue returns a way to begin as PEFT writes it.
func startValue(name string) any {
	if b, err := strconv.ParseBool(name); err == nil {
		return b
	}
	return name
}

// start fills the matrices of p, which are 0.
func (p *pair) start(name string, seed int64) error {
	switch {
	case name == "true", name == "false":
		p.a.Set(func(w []float32) { kaiming(w, p.In, seed, p.Name) })
		if name == "false" {
			p.b.Set(func(w []float32) { kaiming(w, p.rank, seed, p.Name+".lora_B") })
		}
		return nil
	case name == "gaussian":
		p.a.Set(func(w []float32) { normal(w, 1/float64(p.rank), seed, p.Name) })
		return nil
	}
	if err := mergeable(p.Linear); err != nil {
		return err
	}
	if p.scale == 0 {
		return fmt.Errorf("alpha is 0, and init_weights %s wants another number", name)
	}
	if most := min(p.In, p.Out); p.rank > most {
		return fmt.Errorf("rank is %d, and with init_weights %s it is at most %d for %s, whose weight is %d×%d", p.rank, name, most, p.Name, p.Out, p.In)
	}
	var a, b []float64 // [rank, In] and [Out, rank], but for the scale
	if name == "olora" {
		a, b = olora(p.Weight.Data(), p.Out, p.In, p.rank)
	} else {
		a, b = p.pissa(name)
	}
	p.a.Set(func(w []float32) { narrow(w, a) })
	p.b.Set(func(w []float32) { narrow(w, b) })
	p.a0, p.b0 = duplicate(p.a), duplicate(p.b)
	add(p.Linear, p.weight(-p.scale))
	return nil
}

// pissa returns √(S/scale)·Vᵀ and U·√(S/scale) of the largest singular values.
func (p *pair) pissa(name string) (a, b []float64) {
	w := wide(p.Weight.Data())
	var u, s, v []float64
	if n, ok := strings.CutPrefix(name, "pissa_niter_"); ok {
		iterations, _ := strconv.Atoi(n) // checked
		u, s, v = p.subspace(w, iterations)
	} else {
		u, s, v = singular(w, p.Out, p.In)
	}
	k := len(s)
	a, b = make([]float64, p.rank*p.In), make([]float64, p.Out*p.rank)
	for r := range p.rank {
		root := math.Sqrt(s[r] / math.Abs(p.scale))
		for j := range p.In {
			a[r*p.In+j] = root * v[j*k+r]
		}
		for i := range p.Out {
			b[i*p.rank+r] = math.Copysign(root, p.scale) * u[i*k+r]
		}
	}
	return a, b
}

// subspace returns the singular values of w that rank columns, drawn at random
// and multiplied by w·wᵀ some times, span. What is drawn depends on the name of
// the layer alone, so that the adapter finds it again.
func (p *pair) subspace(w []float64, iterations int) (u, s, v []float64) {
	draw := make([]float32, p.In*p.rank)
	normal(draw, 1, 0, p.Name)
	q := orthonormal(product(w, wide(draw), p.Out, p.In, p.rank), p.Out, p.rank)
	t := transposed(w, p.Out, p.In)
	for range iterations {
		q = orthonormal(product(t, q, p.In, p.Out, p.rank), p.In, p.rank)
		q = orthonormal(product(w, q, p.Out, p.In, p.rank), p.Out, p.rank)
	}
	small := product(transposed(q, p.Out, p.rank), w, p.rank, p.Out, p.In)
	u, s, v = singular(small, p.rank, p.In)
	return product(q, u, p.Out, p.rank, p.rank), s, v
}

// olora returns the first rows of R and the first columns of Q of w = Q·R.
func olora(weight []float32, out, in, rank int) (a, b []float64) {
	w := wide(weight)
	columns := make([]float64, out*rank)
	for i := range out {
		copy(columns[i*rank:(i+1)*rank], w[i*in:i*in+min(rank, in)])
	}
	b = orthonormal(columns, out, rank)
	return product(transposed(b, out, rank), w, rank, out, in), b
}

// singular returns u [m, k], s [k], largest first, and v [n, k] with w = u·s·vᵀ,
// for w [m, n] and k the smaller of both. It changes w.
func singular(w []float64, m, n int) (u, s, v []float64) {
	ut, s, vt := svd(mat{m, n, w})
	return ut.transposed().x, s, vt.transposed().x
}

// orthonormal makes the columns of x [m, n] orthogonal and of length 1, by
// Gram-Schmidt, twice for what rounding leaves. A column that depends on those
// before it becomes 0.
func orthonormal(x []float64, m, n int) []float64 {
	x = transposed(x, m, n)
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	for j := range n {
		c := x[j*m : (j+1)*m]
		before := math.Sqrt(dot(c, c))
		for range 2 {
			for k := range j {
				d := x[k*m : (k+1)*m]
				f := dot(c, d)
				for i := range c {
					c[i] -= f * d[i]
				}
			}
		}
		norm := math.Sqrt(dot(c, c))
		if norm <= 1e-12*before {
			clear(c)
			continue
		}
		for i := range c {
			c[i] /= norm
		}
	}
	return transposed(x, n, m)
}

// product returns x·y, [m, n] of [m, k] and [k, n].
func product(x, y []float64, m, k, n int) []float64 {
	z := make([]float64, m*n)
	for i := range m {
		row := z[i*n : (i+1)*n]
		for p := range k {
			f := x[i*k+p]
			for j, t := range y[p*n : (p+1)*n] {
				row[j] += f * t
			}
		}
	}
	return z
}

func transposed(x []float64, m, n int) []float64 {
	t := make([]float64, len(x))
	for i := range m {
		for j := range n {
			t[j*m+i] = x[i*n+j]
		}
	}
	return t
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = float64(x[i])
	}
	return y
}

func narrow(y []float32, x []float64) {
	for i := range x {
		y[i] = float32(x[i])
	}
}

// kaiming fills w with numbers between -1/√in and 1/√in, as PEFT does with
// kaiming_uniform_(a=√5).
func kaiming(w []float32, in int, seed int64, name string) {
	uniform(w, 1/math.Sqrt(float64(in)), seed, name)
}

// uniform fills w with numbers between -bound and bound.
func uniform(w []float32, bound float64, seed int64, name string) {
	r := source(seed, name)
	for i := range w {
		w[i] = float32(bound * (2*r.Float64() - 1))
	}
}

// normal fills w with numbers of a normal distribution.
func normal(w []float32, deviation float64, seed int64, name string) {
	r := source(seed, name)
	for i := range w {
		w[i] = float32(deviation * r.NormFloat64())
	}
}

// source returns numbers that depend on the seed and the name alone, and so not
// on what else is trained.
func source(seed int64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}

// converted returns the adapter as a plain LoRA of twice the rank for the base
// model as it was: W - s·B₀·A₀ + s·B·A = W + s·[B, -B₀]·[A; A₀]. It is what PEFT
// makes with path_initial_model_for_weight_conversion.
func (l *lora) converted(m *api.Model, from peftConfig) (*api.Adapter, error) {
	a := &api.Adapter{Tensors: l.layout.tensors()}
	for _, p := range l.pairs {
		a.Tensors[tensorOf(p.Linear, "lora_A.weight")] = join(0, p.a.Value(), p.a0, 1)
		a.Tensors[tensorOf(p.Linear, "lora_B.weight")] = join(1, p.b.Value(), p.b0, -1)
	}
	alpha := 2.0 // alpha/rank stays
	if l.UseRSLora {
		alpha = math.Sqrt2
	}
	ranks, alphas := map[string]int{}, map[string]float64{}
	for key, rank := range l.RankPattern {
		ranks[key] = 2 * rank
	}
	for key, x := range l.AlphaPattern {
		alphas[key] = alpha * x
	}
	c := maps.Clone(from)
	maps.Copy(c, peftConfig{"init_lora_weights": true, "r": 2 * l.Rank, "lora_alpha": alpha * l.Alpha, "rank_pattern": ranks, "alpha_pattern": alphas})
	var err error
	a.Config, err = c.encode(m)
	return a, err
}

// join returns x and sign·y side by side along an axis.
func join(axis int, x, y *tensor.Dense, sign float64) *tensor.Dense {
	joined := api.Concat(axis, api.Const(plain(x)), api.Const(plain(y)).Scale(sign))
	return joined.Value()
}

// duplicate returns a copy of p's value in memory of its own.
func duplicate(p *api.Param) *tensor.Dense {
	return tensor.New(tensor.WithShape(p.Shape()...), tensor.WithBacking(slices.Clone(p.Data())))
}

// plain returns x away from the engine, whose memory does not last.
func plain(x *tensor.Dense) *tensor.Dense {
	return tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(x.Float32s()))
}
