package builtin

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// TestMuonFormula compares with Moonlight's algorithm, with Newton and Schulz's
// polynomial put on the singular values.
func TestMuonFormula(t *testing.T) {
	const lr, decay, momentum = 0.01, 0.1, 0.95
	for _, shape := range [][]int{{3, 5}, {5, 3}, {4, 4}} {
		v := make([]float64, shape[0]*shape[1])
		followTwin(t, newMuon, decaying("muon", decay, nil), "layers.0.up_proj.weight", shape, lr, func(_ int, w, g []float64) {
			x := newMat(shape[0], shape[1])
			sum := 0.0
			for i := range v {
				v[i] = momentum*v[i] + g[i]
				x.x[i] = g[i] + momentum*v[i]
				sum += x.x[i] * x.x[i]
			}
			u, s, r := svd(x)
			for k := range s {
				y := s[k] / math.Sqrt(sum)
				for range 5 {
					y = 3.4445*y - 4.7750*math.Pow(y, 3) + 2.0315*math.Pow(y, 5)
				}
				for j := range r.row(k) {
					r.row(k)[j] *= y
				}
			}
			o := u.transposed().times(r)
			for i := range w {
				w[i] = w[i]*(1-lr*decay) - lr*0.2*math.Sqrt(float64(max(shape[0], shape[1])))*o.x[i]
			}
		})
	}
	// What is no matrix inside the model is AdamW's.
	for _, name := range []string{"model.embed_tokens.weight", "lm_head.weight"} {
		m, v := make([]float64, 6), make([]float64, 6)
		followTwin(t, newMuon, decaying("muon", decay, nil), name, []int{2, 3}, lr, func(t int, w, g []float64) {
			for i := range w {
				m[i], v[i] = 0.9*m[i]+0.1*g[i], 0.95*v[i]+0.05*g[i]*g[i]
				w[i] *= 1 - lr*decay
				w[i] -= lr * m[i] / (1 - math.Pow(0.9, float64(t))) / (math.Sqrt(v[i]/(1-math.Pow(0.95, float64(t)))) + 1e-8)
			}
		})
	}
}

// TestMuonClipVectors compares with ms-swift's, which iterates in bfloat16.
func TestMuonClipVectors(t *testing.T) {
	var v struct {
		Inputs   []optimVector
		Expected [][]nested
	}
	vectors(t, "optim_muonclip.json", &v)
	for i, c := range v.Inputs {
		name := "model.layers.0.mlp.up_proj.weight"
		if c.QK {
			name = "model.layers.0.self_attn.q_proj.weight"
		}
		p := c.W.param(name)
		o, _, err := newMuonClip(decaying("muonclip", c.Decay, c.Options), &api.Model{Params: []*api.Param{p}}, len(c.Grads))
		if err != nil {
			t.Fatal(err)
		}
		tolerance := 3e-3
		if len(c.W.shape) == 1 { // no iteration
			tolerance = 1e-6
		}
		for step, g := range c.Grads {
			give(p, g.flat)
			o.(*muonClip).logits = c.MaxLogits
			if err := o.Step(c.LR); err != nil {
				t.Fatal(err)
			}
			near(t, fmt.Sprintf("%s, step %d", c.ID, step), p.Data(), v.Expected[i][step].flat, tolerance)
		}
	}
}

// TestQKClip trains a layer's projections of queries and keys and compares the
// bound of the logits with the largest, and the clipped with the unclipped step.
func TestQKClip(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"hidden_size": 4, "num_attention_heads": 2}`), 0o666); err != nil {
		t.Fatal(err)
	}
	step := func(settings map[string]any) (w []float32, largest float64) {
		q := &api.Param{}
		m := &api.Model{Dir: dir, Training: true}
		for i, part := range []api.Part{api.AttnQuery, api.AttnKey} {
			p := api.NewParam([]string{"q_proj.weight", "k_proj.weight"}[i], api.Full(0, 4, 4))
			p.Set(func(w []float32) {
				for k := range w {
					w[k] = float32((k*7+i)%5) - 2
				}
			})
			if p.Part, p.Layer = part, 0; i == 0 {
				q = p
			}
			m.Params = append(m.Params, p)
			m.Linears = append(m.Linears, &api.Linear{Name: p.Name, Part: part, In: 4, Out: 4, Weight: p})
		}
		o, _, err := newMuonClip(own("muonclip", settings), m, 1)
		if err != nil {
			t.Fatal(err)
		}
		x := api.Const(tensor.New(tensor.WithShape(2, 4), tensor.WithBacking([]float32{1, 2, -1, 3, 0, 1, 1, -2})))
		qs, ks := m.Linears[0].Forward(x), m.Linears[1].Forward(x)
		for i := range 2 {
			for j := range 2 {
				for h := range 2 {
					a, b := qs.Data()[i*4+2*h:i*4+2*h+2], ks.Data()[j*4+2*h:j*4+2*h+2]
					largest = max(largest, float64(a[0]*b[0]+a[1]*b[1])/math.Sqrt2)
				}
			}
		}
		if bound := o.(*muonClip).logits; bound < largest || bound > 10*largest {
			t.Errorf("the bound of the logits is %g, the largest %g", bound, largest)
		}
		give(q, make([]float32, 16)) // an update of 0
		if err := o.Step(0.1); err != nil {
			t.Fatal(err)
		}
		if o.(*muonClip).logits != 0 {
			t.Error("the logits of the last step are kept")
		}
		return q.Data(), largest
	}
	free, largest := step(map[string]any{"qk_clip_tau": 1e6})
	clipped, _ := step(map[string]any{"qk_clip_tau": largest / 4})
	for i := range free {
		if free[i] != 0 && !(math.Abs(float64(clipped[i]/free[i])) <= 0.5) {
			t.Fatalf("element %d is %g, and unclipped %g; want at most a half", i, clipped[i], free[i])
		}
	}
	if _, _, err := newMuonClip(own("muonclip", nil), &api.Model{Dir: t.TempDir()}, 1); err == nil || !strings.Contains(err.Error(), "size of a head") {
		t.Errorf("a model without config.json: %v", err)
	}
}
