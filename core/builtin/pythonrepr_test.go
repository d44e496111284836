package builtin

import "testing"

// TestPythonRepr has what Python 3.11 prints for repr(json.loads(text)).
func TestPythonRepr(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": [true, false, null, 1.50, "x"], "b": {}}`:    `{'a': [True, False, None, 1.5, 'x'], 'b': {}}`,
		`["it's", "say \"hi\"", "it's \"both\"", "\\\n\t"]`: `["it's", 'say "hi"', 'it\'s "both"', '\\\n\t']`,
		`"\u0000\u007f\u00a0\u200b中🚀"`:                      `'\x00\x7f\xa0\u200b中🚀'`,
	} {
		v, err := decodeJSON([]byte(text))
		if err != nil || pythonRepr(v) != want {
			t.Errorf("%s is printed as %s, %v, want %s", text, pythonRepr(v), err, want)
		}
	}
}
