package builtin

import (
	"encoding/json"
	"fmt"
	"slices"

	"swiftgo/api"
)

// peftConfig is adapter_config.json as PEFT 0.13 writes it for LoRA, in the same
// order. Newer versions read it and fill in what they have added since.
type peftConfig struct {
	AlphaPattern      map[string]float64 `json:"alpha_pattern"`
	AutoMapping       json.RawMessage    `json:"auto_mapping"`
	BaseModel         string             `json:"base_model_name_or_path"`
	Bias              string             `json:"bias"`
	FanInFanOut       bool               `json:"fan_in_fan_out"`
	InferenceMode     bool               `json:"inference_mode"`
	InitLoraWeights   json.RawMessage    `json:"init_lora_weights"`
	LayerReplication  json.RawMessage    `json:"layer_replication"`
	LayersPattern     json.RawMessage    `json:"layers_pattern"`
	LayersToTransform json.RawMessage    `json:"layers_to_transform"`
	LoftqConfig       json.RawMessage    `json:"loftq_config"`
	Alpha             float64            `json:"lora_alpha"`
	Dropout           float64            `json:"lora_dropout"`
	MegatronConfig    json.RawMessage    `json:"megatron_config"`
	MegatronCore      string             `json:"megatron_core"`
	ModulesToSave     []string           `json:"modules_to_save"`
	PeftType          string             `json:"peft_type"`
	Rank              int                `json:"r"`
	RankPattern       map[string]int     `json:"rank_pattern"`
	Revision          *string            `json:"revision"`
	TargetModules     json.RawMessage    `json:"target_modules"` // a list, or a text that is a pattern
	TaskType          string             `json:"task_type"`
	UseDora           bool               `json:"use_dora"`
	UseRSLora         bool               `json:"use_rslora"`
}

// config returns the settings of l as PEFT's.
func (l *lora) config() *peftConfig {
	var linears []*api.Linear
	for _, p := range l.pairs {
		linears = append(linears, p.Linear)
	}
	targets, _ := json.Marshal(ends(linears)) // texts cannot fail
	return &peftConfig{
		AlphaPattern: map[string]float64{}, Bias: "none", InferenceMode: true, InitLoraWeights: json.RawMessage("true"),
		LoftqConfig: json.RawMessage("{}"), Alpha: l.Alpha, Dropout: l.Dropout, MegatronCore: "megatron.core", PeftType: "LORA",
		Rank: l.Rank, RankPattern: map[string]int{}, TargetModules: targets, TaskType: "CAUSAL_LM", UseRSLora: l.UseRSLora,
	}
}

// readPEFT reads the configuration of an adapter that some version of PEFT
// made, and refuses what LoRA here does not do.
func readPEFT(text []byte) (*peftConfig, error) {
	c := &peftConfig{Bias: "none", MegatronCore: "megatron.core", Alpha: 8, Rank: 8, AlphaPattern: map[string]float64{},
		RankPattern: map[string]int{}, InitLoraWeights: json.RawMessage("true"), LoftqConfig: json.RawMessage("{}")}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, err
	}
	if c.PeftType != "LORA" {
		return nil, fmt.Errorf("peft_type is %q, want LORA", c.PeftType)
	}
	if c.Bias != "none" {
		return nil, fmt.Errorf("bias is %q, want none: trained biases are not supported", c.Bias)
	}
	c.InferenceMode = true
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	for _, key := range []string{"use_dora", "modules_to_save", "alpha_pattern", "rank_pattern", "layer_replication", "lora_bias",
		"use_qalora", "trainable_token_indices", "target_parameters", "alora_invocation_tokens"} {
		switch x := all[key].(type) {
		case nil:
			continue
		case bool:
			if !x {
				continue
			}
		case []any:
			if len(x) == 0 {
				continue
			}
		case map[string]any:
			if len(x) == 0 {
				continue
			}
		}
		return nil, fmt.Errorf("%s is %v, which is not supported; want an adapter trained without it", key, all[key])
	}
	return c, nil
}

// names reports whether the list of target modules names the linear on every
// layer. A pattern, or a choice of layers, leaves that to the tensors.
func (c *peftConfig) names(l *api.Linear) bool {
	var list []string
	if json.Unmarshal(c.TargetModules, &list) != nil || (len(c.LayersToTransform) > 0 && string(c.LayersToTransform) != "null") {
		return false
	}
	return slices.ContainsFunc(list, func(name string) bool { return named(l, name) })
}
