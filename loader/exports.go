package loader

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"swiftgo/api"
)

// kinds are the fields of api.Exports, in their order, and the kinds of
// extension in them as the command line spells them.
var kinds = []struct{ kind, variable string }{
	{"loss", "Losses"}, {"loss_scale", "LossScales"}, {"metric", "Metrics"}, {"optimizer", "Optimizers"}, {"callback", "Callbacks"},
	{"agent_template", "AgentTemplates"}, {"tuner", "Tuners"}, {"orm", "ORMs"}, {"prm", "PRMs"},
}

// manifestVariable is the variable that describes a plugin.
const manifestVariable = "Plugin"

// wanted returns the type that an exported variable must have, nil for a name
// that means nothing to the loader.
func wanted(variable string) reflect.Type {
	if variable == manifestVariable {
		return reflect.TypeFor[api.Manifest]()
	}
	if f, ok := reflect.TypeFor[api.Exports]().FieldByName(variable); ok {
		return f.Type
	}
	return nil
}

// wrongType is the error for a variable of the wrong type.
func wrongType(variable, have string) error {
	want := fullType(wanted(variable))
	if written(have) != written(want) { // then no need to say whose api.Loss it is
		have, want = written(have), written(want)
	}
	return fmt.Errorf("%s is a %s, want %s", variable, have, want)
}

// named are types with a name of their own.
var named = regexp.MustCompile(`^[\w.~%/-]+\.\w+$`)

// checkExports checks what can be known of the exported variables from the
// file: their names and types. Maps are filled only when the plugin is opened,
// and a type with a name of its own is seen through only then.
func checkExports(exports []Export) error {
	var errs []error
	found := false
	for _, e := range exports {
		switch want := wanted(e.Name); {
		case want == nil:
			if v := misspelt(e); v != "" {
				errs = append(errs, fmt.Errorf("exports %s, a %s; did you mean %s?", e.Name, written(e.Type), v))
			}
		case e.Func:
			errs = append(errs, fmt.Errorf("%s is a function, want a variable of type %s", e.Name, written(fullType(want))))
		case e.Type != fullType(want) && !named.MatchString(e.Type):
			errs = append(errs, wrongType(e.Name, e.Type))
		}
		found = found || wanted(e.Name) != nil && e.Name != manifestVariable
	}
	if len(errs) > 0 || found {
		return errors.Join(errs...)
	}
	for _, e := range exports {
		for _, k := range kinds {
			if stem(e.Name) == stem(k.variable) {
				return fmt.Errorf("exports %s; did you mean %s?", e.Name, k.variable)
			}
		}
	}
	return errors.New("exports none of " + variables())
}

// misspelt returns the variable that e has the type of.
func misspelt(e Export) string {
	for _, k := range kinds {
		if e.Type == fullType(wanted(k.variable)) {
			return k.variable
		}
	}
	return ""
}

// stem is what is left of a variable's name without case and number.
func stem(name string) string {
	s := strings.ToLower(strings.ReplaceAll(name, "_", ""))
	return strings.TrimSuffix(strings.TrimSuffix(s, "s"), "se")
}

func variables() string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.variable)
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

var snakeCase = regexp.MustCompile(`^[a-z0-9_]+$`)

// collect takes in what a plugin exports; lookup returns a pointer to the
// variable of a name, or nil.
func collect(lookup func(name string) any) (exports api.Exports, manifest api.Manifest, err error) {
	var errs []error
	entries := 0
	for _, k := range kinds {
		to := reflect.ValueOf(&exports).Elem().FieldByName(k.variable)
		if err := take(k.variable, lookup(k.variable), to); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, name := range names(to) {
			entries++
			if !snakeCase.MatchString(name) {
				errs = append(errs, fmt.Errorf("%s has the name %q, want letters a to z, digits and _ only", k.variable, name))
			}
			if to.MapIndex(reflect.ValueOf(name)).IsNil() {
				errs = append(errs, fmt.Errorf("%s[%q] is nil, want a constructor", k.variable, name))
			}
		}
	}
	if err := take(manifestVariable, lookup(manifestVariable), reflect.ValueOf(&manifest).Elem()); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 && entries == 0 {
		errs = append(errs, errors.New("has nothing in any of "+variables()))
	}
	return exports, manifest, errors.Join(errs...)
}

// take stores the variable that from points to in to.
func take(variable string, from any, to reflect.Value) error {
	if from == nil {
		return nil
	}
	v := reflect.ValueOf(from)
	if v.Kind() == reflect.Func {
		return fmt.Errorf("%s is a function, want a variable of type %s", variable, written(fullType(to.Type())))
	}
	if v = v.Elem(); !v.CanConvert(to.Type()) {
		return wrongType(variable, fullType(v.Type()))
	}
	to.Set(v.Convert(to.Type()))
	return nil
}

// names returns the keys of a map of constructors, sorted.
func names(m reflect.Value) []string {
	var all []string
	for _, key := range m.MapKeys() {
		all = append(all, key.String())
	}
	slices.Sort(all)
	return all
}

// namesByKind returns the names in each map of exports that has any.
func namesByKind(exports *api.Exports) map[string][]string {
	all := map[string][]string{}
	for _, k := range kinds {
		if n := names(reflect.ValueOf(exports).Elem().FieldByName(k.variable)); len(n) > 0 {
			all[k.kind] = n
		}
	}
	return all
}
