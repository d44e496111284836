package builtin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// peftConfig is adapter_config.json by its keys, which JSON sorts, as PEFT does.
// It has those of PEFT 0.13, which newer versions read, filling in what they have
// added; one that was loaded keeps what else was in it.
type peftConfig map[string]any

// newPEFT returns the configuration of a new adapter of a method such as LORA.
func newPEFT(method string, own peftConfig) peftConfig {
	c := peftConfig{"peft_type": method, "task_type": "CAUSAL_LM", "inference_mode": true, "auto_mapping": nil, "revision": nil}
	maps.Copy(c, own)
	return c
}

// readPEFT reads the configuration of an adapter that some version of PEFT made.
// What it lacks is as in defaults. Keys of refused that are set to something make
// it one that is not to be had here.
func readPEFT(text []byte, defaults peftConfig, refused ...string) (peftConfig, error) {
	c := maps.Clone(defaults)
	delete(c, "peft_type")
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("adapter_config.json: %w", err)
	}
	if method, _ := c["peft_type"].(string); method != defaults["peft_type"] {
		return nil, fmt.Errorf("adapter_config.json: peft_type is %q, want %s", method, defaults["peft_type"])
	}
	for _, key := range refused {
		switch x := c[key].(type) {
		case nil:
			continue
		case bool:
			if !x {
				continue
			}
		case []any:
			if len(x) == 0 {
				continue
			}
		case map[string]any:
			if len(x) == 0 {
				continue
			}
		}
		return nil, fmt.Errorf("adapter_config.json: %s is %v, which is not supported; want an adapter trained without it", key, c[key])
	}
	c["inference_mode"] = true
	return c, nil
}

// decode stores what c has under the keys of the struct v.
func (c peftConfig) decode(v any) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	return nil
}

// encode returns c as it is written for an adapter of the model.
func (c peftConfig) encode(m *api.Model) (json.RawMessage, error) {
	c["base_model_name_or_path"] = m.Dir
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("adapter_config.json: %w", err)
	}
	return text, nil
}

// layout is the parameters that an adapter holds, by the names that PEFT gives
// their tensors.
type layout map[string]*api.Param

const peftPrefix = "base_model.model."

// tensorOf returns PEFT's name of a tensor beside a linear layer.
func tensorOf(l *api.Linear, what string) string { return peftPrefix + l.Name + "." + what }

// train lets parameters of the base model be trained, and puts them into the
// adapter. In PEFT a layer that has something beside it is called base_layer.
func (l layout) train(params []*api.Param, wrapped []*api.Linear) {
	for _, p := range params {
		p.Unfreeze()
		module := moduleOf(p)
		if slices.ContainsFunc(wrapped, func(w *api.Linear) bool { return w.Name == module }) {
			module += ".base_layer"
		}
		l[peftPrefix+module+"."+lastPart(p.Name)] = p
	}
}

// tensors returns the values by the names of the tensors.
func (l layout) tensors() map[string]*tensor.Dense {
	ts := map[string]*tensor.Dense{}
	for name, p := range l {
		ts[name] = p.Value()
	}
	return ts
}

// fill takes the values from an adapter that has them all and no others.
func (l layout) fill(ts map[string]*tensor.Dense) error {
	plain := func(name string) string { return strings.Replace(name, ".base_layer.", ".", 1) }
	left := map[string]string{} // names, by what they are without base_layer
	for name := range ts {
		left[plain(name)] = name
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		t, ok := ts[left[plain(name)]]
		if !ok {
			return fmt.Errorf("the adapter has no tensor %s", name)
		}
		if err := l[name].Assign(t); err != nil {
			return fmt.Errorf("tensor %s of the adapter does not fit: %w", name, err)
		}
		delete(left, plain(name))
	}
	if len(left) > 0 {
		return fmt.Errorf("the adapter has %d tensors that this model has no place for, e.g. %s; is it for another model?", len(left), slices.Min(slices.Collect(maps.Values(left))))
	}
	return nil
}

// linears returns the layers that the adapter has one of the tensors what for,
// and those that its target_modules name, where they are a list for every layer:
// a pattern, or a choice of layers, leaves that to the tensors.
func (c peftConfig) linears(m *api.Model, a *api.Adapter, what string) ([]*api.Linear, error) {
	var names, saved modules
	if list, err := json.Marshal(c["target_modules"]); err == nil && c["layers_to_transform"] == nil && c["exclude_modules"] == nil {
		json.Unmarshal(list, (*[]string)(&names)) // a pattern stays away
	}
	if list, err := json.Marshal(c["modules_to_save"]); err == nil {
		json.Unmarshal(list, (*[]string)(&saved))
	}
	var found []*api.Linear
	for _, l := range m.Linears {
		if a.Tensors[tensorOf(l, what)] != nil || names.name(l.Name) && !saved.name(l.Name) {
			found = append(found, l)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the adapter has nothing for this model: none of its %d tensors belongs to one of the model's linear layers %s", len(a.Tensors), strings.Join(ends(m.Linears), ", "))
	}
	return found, nil
}

// config returns target_modules and modules_to_save as PEFT writes them, for a
// tuner that is attached to the linears.
func (t *targets) config(linears []*api.Linear, saved []*api.Param) (targetModules, modulesToSave any) {
	targetModules = ends(linears)
	if t.TargetRegex != "" {
		targetModules = t.TargetRegex
	}
	if len(saved) > 0 { // names in place of all-norm
		var names []string
		for _, name := range t.ModulesToSave {
			if name != allEmbedding && name != allNorm {
				names = append(names, name)
			}
		}
		for _, p := range saved {
			if !modules(names).name(moduleOf(p)) {
				names = append(names, lastPart(moduleOf(p)))
			}
		}
		modulesToSave = names
	}
	return targetModules, modulesToSave
}

// checkBias refuses what says nothing of biases.
func checkBias(tuner, bias string) error {
	if want := []string{"none", "all", "lora_only"}; !slices.Contains(want, bias) {
		return fmt.Errorf("bias of %s is %q, want %s", tuner, bias, strings.Join(want, ", "))
	}
	return nil
}

// biases returns those of the base model that are trained: none, all, or, with
// lora_only, those of the layers with LoRA; but not those in saved.
func biases(m *api.Model, which string, linears []*api.Linear, saved []*api.Param) (all []*api.Param) {
	for _, p := range m.Params {
		if which == "all" && strings.Contains(p.Name, "bias") || which == "lora_only" && slices.ContainsFunc(linears, func(l *api.Linear) bool { return l.Bias == p }) {
			if !slices.Contains(saved, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// add adds x, [Out, In], to the layer's weight, and gives its memory back.
func add(l *api.Linear, x *api.Var) {
	l.Weight.Set(func(w []float32) {
		for i, y := range x.Data() {
			w[i] += y
		}
	})
	if e, ok := x.Value().Engine().(api.Engine); ok {
		e.Recycle(x.Value())
	}
}

// belongs says of parameters beside a linear layer what they belong to.
func belongs(l *api.Linear, ps ...*api.Param) {
	for _, p := range ps {
		p.Part, p.Layer, p.Region = l.Part, l.Layer, l.Weight.Region
	}
}

// mergeable refuses to change the weight of a layer that is not its alone.
func mergeable(l *api.Linear) error {
	if l.Weight.Name != l.Name+".weight" {
		return fmt.Errorf("%s has the weight %s, which is used elsewhere too, so it cannot be changed for the layer alone", l.Name, l.Weight.Name)
	}
	return nil
}
