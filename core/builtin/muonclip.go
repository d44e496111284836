package builtin

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// muonClip is Muon with QK-Clip (Kimi K2, 2025) as ms-swift has it: where the
// logits of the attention may have become larger than a threshold, the
// projections of queries and keys are made smaller. What is no matrix inside
// the model goes by its momentum alone.
type muonClip struct {
	groups
	Momentum  float64 `json:"momentum"`
	Nesterov  bool    `json:"nesterov"`
	Steps     int     `json:"newton_schulz_steps"`
	Threshold float64 `json:"qk_clip_tau"`
	Clip      bool    `json:"qk_clip_enabled"`
	Scale     float64 `json:"rms_scale_factor"` // an update has this root mean square, whatever its shape

	params []clipParam
	shared orthogonalizer
	logits float64 // the largest that the attention may have had since the last step; 0 is not known
}

type clipParam struct {
	part
	momentum *tensor.Dense
	hidden   bool // a matrix inside the model
	queryKey bool // of them the projection of queries or keys
}

func newMuonClip(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	o := &muonClip{groups: groups{DecayAll: true}, Momentum: 0.95, Steps: 5, Threshold: 100, Clip: true, Scale: 0.2}
	if err := args.Decode(o); err != nil {
		return nil, nil, err
	}
	if err := checkMuon(o.Momentum, o.Steps); err != nil {
		return nil, nil, err
	}
	if !(o.Threshold > 0 && o.Scale > 0) {
		return nil, nil, fmt.Errorf("qk_clip_tau and rms_scale_factor are %g and %g, want more than 0", o.Threshold, o.Scale)
	}
	parts, err := o.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		x := clipParam{part: p, momentum: o.keep(p.Param, "momentum_buffer", p.Shape()...), hidden: hidden(p.Param)}
		x.queryKey = x.hidden && (p.Part == api.AttnQuery || p.Part == api.AttnKey || strings.Contains(p.Name, "q_proj") || strings.Contains(p.Name, "k_proj"))
		o.params = append(o.params, x)
	}
	if o.Clip && m.Dir != "" {
		err = o.watch(m)
	}
	return o, nil, err
}

// Step applies m = μm + g, u = scale·√max(rows, cols)·orthogonal(m), or m of what
// is no matrix inside the model, with nesterov u = g + μu, and w -= lr·λ·w,
// w -= lr·u. If the logits were too large, w and u of queries and keys are made
// smaller first, so that the logits would be by threshold/logits.
func (o *muonClip) Step(lr float64) error {
	clip := float32(1)
	if o.Clip && o.logits > o.Threshold {
		clip = float32(math.Sqrt(o.Threshold / o.logits))
	}
	o.logits = 0
	for _, p := range o.params {
		p.Update(func(w, g []float32) { o.update(p, lr*p.ratio, clip, w, g) })
	}
	return nil
}

func (o *muonClip) update(p clipParam, lr float64, clip float32, w, g []float32) {
	v, momentum := p.momentum.Float32s(), float32(o.Momentum)
	for i := range g {
		v[i] = momentum*v[i] + g[i]
	}
	u, scale := v, float32(1)
	if p.hidden {
		work := o.shared.of(p.Param)
		copy(work.x.Float32s(), v)
		u = work.orthogonalize(p.Param, o.Steps)
		scale = float32(o.Scale * math.Sqrt(float64(max(p.Shape()[0], p.Shape()[1]))))
	}
	if !p.queryKey {
		clip = 1
	}
	keep, rate := clip*float32(1-lr*p.decay), clip*float32(lr)
	for i := range w {
		x := scale * u[i]
		if o.Nesterov {
			x = g[i] + momentum*x
		}
		w[i] = keep*w[i] - rate*x
	}
}

// watch bounds the logits of the attention in training, which no extension can
// see, as ms-swift does where it cannot: by the largest norms of a head's query
// and key in a layer, √headDim taken off.
func (o *muonClip) watch(m *api.Model) error {
	heads, err := headDim(m.Dir)
	if err != nil {
		return err
	}
	longest := map[int]*[2]float64{} // query and key, by layer
	for _, l := range m.Linears {
		which := 0
		switch l.Part {
		case api.AttnQuery:
		case api.AttnKey:
			which = 1
		default:
			continue
		}
		if longest[l.Layer] == nil {
			longest[l.Layer] = &[2]float64{}
		}
		norms, gain := longest[l.Layer], headNorm(m, l)
		l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
			y := next(x)
			if !m.Training {
				return y
			}
			norms[which] = longestHead(y.Data(), heads, gain)
			if which == 1 { // a layer's keys come after its queries
				o.logits = max(o.logits, norms[0]*norms[1]/math.Sqrt(float64(heads)))
			}
			return y
		})
	}
	return nil
}

// headDim returns the numbers of a head, from the model's config.json.
func headDim(dir string) (int, error) {
	var c struct {
		HeadDim int `json:"head_dim"`
		Hidden  int `json:"hidden_size"`
		Heads   int `json:"num_attention_heads"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return 0, fmt.Errorf("qk_clip wants the size of a head: %w", err)
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.HeadDim < 1 {
		return 0, fmt.Errorf("qk_clip wants the size of a head, and %s says neither head_dim nor hidden_size and num_attention_heads", filepath.Join(dir, "config.json"))
	}
	return c.HeadDim, nil
}

// headNorm returns the weights of the norm that heads go through after l, or nil.
func headNorm(m *api.Model, l *api.Linear) *api.Param {
	end := "q_norm.weight"
	if l.Part == api.AttnKey {
		end = "k_norm.weight"
	}
	for _, p := range m.Params {
		if p.Layer == l.Layer && strings.HasSuffix(p.Name, end) {
			return p
		}
	}
	return nil
}

// longestHead returns the largest norm of the heads in x, after the norm that
// gain belongs to.
func longestHead(x []float32, dim int, gain *api.Param) float64 {
	longest := 0.0
	for ; len(x) >= dim; x = x[dim:] {
		var sum, scaled float64
		for i, v := range x[:dim] {
			square := float64(v) * float64(v)
			if sum += square; gain != nil {
				g := float64(gain.Data()[i])
				scaled += square * g * g
			}
		}
		if gain != nil && sum > 0 {
			sum = scaled / (sum / float64(dim))
		}
		longest = max(longest, sum)
	}
	return math.Sqrt(longest)
}
