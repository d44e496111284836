package builtin

import (
	"math"
	"math/rand/v2"
	"testing"

	"swiftgo/api"
)

// TestLeading compares the energy in the space that is found with that of the
// exact one, for a gradient whose singular values fall slowly.
func TestLeading(t *testing.T) {
	const rank = 6
	r := rand.New(rand.NewPCG(13, 14))
	for _, shape := range [][2]int{{60, 150}, {150, 60}, {10, 12}} {
		p := api.NewParam("a.weight", api.Full(0, shape[:]...))
		give(p, random(r, shape[:]...).Float32s())
		g := floats(p.GradTensor())
		_, s, _ := svd(mat{g.rows, g.cols, append([]float64(nil), g.x...)})
		want := 0.0
		for _, x := range s[:rank] {
			want += x * x
		}
		u, v := leading(p, rank)
		energy := func(m mat) (sum float64) {
			for _, x := range m.x {
				sum += x * x
			}
			return sum
		}
		u, v = mat{rank, shape[0], u.x[:rank*shape[0]]}, mat{rank, shape[1], v.x[:rank*shape[1]]}
		for side, got := range map[string]float64{"left": energy(u.times(g)), "right": energy(v.times(g.transposed()))} {
			if got > want*(1+1e-6) || got < 0.99*want {
				t.Errorf("%v: the space on the %s has the energy %g, the best %g", shape, side, got, want)
			}
		}
		for _, m := range []mat{u, v} {
			for i := range rank {
				for j := range i + 1 {
					if d := dot(m.row(i), m.row(j)); math.Abs(d-map[bool]float64{true: 1}[i == j]) > 1e-5 {
						t.Errorf("%v: vectors %d and %d have the product %g", shape, i, j, d)
					}
				}
			}
		}
	}
}
