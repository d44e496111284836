package template

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/tokenizer"
)

// TestOwnTemplates finds the answers in what real templates write: every answer
// is trained on, and nothing of what others said.
func TestOwnTemplates(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/vectors/chat-templates/templates/*.jinja")
	if len(files) == 0 {
		t.Skip("needs the shared chat templates beside the repository")
	}
	tok, err := tokenizer.Load("../../../shared/material/tokenizers/qwen3")
	if err != nil {
		t.Skip("needs the shared tokenizers beside the repository: ", err)
	}
	conversations := map[string]*Conversation{
		"two rounds": chat("user:ask one", "assistant:reply one", "user:ask two", "assistant:reply two"),
		"system":     chat("system:rule", "user:ask one", "assistant:reply one"),
		"tools":      chat("user:ask one", `tool_call:{"name": "f", "arguments": {"x": "reply one"}}`, "tool:found", "assistant:reply two"),
		"thought":    chat("user:ask one", "assistant:<think>\nhm\n</think>\n\nreply one", "user:ask two", "assistant:<think>\nhm\n</think>\n\nreply two"),
	}
	conversations["tools"].Tools = []api.Tool{{Name: "f", JSON: []byte(`{"type": "function", "function": {"name": "f", "description": "rule", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}`)}}
	written, unclear := 0, map[string][]string{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".jinja")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tok.ChatTemplate, tok.ChatTemplates = string(data), nil
		c, err := Own(tok)
		if err != nil {
			t.Log(name, err)
			continue
		}
		for kind, conversation := range conversations {
			e := &Encoder{Chat: c, Tokenizer: tok, Scale: strategies["default"]}
			pieces, err := e.Pieces(conversation)
			if err != nil {
				if errors.Is(err, errUnclear) {
					unclear[kind] = append(unclear[kind], name)
				}
				continue // the template has no such conversations
			}
			written++
			var trained, rest strings.Builder
			for _, p := range pieces {
				if p.Weight > 0 {
					trained.WriteString(p.Text + "\x00")
				} else {
					rest.WriteString(p.Text)
				}
			}
			for _, text := range []string{"ask one", "ask two", "rule", "found", "<|im_start|>", "<|user|>", "[INST]"} {
				if strings.Contains(trained.String(), text) && !strings.Contains(tok.ChatTemplate, "endgeneration") { // who has tags decides himself
					t.Errorf("%s, %s: %q is trained on", name, kind, trained.String())
				}
			}
			for _, text := range []string{"reply one", "reply two"} {
				if strings.Contains(rest.String(), text) {
					t.Errorf("%s, %s: %q of %q is not trained on", name, kind, text, rest.String())
				}
			}
		}
	}
	t.Logf("%d conversations written; unclear: %v", written, unclear)
	if written < 250 {
		t.Errorf("%d conversations are written, want 250 or more", written)
	}
}
