package kernel

import (
	"math"
	"testing"
)

// halfValue is what an IEEE half with these bits means, by the definition of the format; the same for bfloat16.
func halfValue(h uint16, exponentBits int) float64 {
	mantissaBits := 15 - exponentBits
	bias := 1<<(exponentBits-1) - 1
	e, m := int(h&0x7fff)>>mantissaBits, float64(int(h)&(1<<mantissaBits-1))/float64(int(1)<<mantissaBits)
	var x float64
	switch {
	case e == 1<<exponentBits-1 && m != 0:
		return math.NaN()
	case e == 1<<exponentBits-1:
		x = math.Inf(1)
	case e == 0:
		x = math.Ldexp(m, 1-bias)
	default:
		x = math.Ldexp(1+m, e-bias)
	}
	if h&0x8000 != 0 {
		x = math.Copysign(x, -1)
	}
	return x
}

// TestHalf converts every 16-bit number there and back, and the numbers between each two neighbours to the nearer one.
func TestHalf(t *testing.T) {
	formats := []struct {
		name         string
		exponentBits int
		from         func(p *Pool, x []uint16, y []float32)
		to           func(p *Pool, x []float32, y []uint16)
	}{{"bf16", 8, FromBF16, ToBF16}, {"f16", 5, FromF16, ToF16}}
	p := NewPool(2)
	defer p.Close()
	eachISA(t, func(t *testing.T) {
		for _, f := range formats {
			h := make([]uint16, 1<<16)
			for i := range h {
				h[i] = uint16(i)
			}
			x, back := make([]float32, len(h)), make([]uint16, len(h))
			f.from(p, h, x)
			f.to(p, x, back)
			infinity := uint16(1<<f.exponentBits-1) << (15 - f.exponentBits)
			var between []float32
			var want []uint16
			for i, v := range h {
				exact := halfValue(v, f.exponentBits)
				if math.IsNaN(exact) {
					if x[i] == x[i] || !math.IsNaN(halfValue(back[i], f.exponentBits)) || back[i]&0x8000 != v&0x8000 {
						t.Fatalf("%s: NaN %#04x becomes %g and then %#04x", f.name, v, x[i], back[i])
					}
					continue
				}
				if float64(x[i]) != exact || math.Signbit(float64(x[i])) != math.Signbit(exact) || back[i] != v {
					t.Fatalf("%s: %#04x becomes %g and then %#04x, want %g and itself", f.name, v, x[i], back[i], exact)
				}
				if v&0x7fff >= infinity-1 {
					continue
				}
				next := halfValue(v+1, f.exponentBits)
				half := float32((exact + next) / 2)
				even := v + v&1
				away, toward := math.Nextafter32(half, float32(next)), math.Nextafter32(half, float32(exact))
				between = append(between, half, away, toward)
				want = append(want, even, v+1, v)
			}
			// Past the largest finite number: half a step further is infinity.
			largest := halfValue(infinity-1, f.exponentBits)
			limit := float32(largest + (largest-halfValue(infinity-2, f.exponentBits))/2)
			between = append(between, limit, math.Nextafter32(limit, 0), math.MaxFloat32, -limit)
			want = append(want, infinity, infinity-1, infinity, infinity|0x8000)
			got := make([]uint16, len(between))
			f.to(p, between, got)
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s: %g becomes %#04x, want %#04x", f.name, between[i], got[i], want[i])
				}
			}
			// Short arrays, whose end is not a whole vector.
			for n := range 40 {
				short := make([]uint16, n)
				f.to(p, between[:n], short)
				for i := range short {
					if short[i] != want[i] {
						t.Fatalf("%s: %g becomes %#04x in an array of %d, want %#04x", f.name, between[i], short[i], n, want[i])
					}
				}
			}
		}
	})
}
