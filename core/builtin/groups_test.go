package builtin

import (
	"maps"
	"math"
	"strings"
	"testing"

	"swiftgo/api"
)

// region is a model with a parameter of each part, all of them 1.
func regions() *api.Model {
	m := &api.Model{}
	for i, name := range []string{"model.layers.0.a.weight", "model.layers.1.a.weight", "visual.a.weight", "visual.merger.weight", "x.lora_A.weight", "x.lora_B.weight"} {
		p := api.NewParam(name, api.Full(1, 2, 2))
		p.Region = []api.Region{api.Language, api.Language, api.Vision, api.Aligner, api.Language, api.Language}[i]
		m.Params = append(m.Params, p)
	}
	return m
}

// TestGroups trains a step with rates of parts: with sgd and a gradient of 1, a
// parameter moves by its rate.
func TestGroups(t *testing.T) {
	m := regions()
	settings := map[string]any{"lr_groups": []string{`layers\.0\.=0.5`, "layers=0.25"}, "vit_lr": 0.125, "aligner_lr": 2}
	o, _, err := newSGD(own("sgd", settings), m, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params {
		give(p, []float32{1, 1, 1, 1})
	}
	const half = 5e-3 // of the run's rate, so that all rates are halved
	if err := o.Step(half); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.25, 0.125, 0.0625, 1, half, half} {
		if got := 1 - float64(m.Params[i].Data()[0]); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s moves by %g, want %g", m.Params[i].Name, got, want)
		}
	}
	rates := o.(api.Rated).Rates(half)
	if want := map[string]float64{`layers\.0\.`: 0.25, "layers": 0.125, "vit": 0.0625, "aligner": 1}; !maps.EqualFunc(rates, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
		t.Errorf("rates %v, want %v", rates, want)
	}
	for want, settings := range map[string]map[string]any{
		"want PATTERN=RATE":                    {"lr_groups": "layers"},
		"error parsing regexp":                 {"lr_groups": "(=1"},
		"want a rate from 0 up":                {"lr_groups": "layers=x"},
		"lr_groups nothing=1 is given, and no": {"lr_groups": "nothing=1"},
		"vit_lr is -1":                         {"vit_lr": -1},
	} {
		if _, _, err := newAdamW(own("adamw", settings), regions(), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", settings, err, want)
		}
	}
	text := regions()
	text.Params = text.Params[:2]
	if _, _, err := newAdamW(own("adamw", map[string]any{"vit_lr": 1}), text, 1); err == nil || !strings.Contains(err.Error(), "vit_lr is given, and no parameter") {
		t.Errorf("vit_lr of a text model: %v", err)
	}
}

// TestLoraPlus sees lora_B move by lr_ratio times what lora_A does: AdamW's first
// step is the rate.
func TestLoraPlus(t *testing.T) {
	m := regions()
	o, _, err := newLoraPlus(own("lorap", map[string]any{"lr_ratio": 8}), m, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params {
		give(p, []float32{1, 1, 1, 1})
	}
	if err := o.Step(0.01); err != nil {
		t.Fatal(err)
	}
	a, b := 1-m.Params[4].Data()[0], 1-m.Params[5].Data()[0]
	if math.Abs(float64(a)-0.01) > 1e-6 || math.Abs(float64(b)-0.08) > 1e-6 {
		t.Errorf("lora_A moves by %g and lora_B by %g, want 0.01 and 0.08", a, b)
	}
	if rates := o.(api.Rated).Rates(0.01); math.Abs(rates["lora_B"]-0.08) > 1e-12 {
		t.Errorf("rates %v", rates)
	}
}
