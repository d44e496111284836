package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// recorder is a test that notes its failures.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// fails returns what a check has to say against an extension.
func fails(t *testing.T, check func(t testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return strings.Join(r.failures, "\n")
}

// expect reports a check that does not say want; "" is no failure at all.
func expect(t *testing.T, name, want string, check func(t testing.TB)) {
	t.Helper()
	got := fails(t, check)
	if want == "" && got != "" {
		t.Errorf("%s: %s", name, got)
	}
	if !strings.Contains(got, want) {
		t.Errorf("%s: the kit says %q, want %q", name, got, want)
	}
}

// maker returns a constructor of an extension without settings.
func maker[T any](make func() T) func(*api.Args) (T, error) {
	return func(args *api.Args) (T, error) { return make(), args.Decode(&struct{}{}) }
}

func TestLossFindsMistakes(t *testing.T) {
	ce := func(out *api.Output, b *api.Batch) *api.Var { return out.CrossEntropy(b.Labels) }
	for _, c := range []struct {
		name, want string
		loss       api.LossFunc
	}{
		{"right per token", "", func(out *api.Output, b *api.Batch) (*api.Var, error) { return ce(out, b), nil }},
		{"right single", "", func(out *api.Output, b *api.Batch) (*api.Var, error) { return ce(out, b).Sum().Scale(1 / b.Items), nil }},
		{"wrong gradient", "by differences", func(out *api.Output, b *api.Batch) (*api.Var, error) {
			y := ce(out, b)
			return api.Apply(y.Value(), func(g *tensor.Dense) []*tensor.Dense {
				half := g.Clone().(*tensor.Dense)
				for i := range half.Float32s() {
					half.Float32s()[i] /= 2
				}
				return []*tensor.Dense{half}
			}, y), nil
		}},
		{"no gradient", "no trainable parameter", func(out *api.Output, b *api.Batch) (*api.Var, error) { return ce(out, b).Detach(), nil }},
		{"counts what is ignored", "whose label is Ignore", func(out *api.Output, b *api.Batch) (*api.Var, error) { return out.Logits().LogSoftmax().Mean(), nil }},
		{"divides by nothing", "want a finite number", func(out *api.Output, b *api.Batch) (*api.Var, error) {
			n := 0.0
			for _, l := range b.Labels {
				if l != api.Ignore {
					n++
				}
			}
			return ce(out, b).Sum().Scale(1 / n), nil
		}},
		{"not finite", "want a finite number", func(out *api.Output, b *api.Batch) (*api.Var, error) { return ce(out, b).Neg().Log(), nil }},
		{"wrong shape", "one value per token", func(out *api.Output, b *api.Batch) (*api.Var, error) { return out.Logits(), nil }},
		{"error", "compute: no", func(out *api.Output, b *api.Batch) (*api.Var, error) { return nil, errors.New("no") }},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { Loss(t, maker(func() api.Loss { return c.loss })) })
	}
}

func TestUnknownSettings(t *testing.T) {
	const want = `the setting "gama"`
	expect(t, "loss", want, func(t testing.TB) {
		Loss(t, func(*api.Args) (api.Loss, error) {
			return api.LossFunc(func(out *api.Output, b *api.Batch) (*api.Var, error) { return out.CrossEntropy(b.Labels), nil }), nil
		})
	})
	expect(t, "loss scale", want, func(t testing.TB) {
		LossScale(t, func(*api.Args) (api.LossScale, error) { return weigher(whole), nil })
	})
	expect(t, "metric", want, func(t testing.TB) { Metric(t, func(*api.Args) (api.Metric, error) { return &count{}, nil }) })
	expect(t, "optimizer", want, func(t testing.TB) {
		Optimizer(t, func(_ *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
			return newMomentum(m), nil, nil
		})
	})
	expect(t, "callback", want, func(t testing.TB) {
		Callback(t, func(*api.Args) (*api.Callback, error) { return &api.Callback{}, nil })
	})
	expect(t, "agent template", want, func(t testing.TB) {
		AgentTemplate(t, func(*api.Args) (api.AgentTemplate, error) { return lines{}, nil })
	})
	expect(t, "tuner", want, func(t testing.TB) { Tuner(t, func(*api.Args) (api.Tuner, error) { return biases{}, nil }) })
	expect(t, "orm", want, func(t testing.TB) { ORM(t, func(*api.Args) (api.ORM, error) { return length, nil }) })
	expect(t, "prm", want, func(t testing.TB) { PRM(t, func(*api.Args) (api.PRM, error) { return lengths, nil }) })
}

func TestSettingsAreHandedOn(t *testing.T) {
	seen := false
	expect(t, "setting", "", func(t testing.TB) {
		ORM(t, func(args *api.Args) (api.ORM, error) {
			s := struct {
				Gamma float64 `json:"gamma"`
			}{}
			err := args.Decode(&s)
			seen = seen || s.Gamma == 1.5
			return length, err
		}, With(map[string]any{"gamma": 1.5}))
	})
	if !seen {
		t.Error("the constructor did not see the setting")
	}
}

// weigher is a LossScale that is only a function.
type weigher func(api.Segment) []api.Piece

func (w weigher) Weigh(s api.Segment) []api.Piece { return w(s) }

func whole(s api.Segment) []api.Piece { return s.Weigh(1) }

func TestLossScaleFindsMistakes(t *testing.T) {
	var mu sync.Mutex
	asked := map[api.Segment]float64{}
	for _, c := range []struct {
		name, want string
		scale      weigher
	}{
		{"right", "", whole},
		{"a lost piece", "join to", func(s api.Segment) []api.Piece { return api.Segment{Text: strings.TrimSpace(s.Text)}.Weigh(1) }},
		{"a negative weight", "not negative", func(s api.Segment) []api.Piece { return s.Weigh(-1) }},
		{"not a number", "not negative", func(s api.Segment) []api.Piece { return s.Weigh(math.NaN()) }},
		{"broken characters", "join to", func(s api.Segment) []api.Piece {
			var pieces []api.Piece
			for _, r := range s.Text {
				pieces = append(pieces, api.Piece{Text: string(r), Weight: 1})
			}
			return pieces
		}},
		{"another answer each time", "at another", func(s api.Segment) []api.Piece {
			mu.Lock()
			defer mu.Unlock()
			asked[s]++
			return s.Weigh(asked[s])
		}},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { LossScale(t, maker(func() api.LossScale { return c.scale })) })
	}
}

// count is a metric that measures the share of tokens that count.
type count struct {
	counted, all float64
	keep         []*api.Batch
	last         func(c *count) (map[string]float64, error)
}

func (c *count) Add(out *api.Output, b *api.Batch) error {
	c.keep = append(c.keep, b)
	for _, l := range b.Labels {
		c.all++
		if l != api.Ignore {
			c.counted++
		}
	}
	return nil
}

func (c *count) Result() (map[string]float64, error) {
	if c.last != nil {
		return c.last(c)
	}
	return map[string]float64{"share": c.counted / max(1, c.all)}, nil
}

func TestMetricFindsMistakes(t *testing.T) {
	shared := &count{}
	for _, c := range []struct {
		name, want string
		make       func() api.Metric
	}{
		{"right", "", func() api.Metric { return &count{} }},
		{"shared", "made anew", func() api.Metric {
			shared.last = func(c *count) (map[string]float64, error) { return map[string]float64{"all": c.all}, nil }
			return shared
		}},
		{"kept batch", "used again", func() api.Metric {
			return &count{last: func(c *count) (map[string]float64, error) {
				n := 0.0
				for _, b := range c.keep {
					for _, l := range b.Labels {
						n += float64(l)
					}
				}
				return map[string]float64{"sum": n}, nil
			}}
		}},
		{"divides by nothing", "without batches", func() api.Metric {
			return &count{last: func(c *count) (map[string]float64, error) { return map[string]float64{"share": c.counted / c.all}, nil }}
		}},
		{"no name", "has the name", func() api.Metric {
			return &count{last: func(c *count) (map[string]float64, error) { return map[string]float64{"": 1}, nil }}
		}},
		{"prefix", "has the name", func() api.Metric {
			return &count{last: func(c *count) (map[string]float64, error) { return map[string]float64{"eval_x": 1}, nil }}
		}},
		{"nothing", "no measurement", func() api.Metric {
			return &count{last: func(c *count) (map[string]float64, error) { return nil, nil }}
		}},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { Metric(t, maker(c.make)) })
	}
}

// momentum is gradient descent with momentum, with places for mistakes.
type momentum struct {
	params []*api.Param
	v      map[string]*tensor.Dense
	uphill bool
	all    bool // changes parameters without a gradient
	forget bool // does not restore
}

func newMomentum(m *api.Model) *momentum {
	o := &momentum{params: m.Trainable(), v: map[string]*tensor.Dense{}}
	for _, p := range m.Params {
		o.v[p.Name] = api.Full(0, p.Shape()...)
	}
	return o
}

func (o *momentum) Step(lr float64) error {
	for _, p := range o.params {
		v := o.v[p.Name].Float32s()
		if o.all {
			p.Set(func(w []float32) {
				for i := range w {
					w[i] *= 1 - float32(lr)
				}
			})
		}
		p.Update(func(w, g []float32) {
			for i := range w {
				v[i] = 0.5*v[i] + g[i]
				if o.uphill {
					w[i] += float32(lr) * v[i]
				} else {
					w[i] -= float32(lr) * v[i]
				}
			}
		})
	}
	return nil
}

func (o *momentum) State() map[string]*tensor.Dense { return o.v }

func (o *momentum) Restore(state map[string]*tensor.Dense) error {
	if !o.forget {
		o.v = state
	}
	return nil
}

func TestOptimizerFindsMistakes(t *testing.T) {
	steps := 0
	for _, c := range []struct {
		name, want string
		change     func(o *momentum, m *api.Model)
		schedule   api.Schedule
	}{
		{"right", "", func(*momentum, *api.Model) {}, nil},
		{"right with a schedule", "", func(*momentum, *api.Model) {}, api.Cosine(0.02, 10, 400)},
		{"uphill", "want a hundredth", func(o *momentum, _ *api.Model) { o.uphill = true }, nil},
		{"frozen", "a frozen parameter", func(o *momentum, m *api.Model) { o.params, o.all = m.Params, true }, nil},
		{"without gradient", "without a gradient", func(o *momentum, m *api.Model) { o.all = true }, nil},
		{"forgetful", "is not what it is when", func(o *momentum, m *api.Model) { o.forget = true }, nil},
		{"an impure schedule", "function of the step alone", func(*momentum, *api.Model) {}, func(int) float64 { steps++; return 1 / float64(steps) }},
		{"a negative rate", "not negative", func(*momentum, *api.Model) {}, func(step int) float64 { return 0.02 * (1 - float64(step)/400) }},
	} {
		expect(t, c.name, c.want, func(t testing.TB) {
			Optimizer(t, func(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
				o := newMomentum(m)
				c.change(o, m)
				return o, c.schedule, args.Decode(&struct{}{})
			})
		})
	}
}

// stopper asks for the end after the third step.
func stopper(change func(c *api.Callback, n *int)) func() *api.Callback {
	return func() *api.Callback {
		n := 0
		c := &api.Callback{
			OnSave: func(s *api.State) error {
				if n++; n == 3 {
					s.Stop = "enough"
				}
				return nil
			},
			Save: func() (json.RawMessage, error) { return json.Marshal(n) },
			Load: func(text json.RawMessage) error { return json.Unmarshal(text, &n) },
		}
		change(c, &n)
		return c
	}
}

func TestCallbackFindsMistakes(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(c *api.Callback, n *int)
	}{
		{"right", "", func(*api.Callback, *int) {}},
		{"a failing hook", "OnEvaluate: no", func(c *api.Callback, _ *int) {
			c.OnEvaluate = func(*api.State) error { return errors.New("no") }
		}},
		{"save without load", "want both or neither", func(c *api.Callback, _ *int) { c.Load = nil }},
		{"load does nothing", "after that was loaded", func(c *api.Callback, _ *int) { c.Load = func(json.RawMessage) error { return nil } }},
		{"not JSON", "which is not JSON", func(c *api.Callback, _ *int) {
			c.Save = func() (json.RawMessage, error) { return []byte("three"), nil }
		}},
		{"saves too little", "the wishes are", func(c *api.Callback, n *int) {
			c.Save = func() (json.RawMessage, error) { return json.Marshal(0) }
		}},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { Callback(t, maker(stopper(c.change))) })
	}
}

func TestCallbackCallsEveryHook(t *testing.T) {
	var order []string
	hook := func(name string) func(*api.State) error {
		return func(*api.State) error { order = append(order, name); return nil }
	}
	expect(t, "hooks", "", func(t testing.TB) {
		Callback(t, maker(func() *api.Callback {
			return &api.Callback{
				OnInitEnd: hook("a"), OnTrainBegin: hook("b"), OnEpochBegin: hook("c"), OnStepBegin: hook("d"), OnSubstepEnd: hook("e"),
				OnPreOptimizerStep: hook("f"), OnOptimizerStep: hook("g"), OnStepEnd: hook("h"), OnLog: hook("i"), OnPredictionStep: hook("j"),
				OnEvaluate: hook("k"), OnPredict: hook("o"), OnSave: hook("l"), OnEpochEnd: hook("m"), OnTrainEnd: hook("n"),
			}
		}))
	})
	const step, four = "defghijjkl", 4
	want := "ab" + strings.Repeat("c"+strings.Repeat(step, four)+"m", 2) + "no"
	if got := strings.Join(order, ""); got != want {
		t.Errorf("the hooks are called as %s, want %s", got, want)
	}
}
