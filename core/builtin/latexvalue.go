package builtin

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/cmplx"
	"math/rand/v2"
)

// Sizes past which arithmetic is not done exactly, or not at all.
const (
	maxExactBits = 20_000
	maxFactorial = 1_000
	maxVisits    = 300_000 // nodes of formulas in one comparison
)

// exact returns the rational number that a formula is, if it is found without
// rounding.
func (c *comparison) exact(f formula) (*big.Rat, bool) {
	if c.visits--; c.visits < 0 {
		return nil, false
	}
	x, ok := c.exactly(f)
	if !ok || bits(x) > maxExactBits {
		return nil, false
	}
	c.visits -= bits(x) / 64
	return x, true
}

func (c *comparison) exactly(f formula) (*big.Rat, bool) {
	switch f.kind {
	case numberKind:
		return f.value, true
	case percentKind, sumKind, productKind, powerKind, functionKind:
	default:
		return nil, false
	}
	args := make([]*big.Rat, len(f.args))
	for i, a := range f.args {
		var ok bool
		if args[i], ok = c.exact(a); !ok {
			return nil, false
		}
	}
	switch f.kind {
	case percentKind:
		return new(big.Rat).Quo(args[0], big.NewRat(100, 1)), true
	case sumKind:
		return new(big.Rat).Add(args[0], args[1]), true
	case productKind:
		return new(big.Rat).Mul(args[0], args[1]), true
	case powerKind:
		return exactPower(args[0], args[1])
	}
	return exactFunction(f.name, args)
}

func bits(x *big.Rat) int { return x.Num().BitLen() + x.Denom().BitLen() }

// exactPower returns x to the n, with n whole or the root a whole one.
func exactPower(x, n *big.Rat) (*big.Rat, bool) {
	if !n.Num().IsInt64() || !n.Denom().IsInt64() || n.Sign() < 0 && x.Sign() == 0 {
		return nil, false
	}
	above, root := n.Num().Int64(), n.Denom().Int64()
	if root > 1 {
		var ok bool
		if x, ok = exactRoot(x, root); !ok {
			return nil, false
		}
	}
	e := max(above, -above)
	if e > maxExactBits || int64(bits(x))*e > maxExactBits {
		return nil, false
	}
	exponent := big.NewInt(e)
	y := new(big.Rat).SetFrac(new(big.Int).Exp(x.Num(), exponent, nil), new(big.Int).Exp(x.Denom(), exponent, nil))
	if above < 0 {
		y.Inv(y)
	}
	return y, true
}

// exactRoot returns the root of x that is not negative, if it is rational.
func exactRoot(x *big.Rat, n int64) (*big.Rat, bool) {
	if x.Sign() < 0 || n > 64 {
		return nil, false
	}
	above, ok := wholeRoot(x.Num(), n)
	below, is := wholeRoot(x.Denom(), n)
	if !ok || !is {
		return nil, false
	}
	return new(big.Rat).SetFrac(above, below), true
}

func wholeRoot(x *big.Int, n int64) (*big.Int, bool) {
	if n == 2 {
		r := new(big.Int).Sqrt(x)
		return r, new(big.Int).Mul(r, r).Cmp(x) == 0
	}
	f, _ := new(big.Float).SetInt(x).Float64()
	guess := math.Round(math.Pow(f, 1/float64(n)))
	if guess > 1<<53 {
		return nil, false
	}
	r := big.NewInt(int64(guess))
	return r, new(big.Int).Exp(r, big.NewInt(n), nil).Cmp(x) == 0
}

func exactFunction(name string, args []*big.Rat) (*big.Rat, bool) {
	switch {
	case name == "root" && len(args) == 2 && args[1].Sign() != 0:
		return exactPower(args[0], new(big.Rat).Inv(args[1]))
	case name == "abs" && len(args) == 1:
		return new(big.Rat).Abs(args[0]), true
	case name == "factorial" && len(args) == 1 && args[0].IsInt() && args[0].Sign() >= 0 && args[0].Num().IsInt64() && args[0].Num().Int64() <= maxFactorial:
		return new(big.Rat).SetInt(new(big.Int).MulRange(1, args[0].Num().Int64())), true
	case name == "binom" && len(args) == 2 && args[0].IsInt() && args[1].IsInt():
		n, k := args[0].Num(), args[1].Num()
		if n.Sign() >= 0 && k.Sign() >= 0 && n.IsInt64() && n.Int64() <= maxFactorial && k.IsInt64() {
			return new(big.Rat).SetInt(new(big.Int).Binomial(n.Int64(), k.Int64())), true
		}
	case (name == "max" || name == "min") && len(args) > 0:
		best := args[0]
		for _, x := range args[1:] {
			if (x.Cmp(best) > 0) == (name == "max") {
				best = x
			}
		}
		return best, true
	}
	return nil, false
}

// A valuation gives numbers to the names in formulas: to some those it is told,
// to the rest others that follow from the name and the point alone.
type valuation struct {
	point  int
	known  map[string]complex128
	visits *int // nodes that may still be looked at
}

// of returns the number that f is, or NaN. What is a set has none.
func (v valuation) of(f formula) complex128 {
	if *v.visits--; *v.visits < 0 {
		return cmplx.NaN()
	}
	switch f.kind {
	case numberKind:
		x, _ := f.value.Float64()
		return complex(x, 0)
	case eulerKind:
		return math.E
	case imaginaryKind:
		return 1i
	case piKind:
		return math.Pi
	case infinityKind:
		return complex(math.Inf(1), 0)
	case symbolKind:
		return v.unknown(f.name)
	case percentKind:
		return v.of(f.args[0]) / 100
	case sumKind:
		total := complex128(0)
		for _, a := range f.args {
			total += v.of(a)
		}
		return total
	case productKind:
		total := complex128(1)
		for _, a := range f.args {
			total = times(total, v.of(a))
		}
		return total
	case powerKind:
		return raise(v.of(f.args[0]), v.of(f.args[1]))
	case functionKind:
		return v.function(f)
	}
	return cmplx.NaN()
}

// times multiplies so that what is real stays so, infinity too.
func times(x, y complex128) complex128 {
	if imag(x) == 0 && imag(y) == 0 {
		return complex(real(x)*real(y), 0)
	}
	return x * y
}

// raise is x to the n, by repeated squaring where n is whole, so that what is
// real stays so.
func raise(x, n complex128) complex128 {
	whole := real(n)
	if imag(n) != 0 || whole != math.Trunc(whole) || math.Abs(whole) > 1024 {
		if x == 0 && real(n) < 0 {
			return cmplx.NaN()
		}
		if imag(x) == 0 && real(x) >= 0 && imag(n) == 0 {
			return complex(math.Pow(real(x), whole), 0)
		}
		return cmplx.Pow(x, n)
	}
	y := complex128(1)
	for e := int(math.Abs(whole)); e > 0; e /= 2 {
		if e%2 == 1 {
			y = times(y, x)
		}
		x = times(x, x)
	}
	switch {
	case whole >= 0:
		return y
	case y == 0:
		return cmplx.NaN()
	case imag(y) == 0:
		return complex(1/real(y), 0)
	}
	return 1 / y
}

// unknown returns a number for a name, of a size between a third and three. At
// the first points they are positive.
func (v valuation) unknown(name string) complex128 {
	if x, ok := v.known[name]; ok {
		return x
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	random := rand.New(rand.NewPCG(h.Sum64(), uint64(v.point)))
	x := 0.3 + 2.7*random.Float64()
	if v.point >= 3 && random.IntN(2) == 1 {
		x = -x
	}
	return complex(x, 0)
}

func (v valuation) function(f formula) complex128 {
	if f.name == "det" && len(f.args) == 1 {
		if rows, ok := f.args[0].rows(); ok {
			return v.determinant(rows)
		}
	}
	if len(v.known) > 0 {
		if x, ok := v.known[f.String()]; ok {
			return x
		}
	}
	args := make([]complex128, len(f.args))
	for i, a := range f.args {
		args[i] = v.of(a)
	}
	if apply := mathFunctions[f.name]; apply != nil {
		return apply(args)
	}
	name := f.name // of an unknown function: its value follows from those of its arguments
	for _, x := range args {
		name += fmt.Sprintf(" %.9g", x)
	}
	return v.unknown(name)
}

// determinant is that of a square matrix, by elimination.
func (v valuation) determinant(rows [][]formula) complex128 {
	m := make([][]complex128, len(rows))
	for i, row := range rows {
		if len(row) != len(rows) {
			return cmplx.NaN()
		}
		for _, x := range row {
			m[i] = append(m[i], v.of(x))
		}
	}
	d := complex128(1)
	for i := range m {
		best := i
		for j := i + 1; j < len(m); j++ {
			if cmplx.Abs(m[j][i]) > cmplx.Abs(m[best][i]) {
				best = j
			}
		}
		if m[best][i] == 0 {
			return 0
		}
		if best != i {
			m[i], m[best], d = m[best], m[i], -d
		}
		d = times(d, m[i][i])
		for j := i + 1; j < len(m); j++ {
			by := m[j][i] / m[i][i]
			for k := i; k < len(m); k++ {
				m[j][k] -= by * m[i][k]
			}
		}
	}
	return d
}

// mathFunctions has the functions with a meaning. A function of fewer or more
// arguments than it takes is NaN.
var mathFunctions = map[string]func([]complex128) complex128{
	"sin": of1(cmplx.Sin), "cos": of1(cmplx.Cos), "tan": of1(cmplx.Tan), "cot": of1(cmplx.Cot),
	"sec": of1(func(x complex128) complex128 { return 1 / cmplx.Cos(x) }), "csc": of1(func(x complex128) complex128 { return 1 / cmplx.Sin(x) }),
	"arcsin": of1(cmplx.Asin), "arccos": of1(cmplx.Acos), "arctan": of1(cmplx.Atan),
	"arccot": of1(func(x complex128) complex128 { return cmplx.Atan(1 / x) }),
	"sinh":   of1(cmplx.Sinh), "cosh": of1(cmplx.Cosh), "tanh": of1(cmplx.Tanh), "exp": of1(cmplx.Exp),
	"ln":  of1(cmplx.Log),
	"abs": of1(func(x complex128) complex128 { return complex(cmplx.Abs(x), 0) }),
	"log": of2(func(x, base complex128) complex128 { return cmplx.Log(x) / cmplx.Log(base) }),
	"root": of2(func(x, n complex128) complex128 {
		if n == 2 {
			return cmplx.Sqrt(x)
		}
		return raise(x, 1/n)
	}),
	"floor": of1(func(x complex128) complex128 { return complex(math.Floor(real(x)+1e-12), 0) }),
	"ceil":  of1(func(x complex128) complex128 { return complex(math.Ceil(real(x)-1e-12), 0) }),
	"factorial": of1(func(x complex128) complex128 {
		if imag(x) != 0 {
			return cmplx.NaN()
		}
		return complex(math.Gamma(real(x)+1), 0)
	}),
	"binom": of2(func(n, k complex128) complex128 {
		g := func(x complex128) complex128 { return complex(math.Gamma(real(x)+1), 0) }
		return g(n) / g(k) / g(n-k)
	}),
	"max": ofMany(math.Max), "min": ofMany(math.Min),
	"gcd": ofMany(greatestDivisor), "lcm": ofMany(func(a, b float64) float64 { return a / greatestDivisor(a, b) * b }),
	"prime": nil, "det": nil,
}

func greatestDivisor(a, b float64) float64 {
	for b != 0 {
		a, b = b, math.Mod(a, b)
	}
	return math.Abs(a)
}

func of1(f func(complex128) complex128) func([]complex128) complex128 {
	return func(args []complex128) complex128 {
		if len(args) != 1 {
			return cmplx.NaN()
		}
		return f(args[0])
	}
}

func of2(f func(x, y complex128) complex128) func([]complex128) complex128 {
	return func(args []complex128) complex128 {
		if len(args) != 2 {
			return cmplx.NaN()
		}
		return f(args[0], args[1])
	}
}

func ofMany(f func(x, y float64) float64) func([]complex128) complex128 {
	return func(args []complex128) complex128 {
		if len(args) == 0 {
			return cmplx.NaN()
		}
		x := real(args[0])
		for _, a := range args {
			x = f(x, real(a))
		}
		return complex(x, 0)
	}
}
