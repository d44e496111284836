// Package registry knows every extension by kind and name, those built in and
// those of plugins, and constructs the ones that a run names.
//
// Nothing an extension does wrong gets past it: what the constructors return
// is wrapped so that a panic or an error, in a constructor or later in any
// method, becomes an *ExtensionError that names kind, name and file, and for a
// panic the line. Methods that cannot return an error panic with one, which
// Catch turns back; what an extension has left behind in a layer or in the
// gradient of an operation is guarded by Registry.Guard. The optional
// interfaces of an extension are those of its wrapper. Calls that do not return
// are logged; see Registry.Watch. Nothing can catch a panic in a goroutine that
// a plugin has started.
//
// A Registry is filled and asked from one goroutine; each thing it returns may
// be used as package api says.
package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"swiftgo/api"
)

// Registry maps kind and name to constructors.
type Registry struct {
	args     api.Args
	own      map[string]map[string]any
	defaults map[string]map[string]any
	override map[id]bool
	entries  map[id]*extension
	chosen   map[string]bool // names that Has or a constructor was asked for
	used     []*extension
	step     func() int // not nil if extensions may be disabled; see DisableOnPanic
	disabled []Disabled
	watchdog *watchdog
}

// Entry is an extension and where it comes from.
type Entry struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Origin
}

func (e Entry) String() string {
	if e.File == "" {
		return e.Kind + " " + e.Name
	}
	return e.Kind + " " + e.Name + " (" + e.File + ")"
}

// Origin is where an extension comes from; the zero Origin is this binary.
type Origin struct {
	File       string `json:"file,omitempty"` // as a user writes it, e.g. "plugins/focal.so"
	Path       string `json:"path,omitempty"`
	SHA256     string `json:"sha256,omitempty"`
	Version    string `json:"version,omitempty"` // in its manifest
	PluginName string `json:"plugin,omitempty"`  // in its manifest

	Packages []string `json:"-"` // that are in the plugin and not in this binary
}

func (o Origin) String() string {
	if o.File == "" {
		return "built in"
	}
	return o.File
}

// The kinds of extensions, as flags and args.json spell them.
const (
	loss          = "loss"
	lossScale     = "loss_scale"
	metric        = "metric"
	optimizer     = "optimizer"
	callback      = "callback"
	agentTemplate = "agent_template"
	tuner         = "tuner"
	orm           = "orm"
	prm           = "prm"
)

var kinds = []string{loss, lossScale, metric, optimizer, callback, agentTemplate, tuner, orm, prm}

type id struct{ kind, name string }

// extension is a constructor that was added.
type extension struct {
	Entry
	construct any                         // the function in the plugin's map
	pkg       string                      // of the function, as stack traces have it
	open      func() (api.Exports, error) // has the function; nil if it is known
	registry  *Registry
	receiver  string // what the methods of what was constructed begin with in stack traces
	disabled  bool   // by DisableOnPanic
}

// New returns an empty Registry. Constructors are given args with the settings
// that own has under the extension's name.
func New(args api.Args, own map[string]map[string]any) *Registry {
	return &Registry{args: args, own: own, defaults: map[string]map[string]any{}, override: map[id]bool{},
		entries: map[id]*extension{}, chosen: map[string]bool{}}
}

// Defaults sets settings of the built-in extensions of a name, such as those
// that have flags of their own. Settings given win over them, and they do not
// count as given.
func (r *Registry) Defaults(name string, values map[string]any) { r.defaults[name] = values }

// AllowOverride lets a plugin take the place of a built-in extension, said as
// KIND.NAME. It comes before Add.
func (r *Registry) AllowOverride(extension string) error {
	kind, name, ok := strings.Cut(extension, ".")
	if !ok || name == "" || !slices.Contains(kinds, kind) {
		return fmt.Errorf("override %q: want KIND.NAME, where KIND is one of %s", extension, strings.Join(kinds, ", "))
	}
	r.override[id{kind, name}] = true
	return nil
}

// Add takes in what the plugin at o exports, or with the zero Origin what is
// built in, which comes first. A name that is taken is an error that names both
// origins; after an error the Registry is as it was.
func (r *Registry) Add(o Origin, e api.Exports) error { return r.add(entries(o, e)) }

// AddLazy is Add for a plugin that is opened when one of its extensions is first
// asked for. It has those of names, by kind; what open returns has to have them.
func (r *Registry) AddLazy(o Origin, names map[string][]string, open func() (api.Exports, error)) error {
	var all []*extension
	for _, kind := range slices.Sorted(maps.Keys(names)) {
		for _, name := range names[kind] {
			all = append(all, &extension{Entry: Entry{kind, name, o}, open: open})
		}
	}
	return r.add(all)
}

func entries(o Origin, e api.Exports) []*extension {
	return slices.Concat(collect(loss, o, e.Losses), collect(lossScale, o, e.LossScales), collect(metric, o, e.Metrics),
		collect(optimizer, o, e.Optimizers), collect(callback, o, e.Callbacks), collect(agentTemplate, o, e.AgentTemplates),
		collect(tuner, o, e.Tuners), collect(orm, o, e.ORMs), collect(prm, o, e.PRMs))
}

// resolve makes sure that the constructor of x is known.
func (x *extension) resolve() error {
	if x.open == nil {
		return nil
	}
	e, err := x.open()
	if err != nil {
		return err
	}
	for _, y := range entries(x.Origin, e) {
		if y.Kind == x.Kind && y.Name == x.Name {
			x.construct, x.pkg, x.open = y.construct, y.pkg, nil
			return nil
		}
	}
	return fmt.Errorf("%v is not there any more now that the plugin is opened; its init functions must not depend on when and where they run", x.Entry)
}

func (r *Registry) add(all []*extension) error {
	var errs []error
	for _, x := range all {
		errs = append(errs, r.mayAdd(x))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, x := range all {
		if r.entries[id{x.Kind, x.Name}] != nil && r.args.Log != nil {
			r.args.Log.Warn("a plugin takes the place of a built-in extension", "kind", x.Kind, "name", x.Name, "plugin", x.File)
		}
		x.registry = r
		r.entries[id{x.Kind, x.Name}] = x
	}
	return nil
}

func collect[F any](kind string, o Origin, constructors map[string]F) []*extension {
	var all []*extension
	for _, name := range slices.Sorted(maps.Keys(constructors)) {
		f := constructors[name]
		all = append(all, &extension{Entry: Entry{kind, name, o}, construct: f, pkg: packageOf(f)})
	}
	return all
}

func (r *Registry) mayAdd(x *extension) error {
	old := r.entries[id{x.Kind, x.Name}]
	switch {
	case old == nil:
		return nil
	case old.File != "" || x.File == "":
		return fmt.Errorf("%s %s is in both %s and %s; remove or rename one of them", x.Kind, x.Name, old.Origin, x.Origin)
	case !r.override[id{x.Kind, x.Name}]:
		return fmt.Errorf("%s %s of %s is also built in; rename it, or give --override %s.%s if it is meant to take its place", x.Kind, x.Name, x.File, x.Kind, x.Name)
	}
	return nil
}

// List returns every extension, sorted by kind and name.
func (r *Registry) List() []Entry {
	var all []Entry
	for _, x := range r.entries {
		all = append(all, x.Entry)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// Used returns what was constructed, in the order it first was.
func (r *Registry) Used() []Entry {
	all := make([]Entry, len(r.used))
	for i, x := range r.used {
		all[i] = x.Entry
	}
	return all
}

// Has returns nil if there is an extension of that kind and name, else an error
// that says which there are. The name counts as chosen by the run from then on,
// for the sake of what can be constructed only later.
func (r *Registry) Has(kind, name string) error {
	_, err := r.find(kind, name)
	return err
}

func (r *Registry) find(kind, name string) (*extension, error) {
	if x := r.entries[id{kind, name}]; x != nil {
		r.chosen[name] = true
		return x, x.resolve()
	}
	var there, names []string
	for _, e := range r.List() {
		if e.Kind != kind {
			continue
		}
		names = append(names, e.Name)
		if e.File != "" {
			e.Name += " (" + e.File + ")"
		}
		there = append(there, e.Name)
	}
	guess := didYouMean(name, names)
	if guess == "" {
		guess = "; if a plugin has it, that belongs into --plugins_dir"
	}
	switch len(there) {
	case 0:
		return nil, fmt.Errorf("no %s %q; there are none%s", kind, name, guess)
	case 1:
		return nil, fmt.Errorf("no %s %q; there is %s%s", kind, name, there[0], guess)
	}
	return nil, fmt.Errorf("no %s %q; there are %s%s", kind, name, strings.Join(there, ", "), guess)
}

// Own returns the settings of extensions that were given, by name.
func (r *Registry) Own() map[string]map[string]any { return r.own }

// Unused returns the names for which settings are given although the run has
// chosen no extension of that name.
func (r *Registry) Unused() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.own)) {
		if !r.chosen[name] && len(r.own[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// CheckOwn returns an error for each name in Unused. It is for when everything
// that the run names has been asked for.
func (r *Registry) CheckOwn() error {
	known := map[string]bool{}
	for k := range r.entries {
		known[k.name] = true
	}
	var errs []error
	for _, name := range r.Unused() {
		var flags []string
		for _, key := range slices.Sorted(maps.Keys(r.own[name])) {
			flags = append(flags, "--"+name+"."+key)
		}
		given := "is given"
		if len(flags) > 1 {
			given = "are given"
		}
		why := name + " is not used by this run"
		if !known[name] {
			why = "there is no extension " + name + didYouMean(name, slices.Sorted(maps.Keys(known)))
		}
		errs = append(errs, fmt.Errorf("%s %s, but %s", strings.Join(flags, ", "), given, why))
	}
	return errors.Join(errs...)
}

// argsOf returns what x's constructor is told.
func (r *Registry) argsOf(x *extension) *api.Args {
	args := r.args
	args.Name, args.Own = x.Name, map[string]any{}
	if x.File == "" {
		maps.Copy(args.Own, r.defaults[x.Name])
	}
	maps.Copy(args.Own, r.own[x.Name])
	return &args
}

func (r *Registry) use(x *extension, made any) {
	x.receiver = receiverOf(made)
	if !slices.Contains(r.used, x) {
		r.used = append(r.used, x)
	}
}

// didYouMean returns a guess at which of names was meant, as the end of an
// error, or "".
func didYouMean(name string, names []string) string {
	if n := Nearest(name, names); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

// Nearest returns the one of names that name may be a slip of the fingers for,
// or "".
func Nearest(name string, names []string) string {
	best, least := "", min(3, len(name))
	for _, n := range names {
		if d := distance(strings.ToLower(name), n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of bytes to insert, remove or replace that turns a
// into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
