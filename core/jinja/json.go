package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DecodeJSON reads a JSON text as json.loads of Python does: keys keep their order, of equal keys the last counts in
// the place of the first, and ints of any length are apart from floats.
func DecodeJSON(text []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		return nil, fmt.Errorf("the JSON text: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the JSON text goes on after its value")
	}
	return v, nil
}

func decode(d *json.Decoder, depth int) (Value, error) {
	t, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if depth > maxDepth {
		err = fmt.Errorf("it is nested more than %d levels deep", maxDepth)
	}
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return decodeNumber(t.String())
	case json.Delim:
		list, dict := &List{}, NewDict()
		for d.More() {
			var key Value
			if t == '{' {
				if key, err = decode(d, depth+1); err != nil {
					return nil, err
				}
			}
			v, err := decode(d, depth+1)
			if err != nil {
				return nil, err
			}
			if t == '{' {
				dict.set(key, key, v)
			} else {
				list.items = append(list.items, v)
			}
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
		if t == '{' {
			return dict, nil
		}
		return list, nil
	}
	return t, nil
}

func decodeNumber(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(x, 0) {
			return nil, err
		}
		return x, nil
	}
	if len(s) > maxDigits {
		return nil, fmt.Errorf("an integer has %d digits, want at most %d", len(s), maxDigits)
	}
	x, _ := new(big.Int).SetString(s, 10)
	return normal(x), nil
}

// encoder is json.dumps of Python.
type encoder struct {
	r          *run
	b          strings.Builder
	ascii      bool
	sorted     bool
	pretty     bool
	indent     string
	item, pair string // separators
}

// toJSON is the filter tojson as transformers has it, which escapes nothing of HTML.
func toJSON(r *run, a []Value) Value {
	e := &encoder{r: r, ascii: truth(a[1]), sorted: truth(a[4]), item: ", ", pair: ": "}
	if a[2] != nil {
		e.pretty, e.item = true, ","
		if s, ok := text(a[2]); ok {
			e.indent = s
		} else {
			e.indent = strings.Repeat(" ", r.times(r.needInt(a[2]), 1))
		}
	}
	if a[3] != nil {
		two := r.collect(a[3])
		if len(two) != 2 {
			r.fail("separators must be two strings, got %d", len(two))
		}
		e.item, e.pair = r.needText(two[0]), r.needText(two[1])
	}
	e.write(a[0], "\n")
	return e.b.String()
}

func (e *encoder) put(s string) {
	e.r.grow(len(s))
	e.b.WriteString(s)
}

// write writes v; line is a newline and the indentation around.
func (e *encoder) write(v Value, line string) {
	switch x := v.(type) {
	case nil:
		e.put("null")
	case bool:
		e.put(strconv.FormatBool(x))
	case int64, *big.Int:
		e.put(e.r.digits(x))
	case float64:
		e.put(jsonFloat(x))
	case string:
		e.string(x)
	case markup:
		e.string(string(x))
	case *List:
		e.items("[", len(x.items), "]", line, func(i int, line string) { e.write(x.items[i], line) })
	case *Tuple:
		e.items("[", len(x.items), "]", line, func(i int, line string) { e.write(x.items[i], line) })
	case *Dict:
		order := make([]int, x.Len())
		for i := range order {
			order[i] = i
		}
		if e.sorted {
			slices.SortStableFunc(order, func(i, j int) int {
				c, _ := e.r.order("<", x.keys[i], x.keys[j])
				return c
			})
		}
		e.items("{", len(order), "}", line, func(i int, line string) {
			e.string(e.key(x.keys[order[i]]))
			e.put(e.pair)
			e.write(x.values[order[i]], line)
		})
	default:
		e.r.fail("object of type %s is not JSON serializable", typeName(v))
	}
}

func (e *encoder) items(open string, n int, end, line string, write func(i int, line string)) {
	e.r.enter()
	defer e.r.leave()
	e.put(open)
	inner := line + e.indent
	for i := range n {
		if i > 0 {
			e.put(e.item)
		}
		if e.pretty {
			e.put(inner)
		}
		write(i, inner)
	}
	if e.pretty && n > 0 {
		e.put(line)
	}
	e.put(end)
}

func (e *encoder) key(v Value) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return jsonFloat(x)
	case int64, *big.Int:
		return e.r.digits(x)
	}
	s, ok := text(v)
	if !ok {
		e.r.fail("keys must be str, int, float, bool or None, not %s", typeName(v))
	}
	return s
}

func jsonFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	return floatRepr(x)
}

func (e *encoder) string(s string) {
	e.r.grow(len(s))
	e.b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			e.b.WriteByte('\\')
			e.b.WriteRune(c)
		case c < ' ':
			if i := strings.IndexRune("\b\f\n\r\t", c); i >= 0 {
				e.b.WriteByte('\\')
				e.b.WriteByte("bfnrt"[i])
			} else {
				fmt.Fprintf(&e.b, `\u%04x`, c)
			}
		case e.ascii && c >= 0x10000:
			c -= 0x10000
			fmt.Fprintf(&e.b, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		case e.ascii && c >= 0x7f && c >= utf8.RuneSelf:
			fmt.Fprintf(&e.b, `\u%04x`, c)
		default:
			e.b.WriteRune(c)
		}
	}
	e.b.WriteByte('"')
}
