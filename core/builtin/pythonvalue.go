package builtin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What JSON or a Python literal says, in its order: nil, bool, number, string,
// []any or *object.
type (
	// number is a number as Python prints it.
	number string

	// object keeps the order of its keys; the last of equal keys counts, in the
	// place of the first.
	object struct {
		keys   []string
		values map[string]any
	}
)

func (o *object) get(key string) any { return o.values[key] }

func (o *object) has(key string) bool { _, ok := o.values[key]; return ok }

func (o *object) set(key string, value any) {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if !o.has(key) {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

// text returns the string of a key, "" if it has none.
func (o *object) text(key string) string {
	s, _ := o.get(key).(string)
	return s
}

// sorted returns the keys in the order of Python's sorted.
func (o *object) sorted() []string { return slices.Sorted(slices.Values(o.keys)) }

// truthy reports whether Python takes v for true.
func truthy(v any) bool {
	switch x := v.(type) {
	case nil:
		return false
	case bool:
		return x
	case number:
		f, err := strconv.ParseFloat(string(x), 64)
		return err != nil || f != 0
	case string:
		return x != ""
	case []any:
		return len(x) > 0
	case *object:
		return len(x.keys) > 0
	}
	return true
}

// decodeJSON reads JSON.
func decodeJSON(text []byte) (any, error) {
	if !json.Valid(text) {
		return nil, json.Unmarshal(text, new(any))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return decodeNext(d)
}

// decodeNext reads the next value of d, which is known to be valid.
func decodeNext(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch x := token.(type) {
	case json.Number:
		return number(pythonNumber(x.String())), nil
	case json.Delim:
		var array []any
		o := &object{}
		for d.More() {
			var key any
			if x == '{' {
				if key, err = d.Token(); err != nil {
					return nil, err
				}
			}
			value, err := decodeNext(d)
			if err != nil {
				return nil, err
			}
			if x == '{' {
				o.set(key.(string), value)
			} else {
				array = append(array, value)
			}
		}
		if _, err := d.Token(); err != nil { // the closing one
			return nil, err
		}
		if x == '{' {
			return o, nil
		}
		return array, nil
	}
	return token, nil
}

// decode reads JSON or, where text is none, a Python literal: what models and
// datasets make of the arguments of calls.
func decode(text string) (any, error) {
	v, err := decodeJSON([]byte(text))
	if err == nil {
		return v, nil
	}
	if v, ok := decodeLiteral(text); ok {
		return v, nil
	}
	return nil, err
}

// PythonJSON writes what JSON or a Python literal says as Python's json.dumps
// does, the form that models were trained to read.
func PythonJSON(text string) (string, error) {
	v, err := decode(text)
	if err != nil {
		return "", err
	}
	return dumps(v), nil
}

// decodeObject reads a JSON object.
func decodeObject(text []byte) (*object, error) {
	v, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, fmt.Errorf("%.40s is no object", text)
	}
	return o, nil
}

// pythonNumber returns the repr of a number of JSON: of an int all its digits,
// of a float the shortest that is read back as the same.
func pythonNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0"
		}
		return text
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil { // too large for a float
		return text
	}
	short := strconv.FormatFloat(x, 'e', -1, 64)
	_, exponent, _ := strings.Cut(short, "e")
	if n, _ := strconv.Atoi(exponent); n < -4 || n >= 16 {
		return short
	}
	plain := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}
