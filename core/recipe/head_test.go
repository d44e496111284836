package recipe

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
)

// classified returns the logits of the model's head for two short texts.
func classified(m *model.Model) []float32 {
	return slices.Concat(m.Scores([][]int32{{1, 7, 200, 3}, {9, 4, 250}}, 2)...)
}

// withHead returns the model of the settings with the head of their task.
func withHead(t *testing.T, c *Config) *model.Model {
	t.Helper()
	conf, err := c.modelConfig()
	if err != nil {
		t.Fatal(err)
	}
	e, err := autograd.NewEngine(1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.LoadAs(c.Model, conf, e, c.Seed, checkpoint.F32)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestHead saves, loads, exports and merges the adapters of every tuner with the
// head of a classifier: the logits stay the same, and the head is where PEFT and
// transformers look for it.
func TestHead(t *testing.T) {
	for _, k := range []struct {
		family, tuner string
		own           map[string]any
		modules       []any // in modules_to_save
	}{
		{"llama", "lora", map[string]any{"modules_to_save": "all-norm"}, []any{"input_layernorm", "post_attention_layernorm", "norm", "score"}},
		{"llama", "lora", map[string]any{"modules_to_save": "score"}, []any{"score"}},
		{"qwen2", "lora", map[string]any{"use_dora": true, "bias": "all"}, []any{"score"}},
		{"qwen3", "lora", map[string]any{"init_weights": "pissa"}, []any{"score"}},
		{"qwen2", "lora_llm", nil, []any{"score"}},
		{"qwen3", "adalora", nil, []any{"score"}},
		{"llama", "vera", nil, []any{"score"}},
		{"qwen2", "bone", map[string]any{"rank": 8}, []any{"score"}},
		{"qwen2", "llamapro", map[string]any{"num_new_blocks": 1, "num_groups": 1}, []any{"score"}},
	} {
		t.Run(k.tuner+" "+k.family, func(t *testing.T) {
			c, reg := setup(t, k.family, k.tuner, k.own)
			c.TaskType, c.NumLabels = seqCls, 3
			x, err := reg.Tuner(k.tuner)
			if err != nil {
				t.Fatal(err)
			}
			u, err := tune(c, withHead(t, c), x)
			if err != nil {
				t.Fatal(err)
			}
			if u.m.Score().Frozen() {
				t.Fatal("the head is not trained")
			}
			for i, p := range u.m.Trainable() {
				p.Set(func(w []float32) {
					for j := range w {
						w[j] += 0.02 * float32(math.Sin(float64(17*i+3*j)))
					}
				})
			}
			want, dir := classified(u.m), t.TempDir()
			if err := u.save(dir); err != nil {
				t.Fatal(err)
			}
			var config struct {
				TaskType string `json:"task_type"`
				Modules  []any  `json:"modules_to_save"`
			}
			if err := checkpoint.ReadJSON(filepath.Join(dir, adapterConfig), &config); err != nil || config.TaskType != "SEQ_CLS" || !slices.Equal(config.Modules, k.modules) {
				t.Errorf("adapter_config.json: %+v, %v, want SEQ_CLS and %v", config, err, k.modules)
			}
			if k.own["use_dora"] != nil { // as PEFT itself writes it
				text, err := os.ReadFile(filepath.Join(dir, adapterConfig))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, adapterConfig), bytes.Replace(text, []byte(`"score"`), []byte(`"classifier", "score"`), 1), 0o666)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			from := dir
			if k.own["init_weights"] == "pissa" {
				from = filepath.Join(dir, "converted", "default")
			}
			for _, adapter := range []string{dir, from} { // without args.json: all is in the adapter
				c, reg := setup(t, k.family, k.tuner, nil)
				c.Adapters = []string{adapter}
				m, _, err := loadAdapted(c, reg)
				if err != nil {
					t.Fatal(err)
				}
				if d := far(want, classified(m)); !(d < 1e-4) {
					t.Errorf("%s: the logits of the adapter that was loaded differ by %g", adapter, d)
				}
			}
			c, reg = setup(t, k.family, k.tuner, nil)
			c.Adapters = []string{dir}
			out := filepath.Join(t.TempDir(), "merged")
			if err := merged(c, reg, out); err != nil {
				t.Fatal(err)
			}
			m := load(t, out)
			if d := far(want, classified(m)); !(d < 1e-4) {
				t.Errorf("the merged model's logits differ by %g", d)
			}
			if h := m.Config.Classes; h.New || h.N != 3 || h.Problem != model.SingleLabel {
				t.Errorf("the merged model has the head %+v", h)
			}
			if k.tuner != "lora" {
				return
			}
			c, reg = setup(t, k.family, k.tuner, nil)
			c.Adapters, c.OutputDir = []string{dir}, filepath.Join(t.TempDir(), "peft")
			if _, err := Export(*c, ExportOptions{ToPeftFormat: true}, reg, io.Discard); err != nil {
				t.Fatal(err)
			}
			c.Adapters = []string{c.OutputDir}
			if m, _, err = loadAdapted(c, reg); err != nil {
				t.Fatal(err)
			}
			if d := far(want, classified(m)); !(d < 1e-4) {
				t.Errorf("the logits of the adapter in PEFT's form differ by %g", d)
			}
		})
	}
}

// TestHeadRefuses has adapters on models that they are not for.
func TestHeadRefuses(t *testing.T) {
	c, reg := setup(t, "llama", "lora", nil)
	c.TaskType, c.NumLabels, c.Adapters = seqCls, 3, []string{filepath.Join(models, "llama", "lora_adapter")}
	if _, _, err := loadAdapted(c, reg); err == nil || !strings.Contains(err.Error(), "the adapter has no classification head, and neither has the model") {
		t.Error(err)
	}
	c, reg = setup(t, "llama", "lora", nil)
	c.TaskType, c.NumLabels = reranker, 1
	x, err := reg.Tuner("lora")
	if err != nil {
		t.Fatal(err)
	}
	u, err := tune(c, withHead(t, c), x)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := u.save(dir); err != nil {
		t.Fatal(err)
	}
	c, reg = setup(t, "llama", "lora", nil)
	if x, err = reg.Tuner("lora"); err != nil {
		t.Fatal(err)
	}
	plain := &tuned{m: load(t, c.Model), tuner: x, name: "lora", config: c}
	if err := plain.load(dir); err == nil || !strings.Contains(err.Error(), "the adapter has a classification head") {
		t.Error(err)
	}
}
