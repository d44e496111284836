package builtin

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// pythonJSON writes JSON again as Python does.
func pythonJSON(text []byte) (string, error) {
	v, err := decodeJSON(text)
	if err != nil {
		return "", err
	}
	return dumps(v), nil
}

// TestPythonJSON has what Python 3.11 prints for
// json.dumps(json.loads(text), ensure_ascii=False).
func TestPythonJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"b":1,"a":[1,2,{}],"c":{}}`:               `{"b": 1, "a": [1, 2, {}], "c": {}}`,
		`{"x": 1, "y": 0, "x": 2}`:                  `{"x": 2, "y": 0}`,
		`[1.0, 1.50, 1e3, 1E-7, 1e22, 1e16, 1e15]`:  `[1.0, 1.5, 1000.0, 1e-07, 1e+22, 1e+16, 1000000000000000.0]`,
		`[0.0001, 0.00001, -0, -0.0, 0.1]`:          `[0.0001, 1e-05, 0, -0.0, 0.1]`,
		`[123456789012345678901234567890, 5e-324]`:  `[123456789012345678901234567890, 5e-324]`,
		`[1.7976931348623157e308, 123456.789e3]`:    `[1.7976931348623157e+308, 123456789.0]`,
		`"\u4e2d\u6587 \ud83d\ude80 \/ \b\f\n\r\t"`: `"中文 🚀 / \b\f\n\r\t"`,
		`"\u0000\u001f\u007f\u2028<&>\"\\"`:         "\"\\u0000\\u001f\x7f\u2028<&>\\\"\\\\\"",
		` [ true , false , null , "" ] `:            `[true, false, null, ""]`,
	} {
		if got, err := pythonJSON([]byte(text)); err != nil || got != want {
			t.Errorf("%s is written as %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "{", "1 2", "nan", `{"a" 1}`, strings.Repeat("[", 20000)} {
		if got, err := pythonJSON([]byte(text)); err == nil {
			t.Errorf("%.20q is no JSON and is written as %q", text, got)
		}
	}
}

func FuzzPythonJSON(f *testing.F) {
	f.Add([]byte(`{"a": [1, 2.5e10, "x\ny", {"b": null}], "a": 1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := pythonJSON(text)
		if (err == nil) != json.Valid(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		if again, err := pythonJSON([]byte(got)); err != nil || again != got {
			t.Errorf("%q is written as %q, and that as %q, %v", text, got, again, err)
		}
		if a, b := plainJSON(text), plainJSON([]byte(got)); !reflect.DeepEqual(a, b) {
			t.Errorf("%q says %v, and %q says %v", text, a, got, b)
		}
	})
}

func plainJSON(text []byte) any {
	var x any
	if json.NewDecoder(bytes.NewReader(text)).Decode(&x) != nil {
		return nil // a number too large for a float
	}
	return x
}
