package builtin

import (
	"math"
	"testing"
)

// TestApolloFormula compares with the paper's algorithm, given the random space.
func TestApolloFormula(t *testing.T) {
	const lr, decay, rank = 0.01, 0.1, 2
	for _, c := range []struct {
		shape []int
		kind  string
	}{{[]int{5, 3}, "channel"}, {[]int{3, 5}, "channel"}, {[]int{5, 3}, "tensor"}} {
		rows, cols := c.shape[0], c.shape[1]
		settings := map[string]any{"rank": rank, "update_proj_gap": 3, "scale": 4, "scale_type": c.kind}
		args := decaying("apollo", decay, settings)
		var m, v mat
		before := 0.0
		// spaces are what the optimizer draws: the test takes them from one of its kind.
		spaces := func(t int) mat {
			x := &randomized{lowRank: lowRank{part: part{Param: (&nested{shape: c.shape, flat: make([]float32, rows*cols)}).param("up_proj.weight")}}}
			space := []int{rank, cols}
			if rows < cols {
				space = []int{rows, rank}
			}
			x.space = (&nested{shape: space, flat: make([]float32, space[0]*space[1])}).param("").Value()
			x.renew(uint64(args.Seed), (t-1)/3+1)
			return mat{space[0], space[1], wide(x.space.Float32s())}
		}
		followTwin(t, newApollo, args, "up_proj.weight", c.shape, lr, func(t int, w, g []float64) {
			full := mat{rows, cols, g}
			low := full
			if rows >= cols {
				low = full.times(spaces(t).transposed())
			} else {
				low = spaces(t).transposed().times(full)
			}
			if m.x == nil {
				m, v = newMat(low.rows, low.cols), newMat(low.rows, low.cols)
			}
			u := newMat(low.rows, low.cols)
			for i, r := range low.x {
				m.x[i], v.x[i] = 0.9*m.x[i]+0.1*r, 0.95*v.x[i]+0.05*r*r
				u.x[i] = m.x[i] / (math.Sqrt(v.x[i]) + 1e-8)
			}
			channels := func(x mat) [][]float64 { // those that share a factor
				if c.kind == "tensor" {
					return [][]float64{x.x}
				}
				if rows < cols {
					x = x.transposed()
				}
				var all [][]float64
				for i := range x.rows {
					all = append(all, x.row(i))
				}
				return all
			}
			scaled, norm := make([]float64, len(g)), 0.0
			for i := range g {
				k := i / cols
				if rows < cols {
					k = i % cols
				}
				if c.kind == "tensor" {
					k = 0
				}
				scaled[i] = g[i] * length(channels(u)[k]) / length(channels(low)[k])
				norm += scaled[i] * scaled[i]
			}
			norm = math.Sqrt(norm)
			shrink := 1.0
			if before > 0 {
				shrink = max(norm/before, 1.01) / 1.01
			}
			before = norm / shrink
			size := lr * math.Sqrt(1-math.Pow(0.95, float64(t))) / (1 - math.Pow(0.9, float64(t)))
			for i := range w {
				w[i] -= size * 2 * scaled[i] / shrink
				w[i] *= 1 - lr*decay
			}
		})
	}
}

func length(x []float64) float64 { return math.Sqrt(dot(x, x)) }
