package builtin

import (
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// TestFreeze sees what ms-swift's freeze_parameters and activate_parameters
// leave to train.
func TestFreeze(t *testing.T) {
	for _, c := range []struct {
		settings map[string]any
		trained  func(name string) bool
	}{
		{map[string]any{"freeze_parameters": []string{"model.layers.0", "lm"}}, func(n string) bool { return strings.HasPrefix(n, "model.layers.1") }},
		{map[string]any{"freeze_parameters": "model", "trainable_parameters": "model.layers.1.mlp"}, func(n string) bool { return n == "lm_head.weight" || strings.Contains(n, "1.mlp") }},
		{map[string]any{"freeze_parameters_regex": `proj\.weight$`}, func(n string) bool { return !strings.HasSuffix(n, "proj.weight") }},
		{map[string]any{"freeze_parameters_ratio": 1, "trainable_parameters_regex": "norm|head"}, func(n string) bool { return strings.Contains(n, "norm") || n == "lm_head.weight" }},
	} {
		_, m, _ := tuner(t, "full", c.settings)
		for _, p := range m.Params {
			if p.Frozen() == c.trained(p.Name) {
				t.Errorf("%v: %s is trained: %v", c.settings, p.Name, !p.Frozen())
			}
		}
	}
}

// TestFreezeRatio goes through all shares, with the order in which PyTorch lists
// the parameters of a layer written out.
func TestFreezeRatio(t *testing.T) {
	m := &api.Model{Layers: 2}
	add := func(layer, size int, names ...string) {
		for _, n := range names {
			p := api.NewParam(n, api.Full(0, size))
			p.Layer = layer
			m.Params = append(m.Params, p)
		}
	}
	add(-1, 4, "model.embed_tokens.weight")
	for i, layer := range []string{"model.layers.0.", "model.layers.1."} { // in the order of the forward pass
		add(i, 1, layer+"input_layernorm.weight")
		add(i, 2, layer+"self_attn.q_proj.weight", layer+"self_attn.q_proj.bias", layer+"self_attn.k_proj.weight")
		add(i, 1, layer+"self_attn.q_norm.weight", layer+"self_attn.k_norm.weight")
		add(i, 2, layer+"self_attn.o_proj.weight")
		add(i, 1, layer+"post_attention_layernorm.weight")
		add(i, 3, layer+"mlp.gate_proj.weight", layer+"mlp.down_proj.weight")
	}
	add(-1, 1, "model.norm.weight")
	add(-1, 4, "lm_head.weight")
	torch := []string{"model.embed_tokens.weight"}
	for _, layer := range []string{"model.layers.0.", "model.layers.1."} {
		for _, n := range []string{"self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.weight", "self_attn.o_proj.weight", "self_attn.q_norm.weight",
			"self_attn.k_norm.weight", "mlp.gate_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight", "post_attention_layernorm.weight"} {
			torch = append(torch, layer+n)
		}
	}
	torch = append(torch, "model.norm.weight", "lm_head.weight")
	size := map[string]int{}
	whole := 0
	for _, p := range m.Params {
		size[p.Name] = len(p.Data())
		whole += size[p.Name]
	}
	for percent := range 101 {
		f, err := newFull(own("full", map[string]any{"freeze_parameters_ratio": float64(percent) / 100}))
		if err == nil {
			err = f.Prepare(m)
		}
		if err != nil {
			t.Fatal(err)
		}
		limit, sum := int(float64(whole)*float64(percent)/100), 0
		frozen := map[string]bool{}
		for _, name := range torch {
			if sum += size[name]; sum <= limit && percent > 0 {
				frozen[name] = true
			}
		}
		for _, p := range m.Params {
			if p.Frozen() != frozen[p.Name] {
				t.Errorf("%d%%: %s is frozen: %v", percent, p.Name, p.Frozen())
			}
		}
	}
}

func TestFreezeErrors(t *testing.T) {
	for want, settings := range map[string]map[string]any{
		"no parameter's name begins with layers of freeze_parameters; there are model.layers.0.input_layernorm.weight": {"freeze_parameters": "layers"},
		"no parameter's name has trainable_parameters_regex visual in it; there are":                                   {"trainable_parameters_regex": "visual"},
		"freeze_parameters_ratio of full is 2, want 0 to 1":                                                            {"freeze_parameters_ratio": 2},
		"freeze_parameters_regex of full: error parsing regexp: missing closing )":                                     {"freeze_parameters_regex": "("},
		"invalid or unsupported Perl syntax: `(?!`; there is no looking ahead or behind in patterns here":              {"freeze_parameters_regex": "^(?!visual)"},
	} {
		f, err := newFull(own("full", settings))
		if err == nil {
			m, _ := apitest.Model(1)
			err = f.Prepare(m)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", settings, err, want)
		}
	}
}
