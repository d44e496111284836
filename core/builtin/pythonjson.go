package builtin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// PythonJSON writes JSON again as Python's json.dumps(…, ensure_ascii=False) does.
func PythonJSON(text []byte) (string, error) { return pythonJSON(text) }

// pythonJSON writes JSON again as Python's json.dumps(…, ensure_ascii=False)
// writes what json.loads read, which is the form that models were trained on:
// ", " and ": " between things, the order of keys kept, the last of equal keys
// in the place of the first, floats by their shortest form.
func pythonJSON(text []byte) (string, error) {
	if !json.Valid(text) {
		return "", json.Unmarshal(text, new(any))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var b strings.Builder
	err := pythonValue(&b, d)
	return b.String(), err
}

// pythonValue writes the next value of d, which is known to be valid.
func pythonValue(b *strings.Builder, d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch x := token.(type) {
	case json.Delim:
		if x == '{' {
			err = pythonObject(b, d)
		} else {
			err = pythonArray(b, d)
		}
		if err == nil {
			_, err = d.Token() // the closing one
		}
		return err
	case json.Number:
		b.WriteString(pythonNumber(x.String()))
	case string:
		pythonString(b, x)
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case nil:
		b.WriteString("null")
	}
	return nil
}

func pythonObject(b *strings.Builder, d *json.Decoder) error {
	var keys []string
	values := map[string]string{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value strings.Builder
		if err := pythonValue(&value, d); err != nil {
			return err
		}
		k := key.(string)
		if _, ok := values[k]; !ok {
			keys = append(keys, k)
		}
		values[k] = value.String()
	}
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		pythonString(b, k)
		b.WriteString(": ")
		b.WriteString(values[k])
	}
	b.WriteByte('}')
	return nil
}

func pythonArray(b *strings.Builder, d *json.Decoder) error {
	b.WriteByte('[')
	for i := 0; d.More(); i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := pythonValue(b, d); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// pythonNumber returns the repr of a number: of an int all its digits, of a
// float the shortest that is read back as the same.
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

func pythonString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ':
			b.WriteRune(r)
		case strings.ContainsRune("\b\f\n\r\t", r):
			b.WriteByte('\\')
			b.WriteByte("btn?fr"[r-'\b'])
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
}
