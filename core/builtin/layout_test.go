package builtin

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// TestLayouts compares adapter_config.json and the names and shapes of the
// tensors with those that PEFT's source makes (peft/tuners/*/config.py and
// layer.py, peft/utils/save_and_load.py; 0.13, Bone 0.14) for the layers of the
// small model, of which each is like the first.
func TestLayouts(t *testing.T) {
	const common = `"auto_mapping":null,"base_model_name_or_path":"tiny",`
	lora := func(change map[string]string) string {
		c := map[string]string{"alpha_pattern": "{}", "auto_mapping": "null", "base_model_name_or_path": `"tiny"`, "bias": `"none"`, "fan_in_fan_out": "false",
			"inference_mode": "true", "init_lora_weights": "true", "layer_replication": "null", "layers_pattern": "null", "layers_to_transform": "null",
			"loftq_config": "{}", "lora_alpha": "32", "lora_dropout": "0.05", "megatron_config": "null", "megatron_core": `"megatron.core"`,
			"modules_to_save": "null", "peft_type": `"LORA"`, "r": "8", "rank_pattern": "{}", "revision": "null", "target_modules": `["q_proj"]`,
			"task_type": `"CAUSAL_LM"`, "use_dora": "false", "use_rslora": "false"}
		maps.Copy(c, change)
		var pairs []string
		for _, key := range slices.Sorted(maps.Keys(c)) {
			pairs = append(pairs, `"`+key+`":`+c[key])
		}
		return "{" + strings.Join(pairs, ",") + "}"
	}
	for _, c := range []struct {
		tuner    string
		settings map[string]any
		config   string
		tensors  []string // L is model.layers.0
	}{
		{"lora", map[string]any{"target_modules": "q_proj", "use_dora": true, "use_rslora": true, "rank": 3},
			lora(map[string]string{"use_dora": "true", "use_rslora": "true", "r": "3"}),
			[]string{"L.self_attn.q_proj.lora_A.weight(3, 6)", "L.self_attn.q_proj.lora_B.weight(8, 3)", "L.self_attn.q_proj.lora_magnitude_vector(8)"}},
		{"lora", map[string]any{"target_modules": "q_proj", "bias": "all", "modules_to_save": "lm_head,all-norm"},
			lora(map[string]string{"bias": `"all"`, "modules_to_save": `["lm_head","input_layernorm"]`}),
			[]string{"L.input_layernorm.weight(6)", "L.self_attn.k_proj.bias(4)", "L.self_attn.q_proj.base_layer.bias(8)", "L.self_attn.q_proj.lora_A.weight(8, 6)",
				"L.self_attn.q_proj.lora_B.weight(8, 8)", "L.self_attn.v_proj.bias(4)", "base_model.model.lm_head.weight(7, 6)"}},
		{"lora", map[string]any{"target_regex": `.*\.q_proj`, "bias": "lora_only", "init_weights": "gaussian", "rank_pattern": map[string]any{"q_proj": 2}, "alpha_pattern": map[string]any{"0.self_attn.q_proj": 5}},
			lora(map[string]string{"target_modules": `".*\\.q_proj"`, "bias": `"lora_only"`, "init_lora_weights": `"gaussian"`, "rank_pattern": `{"q_proj":2}`, "alpha_pattern": `{"0.self_attn.q_proj":5}`}),
			[]string{"L.self_attn.q_proj.base_layer.bias(8)", "L.self_attn.q_proj.lora_A.weight(2, 6)", "L.self_attn.q_proj.lora_B.weight(8, 2)"}},
		{"lora", map[string]any{"target_modules": "q_proj", "init_weights": "pissa", "rank": 2},
			lora(map[string]string{"init_lora_weights": `"pissa"`, "r": "2"}),
			[]string{"L.self_attn.q_proj.lora_A.weight(2, 6)", "L.self_attn.q_proj.lora_B.weight(8, 2)"}},
		{"adalora", map[string]any{"target_modules": "q_proj"},
			lora(map[string]string{"peft_type": `"ADALORA"`, "rank_pattern": "null", "target_r": "8", "init_r": "12", "tinit": "0", "tfinal": "0", "deltaT": "1",
				"beta1": "0.85", "beta2": "0.85", "orth_reg_weight": "0.5", "total_step": "null"}),
			[]string{"L.self_attn.q_proj.lora_A(12, 6)", "L.self_attn.q_proj.lora_B(8, 12)", "L.self_attn.q_proj.lora_E(12, 1)"}},
		{"vera", map[string]any{"target_modules": "q_proj,down_proj", "rank": 3},
			`{` + common + `"bias":"none","d_initial":0.1,"fan_in_fan_out":false,"inference_mode":true,"init_weights":true,"layers_pattern":null,"layers_to_transform":null,` +
				`"modules_to_save":null,"peft_type":"VERA","projection_prng_key":0,"r":3,"revision":null,"save_projection":true,"target_modules":["down_proj","q_proj"],` +
				`"task_type":"CAUSAL_LM","vera_dropout":0}`,
			[]string{"L.mlp.down_proj.vera_lambda_b(6)", "L.mlp.down_proj.vera_lambda_d(3)", "L.self_attn.q_proj.vera_lambda_b(8)", "L.self_attn.q_proj.vera_lambda_d(3)",
				"base_model.vera_A(3, 10)", "base_model.vera_B(8, 3)"}},
		{"bone", map[string]any{"target_modules": "q_proj"},
			`{` + common + `"bias":"none","exclude_modules":null,"inference_mode":true,"init_weights":true,"layers_pattern":null,"layers_to_transform":null,` +
				`"modules_to_save":null,"peft_type":"BONE","r":64,"revision":null,"target_modules":["q_proj"],"task_type":"CAUSAL_LM"}`,
			[]string{"L.self_attn.q_proj.bone_block(64, 8)"}},
		{"bone", map[string]any{"target_modules": "q_proj", "rank": 2, "init_weights": "bat"},
			`{` + common + `"bias":"none","exclude_modules":null,"inference_mode":true,"init_weights":"bat","layers_pattern":null,"layers_to_transform":null,` +
				`"modules_to_save":null,"peft_type":"BONE","r":2,"revision":null,"target_modules":["q_proj"],"task_type":"CAUSAL_LM"}`,
			[]string{"L.self_attn.q_proj.bone_block(4, 2, 2)"}},
	} {
		x, m, _ := tuner(t, c.tuner, c.settings)
		a := saved(t, x, m)
		if string(a.Config) != c.config {
			t.Errorf("%s %v: adapter_config.json is\n%s\nwant\n%s", c.tuner, c.settings, a.Config, c.config)
		}
		var want []string
		for _, name := range c.tensors {
			if rest, ok := strings.CutPrefix(name, "L."); ok {
				for _, layer := range []string{"0", "1"} {
					want = append(want, "base_model.model.model.layers."+layer+"."+rest)
				}
			} else {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if got := shapes(a); !slices.Equal(got, want) {
			t.Errorf("%s %v: tensors\n%q\nwant\n%q", c.tuner, c.settings, got, want)
		}
	}
}

// TestConverted sees the plain LoRA of a pissa adapter as PEFT makes it.
func TestConverted(t *testing.T) {
	for _, c := range []struct {
		settings map[string]any
		alpha    float64
	}{{map[string]any{"init_weights": "pissa", "rank": 3, "alpha": 6}, 12}, {map[string]any{"init_weights": "olora", "rank": 3, "alpha": 6, "use_rslora": true}, 8.48528137423857}} {
		x, m, _ := tuner(t, "lora", c.settings)
		a := saved(t, x, m).More["converted/default"]
		if a == nil {
			t.Fatalf("%v: no plain LoRA", c.settings)
		}
		var got struct {
			Init  any     `json:"init_lora_weights"`
			Rank  int     `json:"r"`
			Alpha float64 `json:"lora_alpha"`
		}
		if err := json.Unmarshal(a.Config, &got); err != nil || got.Init != true || got.Rank != 6 || math.Abs(got.Alpha-c.alpha) > 1e-9 {
			t.Errorf("%v: %s, %v", c.settings, a.Config, err)
		}
		if got := a.Tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"].Shape(); got[0] != 10 || got[1] != 6 {
			t.Errorf("%v: shape %v, want [10 6]", c.settings, got)
		}
	}
	x, m, _ := tuner(t, "lora", map[string]any{"init_weights": "gaussian"})
	if a := saved(t, x, m); a.More != nil {
		t.Errorf("an adapter for the base model as it is has other forms: %v", a.More)
	}
}

// TestDummy has adapters of every method go on under dummy, as their own tuners
// would.
func TestDummy(t *testing.T) {
	input := api.Full(0.3, 5, 6)
	for name, settings := range tunings {
		if name == "full" || name == "lora_llm" {
			continue
		}
		for _, settings := range settings {
			x, m, forward := tuner(t, name, settings)
			shake(m)
			m.Training = false
			want, a := forward(api.Const(input)).Data(), saved(t, x, m)
			d, err := newDummy(own("dummy", nil))
			if err != nil {
				t.Fatal(err)
			}
			back, forward := apitest.Model(1)
			if err := d.(api.Saver).Load(back, a); err != nil {
				t.Errorf("%s %v: %v", name, settings, err)
				continue
			}
			if got := forward(api.Const(input)).Data(); !alike(got, want, 1e-4) {
				t.Errorf("%s %v: other logits", name, settings)
			}
			if again := saved(t, d, back); string(again.Config) != string(a.Config) || len(again.Tensors) != len(a.Tensors) {
				t.Errorf("%s %v: saved again it is\n%s, and was\n%s", name, settings, again.Config, a.Config)
			}
			if _, err := d.(api.Regularizer).Penalty(); err != nil {
				t.Error(err)
			}
			if hooks, err := d.(api.Hooked).Callback(10); err != nil || (hooks != nil) != (name == "adalora") {
				t.Errorf("%s: hooks %v, %v", name, hooks, err)
			}
			if err := d.(api.Stateful).Restore(d.(api.Stateful).State()); err != nil {
				t.Error(err)
			}
		}
	}
	d, _ := newDummy(own("dummy", nil))
	m, _ := apitest.Model(1)
	if err := d.Prepare(m); err == nil || !strings.Contains(err.Error(), "give --adapters") {
		t.Errorf("without an adapter: %v", err)
	}
	if err := d.(api.Saver).Load(m, &api.Adapter{Config: []byte(`{"peft_type": "IA3"}`)}); err == nil || !strings.Contains(err.Error(), `peft_type is "IA3", want one of ADALORA, BONE, LLAMAPRO, LORA, VERA`) {
		t.Errorf("an unknown method: %v", err)
	}
}

// alike reports whether two slices are equal within a tolerance.
func alike(a, b []float32, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return float64(x-y) <= tolerance*max(1, float64(max(x, -x))) && float64(y-x) <= tolerance*max(1, float64(max(x, -x)))
	})
}

// TestRegions has lora_llm put LoRA on the language model and train the rest.
func TestRegions(t *testing.T) {
	x, err := newLoraLLM(own("lora_llm", nil))
	if err != nil {
		t.Fatal(err)
	}
	see := func() *api.Model {
		m, _ := apitest.Model(1)
		for _, p := range m.Params {
			if p.Layer == 0 {
				p.Region = api.Vision
			}
		}
		m.Params[0].Region = api.Aligner
		return m
	}
	m := see()
	if err := x.Prepare(m); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params {
		if want := p.Added || p.Region != api.Language; p.Frozen() == want {
			t.Errorf("%s of region %d is trained: %v", p.Name, p.Region, !p.Frozen())
		}
		if p.Added && p.Layer == 0 {
			t.Errorf("%s stands in the part that sees", p.Name)
		}
	}
	a := saved(t, x, m)
	if a.Tensors["base_model.model.model.layers.0.mlp.up_proj.weight"] == nil || a.Tensors["base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"] == nil {
		t.Errorf("tensors %v", shapes(a))
	}
	back, err := newLoraLLM(own("lora_llm", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := back.(api.Saver).Load(see(), a); err != nil {
		t.Error(err)
	}
}
