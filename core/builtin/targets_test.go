package builtin

import (
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// TestTunerErrors has settings and adapters that cannot be end with what was
// wanted.
func TestTunerErrors(t *testing.T) {
	for _, c := range []struct {
		tuner    string
		settings map[string]any
		want     string
	}{
		{"vera", map[string]any{"target_modules": "query"}, "no linear layer fits target_modules query; there are down_proj, extra, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj"},
		{"bone", map[string]any{"target_modules": ""}, "target_modules of bone is empty"},
		{"bone", map[string]any{"target_modules": []string{}}, "target_modules of bone is empty"},
		{"lora", map[string]any{"target_regex": "q_proj"}, "no linear layer fits target_regex q_proj; there are model.layers.0.self_attn.q_proj, "},
		{"lora", map[string]any{"target_regex": "("}, "target_regex of lora: error parsing regexp"},
		{"lora", map[string]any{"modules_to_save": "score"}, "no module fits modules_to_save score; there are down_proj, extra, gate_proj, input_layernorm, "},
		{"lora", map[string]any{"modules_to_save": "all-embedding"}, "no module fits modules_to_save all-embedding"},
		{"lora", map[string]any{"target_modules": "q_proj", "modules_to_save": "q_proj"}, "no linear layer is left for target_modules q_proj, as modules_to_save has q_proj"},
		{"lora", map[string]any{"init_weights": "loftq"}, `init_weights of lora is "loftq", want true, false, gaussian, pissa, pissa_niter_N or olora`},
		{"lora", map[string]any{"init_weights": "pissa_niter_x"}, "want pissa_niter_N with a number N"},
		{"lora", map[string]any{"init_weights": "pissa", "rank": 5}, "rank is 5, and with init_weights pissa it is at most 4 for model.layers.0.self_attn.k_proj, whose weight is 4×6"},
		{"lora", map[string]any{"init_weights": "olora", "rank": 2, "alpha": 0}, "alpha is 0, and init_weights olora wants another"},
		{"lora", map[string]any{"rank_pattern": map[string]any{"q_proj": 0}}, "rank of lora is 0"},
		{"lora", map[string]any{"rank_pattern": map[string]any{"(": 2}}, "rank_pattern or alpha_pattern of lora: error parsing"},
		{"lora", map[string]any{"bias": "yes"}, `bias of lora is "yes", want none, all, lora_only`},
		{"adalora", map[string]any{"init_r": 4}, "init_r of adalora is 4, want 8 or more"},
		{"adalora", map[string]any{"beta2": 1}, "beta2 of adalora is 1, want more than 0 and less than 1"},
		{"adalora", map[string]any{"deltaT": 0}, "deltaT of adalora is 0, want 1 or more"},
		{"vera", map[string]any{"rank": 0}, "rank of vera is 0"},
		{"vera", map[string]any{"d_initial": 0}, "d_initial of vera is 0"},
		{"bone", map[string]any{"rank": 4, "init_weights": "bat"}, "rank of bone is 4, and with init_weights bat it must divide the 6 inputs and 8 outputs"},
		{"bone", map[string]any{"init_weights": "pissa"}, `init_weights of bone is "pissa", want true, false or bat`},
		{"llamapro", nil, "the model has 2 layers, which 4 groups do not divide"},
		{"llamapro", map[string]any{"num_new_blocks": 0}, "num_new_blocks of llamapro is 0"},
		{"llamapro", map[string]any{"num_new_blocks": 2, "num_groups": 3}, "num_groups of llamapro is 3, want a divisor of num_new_blocks 2"},
	} {
		x, err := Exports().Tuners[c.tuner](own(c.tuner, c.settings))
		if err == nil {
			m, _ := apitest.Model(1)
			err = x.Prepare(m)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.tuner, c.settings, err, c.want)
		}
	}
	if err := (&llamaPro{NewBlocks: 1}).Prepare(&api.Model{Type: "t", Layers: 1}); err == nil || !strings.Contains(err.Error(), "a model of type t cannot grow") {
		t.Errorf("a model that cannot grow: %v", err)
	}
}

func TestAdapterErrors(t *testing.T) {
	for _, c := range []struct {
		tuner  string
		change func(a *api.Adapter)
		want   string
	}{
		{"vera", func(a *api.Adapter) { delete(a.Tensors, "base_model.vera_A") }, "save it with save_projection true"},
		{"vera", func(a *api.Adapter) { a.Tensors["base_model.vera_A"] = api.Full(0, 256, 3) }, "wants 6 inputs and 8 outputs"},
		{"vera", func(a *api.Adapter) { a.Config = []byte(`{"peft_type": "VERA", "bias": "all"}`) }, `bias is "all", want none`},
		{"bone", func(a *api.Adapter) { a.Config = []byte(`{"peft_type": "BONE", "bias": "all"}`) }, `bias is "all", want none`},
		{"bone", func(a *api.Adapter) { a.Config = []byte(`{"peft_type": "VERA"}`) }, `peft_type is "VERA", want BONE`},
		{"bone", func(a *api.Adapter) { a.Config = []byte(`{`) }, "adapter_config.json: unexpected end"},
		{"adalora", func(a *api.Adapter) { a.Config = []byte(`{"peft_type": "ADALORA", "alpha_pattern": {"q": 1}}`) }, "alpha_pattern is map[q:1], which is not supported"},
		{"adalora", func(a *api.Adapter) {
			a.Config = []byte(`{"peft_type": "ADALORA", "rank_pattern": {"model.layers.0.self_attn.q_proj.lora_E": [true]}}`)
		}, "rank_pattern has 1 ranks for model.layers.0.self_attn.q_proj, want 12"},
		{"llamapro", func(a *api.Adapter) { a.Config = []byte(`{"swift_type": "LORA"}`) }, `swift_type is "LORA", want LLAMAPRO`},
		{"llamapro", func(a *api.Adapter) { a.Tensors["model.layers.9.x"] = api.Full(0, 1) }, "no place for, e.g. model.layers.9.x"},
	} {
		settings := map[string]any{}
		if c.tuner == "llamapro" {
			settings["num_new_blocks"] = 2
		}
		x, m, _ := tuner(t, c.tuner, settings)
		a := saved(t, x, m)
		c.change(a)
		back, err := Exports().Tuners[c.tuner](own(c.tuner, nil))
		if err != nil {
			t.Fatal(err)
		}
		fresh, _ := apitest.Model(1)
		if err := back.(api.Saver).Load(fresh, a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.tuner, err, c.want)
		}
	}
}
