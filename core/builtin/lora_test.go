package builtin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

func prepared(t *testing.T, settings map[string]any) (*lora, *api.Model) {
	t.Helper()
	tuner, err := newLora(own("lora", settings))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := apitest.Model(1)
	if err := tuner.Prepare(m); err != nil {
		t.Fatal(err)
	}
	return tuner.(*lora), m
}

// TestLoraFormula compares the forward pass of one linear with loops in float64.
func TestLoraFormula(t *testing.T) {
	for _, c := range []struct {
		settings map[string]any
		scale    float64
	}{
		{map[string]any{"rank": 4, "alpha": 16}, 4},
		{map[string]any{"rank": 4, "alpha": 16, "use_rslora": true}, 8},
	} {
		l, m := prepared(t, c.settings)
		m.Training = false
		r := rand.New(rand.NewPCG(1, 1))
		for _, p := range l.pairs {
			p.b.Set(func(w []float32) {
				for i := range w {
					w[i] = float32(r.NormFloat64())
				}
			})
			x := tensor.New(tensor.WithShape(2, p.In), tensor.WithBacking(make([]float32, 2*p.In)))
			for i := range x.Float32s() {
				x.Float32s()[i] = float32(r.NormFloat64())
			}
			got := p.Forward(api.Const(x)).Data()
			for row := range 2 {
				for o := range p.Out {
					want := 0.0
					if p.Bias != nil {
						want = float64(p.Bias.Data()[o])
					}
					for i := range p.In {
						w := float64(p.Weight.Data()[o*p.In+i])
						for k := range 4 {
							w += c.scale * float64(p.b.Data()[o*4+k]) * float64(p.a.Data()[k*p.In+i])
						}
						want += w * float64(x.Float32s()[row*p.In+i])
					}
					if math.Abs(float64(got[row*p.Out+o])-want) > 1e-4 {
						t.Fatalf("%s with %v: %g, want %g", p.Name, c.settings, got[row*p.Out+o], want)
					}
				}
			}
		}
	}
}

// TestLoraDropout looks at the dropout by what it does to the gradient of B: only
// in training are there other gradients each time.
func TestLoraDropout(t *testing.T) {
	l, m := prepared(t, map[string]any{"dropout": 0.5})
	p := l.pairs[0]
	gradient := func() string {
		p.b.ClearGrad()
		if err := p.Forward(api.Const(api.Full(1, 1, p.In))).Sum().Backward(); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p.b.Grad())
	}
	m.Training = true
	if gradient() == gradient() && gradient() == gradient() {
		t.Error("no dropout in training")
	}
	m.Training = false
	if gradient() != gradient() {
		t.Error("dropout outside training")
	}
}

// TestLoraStart compares the first matrix with what is known of kaiming_uniform_:
// even between ±1/√in, another for every layer and seed.
func TestLoraStart(t *testing.T) {
	l, _ := prepared(t, map[string]any{"rank": 600})
	seen := map[float32]string{}
	for _, p := range l.pairs {
		bound, sum, squares := 1/math.Sqrt(float64(p.In)), 0.0, 0.0
		a := p.a.Data()
		for _, x := range a {
			if math.Abs(float64(x)) > bound {
				t.Fatalf("%s: %g is beyond %g", p.a.Name, x, bound)
			}
			sum += float64(x)
			squares += float64(x) * float64(x)
		}
		if mean := sum / float64(len(a)); math.Abs(mean) > 0.1*bound {
			t.Errorf("%s: mean %g, want 0", p.a.Name, mean)
		}
		if got, want := squares/float64(len(a)), bound*bound/3; math.Abs(got/want-1) > 0.1 {
			t.Errorf("%s: variance %g, want %g", p.a.Name, got, want)
		}
		if other, ok := seen[a[0]]; ok {
			t.Errorf("%s begins as %s does", p.a.Name, other)
		}
		seen[a[0]] = p.a.Name
		for _, x := range p.b.Data() {
			if x != 0 {
				t.Fatalf("%s is not 0", p.b.Name)
			}
		}
	}
	few, _ := prepared(t, map[string]any{"rank": 600, "target_modules": []string{"v_proj"}})
	if i := slices.IndexFunc(l.pairs, func(p *pair) bool { return p.Name == few.pairs[0].Name }); !slices.Equal(l.pairs[i].a.Data(), few.pairs[0].a.Data()) {
		t.Error("a layer begins differently when fewer layers are tuned")
	}
}

func TestLoraTargets(t *testing.T) {
	for _, c := range []struct {
		targets any
		want    string // names on layer 0, or of the error
	}{
		{"all-linear", "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj extra"},
		{[]string{"all-linear"}, "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj extra"},
		{"v_proj, q_proj", "q_proj v_proj"},
		{[]string{"mlp.up_proj"}, "up_proj"},
		{[]string{"proj"}, "no linear layer fits target_modules proj; there are down_proj, extra, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj"},
		{[]string{}, "target_modules of lora is empty"},
		{[]string{"all-linear", "q_proj"}, "not both"},
	} {
		tuner, err := newLora(own("lora", map[string]any{"target_modules": c.targets}))
		m, _ := apitest.Model(1)
		if err == nil {
			err = tuner.Prepare(m)
		}
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("targets %v: %v, want %q", c.targets, err, c.want)
			}
			continue
		}
		var got []string
		for _, p := range tuner.(*lora).pairs {
			if p.Part == api.LMHead {
				t.Errorf("targets %v: the output projection is tuned", c.targets)
			}
			if p.Layer == 0 {
				got = append(got, p.Name[strings.LastIndex(p.Name, ".")+1:])
			}
			if p.a.Part != p.Part || p.b.Layer != p.Layer {
				t.Errorf("%s does not say what it belongs to", p.a.Name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("targets %v: %v, want %s", c.targets, got, c.want)
		}
	}
}

func TestLoraRefusesSettings(t *testing.T) {
	for key, x := range map[string]any{"rank": 0, "dropout": 1, "target_modules": 3} {
		if _, err := newLora(own("lora", map[string]any{key: x})); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %v: %v", key, x, err)
		}
	}
}

// TestLoraSavesAsPEFT compares with the file that PEFT 0.13.2 writes.
func TestLoraSavesAsPEFT(t *testing.T) {
	l, m := prepared(t, map[string]any{"target_modules": []string{"v_proj", "q_proj"}})
	a, err := l.Save(m)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"alpha_pattern":{},"auto_mapping":null,"base_model_name_or_path":"tiny","bias":"none","fan_in_fan_out":false,` +
		`"inference_mode":true,"init_lora_weights":true,"layer_replication":null,"layers_pattern":null,"layers_to_transform":null,` +
		`"loftq_config":{},"lora_alpha":32,"lora_dropout":0.05,"megatron_config":null,"megatron_core":"megatron.core",` +
		`"modules_to_save":null,"peft_type":"LORA","r":8,"rank_pattern":{},"revision":null,"target_modules":["q_proj","v_proj"],` +
		`"task_type":"CAUSAL_LM","use_dora":false,"use_rslora":false}`
	if string(a.Config) != want {
		t.Errorf("adapter_config.json is\n%s\nwant\n%s", a.Config, want)
	}
	shapes := map[string]string{}
	for name, x := range a.Tensors {
		shapes[name] = fmt.Sprint(x.Shape())
	}
	for _, layer := range []string{"0", "1"} {
		for suffix, shape := range map[string]string{"q_proj.lora_A": "(8, 6)", "q_proj.lora_B": "(8, 8)", "v_proj.lora_A": "(8, 6)", "v_proj.lora_B": "(4, 8)"} {
			name := "base_model.model.model.layers." + layer + ".self_attn." + suffix + ".weight"
			if shapes[name] != shape {
				t.Errorf("%s has shape %s, want %s", name, shapes[name], shape)
			}
			delete(shapes, name)
		}
	}
	if len(shapes) > 0 {
		t.Errorf("more tensors than PEFT writes: %v", shapes)
	}
}

// adapter returns an adapter for the small model with the configuration of
// testdata, changed as told.
func adapter(t *testing.T, change map[string]any) *api.Adapter {
	t.Helper()
	var config map[string]any
	vectors(t, "adapter_config.json", &config)
	targets := []string{}
	for _, x := range config["target_modules"].([]any) {
		targets = append(targets, x.(string))
	}
	l, m := prepared(t, map[string]any{"rank": config["r"], "alpha": config["lora_alpha"], "target_modules": targets})
	a, err := l.Save(m)
	if err != nil {
		t.Fatal(err)
	}
	for key, x := range change {
		config[key] = x
	}
	if a.Config, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLoraLoads(t *testing.T) {
	for _, change := range []map[string]any{
		nil,
		{"use_dora": false, "lora_bias": false, "modules_to_save": nil, "alpha_pattern": map[string]any{}, "eva_config": nil, "peft_version": "0.19.1"},
		{"target_modules": `.*\.(q|k|v|o|gate|up|down)_proj`},
		{"layers_to_transform": []int{0, 1}},
	} {
		a := adapter(t, change)
		tuner, err := newLora(own("lora", map[string]any{"rank": 2}))
		if err != nil {
			t.Fatal(err)
		}
		m, _ := apitest.Model(1)
		if err := tuner.(*lora).Load(m, a); err != nil {
			t.Errorf("%v: %v", change, err)
			continue
		}
		l := tuner.(*lora)
		if l.Rank != 4 || l.Alpha != 16 || l.Dropout != 0 || len(l.pairs) != 14 || len(m.Trainable()) != 28 {
			t.Errorf("%v: rank %d, alpha %g, dropout %g, %d pairs, %d trained", change, l.Rank, l.Alpha, l.Dropout, len(l.pairs), len(m.Trainable()))
		}
		again, err := l.Save(m)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(again.Config, &got), json.Unmarshal(a.Config, &want)); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"target_modules", "layers_to_transform", "r", "lora_alpha"} {
			if want[key] != nil && string(got[key]) != string(want[key]) {
				t.Errorf("%v: saved again, %s is %s, want %s", change, key, got[key], want[key])
			}
		}
	}
}

func TestLoraRefusesAdapters(t *testing.T) {
	for _, c := range []struct {
		change map[string]any
		want   string
	}{
		{map[string]any{"use_dora": true}, "has no tensor base_model.model.model.layers.0.mlp.down_proj.lora_magnitude_vector"},
		{map[string]any{"bias": "all"}, "has no tensor base_model.model.model.layers.0.self_attn.k_proj.base_layer.bias"},
		{map[string]any{"init_lora_weights": "loftq"}, "init_lora_weights is loftq, which changes the base weights"},
		{map[string]any{"bias": "some"}, `bias of lora is "some", want none, all, lora_only`},
		{map[string]any{"peft_type": "IA3"}, `peft_type is "IA3", want LORA`},
		{map[string]any{"modules_to_save": []string{"lm_head"}}, "has no tensor base_model.model.lm_head.weight"},
		{map[string]any{"rank_pattern": map[string]int{"q_proj": 2}}, "has shape (4, 6), want (2, 6)"},
		{map[string]any{"init_lora_weights": "pissa", "r": 60}, "rank is 60, and with init_weights pissa it is at most 6"},
		{map[string]any{"lora_bias": true}, "lora_bias is true"},
		{map[string]any{"r": 0}, "rank of lora is 0"},
		{map[string]any{"r": 8}, "does not fit"},
		{map[string]any{"r": "four"}, "adapter_config.json: json"},
		{map[string]any{"target_modules": []string{"q_proj", "lm_head"}}, "has no tensor base_model.model.lm_head.lora_"},
	} {
		tuner, err := newLora(own("lora", nil))
		if err != nil {
			t.Fatal(err)
		}
		m, _ := apitest.Model(1)
		if err := tuner.(*lora).Load(m, adapter(t, c.change)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.change, err, c.want)
		}
	}
	a := adapter(t, nil)
	a.Tensors["base_model.model.model.layers.9.mlp.up_proj.lora_A.weight"] = api.Full(0, 4, 6)
	m, _ := apitest.Model(1)
	if err := (&lora{targets: targets{TargetModules: modules{allLinear}}}).Load(m, a); err == nil || !strings.Contains(err.Error(), "no place for") {
		t.Errorf("a tensor of a tenth layer: %v", err)
	}
	if err := (&lora{targets: targets{TargetModules: modules{allLinear}}}).Load(&api.Model{}, adapter(t, nil)); err == nil || !strings.Contains(err.Error(), "nothing for this model") {
		t.Errorf("a model without linears: %v", err)
	}
}
