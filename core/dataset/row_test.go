package dataset

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swiftgo/core/template"
)

const vectors = "../../../shared/vectors/extensions"

func TestVectors(t *testing.T) {
	for _, dir := range []string{"testdata", vectors} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, "dataset_preprocess.json"))
			if errors.Is(err, os.ErrNotExist) {
				t.Skip("needs the shared vectors beside the repository: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Inputs []struct {
					ID      string
					Columns map[string]string
					Row     json.RawMessage
				}
				Expected []struct {
					Error string
					Rows  []map[string]any
				}
			}
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			for i, in := range v.Inputs {
				want := v.Expected[i]
				row, err := ParseRow(in.Row, in.Columns)
				if want.Error != "" || len(want.Rows) == 0 {
					if err == nil {
						t.Errorf("%s: no error, want %s", in.ID, want.Error)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", in.ID, err)
					continue
				}
				messages := want.Rows[0]["messages"].([]any)
				if got := plain(row.Messages); !reflect.DeepEqual(got, standard(messages)) {
					t.Errorf("%s: messages %v, want %v", in.ID, got, standard(messages))
				}
				delete(want.Rows[0], "messages")
				for name, value := range want.Rows[0] {
					if !reflect.DeepEqual(row.Columns[name], value) {
						t.Errorf("%s: column %s is %v, want %v", in.ID, name, row.Columns[name], value)
					}
				}
			}
		})
	}
}

// TestPreferences reads the conversation that is rejected, and images.
func TestPreferences(t *testing.T) {
	data, err := os.ReadFile("testdata/template_inputs.json")
	if err != nil {
		t.Fatal(err)
	}
	type inputs struct {
		Messages []any
		Images   []string
		Label    any
	}
	var v struct {
		Inputs   []json.RawMessage
		Expected []struct {
			Error            string
			Chosen, Rejected *inputs
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	for i, want := range v.Expected {
		row, err := ParseRow(v.Inputs[i], nil)
		if (err != nil) != (want.Error != "") {
			t.Errorf("%s: %v", v.Inputs[i], err)
		}
		if err != nil {
			continue
		}
		var images []string
		list, _ := row.Columns["images"].([]any)
		for _, x := range list {
			images = append(images, x.(map[string]any)["path"].(string))
		}
		if got := plain(row.Messages); !reflect.DeepEqual(got, standard(want.Chosen.Messages)) || !slices.Equal(images, want.Chosen.Images) || row.Columns["label"] != want.Chosen.Label {
			t.Errorf("%s: %v, %v", v.Inputs[i], got, images)
		}
		switch {
		case (row.Rejected == nil) != (want.Rejected == nil):
			t.Errorf("%s: rejected %v", v.Inputs[i], row.Rejected)
		case row.Rejected != nil:
			if got := plain(row.Rejected.Messages); !reflect.DeepEqual(got, standard(want.Rejected.Messages)) {
				t.Errorf("%s: rejected %v", v.Inputs[i], got)
			}
		}
	}
}

// plain writes messages as the vectors do.
func plain(messages []template.Message) []any {
	var out []any
	for _, m := range messages {
		x := map[string]any{"role": m.Role, "content": m.Content}
		if m.Loss != nil {
			x["loss"] = *m.Loss
		}
		if m.LossScale != nil {
			x["loss_scale"] = *m.LossScale
		}
		out = append(out, x)
	}
	return out
}

// standard writes messages of the vectors with our one name for tools, and
// calls as text.
func standard(messages []any) []any {
	for _, m := range messages {
		m := m.(map[string]any)
		if m["role"] == "tool_response" {
			m["role"] = "tool"
		}
		if call, ok := m["content"].(map[string]any); ok {
			arguments, _ := json.Marshal(call["arguments"])
			m["content"] = callText(call["name"].(string), arguments)
		}
	}
	return messages
}

func TestBadRows(t *testing.T) {
	for _, c := range []struct{ row, want string }{
		{`{"messages": [{"role": "user", "content": "q"}`, "not JSON: unexpected end of JSON input at byte 46"},
		{`[1]`, "the row is [1], want a JSON object"},
		{`null`, "want a JSON object"},
		{"{\"query\": \"\xff\"}", "not UTF-8"},
		{`{"messages": []}`, "messages is empty"},
		{`{"messages": null}`, "the columns are none"},
		{`{"messages": "hello"}`, "messages is \"hello\", want a list"},
		{`{"messages": [3]}`, "messages[0] is 3"},
		{`{"messages": [null]}`, "messages[0] is null"},
		{`{"messages": [{"role": "user", "content": "q"}, {"content": "a"}]}`, "messages[1] has no role; want one of system, user, assistant, tool_call, tool"},
		{`{"conversations": [{"from": "poet", "value": "q"}]}`, `conversations[0] has role "poet", want one of`},
		{`{"messages": [{"role": "user"}]}`, "messages[0] has no content"},
		{`{"messages": [{"role": "user", "content": []}]}`, "messages[0] has no content"},
		{`{"messages": [{"role": "user", "content": {"a": 1}}]}`, "messages[0] has content {\"a\": 1}, want text"},
		{`{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, `content of type "image_url"`},
		{`{"messages": [{"role": "assistant", "tool_calls": [{}]}]}`, "messages[0] has a call of no function"},
		{`{"colour": "red", "size": 3}`, "the columns are colour, size"},
		{`{"prompt": "q", "question": "p", "response": "a"}`, "any of the columns prompt, question could be the query"},
		{`{"query": "\ud83d", "response": "a"}`, `byte 11 is the escape \ud83d, half a character`},
		{`{"query": "q", "response": "\\\ud83dx"}`, `half a character`},
		{`{"query": "q", "response": 42}`, "response is 42, want text"},
		{`{"query": "q", "response": "a", "history": "none"}`, "history is"},
		{`{"query": "q", "response": "a", "history": [["q"]]}`, "history[0] has 1 texts"},
		{`{"query": "q", "response": "a", "tools": {"name": "f"}}`, "tools is"},
		{`{"query": "q", "response": "a", "tools": ["f"]}`, "tools[0] is"},
		{`{"query": "q", "response": "a", "tools": [{}]}`, "tools[0] has no name"},
		{`{"query": "q", "response": "a", "x": 1e999}`, "column x"},
	} {
		_, err := ParseRow([]byte(c.row), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.row, err, c.want)
		}
		var wrong *rowError
		if !errors.As(err, &wrong) || wrong.reason == "" {
			t.Errorf("%s: %v has no reason", c.row, err)
		}
	}
}

func TestColumnOfItsNameWins(t *testing.T) {
	row, err := ParseRow([]byte(`{"query": "q", "answer": "x", "Response": "a", "response": "b", "problem": "y"}`), nil)
	if err != nil || len(row.Messages) != 2 || row.Messages[0].Content != "q" || row.Messages[1].Content != "b" {
		t.Errorf("%v, %v", row.Messages, err)
	}
	if want := map[string]any{"answer": "x", "Response": "a", "problem": "y"}; !reflect.DeepEqual(row.Columns, want) {
		t.Errorf("columns %v, want %v", row.Columns, want)
	}
}

func TestLiterals(t *testing.T) {
	for in, want := range map[string]string{
		`"[{'a': True, 'b': (1, None)}]"`: `[{"a": true, "b": [1, null]}]`, `" {\"a\":1} "`: `{"a":1}`, `"f(x)"`: `"f(x)"`, `" "`: "", `[1]`: `[1]`,
	} {
		if got := string(literal(json.RawMessage(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestSurrogates(t *testing.T) {
	row, err := ParseRow([]byte(`{"query": "\ud83d\ude80 \\ud83d \\\\", "response": "a"}`), nil)
	if err != nil || row.Messages[0].Content != "🚀 \\ud83d \\\\" {
		t.Errorf("%v, %v", row.Messages, err)
	}
}

func TestTools(t *testing.T) {
	for _, tools := range []string{
		`[{"name": "f", "description": "d", "parameters": {"b": 1, "a": 2}}]`,
		`["{\"name\": \"f\", \"description\": \"d\", \"parameters\": {\"b\": 1, \"a\": 2}}"]`,
		`"[{\"name\": \"f\", \"description\": \"d\", \"parameters\": {\"b\": 1, \"a\": 2}}]"`,
		`"[{'name': 'f', 'description': 'd', 'parameters': {'b': 1, 'a': 2}}]"`,
		`[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"b": 1, "a": 2}}}]`,
	} {
		row, err := ParseRow([]byte(`{"query": "q", "response": "a", "tools": `+tools+`}`), nil)
		if err != nil || len(row.Tools) != 1 {
			t.Fatalf("%s: %v, %v", tools, row.Tools, err)
		}
		tool := row.Tools[0]
		const want = `{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"b": 1, "a": 2}}}`
		if pythonJSON(tool.JSON) != want || tool.Name != "f" || tool.Description != "d" || pythonJSON(tool.Parameters) != `{"b": 1, "a": 2}` {
			t.Errorf("%s: %s %s %s %s", tools, tool.Name, tool.Description, tool.Parameters, tool.JSON)
		}
	}
}

// FuzzRow checks that a row is read or refused, and that what is read is sound.
func FuzzRow(f *testing.F) {
	for _, seed := range []string{
		`{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "loss": false}]}`,
		`{"messages": "[{'role': 'user', 'content': 'q'}]"}`, `{"conversations": [{"from": "human", "value": [{"type": "text", "text": "q"}]}]}`,
		`{"instruction": "i", "input": "j", "output": "o", "history": "[('q', 'a')]", "system": "s"}`, `{"query": ["q"], "answer": "a", "tools": ["{}"]}`,
		`{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": {"a": "\ud800"}}]}`,
		`{"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"text": "r"}]}]}], "x": 1}`, `{`, `[]`, `{"instruction": [], "input": [""]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		row, err := ParseRow(data, nil)
		if err != nil {
			var wrong *rowError
			if !errors.As(err, &wrong) {
				t.Fatalf("%v is no rowError", err)
			}
			return
		}
		if len(row.Messages) == 0 {
			t.Fatal("a row without messages")
		}
		for _, m := range row.Messages {
			if !strings.Contains("system user assistant tool_call tool", m.Role) {
				t.Fatalf("role %q", m.Role)
			}
		}
		for _, tool := range row.Tools {
			if !json.Valid(tool.JSON) {
				t.Fatalf("tool %s", tool.JSON)
			}
		}
	})
}
