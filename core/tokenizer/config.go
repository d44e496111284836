package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	configFile        = "tokenizer_config.json"
	specialTokensFile = "special_tokens_map.json"
	templateFile      = "chat_template.jinja"
)

// maxLength is the largest model_max_length taken at its word: transformers
// writes 1e30 where the model has none.
const maxLength = 1 << 30

// configSpec is what is read of tokenizer_config.json and, its first four
// fields, of special_tokens_map.json.
type configSpec struct {
	BOS          tokenName    `json:"bos_token"`
	EOS          tokenName    `json:"eos_token"`
	PAD          tokenName    `json:"pad_token"`
	UNK          tokenName    `json:"unk_token"`
	ChatTemplate templateList `json:"chat_template"`
	MaxLength    *float64     `json:"model_max_length"`
	AddBOS       bool         `json:"add_bos_token"`
	AddEOS       bool         `json:"add_eos_token"`
}

// parseConfig reads the files beside tokenizer.json. tokenizer_config.json
// wins over special_tokens_map.json, chat_template.jinja over both.
func (t *Tokenizer) parseConfig(files map[string][]byte) error {
	var config, special configSpec
	for name, into := range map[string]*configSpec{configFile: &config, specialTokensFile: &special} {
		data, ok := files[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(data, into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	id := func(names ...tokenName) int32 {
		for _, name := range names {
			if name == "" {
				continue
			}
			if id, ok := t.ID(string(name)); ok {
				return id
			}
		}
		return -1
	}
	t.BOS = id(config.BOS, special.BOS)
	t.EOS = id(config.EOS, special.EOS)
	t.PAD = id(config.PAD, special.PAD)
	t.UNK = id(config.UNK, special.UNK)
	t.AddBOS, t.AddEOS = config.AddBOS, config.AddEOS
	if n := config.MaxLength; n != nil && *n > 0 && *n <= maxLength {
		t.MaxLength = int(*n)
	}
	t.ChatTemplates = config.ChatTemplate
	if text, ok := files[templateFile]; ok {
		if t.ChatTemplates == nil {
			t.ChatTemplates = map[string]string{}
		}
		t.ChatTemplates["default"] = string(text)
	}
	t.ChatTemplate = t.ChatTemplates["default"]
	return nil
}

// tokenName is a token written as a string or as {"content": string}.
type tokenName string

func (n *tokenName) UnmarshalJSON(data []byte) error {
	if strings.HasPrefix(string(data), "{") {
		var object struct {
			Content string `json:"content"`
		}
		if err := json.Unmarshal(data, &object); err != nil {
			return err
		}
		*n = tokenName(object.Content)
		return nil
	}
	return json.Unmarshal(data, (*string)(n))
}

// templateList is chat_template: one string, named "default", or a list of
// {"name", "template"}.
type templateList map[string]string

func (l *templateList) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if !strings.HasPrefix(string(data), "[") {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("chat_template: %w", err)
		}
		*l = templateList{"default": text}
		return nil
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("chat_template: %w", err)
	}
	*l = templateList{}
	for _, entry := range list {
		(*l)[entry.Name] = entry.Template
	}
	return nil
}
