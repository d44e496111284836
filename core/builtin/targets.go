package builtin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"swiftgo/api"
)

// targets are the settings that say which linear layers a tuner attaches to, and
// which modules it trains whole beside them.
type targets struct {
	TargetModules modules `json:"target_modules"`  // all-linear, or the ends of names
	TargetRegex   string  `json:"target_regex"`    // in place of them, a pattern of whole names
	ModulesToSave modules `json:"modules_to_save"` // the ends of names, all-embedding or all-norm

	pattern *regexp.Regexp
}

const (
	allLinear    = "all-linear" // all linear layers but the output projection
	allEmbedding = "all-embedding"
	allNorm      = "all-norm"
)

// modules is a list of names of modules. In JSON it may be a list, or a text
// with commas.
type modules []string

// UnmarshalJSON reads either form.
func (m *modules) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return err
		}
		list = strings.Split(s, ",")
	}
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	*m = slices.DeleteFunc(list, func(name string) bool { return name == "" })
	return nil
}

// check looks at the settings of the tuner of that name.
func (t *targets) check(tuner string) (err error) {
	switch {
	case t.TargetRegex != "":
		if t.pattern, err = wholeName(t.TargetRegex); err != nil {
			return fmt.Errorf("target_regex of %s: %w", tuner, err)
		}
	case len(t.TargetModules) == 0:
		return fmt.Errorf("target_modules of %s is empty, want %s or names of linear layers such as q_proj", tuner, allLinear)
	case len(t.TargetModules) > 1 && slices.Contains(t.TargetModules, allLinear):
		return fmt.Errorf("target_modules of %s is %s, want %s or names, not both", tuner, strings.Join(t.TargetModules, ", "), allLinear)
	}
	return nil
}

// wholeName compiles a pattern that a whole name must match.
func wholeName(pattern string) (*regexp.Regexp, error) { return compile(`^(?:` + pattern + `)$`) }

// compile is regexp.Compile with an error that says what Go's patterns lack.
func compile(pattern string) (*regexp.Regexp, error) {
	r, err := regexp.Compile(pattern)
	if err != nil && strings.Contains(pattern, "(?") {
		err = fmt.Errorf("%w; there is no looking ahead or behind in patterns here: name what is wanted instead", err)
	}
	return r, err
}

// find returns the linear layers to attach to, in the order of the forward pass.
// A module that is trained whole is none of them.
func (t *targets) find(m *api.Model) ([]*api.Linear, error) {
	var found []*api.Linear
	unused := slices.Clone(t.TargetModules)
	for _, l := range m.Linears {
		names := slices.DeleteFunc(slices.Clone(t.TargetModules), func(name string) bool { return !t.fits(l, name) })
		unused = slices.DeleteFunc(unused, func(name string) bool { return slices.Contains(names, name) })
		if len(names) > 0 && t.pattern == nil || t.pattern != nil && t.pattern.MatchString(l.Name) {
			if !t.ModulesToSave.name(l.Name) {
				found = append(found, l)
			}
		}
	}
	switch {
	case t.pattern != nil && len(found) == 0:
		return nil, fmt.Errorf("no linear layer fits target_regex %s; there are %s", t.TargetRegex, some(m.Linears))
	case t.pattern == nil && len(unused) > 0:
		return nil, fmt.Errorf("no linear layer fits target_modules %s; there are %s", strings.Join(unused, ", "), strings.Join(ends(m.Linears), ", "))
	case len(found) == 0:
		return nil, fmt.Errorf("no linear layer is left for target_modules %s, as modules_to_save has %s", strings.Join(t.TargetModules, ", "), strings.Join(t.ModulesToSave, ", "))
	}
	return found, nil
}

// fits reports whether one of the target modules means the layer.
func (t *targets) fits(l *api.Linear, name string) bool {
	if name == allLinear {
		return l.Part != api.LMHead
	}
	return ending(l.Name, name)
}

// ending reports whether name is that of the module, or the end of it, as in PEFT.
func ending(module, name string) bool { return module == name || strings.HasSuffix(module, "."+name) }

// name reports whether one of the names is that of the module or the end of it.
func (m modules) name(module string) bool {
	return slices.ContainsFunc(m, func(name string) bool { return ending(module, name) })
}

// saved returns the parameters of the modules that are trained whole.
func (t *targets) saved(m *api.Model) ([]*api.Param, error) {
	var all []*api.Param
	for _, name := range t.ModulesToSave {
		var found []*api.Param
		for _, p := range m.Params {
			fits := ending(moduleOf(p), name)
			switch name {
			case allEmbedding:
				fits = p.Shape().Dims() == 2 && !slices.ContainsFunc(m.Linears, func(l *api.Linear) bool { return l.Name == moduleOf(p) })
			case allNorm:
				fits = !p.Decays() && !strings.HasSuffix(p.Name, ".bias")
			}
			if fits && !p.Added {
				found = append(found, p)
			}
		}
		if len(found) == 0 {
			if i := slices.IndexFunc(m.Linears, func(l *api.Linear) bool { return ending(l.Name, name) }); i >= 0 {
				return nil, fmt.Errorf("modules_to_save has %s, whose weight is also %s; name that to train both", name, m.Linears[i].Weight.Name)
			}
			return nil, fmt.Errorf("no module fits modules_to_save %s; there are %s", name, strings.Join(modulesOf(m), ", "))
		}
		for _, p := range found {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// moduleOf returns the name of the module that has the parameter.
func moduleOf(p *api.Param) string { return p.Name[:max(0, strings.LastIndex(p.Name, "."))] }

// ends returns the last elements of the layers' names, sorted.
func ends(linears []*api.Linear) []string {
	var names []string
	for _, l := range linears {
		names = append(names, lastPart(l.Name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// modulesOf returns the last elements of the names of the model's modules, sorted.
func modulesOf(m *api.Model) []string {
	var names []string
	for _, p := range m.Params {
		names = append(names, lastPart(moduleOf(p)))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func lastPart(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// some returns the names of the first layers.
func some(linears []*api.Linear) string {
	var names []string
	for _, l := range linears[:min(8, len(linears))] {
		names = append(names, l.Name)
	}
	if len(linears) > len(names) {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
