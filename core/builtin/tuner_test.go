package builtin

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// settings of each tuner, each of which the small model can be tuned with.
var tunings = map[string][]map[string]any{
	"full": {
		nil,
		{"freeze_parameters": "model.layers.0", "trainable_parameters": "model.layers.0.mlp"},
		{"freeze_parameters_ratio": 0.5, "trainable_parameters_regex": `k_proj`},
	},
	"lora": {
		nil,
		{"use_rslora": true, "rank": 3},
		{"bias": "all", "target_modules": "q_proj,down_proj"},
		{"bias": "lora_only", "target_modules": "q_proj,down_proj"},
		{"modules_to_save": "lm_head,all-norm"},
		{"modules_to_save": "k_proj", "target_regex": `.*\.(q|k)_proj`},
		{"rank_pattern": map[string]any{"q_proj": 2, "0.mlp.up_proj": 5}, "alpha_pattern": map[string]any{"v_proj": 3}},
		{"init_weights": "gaussian"},
		{"init_weights": "pissa", "rank": 3, "alpha": 4},
		{"init_weights": "pissa_niter_4", "rank": 3, "alpha": 4},
		{"init_weights": "olora", "rank": 4, "alpha": 4, "use_rslora": true, "modules_to_save": "lm_head"},
		{"use_dora": true},
		{"use_dora": true, "init_weights": "pissa", "rank": 3, "bias": "all", "rank_pattern": map[string]any{"q_proj": 2}},
	},
	"lora_llm": {nil, {"use_dora": true}},
	"adalora": {
		nil,
		{"init_r": 5, "target_r": 2, "alpha": 0, "modules_to_save": "lm_head", "bias": "lora_only"},
	},
	"vera": {
		nil,
		{"rank": 3, "target_modules": "v_proj,down_proj", "modules_to_save": "all-norm", "projection_prng_key": 7},
	},
	"bone": {
		nil,
		{"rank": 4, "modules_to_save": "lm_head"},
		{"rank": 2, "init_weights": "bat"},
	},
	"llamapro": {{"num_new_blocks": 2}, {"num_new_blocks": 2, "num_groups": 1}},
}

// TestTuners takes every tuner through the kit with each of its settings: it
// leaves the model as it is, and saves, loads and merges exactly.
func TestTuners(t *testing.T) {
	for name, construct := range Exports().Tuners {
		if name == "dummy" { // TestDummy
			continue
		}
		if len(tunings[name]) == 0 {
			t.Errorf("no settings of %s", name)
		}
		for _, settings := range tunings[name] {
			t.Run(fmt.Sprint(name, settings), func(t *testing.T) {
				apitest.Tuner(t, construct, apitest.With(settings))
			})
		}
	}
}

// tuner returns a small model, its forward pass and its tuner.
func tuner(t *testing.T, name string, settings map[string]any) (api.Tuner, *api.Model, func(*api.Var) *api.Var) {
	t.Helper()
	x, err := Exports().Tuners[name](own(name, settings))
	if err != nil {
		t.Fatal(err)
	}
	m, forward := apitest.Model(1)
	if err := x.Prepare(m); err != nil {
		t.Fatal(err)
	}
	return x, m, forward
}

// shake fills in what is trained, as training would.
func shake(m *api.Model) {
	for i, p := range m.Trainable() {
		p.Set(func(w []float32) {
			noise := make([]float32, len(w))
			normal(noise, 0.3, int64(i), p.Name)
			for j := range w {
				w[j] += noise[j]
			}
		})
	}
}

// saved returns what the tuner saves.
func saved(t *testing.T, x api.Tuner, m *api.Model) *api.Adapter {
	t.Helper()
	a, err := x.(api.Saver).Save(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shapes returns the names and shapes of an adapter's tensors.
func shapes(a *api.Adapter) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a.Tensors)) {
		list = append(list, fmt.Sprint(name, a.Tensors[name].Shape()))
	}
	return list
}
