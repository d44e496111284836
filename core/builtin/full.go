package builtin

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"swiftgo/api"
)

// full trains every parameter but those that the settings freeze. What freezes
// comes first, so that what is trainable wins.
type full struct {
	Freeze         modules `json:"freeze_parameters"` // what names begin with
	FreezeRegex    string  `json:"freeze_parameters_regex"`
	FreezeRatio    float64 `json:"freeze_parameters_ratio"` // share of the numbers in the model, in PyTorch's order
	Trainable      modules `json:"trainable_parameters"`    // what names begin with
	TrainableRegex string  `json:"trainable_parameters_regex"`

	freeze, trainable *regexp.Regexp
}

func newFull(args *api.Args) (api.Tuner, error) {
	f := &full{}
	if err := args.Decode(f); err != nil {
		return nil, err
	}
	if !(f.FreezeRatio >= 0 && f.FreezeRatio <= 1) {
		return nil, fmt.Errorf("freeze_parameters_ratio of full is %g, want 0 to 1", f.FreezeRatio)
	}
	for _, x := range []struct {
		key, pattern string
		to           **regexp.Regexp
	}{{"freeze_parameters_regex", f.FreezeRegex, &f.freeze}, {"trainable_parameters_regex", f.TrainableRegex, &f.trainable}} {
		if x.pattern == "" {
			continue
		}
		var err error
		if *x.to, err = compile(x.pattern); err != nil {
			return nil, fmt.Errorf("%s of full: %w", x.key, err)
		}
	}
	return f, nil
}

// Prepare freezes, by ratio, names and pattern, and then lets go, by names and
// pattern.
func (f *full) Prepare(m *api.Model) error {
	for _, p := range m.Params {
		p.Unfreeze()
	}
	if f.FreezeRatio > 0 {
		freezeShare(m, f.FreezeRatio)
	}
	for _, x := range []struct {
		key     string
		names   modules
		pattern *regexp.Regexp
		do      func(*api.Param)
	}{{"freeze_parameters", f.Freeze, f.freeze, (*api.Param).Freeze}, {"trainable_parameters", f.Trainable, f.trainable, (*api.Param).Unfreeze}} {
		for _, name := range x.names {
			if !each(m, x.do, func(p *api.Param) bool { return strings.HasPrefix(p.Name, name) }) {
				return fmt.Errorf("no parameter's name begins with %s of %s; there are %s", name, x.key, examples(m))
			}
		}
		if x.pattern != nil && !each(m, x.do, func(p *api.Param) bool { return x.pattern.MatchString(p.Name) }) {
			return fmt.Errorf("no parameter's name has %s_regex %s in it; there are %s", x.key, x.pattern, examples(m))
		}
	}
	return nil
}

// each calls do with the parameters that fit, and reports whether one does.
func each(m *api.Model, do func(*api.Param), fits func(*api.Param) bool) (found bool) {
	for _, p := range m.Params {
		if fits(p) {
			do(p)
			found = true
		}
	}
	return found
}

// examples returns the names of some of the model's parameters.
func examples(m *api.Model) string {
	var names []string
	for _, p := range m.Params[:min(8, len(m.Params))] {
		names = append(names, p.Name)
	}
	return strings.Join(append(names, "…"), ", ")
}

// freezeShare freezes the first parameters, in the order in which PyTorch lists
// them, that together are no more than the share of the model.
func freezeShare(m *api.Model, share float64) {
	order := slices.Clone(m.Params)
	slices.SortStableFunc(order, func(a, b *api.Param) int {
		return cmp.Or(cmp.Compare(layerOf(m, a), layerOf(m, b)), cmp.Compare(placeOf(a), placeOf(b)))
	})
	whole, sum := 0, 0
	for _, p := range order {
		whole += len(p.Data())
	}
	limit := int(float64(whole) * share)
	for _, p := range order {
		if sum += len(p.Data()); sum > limit {
			return
		}
		p.Freeze()
	}
}

// layerOf puts what is before and behind the layers in its place.
func layerOf(m *api.Model, p *api.Param) int {
	if p.Layer >= 0 {
		return p.Layer
	}
	if i := slices.IndexFunc(m.Params, func(q *api.Param) bool { return q.Layer >= 0 }); slices.Index(m.Params, p) < i {
		return -1
	}
	return m.Layers
}

// placeOf is the place in a layer of PyTorch, where what is multiplied with is
// listed before the norms of the layer, which are used before it.
func placeOf(p *api.Param) int {
	switch norm := strings.Contains(lastPart(moduleOf(p)), "norm"); {
	case p.Layer < 0 || strings.Contains(p.Name, "self_attn") && !norm:
		return 0
	case strings.Contains(p.Name, "self_attn"):
		return 1
	case strings.Contains(p.Name, "mlp"):
		return 2
	}
	return 3
}
