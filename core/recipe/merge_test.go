package recipe

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/registry"
)

// setup returns the settings of a run with a tuner, and what it can choose from.
func setup(t *testing.T, family, tuner string, own map[string]any) (*Config, *registry.Registry) {
	t.Helper()
	c := Default()
	c.Model, c.TunerType, c.TorchDtype = filepath.Join(models, family), tuner, "float32"
	reg := registry.New(c.Args(), map[string]map[string]any{tuner: own})
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		t.Fatal(err)
	}
	for name, values := range c.OwnDefaults() {
		reg.Defaults(name, values)
	}
	return &c, reg
}

func load(t *testing.T, dir string) *model.Model {
	t.Helper()
	e, err := autograd.NewEngine(1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dir, e)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// prepared returns a model that the tuner has prepared and that is then changed
// as training would.
func prepared(t *testing.T, c *Config, reg *registry.Registry) *tuned {
	t.Helper()
	tuner, err := reg.Tuner(c.TunerType)
	if err != nil {
		t.Fatal(err)
	}
	u, err := tune(c, load(t, c.Model), tuner)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range u.m.Trainable() {
		p.Set(func(w []float32) {
			for j := range w {
				w[j] += 0.02 * float32(math.Sin(float64(17*i+3*j)))
			}
		})
	}
	return u
}

// says returns the logits for two short sequences.
func says(m *model.Model) []float32 {
	m.Engine.Reset()
	return slices.Clone(m.Forward([]int32{1, 7, 200, 3, 9, 4, 250}, []int32{0, 4}).Logits().Data())
}

func far(a, b []float32) (worst float64) {
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i]-b[i])))
	}
	if len(a) != len(b) {
		return math.Inf(1)
	}
	return worst
}

// merged exports the model of the settings with its adapter merged.
func merged(c *Config, reg *registry.Registry, dir string) error {
	c.OutputDir = dir
	_, err := Export(*c, ExportOptions{MergeLora: true}, reg, io.Discard)
	return err
}

// TestMerge has every tuner's adapter saved, loaded and merged: the model that
// is written says what the tuned one said.
func TestMerge(t *testing.T) {
	for _, k := range []struct {
		family, tuner string
		own           map[string]any
	}{
		{"llama", "lora", map[string]any{"modules_to_save": "lm_head", "bias": "all"}},
		{"qwen2", "lora", map[string]any{"use_dora": true, "bias": "lora_only"}},
		{"qwen3", "lora", map[string]any{"init_weights": "pissa"}},
		{"llama31", "lora", map[string]any{"init_weights": "pissa_niter_2", "use_rslora": true}},
		{"qwen2", "lora", map[string]any{"init_weights": "olora", "rank_pattern": map[string]any{"q_proj": 3}}},
		{"qwen2", "lora_llm", nil},
		{"qwen3", "adalora", nil},
		{"llama", "vera", nil},
		{"qwen2", "bone", map[string]any{"rank": 24}},
		{"llama", "bone", map[string]any{"rank": 16, "init_weights": "bat"}},
		{"qwen2", "llamapro", map[string]any{"num_new_blocks": 3}},
		{"qwen3", "llamapro", map[string]any{"num_new_blocks": 2, "num_groups": 1}},
	} {
		t.Run(k.tuner+" "+k.family, func(t *testing.T) {
			c, reg := setup(t, k.family, k.tuner, k.own)
			base := says(load(t, c.Model))
			u := prepared(t, c, reg)
			tuned := says(u.m)
			if far(base, tuned) < 1e-3 {
				t.Fatal("tuning changes nothing; is the check blind?")
			}
			dir := t.TempDir()
			if err := u.save(dir); err != nil {
				t.Fatal(err)
			}
			c, reg = setup(t, k.family, k.tuner, nil)
			c.Adapters = []string{dir}
			out := filepath.Join(t.TempDir(), "merged")
			if err := merged(c, reg, out); err != nil {
				t.Fatal(err)
			}
			if d := far(tuned, says(load(t, out))); !(d < 1e-4) {
				t.Errorf("the merged model's logits differ by %g, want less than 1e-4", d)
			}
			if _, err := os.Stat(filepath.Join(out, "tokenizer.json")); err != nil {
				t.Error(err)
			}
			if more := filepath.Join(dir, "converted", "default"); k.own["init_weights"] != nil && k.tuner == "lora" {
				c, reg = setup(t, k.family, k.tuner, nil)
				c.Adapters = []string{more}
				x, err := reg.Tuner(k.tuner)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := tune(c, load(t, c.Model), x)
				if err != nil {
					t.Fatal(err)
				}
				if d := far(tuned, says(plain.m)); !(d < 1e-4) {
					t.Errorf("the adapter as a plain LoRA: logits differ by %g, want less than 1e-4", d)
				}
			}
			if err := merged(c, reg, out); err == nil || !strings.Contains(err.Error(), "is there already") {
				t.Errorf("a folder that is there: %v", err)
			}
		})
	}
}

// TestMergeRefuses sees that what cannot be merged is said, and nothing left.
func TestMergeRefuses(t *testing.T) {
	c, reg := setup(t, "llama", "lora", nil)
	if err := merged(c, reg, filepath.Join(t.TempDir(), "x")); err == nil || !strings.Contains(err.Error(), "--adapters is missing") {
		t.Errorf("no adapter: %v", err)
	}
	c, reg = setup(t, "qwen2", "lora", map[string]any{"target_modules": "lm_head"}) // its weight is the embedding's
	u := prepared(t, c, reg)
	dir, out := t.TempDir(), t.TempDir()
	if err := u.save(dir); err != nil {
		t.Fatal(err)
	}
	c.Adapters = []string{dir}
	if err := merged(c, reg, filepath.Join(out, "merged")); err == nil || !strings.Contains(err.Error(), "lm_head has the weight model.embed_tokens.weight") {
		t.Errorf("a weight that is used twice: %v", err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestGrownConfig sees the new layers in config.json.
func TestGrownConfig(t *testing.T) {
	m := load(t, filepath.Join(models, "qwen3"))
	if err := m.CopyLayer(0); err != nil {
		t.Fatal(err)
	}
	text, err := configOf(m, []byte(`{"num_hidden_layers": 2, "layer_types": ["full_attention", "full_attention"], "x": 1.50}`), checkpoint.F32)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Layers int             `json:"num_hidden_layers"`
		Kinds  []string        `json:"layer_types"`
		X      json.RawMessage `json:"x"`
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Layers != 3 || len(got.Kinds) != 3 || string(got.X) != "1.50" {
		t.Errorf("%s: %v", text, err)
	}
}

// TestLoraDtype has an adapter in bfloat16 go on from float32, unless only the
// model was saved.
func TestLoraDtype(t *testing.T) {
	for _, only := range []bool{false, true} {
		c, reg := setup(t, "llama", "lora", nil)
		c.LoraDtype, c.SaveOnlyModel = "bfloat16", only
		u := prepared(t, c, reg)
		want, dir := says(u.m), t.TempDir()
		if err := u.save(dir); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(filepath.Join(dir, masterWeights))
		if errors.Is(err, fs.ErrNotExist) != only {
			t.Errorf("save_only_model %v: %v", only, err)
		}
		c.Adapters = []string{dir}
		x, err := reg.Tuner("lora")
		if err != nil {
			t.Fatal(err)
		}
		back, err := tune(c, load(t, c.Model), x)
		if err != nil {
			t.Fatal(err)
		}
		if d := far(want, says(back.m)); (d == 0) == only || d > 0.1 {
			t.Errorf("save_only_model %v: logits differ by %g", only, d)
		}
	}
}
