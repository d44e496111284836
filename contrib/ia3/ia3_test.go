package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

var seven = map[string]any{
	"target_modules":      []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
	"feedforward_modules": "down_proj",
}

func TestConformance(t *testing.T) {
	apitest.Tuner(t, newIA3)
	apitest.Tuner(t, newIA3, apitest.With(seven))
	if _, ok := any(&ia3{}).(api.Merger); !ok {
		t.Error("the vectors cannot become part of the weights")
	}
}

func prepare(t *testing.T, own map[string]any) (*ia3, *api.Model) {
	t.Helper()
	tuner, err := newIA3(&api.Args{Own: own})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := apitest.Model(1)
	if err := tuner.Prepare(m); err != nil {
		t.Fatal(err)
	}
	return tuner.(*ia3), m
}

// TestValues compares every scaled layer with loops in float64.
func TestValues(t *testing.T) {
	tuner, _ := prepare(t, seven)
	for _, v := range tuner.vectors {
		x := api.Full(0, 2, v.In)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(i%5) - 1.5
		}
		v.Set(func(w []float32) {
			for i := range w {
				w[i] = 0.5 + 0.25*float32(i)
			}
		})
		l, got := v.Data(), v.Forward(api.Const(x)).Data()
		for row := range 2 {
			for o := range v.Out {
				want := 0.0
				if v.Bias != nil {
					want = float64(v.Bias.Data()[o])
				}
				for i := range v.In {
					y := float64(v.Weight.Data()[o*v.In+i]) * float64(x.Float32s()[row*v.In+i])
					if v.Linear.Part == api.MLPDown {
						y *= float64(l[i])
					}
					want += y
				}
				if v.Linear.Part != api.MLPDown {
					want *= float64(l[o])
				}
				if math.Abs(float64(got[row*v.Out+o])-want) > 1e-4 {
					t.Fatalf("%s: %g, want %g", v.Linear.Name, got[row*v.Out+o], want)
				}
			}
		}
	}
}

// TestSavesAsPEFT compares with what PEFT 0.13 writes.
func TestSavesAsPEFT(t *testing.T) {
	tuner, m := prepare(t, nil)
	a, err := tuner.Save(m)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"auto_mapping":null,"base_model_name_or_path":"tiny","fan_in_fan_out":false,"feedforward_modules":["down_proj"],` +
		`"inference_mode":true,"init_ia3_weights":true,"modules_to_save":null,"peft_type":"IA3","revision":null,` +
		`"target_modules":["down_proj","k_proj","v_proj"],"task_type":"CAUSAL_LM"}`
	if string(a.Config) != want {
		t.Errorf("adapter_config.json is\n%s\nwant\n%s", a.Config, want)
	}
	var got []string
	for name, x := range a.Tensors {
		got = append(got, fmt.Sprint(name, " ", x.Shape()))
	}
	slices.Sort(got)
	var tensors []string
	for _, layer := range []string{"0", "1"} {
		const base = "base_model.model.model.layers."
		tensors = append(tensors, base+layer+".mlp.down_proj.ia3_l (1, 10)", base+layer+".self_attn.k_proj.ia3_l (4, 1)", base+layer+".self_attn.v_proj.ia3_l (4, 1)")
	}
	if !slices.Equal(got, tensors) {
		t.Errorf("tensors\n%q\nwant\n%q", got, tensors)
	}
}

func TestErrors(t *testing.T) {
	if _, err := newIA3(&api.Args{Own: map[string]any{"feedforward_modules": "down_proj"}}); err == nil || !strings.Contains(err.Error(), "want it in both") {
		t.Errorf("feedforward_modules alone: %v", err)
	}
	if err := (&ia3{TargetModules: names{"proj"}}).Prepare(&api.Model{Type: "t"}); err == nil || !strings.Contains(err.Error(), "has no such linear layer") {
		t.Errorf("a target that is not there: %v", err)
	}
	if err := (&ia3{}).Prepare(&api.Model{Type: "t"}); err == nil || !strings.Contains(err.Error(), "name layers in target_modules") {
		t.Errorf("a model without layers: %v", err)
	}
	for want, change := range map[string]func(a *api.Adapter){
		`peft_type is "LORA"`: func(a *api.Adapter) { a.Config = []byte(`{"peft_type": "LORA"}`) },
		"adapter_config.json": func(a *api.Adapter) { a.Config = []byte(`{`) },
		"does not fit": func(a *api.Adapter) {
			a.Tensors["base_model.model.model.layers.1.self_attn.k_proj.ia3_l"] = api.Full(1, 3, 1)
		},
		"is it for another": func(a *api.Adapter) {
			a.Tensors["base_model.model.model.layers.7.self_attn.k_proj.ia3_l"] = api.Full(1, 4, 1)
		},
		"the adapter has no": func(a *api.Adapter) { a.Tensors = map[string]*tensor.Dense{} },
	} {
		tuner, m := prepare(t, nil)
		a, err := tuner.Save(m)
		if err != nil {
			t.Fatal(err)
		}
		change(a)
		fresh, _ := apitest.Model(1)
		if err := (&ia3{}).Load(fresh, a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("load: %v, want %q", err, want)
		}
	}
}
