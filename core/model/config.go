package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config is what a model's config.json says of its architecture.
type Config struct {
	ModelType        string            `json:"model_type"`
	HiddenSize       int               `json:"hidden_size"`
	IntermediateSize int               `json:"intermediate_size"`
	Layers           int               `json:"num_hidden_layers"`
	Heads            int               `json:"num_attention_heads"`
	KVHeads          int               `json:"num_key_value_heads"`
	HeadDim          int               `json:"head_dim"`
	VocabSize        int               `json:"vocab_size"`
	MaxPositions     int               `json:"max_position_embeddings"`
	NormEps          float64           `json:"rms_norm_eps"`
	RopeTheta        float64           `json:"rope_theta"`
	RopeScaling      *Rope             `json:"rope_scaling"`
	RopeParameters   *Rope             `json:"rope_parameters"` // where newer transformers put both
	Tied             bool              `json:"tie_word_embeddings"`
	AttentionBias    bool              `json:"attention_bias"`
	MLPBias          bool              `json:"mlp_bias"`
	HiddenAct        string            `json:"hidden_act"`
	SlidingWindow    *int              `json:"sliding_window"`
	UseSlidingWindow *bool             `json:"use_sliding_window"`
	TorchDtype       string            `json:"torch_dtype"`
	Dtype            string            `json:"dtype"` // newer transformers' name of torch_dtype
	BOS              ids               `json:"bos_token_id"`
	EOS              ids               `json:"eos_token_id"`
	Architectures    []string          `json:"architectures"`
	NumLabels        int               `json:"num_labels"`
	ID2Label         map[string]string `json:"id2label"`
	ProblemType      string            `json:"problem_type"`
	Initializer      *float64          `json:"initializer_range"`
	Classes          *Classes          `json:"-"` // nil for a language model
	attentionBiasQKV bool              // on query, key and value
	attentionBiasOut bool              // on the output
	queryKeyNorm     bool              // RMSNorm of each head of query and key
	raw              map[string]json.RawMessage
}

// Rope says how rotary angles are stretched beyond the trained length.
type Rope struct {
	Type         string  `json:"rope_type"`
	OldType      string  `json:"type"`
	Theta        float64 `json:"rope_theta"`
	Factor       float64 `json:"factor"`
	LowFreq      float64 `json:"low_freq_factor"`
	HighFreq     float64 `json:"high_freq_factor"`
	OriginalSize float64 `json:"original_max_position_embeddings"`
}

// ids is one token id or a list of them.
type ids []int32

func (x *ids) UnmarshalJSON(text []byte) error {
	var one *int32
	if err := json.Unmarshal(text, &one); err == nil {
		if one != nil {
			*x = ids{*one}
		}
		return nil
	}
	return json.Unmarshal(text, (*[]int32)(x))
}

var types = []string{"llama", "mistral", "qwen2", "qwen3"}

// LoadConfig reads and checks dir/config.json.
func LoadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: no config.json; want the directory of a Hugging Face model (config.json, *.safetensors, tokenizer.json)", dir)
	}
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads and checks the text of a config.json.
func ParseConfig(text []byte) (*Config, error) {
	c := &Config{Tied: false, HiddenAct: "silu", NormEps: 1e-6, MaxPositions: 2048}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &c.raw); err != nil {
		return nil, err
	}
	return c, c.check()
}

// check fills in what may be left out and refuses what cannot be computed.
func (c *Config) check() error {
	if !slices.Contains(types, c.ModelType) {
		return fmt.Errorf("model_type is %q, want one of %s", c.ModelType, strings.Join(types, ", "))
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	for name, n := range map[string]int{"hidden_size": c.HiddenSize, "intermediate_size": c.IntermediateSize, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "vocab_size": c.VocabSize, "max_position_embeddings": c.MaxPositions} {
		if n < 1 || n > 1<<24 {
			return fmt.Errorf("%s is %d, want a whole number from 1 to %d", name, n, 1<<24)
		}
	}
	if c.HeadDim == 0 {
		if c.HiddenSize%c.Heads != 0 {
			return fmt.Errorf("hidden_size %d is no multiple of num_attention_heads %d, and there is no head_dim", c.HiddenSize, c.Heads)
		}
		c.HeadDim = c.HiddenSize / c.Heads
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	case c.HeadDim%2 != 0 || c.HeadDim < 2 || c.HeadDim > 1024:
		return fmt.Errorf("head_dim is %d, want an even number from 2 to 1024", c.HeadDim)
	case c.HiddenAct != "silu":
		return fmt.Errorf("hidden_act is %q, want \"silu\"", c.HiddenAct)
	case !(c.NormEps > 0):
		return fmt.Errorf("rms_norm_eps is %g, want more than 0", c.NormEps)
	}
	for _, key := range []string{"quantization_config"} {
		if text, ok := c.raw[key]; ok && string(text) != "null" {
			return fmt.Errorf("%s is set: quantised weights cannot be read; want the model in float32, bfloat16 or float16", key)
		}
	}
	c.attentionBiasQKV = c.ModelType == "qwen2" || c.AttentionBias && c.ModelType != "mistral"
	c.attentionBiasOut = c.AttentionBias && c.ModelType != "mistral" && c.ModelType != "qwen2"
	c.queryKeyNorm = c.ModelType == "qwen3"
	if err := c.readClasses(); err != nil {
		return err
	}
	return c.checkRope()
}

func (c *Config) checkRope() error {
	if p := c.RopeParameters; p != nil {
		c.RopeScaling = p
		if p.Theta != 0 {
			c.RopeTheta = p.Theta
		}
	}
	if c.RopeTheta == 0 {
		c.RopeTheta = 10000
	}
	if s := c.RopeScaling; s != nil {
		if s.Type == "" {
			s.Type = s.OldType
		}
		switch s.Type {
		case "", "default":
			c.RopeScaling = nil
		case "linear":
			if s.Factor < 1 {
				return fmt.Errorf("rope_scaling: factor is %g, want 1 or more", s.Factor)
			}
		case "llama3":
			if s.Factor < 1 || s.LowFreq <= 0 || s.HighFreq <= s.LowFreq || s.OriginalSize <= 0 {
				return fmt.Errorf("rope_scaling: llama3 needs factor ≥ 1, 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings, has %g, %g, %g and %g", s.Factor, s.LowFreq, s.HighFreq, s.OriginalSize)
			}
		default:
			return fmt.Errorf("rope_scaling: type %q, want default, linear or llama3", s.Type)
		}
	}
	return nil
}

// MaxLength is the longest sequence, in tokens, that the model can be given: its
// positions, or its sliding window where it has one, as all of it is attended to.
func (c *Config) MaxLength() int {
	if c.SlidingWindow != nil && *c.SlidingWindow > 0 && (c.UseSlidingWindow == nil && c.ModelType == "mistral" || c.UseSlidingWindow != nil && *c.UseSlidingWindow) {
		return min(c.MaxPositions, *c.SlidingWindow)
	}
	return c.MaxPositions
}

// frequencies returns the headDim/2 angles by which one position turns a head.
// They are rounded to float32 where PyTorch's are.
func (c *Config) frequencies() []float32 {
	inv := make([]float32, c.HeadDim/2)
	for i := range inv {
		inv[i] = 1 / float32(math.Pow(c.RopeTheta, float64(float32(2*i)/float32(c.HeadDim))))
		s := c.RopeScaling
		switch {
		case s == nil:
		case s.Type == "linear":
			inv[i] /= float32(s.Factor)
		default:
			inv[i] = s.llama3(inv[i])
		}
	}
	return inv
}

// llama3 stretches low frequencies and leaves high ones, as the Llama 3.1 release.
func (s *Rope) llama3(inv float32) float32 {
	wave := 2 * math.Pi / float64(inv)
	switch {
	case wave < s.OriginalSize/s.HighFreq:
		return inv
	case wave > s.OriginalSize/s.LowFreq:
		return inv / float32(s.Factor)
	}
	smooth := float32((s.OriginalSize/wave - s.LowFreq) / (s.HighFreq - s.LowFreq))
	return (1-smooth)*inv/float32(s.Factor) + smooth*inv
}

// ropeTable returns [positions, headDim]: the cosines, then the sines of each
// position's angles.
func (c *Config) ropeTable(positions int) []float32 {
	inv := c.frequencies()
	half := len(inv)
	table := make([]float32, positions*2*half)
	for p := range positions {
		row := table[p*2*half:]
		for i, f := range inv {
			angle := float64(float32(p) * f)
			row[i], row[half+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	return table
}

// SavedDtype returns torch_dtype of the model, "float32" where it says nothing.
func (c *Config) SavedDtype() string {
	switch {
	case c.TorchDtype != "":
		return c.TorchDtype
	case c.Dtype != "":
		return c.Dtype
	}
	return "float32"
}
