package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/registry"
)

// faulty is an extension of every kind whose methods do what it says.
type faulty struct{ do func() }

func (f faulty) Compute(*api.Output, *api.Batch) (*api.Var, error) { f.do(); return nil, nil }
func (f faulty) Weigh(s api.Segment) []api.Piece                   { f.do(); return s.Weigh(1) }
func (f faulty) Add(*api.Output, *api.Batch) error                 { f.do(); return nil }
func (f faulty) Result() (map[string]float64, error)               { f.do(); return nil, nil }
func (f faulty) Step(float64) error                                { f.do(); return nil }
func (f faulty) State() map[string]*tensor.Dense                   { f.do(); return nil }
func (f faulty) Restore(map[string]*tensor.Dense) error            { f.do(); return nil }
func (f faulty) Rates(float64) map[string]float64                  { f.do(); return nil }
func (f faulty) FormatTools(*api.ToolPrompt) (string, error)       { f.do(); return "", nil }
func (f faulty) FormatCalls([]api.ToolCall) (string, error)        { f.do(); return "", nil }
func (f faulty) FormatResults(*api.ToolResults) ([]string, error)  { f.do(); return nil, nil }
func (f faulty) ParseCalls(string) ([]api.ToolCall, error)         { f.do(); return nil, nil }
func (f faulty) Prepare(*api.Model) error                          { f.do(); return nil }
func (f faulty) Save(*api.Model) (*api.Adapter, error)             { f.do(); return nil, nil }
func (f faulty) Load(*api.Model, *api.Adapter) error               { f.do(); return nil }
func (f faulty) Merge(*api.Model) error                            { f.do(); return nil }
func (f faulty) Callback(int) (*api.Callback, error)               { f.do(); return nil, nil }
func (f faulty) Penalty() (*api.Var, error)                        { f.do(); return nil, nil }
func (f faulty) Score(context.Context, []api.Completion) ([]float64, error) {
	f.do()
	return nil, nil
}

type faultyStrategy struct{ faulty }

func (faultyStrategy) Strategy() {}

type faultyPRM struct{ faulty }

func (f faultyPRM) Score(context.Context, []api.Completion) ([][]float64, error) {
	f.do()
	return nil, nil
}

// faults returns a registry with one extension of each kind, all named x, whose
// methods call do.
func faults(t *testing.T, do func()) *registry.Registry {
	t.Helper()
	f := faulty{do}
	hook := func(*api.State) error { do(); return nil }
	c := &api.Callback{Save: func() (json.RawMessage, error) { do(); return nil, nil }, Load: func(json.RawMessage) error { do(); return nil }}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Field(i).Type() == reflect.TypeOf(hook) {
			v.Field(i).Set(reflect.ValueOf(hook))
		}
	}
	r := registry.New(api.Args{}, nil)
	add(t, r, plugin, api.Exports{
		Losses:     api.Losses{"x": func(*api.Args) (api.Loss, error) { return f, nil }},
		LossScales: api.LossScales{"x": func(*api.Args) (api.LossScale, error) { return f, nil }},
		Metrics:    api.Metrics{"x": func(*api.Args) (api.Metric, error) { return f, nil }},
		Optimizers: api.Optimizers{"x": func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error) {
			return f, func(int) float64 { do(); return 0 }, nil
		}},
		Callbacks:      api.Callbacks{"x": func(*api.Args) (*api.Callback, error) { return c, nil }},
		AgentTemplates: api.AgentTemplates{"x": func(*api.Args) (api.AgentTemplate, error) { return f, nil }},
		Tuners:         api.Tuners{"x": func(*api.Args) (api.Tuner, error) { return f, nil }},
		ORMs:           api.ORMs{"x": func(*api.Args) (api.ORM, error) { return f, nil }},
		PRMs:           api.PRMs{"x": func(*api.Args) (api.PRM, error) { return faultyPRM{f}, nil }},
	})
	return r
}

// calls calls every method of every kind of extension of r, and returns their
// errors by kind and method.
func calls(t *testing.T, r *registry.Registry) map[string]error {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	errs := map[string]error{}
	caught := func(f func()) (err error) {
		defer registry.Catch(&err)
		f()
		return nil
	}
	l, err := r.Loss("x")
	fail(err)
	_, errs["loss Compute"] = l.Compute(nil, nil)
	scale, err := r.LossScale("x")
	fail(err)
	errs["loss_scale Weigh"] = caught(func() { scale.Weigh(api.Segment{}) })
	m, err := r.Metric("x")
	fail(err)
	errs["metric Add"] = m.Add(nil, nil)
	_, errs["metric Result"] = m.Result()
	o, schedule, err := r.Optimizer("x", nil, 1)
	fail(err)
	errs["optimizer Step"] = o.Step(1)
	errs["optimizer State"] = caught(func() { o.(api.Stateful).State() })
	errs["optimizer Restore"] = o.(api.Stateful).Restore(nil)
	errs["optimizer Rates"] = caught(func() { o.(api.Rated).Rates(1) })
	errs["optimizer schedule"] = caught(func() { schedule(1) })
	c, err := r.Callback("x")
	fail(err)
	hooks := 0
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if hook, ok := v.Field(i).Interface().(func(*api.State) error); ok {
			errs["callback "+v.Type().Field(i).Name] = hook(nil)
			hooks++
		}
	}
	if hooks != 15 {
		t.Errorf("%d hooks are kept, want 15", hooks)
	}
	_, errs["callback Save"] = c.Save()
	errs["callback Load"] = c.Load(nil)
	a, err := r.AgentTemplate("x")
	fail(err)
	_, errs["agent_template FormatTools"] = a.FormatTools(nil)
	_, errs["agent_template FormatCalls"] = a.FormatCalls(nil)
	_, errs["agent_template FormatResults"] = a.FormatResults(nil)
	_, errs["agent_template ParseCalls"] = a.ParseCalls("")
	tuner, err := r.Tuner("x")
	fail(err)
	errs["tuner Prepare"] = tuner.Prepare(&api.Model{})
	_, errs["tuner Save"] = tuner.(api.Saver).Save(&api.Model{})
	errs["tuner Load"] = tuner.(api.Saver).Load(&api.Model{}, nil)
	errs["tuner Merge"] = tuner.(api.Merger).Merge(&api.Model{})
	_, errs["tuner Callback"] = tuner.(api.Hooked).Callback(1)
	_, errs["tuner Penalty"] = tuner.(api.Regularizer).Penalty()
	errs["tuner State"] = caught(func() { tuner.(api.Stateful).State() })
	errs["tuner Restore"] = tuner.(api.Stateful).Restore(nil)
	orm, err := r.ORM("x")
	fail(err)
	_, errs["orm Score"] = orm.Score(context.Background(), nil)
	prm, err := r.PRM("x")
	fail(err)
	_, errs["prm Score"] = prm.Score(context.Background(), nil)
	return errs
}

func TestPanics(t *testing.T) {
	for _, c := range []struct {
		do   func()
		want string
	}{
		{func() { panic("no luck") }, `panicked: no luck`},
		{func() { panic(errors.New("no luck")) }, `panicked: no luck`},
		{func() { _ = []int{1, 2}[len(t.Name())] }, `panicked: runtime error: index out of range \[10\] with length 2`},
		{func() { api.Const(api.Full(1, 2, 3)).Add(api.Const(api.Full(1, 2))) }, `add of shapes \[\(2, 3\) \(2\)\]`},
	} {
		for name, err := range calls(t, faults(t, c.do)) {
			kind, _, _ := strings.Cut(name, " ")
			want := regexp.MustCompile(`^` + kind + ` x \(plugins/focal\.so\): ` + c.want + ` \(\S+/guard_test\.go:\d+\)$`)
			if err == nil || !want.MatchString(err.Error()) {
				t.Errorf("%s: %v\nwant %s", name, err, want)
			}
		}
	}
	l, _ := faults(t, func() { api.Const(api.Full(1, 2)).Transpose() }).Loss("x")
	_, err := l.Compute(nil, nil)
	var shape *api.ShapeError
	if !errors.As(err, &shape) {
		t.Errorf("no ShapeError: %v", err)
	}
}

// TestNoFaults has the methods that may return nothing do so.
func TestNoFaults(t *testing.T) {
	refuses := map[string]string{
		"loss Compute": "loss x (plugins/focal.so): Compute returned nil and no error",
		"tuner Save":   "tuner x (plugins/focal.so): Save returned nil and no error",
	}
	for name, err := range calls(t, faults(t, func() {})) {
		if want := refuses[name]; want != "" {
			wantError(t, err, want)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The extensions below have each less, or other, than faulty.
type (
	scaleOnly    struct{ api.LossScale }
	stepOnly     struct{ api.Optimizer }
	stepState    struct{ stepOnly }
	stepRates    struct{ stepOnly }
	prepareOnly  struct{ api.Tuner }
	prepareSaves struct{ faulty }
	prepareHooks struct{ api.Tuner }
)

func (prepareHooks) Callback(steps int) (*api.Callback, error) {
	if steps == 0 {
		return &api.Callback{Save: func() (json.RawMessage, error) { return nil, nil }}, nil
	}
	return &api.Callback{OnStepEnd: func(*api.State) error { panic("no luck") }}, nil
}
func (prepareHooks) Penalty() (*api.Var, error) { return api.Const(api.Full(1, 2)), nil }

func (stepState) State() map[string]*tensor.Dense        { return map[string]*tensor.Dense{"m": nil} }
func (stepState) Restore(map[string]*tensor.Dense) error { return nil }
func (stepRates) Rates(lr float64) map[string]float64    { return map[string]float64{"vit": lr / 2} }

func TestOptionalInterfaces(t *testing.T) {
	for _, c := range []struct {
		o               api.Optimizer
		stateful, rated bool
	}{{stepOnly{}, false, false}, {stepState{}, true, false}, {stepRates{}, false, true}, {faulty{}, true, true}} {
		r := registry.New(api.Args{}, nil)
		add(t, r, plugin, api.Exports{Optimizers: api.Optimizers{"x": func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error) { return c.o, nil, nil }}})
		o, schedule, err := r.Optimizer("x", nil, 1)
		if err != nil || schedule != nil {
			t.Fatalf("%T: schedule %v, error %v", c.o, schedule, err)
		}
		if _, ok := o.(api.Stateful); ok != c.stateful {
			t.Errorf("%T is Stateful: %v", c.o, ok)
		}
		rated, ok := o.(api.Rated)
		if ok != c.rated {
			t.Errorf("%T is Rated: %v", c.o, ok)
		}
		if _, ok := c.o.(stepRates); ok && rated.Rates(2)["vit"] != 1 {
			t.Errorf("rates %v", rated.Rates(2))
		}
	}
	for _, c := range []struct {
		scale    api.LossScale
		strategy bool
	}{{scaleOnly{}, false}, {faultyStrategy{}, true}} {
		r := registry.New(api.Args{}, nil)
		add(t, r, plugin, api.Exports{LossScales: api.LossScales{"x": func(*api.Args) (api.LossScale, error) { return c.scale, nil }}})
		s, err := r.LossScale("x")
		if _, ok := s.(api.Strategy); err != nil || ok != c.strategy {
			t.Errorf("%T is a Strategy: %v, %v", c.scale, ok, err)
		}
	}
	for _, c := range []struct {
		tuner api.Tuner
		saver bool
	}{{prepareOnly{}, false}, {prepareSaves{}, true}} {
		r := registry.New(api.Args{}, nil)
		add(t, r, plugin, api.Exports{Tuners: api.Tuners{"x": func(*api.Args) (api.Tuner, error) { return c.tuner, nil }}})
		tuner, err := r.Tuner("x")
		if _, ok := tuner.(api.Saver); err != nil || ok != c.saver {
			t.Errorf("%T is a Saver: %v, %v", c.tuner, ok, err)
		}
	}
	tuner := func(made api.Tuner) api.Tuner {
		r := registry.New(api.Args{}, nil)
		add(t, r, plugin, api.Exports{Tuners: api.Tuners{"x": func(*api.Args) (api.Tuner, error) { return made, nil }}})
		x, err := r.Tuner("x")
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	plain := tuner(prepareOnly{})
	wantError(t, plain.(api.Merger).Merge(nil), "tuner x (plugins/focal.so): it cannot become part of the base model; want a tuner that is an api.Merger")
	if c, err := plain.(api.Hooked).Callback(1); c != nil || err != nil {
		t.Errorf("a tuner without hooks has %v, %v", c, err)
	}
	if v, err := plain.(api.Regularizer).Penalty(); v != nil || err != nil {
		t.Errorf("a tuner without a penalty has %v, %v", v, err)
	}
	if s := plain.(api.Stateful); len(s.State()) > 0 || s.Restore(nil) != nil {
		t.Error("a tuner without state has one")
	}
	hooked := tuner(prepareHooks{})
	hooks, err := hooked.(api.Hooked).Callback(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := hooks.OnStepEnd(nil); err == nil || !strings.HasPrefix(err.Error(), "tuner x (plugins/focal.so): panicked: no luck") {
		t.Errorf("a hook of a tuner that panics: %v", err)
	}
	_, err = hooked.(api.Hooked).Callback(0)
	wantError(t, err, "tuner x (plugins/focal.so): only one of Save and Load is set, want both or neither")
	_, err = hooked.(api.Regularizer).Penalty()
	wantError(t, err, "tuner x (plugins/focal.so): Penalty returned a tensor of shape (2), want a single value")
}

type weighs []api.Piece

func (w weighs) Weigh(api.Segment) []api.Piece { return w }

// TestMoreAdapters has a tuner save a second form of its adapter.
func TestMoreAdapters(t *testing.T) {
	for folder, want := range map[string]string{
		"converted/default": "", "../up": "one more adapter for the folder \"../up\"", ".": "one more adapter", "/up": "one more adapter", "bad": "bad: Save returned a Config",
	} {
		r := registry.New(api.Args{}, nil)
		more := &api.Adapter{Config: json.RawMessage("{}")}
		if folder == "bad" {
			more.Config = json.RawMessage("{")
		}
		add(t, r, plugin, api.Exports{Tuners: api.Tuners{"x": func(*api.Args) (api.Tuner, error) { return savesMore{more: map[string]*api.Adapter{folder: more}}, nil }}})
		tuner, err := r.Tuner("x")
		if err != nil {
			t.Fatal(err)
		}
		_, err = tuner.(api.Saver).Save(nil)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", folder, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", folder, err, want)
		}
	}
}

type savesMore struct {
	faulty
	more map[string]*api.Adapter
}

func (s savesMore) Save(*api.Model) (*api.Adapter, error) { return &api.Adapter{More: s.more}, nil }

func TestPieces(t *testing.T) {
	long := strings.Repeat("é", 50)
	for _, c := range []struct {
		text   string
		pieces weighs
		want   string
	}{
		{"ab", weighs{{Text: "a", Weight: 0}, {Text: "b", Weight: 2.5}}, ""},
		{"", nil, ""},
		{"ab", weighs{{Text: "a", Weight: -1}, {Text: "b", Weight: 1}}, "piece 0 has weight -1, want a number from 0 up"},
		{"ab", weighs{{Text: "a", Weight: 1}, {Text: "b", Weight: math.NaN()}}, "piece 1 has weight NaN, want a number from 0 up"},
		{"ab", weighs{{Text: "ab", Weight: math.Inf(1)}}, "piece 0 has weight +Inf, want a number from 0 up"},
		{"abc", weighs{{Text: "a", Weight: 1}, {Text: "c", Weight: 1}}, `the pieces do not join to the segment's text: piece 1 is "c" where the text goes on with "bc"`},
		{"abc", weighs{{Text: "a", Weight: 1}}, `the pieces do not join to the segment's text: "bc" at its end is in none`},
		{"ab", weighs{{Text: "ab", Weight: 1}, {Text: "c", Weight: 1}}, `the pieces do not join to the segment's text: piece 1 is "c" where the text goes on with ""`},
		{long, nil, `the pieces do not join to the segment's text: "` + strings.Repeat("é", 40) + `"… at its end is in none`},
	} {
		r := registry.New(api.Args{}, nil)
		add(t, r, registry.Origin{}, api.Exports{LossScales: api.LossScales{"x": func(*api.Args) (api.LossScale, error) { return c.pieces, nil }}})
		scale, err := r.LossScale("x")
		if err != nil {
			t.Fatal(err)
		}
		err = func() (err error) {
			defer registry.Catch(&err)
			if got := scale.Weigh(api.Segment{Text: c.text}); !reflect.DeepEqual(got, []api.Piece(c.pieces)) {
				t.Errorf("pieces %v, want %v", got, c.pieces)
			}
			return nil
		}()
		if c.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		wantError(t, err, "loss_scale x: "+c.want)
	}
}

func TestResults(t *testing.T) {
	r := registry.New(api.Args{}, nil)
	add(t, r, plugin, api.Exports{
		Optimizers: api.Optimizers{"x": func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error) {
			return stepState{}, func(step int) float64 { return 1 / float64(step-1) }, nil
		}},
		ORMs: api.ORMs{"x": func(*api.Args) (api.ORM, error) {
			return api.ORMFunc(func(context.Context, []api.Completion) ([]float64, error) { return []float64{1, math.NaN()}, nil }), nil
		}},
		PRMs: api.PRMs{"x": func(*api.Args) (api.PRM, error) {
			return api.PRMFunc(func(context.Context, []api.Completion) ([][]float64, error) { return nil, context.Canceled }), nil
		}, "y": func(*api.Args) (api.PRM, error) {
			return api.PRMFunc(func(context.Context, []api.Completion) ([][]float64, error) { return [][]float64{{1}, {}}, nil }), nil
		}},
		Metrics: api.Metrics{"x": func(*api.Args) (api.Metric, error) { return measures{"loss": 1}, nil }},
		Callbacks: api.Callbacks{"x": func(*api.Args) (*api.Callback, error) {
			return &api.Callback{
				OnSave: func(*api.State) error { return context.Canceled },
				Save:   func() (json.RawMessage, error) { return json.RawMessage("{"), nil }, Load: func(json.RawMessage) error { return nil },
			}, nil
		}},
		AgentTemplates: api.AgentTemplates{"x": func(*api.Args) (api.AgentTemplate, error) { return understandsHalf{}, nil }},
	})
	o, schedule, _ := r.Optimizer("x", nil, 1)
	caught := func(f func()) (err error) {
		defer registry.Catch(&err)
		f()
		return nil
	}
	wantError(t, caught(func() { o.(api.Stateful).State() }), `optimizer x (plugins/focal.so): the tensor "m" of its state is nil`)
	wantError(t, caught(func() { schedule(0) }), "optimizer x (plugins/focal.so): its schedule gives learning rate -1 at step 0, want a number from 0 up")
	wantError(t, caught(func() { schedule(1) }), "optimizer x (plugins/focal.so): its schedule gives learning rate +Inf at step 1, want a number from 0 up")
	if schedule(2) != 1 {
		t.Errorf("schedule of 2: %g", schedule(2))
	}
	orm, _ := r.ORM("x")
	if rewards, err := orm.Score(context.Background(), make([]api.Completion, 2)); err != nil || rewards[0] != 1 || rewards[1] == rewards[1] {
		t.Errorf("rewards %v, %v", rewards, err)
	}
	_, err := orm.Score(context.Background(), make([]api.Completion, 3))
	wantError(t, err, "orm x (plugins/focal.so): 2 rewards for 3 completions, want one for each")
	prm, _ := r.PRM("x")
	_, err = prm.Score(context.Background(), make([]api.Completion, 3))
	wantError(t, err, "prm x (plugins/focal.so): context canceled")
	prm, _ = r.PRM("y")
	_, err = prm.Score(context.Background(), make([]api.Completion, 2))
	wantError(t, err, "prm y (plugins/focal.so): completion 1 has no reward, want one for each step or one for the whole; NaN is no opinion")
	m, _ := r.Metric("x")
	_, err = m.Result()
	wantError(t, err, "metric x (plugins/focal.so): Result has a measurement named loss, as the evaluation's own is; want another name")
	c, _ := r.Callback("x")
	if c.OnLog != nil || c.OnTrainEnd != nil {
		t.Error("hooks that the callback does not have are there")
	}
	err = c.OnSave(nil)
	wantError(t, err, "callback x (plugins/focal.so): OnSave: context canceled")
	if !errors.Is(err, context.Canceled) {
		t.Error("the cause is lost")
	}
	_, err = c.Save()
	wantError(t, err, "callback x (plugins/focal.so): Save returned what is no JSON")
	a, _ := r.AgentTemplate("x")
	if got, err := a.ParseCalls("f() g("); len(got) != 1 || err == nil {
		t.Errorf("what was understood is lost: %v, %v", got, err)
	}
}

type measures map[string]float64

func (measures) Add(*api.Output, *api.Batch) error     { return nil }
func (m measures) Result() (map[string]float64, error) { return m, nil }

type prepares func(*api.Model)

func (p prepares) Prepare(m *api.Model) error { p(m); return nil }

// TestTunedModel has tuners leave a model behind that cannot be gone on with.
func TestTunedModel(t *testing.T) {
	for _, c := range []struct {
		prepare prepares
		want    string
	}{
		{func(m *api.Model) { m.AddParam("p", 1, 1); m.AddParam("p", 1, 1) },
			"two parameters are named p, and a checkpoint keeps one; want names of their own, such as a layer's with more behind it"},
		{func(m *api.Model) {
			m.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Transpose() })
		}, "what it wraps around l returned shape (4, 3), want (3, 4)"},
		{func(m *api.Model) {
			m.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var { return nil })
		}, "what it wraps around l returned nil, want shape (3, 4)"},
		{func(m *api.Model) {
			m.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Scale(2) })
		}, ""},
	} {
		r := registry.New(api.Args{}, nil)
		add(t, r, plugin, api.Exports{Tuners: api.Tuners{"x": func(*api.Args) (api.Tuner, error) { return c.prepare, nil }}})
		tuner, err := r.Tuner("x")
		if err != nil {
			t.Fatal(err)
		}
		w := api.NewParam("l.weight", api.Full(1, 4, 2))
		m := &api.Model{Params: []*api.Param{w}, Linears: []*api.Linear{{Name: "l", In: 2, Out: 4, Weight: w}}}
		err = r.Guard(func() error {
			err := tuner.Prepare(m)
			if err == nil {
				m.Linears[0].Forward(api.Const(api.Full(1, 3, 2)))
			}
			return err
		})
		want := "<nil>"
		if c.want != "" {
			want = "tuner x (plugins/focal.so): " + c.want
		}
		wantError(t, err, want)
	}
}

type understandsHalf struct{ faulty }

func (understandsHalf) ParseCalls(string) ([]api.ToolCall, error) {
	return []api.ToolCall{{Name: "f"}}, errors.New("g( does not end")
}

// TestGuardLater has a loss and a tuner leave a fault behind them, in the
// gradient of an operation and in a layer's forward pass.
func TestGuardLater(t *testing.T) {
	r := registry.New(api.Args{}, nil)
	add(t, r, plugin, api.Exports{
		Losses: api.Losses{"x": func(*api.Args) (api.Loss, error) {
			return api.LossFunc(func(out *api.Output, _ *api.Batch) (*api.Var, error) {
				return api.Apply(api.Full(1, 1), func(*tensor.Dense) []*tensor.Dense { panic("no gradient") }, out.Hidden()), nil
			}), nil
		}},
	})
	add(t, r, registry.Origin{}, api.Exports{Tuners: api.Tuners{"x": newFull}})
	run := func() error {
		l, err := r.Loss("x")
		if err != nil {
			return err
		}
		v, err := l.Compute(api.LogitsOutput(api.NewParam("p", api.Full(1, 1)).Var), nil)
		if err != nil {
			return err
		}
		return v.Backward()
	}
	err := r.Guard(run)
	if err == nil || !regexp.MustCompile(`^loss x \(plugins/focal\.so\): panicked: no gradient \(\S+/guard_test\.go:\d+\)$`).MatchString(err.Error()) {
		t.Errorf("guard: %v", err)
	}
	if err := r.Guard(func() error { return context.Canceled }); err != context.Canceled {
		t.Errorf("guard of an error: %v", err)
	}
	wantError(t, r.Guard(func() error { panic(err) }), err.Error())
}

// TestHostPanics checks that faults of the host's own stay panics.
func TestHostPanics(t *testing.T) {
	r := registry.New(api.Args{}, nil)
	add(t, r, registry.Origin{}, api.Exports{Losses: api.Losses{"x": newPlain}})
	if _, err := r.Loss("x"); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(){
		"guard": func() { r.Guard(func() error { panic("host") }) },
		"catch": func() { var err error; defer registry.Catch(&err); panic("host") },
	} {
		func() {
			defer func() {
				if v := recover(); v != "host" {
					t.Errorf("%s: panic with %v, want host", name, v)
				}
			}()
			f()
		}()
	}
}
