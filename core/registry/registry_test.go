package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"swiftgo/api"
	"swiftgo/core/registry"
)

var plugin = registry.Origin{File: "plugins/focal.so", Path: "/opt/plugins/focal.so", SHA256: "ab", Version: "1.2.0", PluginName: "focal"}

// plain is a loss that keeps what its constructor was told.
type plain struct{ args *api.Args }

func (plain) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	return out.CrossEntropy(b.Labels), nil
}

func newPlain(args *api.Args) (api.Loss, error) { return plain{args}, nil }

func newFull(*api.Args) (api.Tuner, error) { return faulty{}, nil }

// filled returns a registry with two built-in losses, of which remember keeps
// its arguments in told, and a plugin's.
func filled(t *testing.T, own map[string]map[string]any) (r *registry.Registry, told *api.Args) {
	t.Helper()
	told = &api.Args{}
	r = registry.New(api.Args{Seed: 7}, own)
	remember := func(args *api.Args) (api.Loss, error) { *told = *args; return plain{}, nil }
	add(t, r, registry.Origin{}, api.Exports{Losses: api.Losses{"cross_entropy": newPlain, "remember": remember}, Tuners: api.Tuners{"full": newFull}})
	add(t, r, plugin, api.Exports{Losses: api.Losses{"focal": newPlain}})
	return r, told
}

func add(t *testing.T, r *registry.Registry, o registry.Origin, e api.Exports) {
	t.Helper()
	if err := r.Add(o, e); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if fmt.Sprint(err) != want {
		t.Errorf("error %q\n want %q", fmt.Sprint(err), want)
	}
}

func TestUnknownNames(t *testing.T) {
	r, _ := filled(t, nil)
	for _, c := range []struct {
		kind, name, want string
	}{
		{"loss", "focl", `no loss "focl"; there are cross_entropy, focal (plugins/focal.so), remember; did you mean focal?`},
		{"loss", "Focal", `no loss "Focal"; there are cross_entropy, focal (plugins/focal.so), remember; did you mean focal?`},
		{"loss", "dice", `no loss "dice"; there are cross_entropy, focal (plugins/focal.so), remember; if a plugin has it, that belongs into --plugins_dir`},
		{"tuner", "lora", `no tuner "lora"; there is full; if a plugin has it, that belongs into --plugins_dir`},
		{"orm", "math", `no orm "math"; there are none; if a plugin has it, that belongs into --plugins_dir`},
		{"loss", "focal", "<nil>"},
	} {
		wantError(t, r.Has(c.kind, c.name), c.want)
	}
	_, err := r.Loss("focl")
	wantError(t, err, r.Has("loss", "focl").Error())
	_, _, err = r.Optimizer("sgd", nil, 1)
	wantError(t, err, `no optimizer "sgd"; there are none; if a plugin has it, that belongs into --plugins_dir`)
}

func TestDuplicates(t *testing.T) {
	r, _ := filled(t, nil)
	other := registry.Origin{File: "plugins/other.so"}
	wantError(t, r.Add(other, api.Exports{Losses: api.Losses{"focal": newPlain, "new": newPlain}}),
		"loss focal is in both plugins/focal.so and plugins/other.so; remove or rename one of them")
	if r.Has("loss", "new") == nil {
		t.Error("a refused plugin has left something behind")
	}
	builtin := api.Exports{Losses: api.Losses{"cross_entropy": newPlain}}
	wantError(t, r.Add(other, builtin),
		"loss cross_entropy of plugins/other.so is also built in; rename it, or give --override loss.cross_entropy if it is meant to take its place")
	wantError(t, r.AllowOverride("losses.cross_entropy"),
		`override "losses.cross_entropy": want KIND.NAME, where KIND is one of loss, loss_scale, metric, optimizer, callback, agent_template, tuner, orm, prm`)
	if r.AllowOverride("loss") == nil || r.AllowOverride("loss.") == nil {
		t.Error("an override without a name is taken")
	}
	if err := r.AllowOverride("loss.cross_entropy"); err != nil {
		t.Fatal(err)
	}
	add(t, r, other, builtin)
	if got := r.List()[0]; got.Name != "cross_entropy" || got.File != other.File {
		t.Errorf("after the override: %+v", got)
	}
	wantError(t, r.Add(registry.Origin{File: "plugins/third.so"}, builtin),
		"loss cross_entropy is in both plugins/other.so and plugins/third.so; remove or rename one of them")
	add(t, r, other, api.Exports{ORMs: api.ORMs{"focal": func(*api.Args) (api.ORM, error) { return faulty{}, nil }}}) // another kind
}

func TestSettings(t *testing.T) {
	given := map[string]map[string]any{"remember": {"gamma": 1.5}, "focal": {"gamma": 2.0, "alpha": 1.0}, "focl": {"gamma": 2.0}, "empty": {}}
	r, told := filled(t, given)
	r.Defaults("remember", map[string]any{"gamma": 9.0, "beta": 3.0})
	r.Defaults("cross_entropy", map[string]any{"x": 1.0})
	if _, err := r.Loss("remember"); err != nil {
		t.Fatal(err)
	}
	if told.Name != "remember" || told.Seed != 7 || !reflect.DeepEqual(told.Own, map[string]any{"gamma": 1.5, "beta": 3.0}) {
		t.Errorf("told %+v", told)
	}
	told.Own["beta"], told.Own["gamma"] = 0, 0
	if r.Loss("remember"); told.Own["beta"] != 3.0 || told.Own["gamma"] != 1.5 {
		t.Errorf("an extension changed the settings to %v", told.Own)
	}
	if got := r.Unused(); !reflect.DeepEqual(got, []string{"focal", "focl"}) {
		t.Errorf("unused %v", got)
	}
	wantError(t, r.CheckOwn(), "--focal.alpha, --focal.gamma are given, but focal is not used by this run\n"+
		"--focl.gamma is given, but there is no extension focl; did you mean focal?")
	if err := r.Has("loss", "focal"); err != nil {
		t.Fatal(err)
	}
	delete(given, "focl")
	if err := r.CheckOwn(); err != nil {
		t.Errorf("after all were chosen: %v", err)
	}
}

func TestDefaultsAreOfBuiltIns(t *testing.T) {
	r, _ := filled(t, nil)
	r.Defaults("mine", map[string]any{"rank": 8.0})
	var told *api.Args
	add(t, r, registry.Origin{File: "plugins/mine.so"}, api.Exports{Losses: api.Losses{"mine": func(args *api.Args) (api.Loss, error) { told = args; return plain{}, nil }}})
	if _, err := r.Loss("mine"); err != nil || len(told.Own) != 0 {
		t.Errorf("a plugin is told %v, %v", told.Own, err)
	}
}

func TestUsed(t *testing.T) {
	r, _ := filled(t, nil)
	for _, name := range []string{"focal", "cross_entropy", "focal"} {
		if _, err := r.Loss(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Has("tuner", "full"); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r.Used())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"kind":"loss","name":"focal","file":"plugins/focal.so","path":"/opt/plugins/focal.so","sha256":"ab","version":"1.2.0","plugin":"focal"},{"kind":"loss","name":"cross_entropy"}]`
	if string(text) != want {
		t.Errorf("used %s\nwant %s", text, want)
	}
	var names []string
	for _, e := range r.List() {
		names = append(names, e.Kind+" "+e.Name+" "+e.Origin.String())
	}
	if got := strings.Join(names, ", "); got != "loss cross_entropy built in, loss focal plugins/focal.so, loss remember built in, tuner full built in" {
		t.Errorf("list %s", got)
	}
}

func TestConstructorErrors(t *testing.T) {
	refused := errors.New("gamma is 0.5, want 1 or more")
	var none *plain
	exports := api.Exports{
		Losses: api.Losses{
			"refuses":  func(*api.Args) (api.Loss, error) { return nil, refused },
			"nothing":  func(*api.Args) (api.Loss, error) { return nil, nil },
			"pointer":  func(*api.Args) (api.Loss, error) { return none, nil },
			"function": func(*api.Args) (api.Loss, error) { return api.LossFunc(nil), nil },
			"panics":   func(*api.Args) (api.Loss, error) { panic("no") },
		},
		Optimizers: api.Optimizers{"nothing": func(*api.Args, *api.Model, int) (api.Optimizer, api.Schedule, error) { return nil, nil, nil }},
		Callbacks: api.Callbacks{
			"nothing": func(*api.Args) (*api.Callback, error) { return nil, nil },
			"half": func(*api.Args) (*api.Callback, error) {
				return &api.Callback{Load: func(json.RawMessage) error { return nil }}, nil
			},
		},
	}
	r := registry.New(api.Args{}, nil)
	add(t, r, plugin, exports)
	for name, want := range map[string]string{
		"refuses": "loss refuses (plugins/focal.so): gamma is 0.5, want 1 or more", "nothing": "loss nothing (plugins/focal.so): the constructor returned nil and no error",
		"pointer": "loss pointer (plugins/focal.so): the constructor returned nil and no error", "function": "loss function (plugins/focal.so): the constructor returned nil and no error",
	} {
		l, err := r.Loss(name)
		wantError(t, err, want)
		if l != nil {
			t.Errorf("%s: %v with an error", name, l)
		}
	}
	_, err := r.Loss("refuses")
	var e *registry.ExtensionError
	if !errors.Is(err, refused) || !errors.As(err, &e) || e.Kind != "loss" || e.Name != "refuses" || e.File != plugin.File {
		t.Errorf("the cause is lost: %#v", err)
	}
	_, err = r.Loss("panics")
	if err == nil || !regexp.MustCompile(`^loss panics \(plugins/focal\.so\): panicked: no \(\S+/registry_test\.go:\d+\)$`).MatchString(err.Error()) {
		t.Errorf("a constructor that panics: %v", err)
	}
	_, _, err = r.Optimizer("nothing", nil, 1)
	wantError(t, err, "optimizer nothing (plugins/focal.so): the constructor returned nil and no error")
	_, err = r.Callback("nothing")
	wantError(t, err, "callback nothing (plugins/focal.so): the constructor returned nil and no error")
	_, err = r.Callback("half")
	wantError(t, err, "callback half (plugins/focal.so): only one of Save and Load is set, want both or neither")
	if len(r.Used()) != 0 {
		t.Errorf("used %v, though nothing was constructed", r.Used())
	}
}

// TestAddLazy opens a plugin when its extension is asked for, and once.
func TestAddLazy(t *testing.T) {
	r := registry.New(api.Args{}, nil)
	opened := 0
	exports := api.Exports{Losses: api.Losses{"mine": func(*api.Args) (api.Loss, error) { return api.LossFunc(nil), errors.New("constructed") }}}
	open := sync.OnceValues(func() (api.Exports, error) { opened++; return exports, nil })
	o := registry.Origin{File: "plugins/mine.so"}
	if err := r.AddLazy(o, map[string][]string{"loss": {"mine", "gone"}, "metric": {"mine"}}, open); err != nil {
		t.Fatal(err)
	}
	if err := r.AddLazy(registry.Origin{File: "plugins/other.so"}, map[string][]string{"loss": {"mine"}}, open); err == nil || !strings.Contains(err.Error(), "loss mine is in both plugins/mine.so and plugins/other.so") {
		t.Errorf("a second loss of the name: %v", err)
	}
	if len(r.List()) != 3 || opened != 0 {
		t.Errorf("%d extensions, opened %d times", len(r.List()), opened)
	}
	if _, err := r.Loss("mine"); err == nil || !strings.Contains(err.Error(), "loss mine (plugins/mine.so): constructed") {
		t.Errorf("constructed with %v", err)
	}
	if err := r.Has("loss", "gone"); err == nil || !strings.Contains(err.Error(), "loss gone (plugins/mine.so) is not there any more") {
		t.Errorf("an extension that is gone: %v", err)
	}
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	failing := func() (api.Exports, error) { return api.Exports{}, errors.New("mine.so: cannot be opened") }
	if err := r.AddLazy(registry.Origin{File: "plugins/bad.so"}, map[string][]string{"orm": {"bad"}}, failing); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ORM("bad"); err == nil || err.Error() != "mine.so: cannot be opened" {
		t.Errorf("a plugin that does not open: %v", err)
	}
}
