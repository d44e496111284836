package dataset

import (
	"encoding/json"
	"strings"

	"swiftgo/core/builtin"
)

// literal returns the value of a column: where it is the text of JSON, or of a
// Python literal, such as "[{'role': 'user'}]", what that text says, as JSON;
// else the value itself.
func literal(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return raw
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	if out, err := builtin.PythonJSON(text); err == nil {
		return json.RawMessage(out)
	}
	return raw
}

// pythonJSON writes JSON as Python's json.dumps does.
func pythonJSON(raw json.RawMessage) string {
	out, err := builtin.PythonJSON(string(raw))
	if err != nil {
		return string(raw)
	}
	return out
}
