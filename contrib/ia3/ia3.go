// Ia3 is a plugin with one tuner, ia3, of Liu et al. 2022 ("Few-shot
// parameter-efficient fine-tuning is better and cheaper than in-context
// learning"): the base model is frozen, and vectors that start as ones scale
// what comes out of keys and values and what goes into the last matrix of the
// MLP. It trains a hundred times fewer numbers than LoRA, and wants a larger
// learning rate, about 1e-2.
//
//	swiftgo sft --tuner_type ia3 …
//	swiftgo sft --tuner_type ia3 --ia3.target_modules k_proj,v_proj,down_proj --ia3.feedforward_modules down_proj …
//
// It shows what a tuner is: Prepare freezes, adds parameters and wraps the
// forward pass of linear layers, of which it knows what they are for, whatever
// the model calls them. Save and Load are there so that the checkpoint is one
// that PEFT reads and writes too, and Merge so that the vectors can become part of
// the weights.
package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Tuners is what the host looks for.
var Tuners = api.Tuners{"ia3": newIA3}

type ia3 struct {
	TargetModules      names `json:"target_modules"`      // layers to scale; none: keys, values and the MLP's last
	FeedforwardModules names `json:"feedforward_modules"` // those of them to scale the input of, in place of the output

	vectors []vector
}

// vector is what scales one linear layer.
type vector struct {
	*api.Linear
	*api.Param      // [Out, 1], or [1, In] where it scales the input
	input      bool // whether it does
}

// names is a list of the ends of layers' names, in JSON also a text with commas.
type names []string

// UnmarshalJSON reads either form.
func (n *names) UnmarshalJSON(text []byte) error {
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
	*n = list
	return nil
}

// has reports whether l is named.
func (n names) has(l *api.Linear) bool {
	return slices.ContainsFunc(n, func(name string) bool { return l.Name == name || strings.HasSuffix(l.Name, "."+name) })
}

func newIA3(args *api.Args) (api.Tuner, error) {
	t := &ia3{}
	if err := args.Decode(t); err != nil {
		return nil, err
	}
	for _, name := range t.FeedforwardModules {
		if !slices.Contains(t.TargetModules, name) {
			return nil, fmt.Errorf("feedforward_modules has %s, which target_modules has not; want it in both", name)
		}
	}
	return t, nil
}

// Prepare adds the vectors. They are ones, so the model starts unchanged.
func (t *ia3) Prepare(m *api.Model) error {
	m.Freeze()
	for _, l := range m.Linears {
		switch {
		case len(t.TargetModules) > 0:
			if t.TargetModules.has(l) {
				t.scale(m, l, t.FeedforwardModules.has(l))
			}
		case l.Part == api.AttnKey, l.Part == api.AttnValue:
			t.scale(m, l, false)
		case l.Part == api.MLPDown:
			t.scale(m, l, true)
		}
	}
	for _, name := range t.TargetModules {
		if !slices.ContainsFunc(t.vectors, func(v vector) bool { return names{name}.has(v.Linear) }) {
			return fmt.Errorf("target_modules has %s, and the model of type %s has no such linear layer", name, m.Type)
		}
	}
	if len(t.vectors) == 0 {
		return fmt.Errorf("the model of type %s has no keys, values or MLP to scale; name layers in target_modules", m.Type)
	}
	return nil
}

// scale adds the vector of one layer.
func (t *ia3) scale(m *api.Model, l *api.Linear, input bool) {
	shape := []int{l.Out, 1}
	if input {
		shape = []int{1, l.In}
	}
	v := m.AddParam(l.Name+".ia3_l", 1, shape...)
	v.Part, v.Layer, v.Region = l.Part, l.Layer, l.Weight.Region
	l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		if input {
			return next(x.Mul(v.Var))
		}
		return next(x).Mul(v.Reshape(l.Out))
	})
	t.vectors = append(t.vectors, vector{l, v, input})
}

// Merge scales the weights. With the outputs goes the bias.
func (t *ia3) Merge(*api.Model) error {
	for _, v := range t.vectors {
		if v.Linear.Weight.Name != v.Linear.Name+".weight" {
			return fmt.Errorf("%s has the weight %s, which is used elsewhere too, so it cannot be scaled for the layer alone", v.Linear.Name, v.Linear.Weight.Name)
		}
		l := v.Data()
		v.Weight.Set(func(w []float32) {
			for i := range w {
				if v.input {
					w[i] *= l[i%v.In]
				} else {
					w[i] *= l[i/v.In]
				}
			}
		})
		if v.Bias != nil && !v.input {
			v.Bias.Set(func(b []float32) {
				for i := range b {
					b[i] *= l[i]
				}
			})
		}
	}
	return nil
}

// config is adapter_config.json as PEFT 0.13 writes it for IA3.
type config struct {
	AutoMapping        json.RawMessage `json:"auto_mapping"`
	BaseModel          string          `json:"base_model_name_or_path"`
	FanInFanOut        bool            `json:"fan_in_fan_out"`
	FeedforwardModules names           `json:"feedforward_modules"`
	InferenceMode      bool            `json:"inference_mode"`
	InitWeights        bool            `json:"init_ia3_weights"`
	ModulesToSave      names           `json:"modules_to_save"`
	PeftType           string          `json:"peft_type"`
	Revision           *string         `json:"revision"`
	TargetModules      names           `json:"target_modules"`
	TaskType           string          `json:"task_type"`
}

// Save returns the vectors as PEFT saves them.
func (t *ia3) Save(m *api.Model) (*api.Adapter, error) {
	c := config{BaseModel: m.Dir, FeedforwardModules: names{}, InferenceMode: true, InitWeights: true, PeftType: "IA3", TaskType: "CAUSAL_LM"}
	a := &api.Adapter{Tensors: map[string]*tensor.Dense{}}
	for _, v := range t.vectors {
		end := v.Linear.Name[strings.LastIndex(v.Linear.Name, ".")+1:]
		c.TargetModules = append(c.TargetModules, end)
		if v.input {
			c.FeedforwardModules = append(c.FeedforwardModules, end)
		}
		a.Tensors[tensorName(v.Linear)] = v.Value()
	}
	for _, list := range []*names{&c.TargetModules, &c.FeedforwardModules} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	var err error
	a.Config, err = json.Marshal(c)
	return a, err
}

func tensorName(l *api.Linear) string { return "base_model.model." + l.Name + ".ia3_l" }

// Load adds the vectors that the adapter has, whatever the settings say.
func (t *ia3) Load(m *api.Model, a *api.Adapter) error {
	var c config
	if err := json.Unmarshal(a.Config, &c); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	if c.PeftType != "IA3" || len(c.ModulesToSave) > 0 {
		return fmt.Errorf("adapter_config.json: peft_type is %q and modules_to_save %q, want IA3 and none", c.PeftType, c.ModulesToSave)
	}
	m.Freeze()
	for _, l := range m.Linears {
		x, ok := a.Tensors[tensorName(l)]
		if !ok {
			if c.TargetModules.has(l) {
				return fmt.Errorf("the adapter has no tensor %s", tensorName(l))
			}
			continue
		}
		t.scale(m, l, c.FeedforwardModules.has(l))
		if err := t.vectors[len(t.vectors)-1].Assign(x); err != nil {
			return fmt.Errorf("tensor %s of the adapter does not fit: %w", tensorName(l), err)
		}
	}
	if len(t.vectors) < len(a.Tensors) || len(t.vectors) == 0 {
		return fmt.Errorf("of the %d tensors of the adapter %d have a place in this model; is it for another one?", len(a.Tensors), len(t.vectors))
	}
	return nil
}

func main() {}
