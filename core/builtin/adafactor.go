package builtin

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// adafactor is Adafactor (Shazeer and Stern 2018), as transformers computes it:
// of the squares of a matrix's gradients it keeps the means of rows and columns
// only. By default it goes by the run's learning rate, as in the Trainer.
type adafactor struct {
	groups
	Epsilon1       float64 `json:"eps1"`           // of the square of a gradient
	Epsilon2       float64 `json:"eps2"`           // least size of a parameter, for scale_parameter
	ClipThreshold  float64 `json:"clip_threshold"` // root mean square that an update has at most
	DecayRate      float64 `json:"decay_rate"`     // β₂ of step t is 1 - t^decay_rate
	Beta1          float64 `json:"beta1"`          // of the average of updates; 0 is none
	ScaleParameter bool    `json:"scale_parameter"`
	RelativeStep   bool    `json:"relative_step"` // the learning rate is min(1e-2, 1/√t) and not the run's
	WarmupInit     bool    `json:"warmup_init"`   // and at first 1e-6·t

	params []*factored
	update []float32 // of the parameter at hand
	sums   []float32 // over its rows, and then what a column is multiplied by
}

// factored is a parameter [matrices, rows, cols] and the means of its squared
// gradients.
type factored struct {
	part
	matrices, rows, cols int
	row, col             *tensor.Dense // nil for a vector
	square               *tensor.Dense // nil but for a vector
	avg                  *tensor.Dense // nil without beta1
	steps                *float32
}

func newAdafactor(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	a := &adafactor{Epsilon1: 1e-30, Epsilon2: 1e-3, ClipThreshold: 1, DecayRate: -0.8}
	if err := args.Decode(a); err != nil {
		return nil, nil, err
	}
	if err := a.check(); err != nil {
		return nil, nil, err
	}
	parts, err := a.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	size, cols := 0, 0
	for _, p := range parts {
		f := a.factor(p)
		a.params, size, cols = append(a.params, f), max(size, len(p.Data())), max(cols, f.cols)
	}
	a.update, a.sums = make([]float32, size), make([]float32, cols)
	if !a.RelativeStep {
		return a, nil, nil
	}
	return a, func(step int) float64 {
		most := 1e-2
		if a.WarmupInit {
			most = 1e-6 * float64(step+1)
		}
		return min(most, 1/math.Sqrt(float64(step+1)))
	}, nil
}

func (a *adafactor) check() error {
	if err := shares(map[string]float64{"beta1": a.Beta1}); err != nil {
		return err
	}
	switch {
	case !(a.Epsilon1 > 0 && a.Epsilon2 > 0):
		return fmt.Errorf("eps1 and eps2 are %g and %g, want more than 0", a.Epsilon1, a.Epsilon2)
	case !(a.ClipThreshold > 0):
		return fmt.Errorf("clip_threshold is %g, want more than 0", a.ClipThreshold)
	case !(a.DecayRate <= 0):
		return fmt.Errorf("decay_rate is %g, want 0 or less", a.DecayRate)
	case a.WarmupInit && !a.RelativeStep:
		return errors.New("warmup_init wants relative_step")
	}
	return nil
}

func (a *adafactor) factor(p part) *factored {
	shape := p.Shape()
	f := &factored{part: p, matrices: 1, rows: 1, cols: len(p.Data()), steps: a.keepCount(p.Param, "step")}
	if n := shape.Dims(); n < 2 {
		f.square = a.keep(p.Param, "exp_avg_sq", shape...)
	} else {
		f.rows, f.cols = shape[n-2], shape[n-1]
		f.matrices = len(p.Data()) / (f.rows * f.cols)
		f.row = a.keep(p.Param, "exp_avg_sq_row", f.matrices, f.rows)
		f.col = a.keep(p.Param, "exp_avg_sq_col", f.matrices, f.cols)
	}
	if a.Beta1 > 0 {
		f.avg = a.keep(p.Param, "exp_avg", shape...)
	}
	return f
}

// Step applies, with V the mean of g² + ε₁ or, of a matrix, what the means of
// its rows and columns make of it: u = g/√V, u /= max(1, rms(u)/threshold),
// w -= lr·λ·w, w -= lr·u.
func (a *adafactor) Step(lr float64) error {
	for _, f := range a.params {
		f.Update(func(w, g []float32) { a.apply(f, lr*f.ratio, w, g) })
	}
	return nil
}

func (a *adafactor) apply(f *factored, lr float64, w, g []float32) {
	*f.steps++
	beta := 1 - math.Pow(float64(*f.steps), a.DecayRate)
	if a.ScaleParameter {
		lr *= max(a.Epsilon2, rms(w))
	}
	u := a.update[:len(w)]
	if f.square != nil {
		a.vector(f, beta, u, g)
	} else {
		a.matrix(f, beta, u, g)
	}
	factor := float32(lr / max(1, rms(u)/a.ClipThreshold))
	keep, beta1 := float32(1-f.decay*lr), float32(a.Beta1)
	rows(f.Param, len(w), func(from, to int) {
		for i := from; i < to; i++ {
			x := factor * u[i]
			if f.avg != nil {
				avg := f.avg.Float32s()
				avg[i] = beta1*avg[i] + (1-beta1)*x
				x = avg[i]
			}
			w[i] = keep*w[i] - x
		}
	})
}

// vector sets u to g/√V.
func (a *adafactor) vector(f *factored, beta float64, u, g []float32) {
	square, keep, fresh, eps := f.square.Float32s(), float32(beta), float32(1-beta), float32(a.Epsilon1)
	for i, x := range g {
		square[i] = keep*square[i] + fresh*(x*x+eps)
		u[i] = x / float32(math.Sqrt(float64(square[i])))
	}
}

// matrix sets u to g/√V, where V is the product of the means of rows and
// columns, divided by the mean of all.
func (a *adafactor) matrix(f *factored, beta float64, u, g []float32) {
	keep, fresh, eps := float32(beta), float32(1-beta), float32(a.Epsilon1)
	for k := range f.matrices {
		row, col := f.row.Float32s()[k*f.rows:(k+1)*f.rows], f.col.Float32s()[k*f.cols:(k+1)*f.cols]
		u, g := u[k*f.rows*f.cols:(k+1)*f.rows*f.cols], g[k*f.rows*f.cols:(k+1)*f.rows*f.cols]
		sums := a.sums[:f.cols]
		clear(sums)
		var mean float64 // of row
		for r := range row {
			var sum float32
			for c, x := range g[r*f.cols : (r+1)*f.cols] {
				square := x*x + eps
				sum += square
				sums[c] += square
			}
			row[r] = keep*row[r] + fresh*sum/float32(f.cols)
			mean += float64(row[r])
		}
		mean /= float64(f.rows)
		for c := range col {
			col[c] = keep*col[c] + fresh*sums[c]/float32(f.rows)
			sums[c] = float32(1 / math.Sqrt(float64(col[c])))
		}
		rows(f.Param, f.rows, func(from, to int) {
			for r := from; r < to; r++ {
				factor := float32(1 / math.Sqrt(float64(row[r])/mean))
				for c := range sums {
					u[r*f.cols+c] = factor * sums[c] * g[r*f.cols+c]
				}
			}
		})
	}
}

// rms returns the root of the mean of the squares of x.
func rms(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(1, len(x))))
}
