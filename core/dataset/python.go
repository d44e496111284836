package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
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
	if out, err := pythonToJSON(text); err == nil {
		return out
	}
	return raw
}

// pythonToJSON turns a Python literal of strings, numbers, True, False, None,
// lists, tuples and dicts into JSON, in its order of keys.
func pythonToJSON(text string) (json.RawMessage, error) {
	p := &pythonReader{text: text}
	if err := p.value(0); err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) || !json.Valid(p.out) {
		return nil, errNotPython
	}
	return p.out, nil
}

var errNotPython = errors.New("not a Python literal")

// deepest is how deep literals may be nested.
const deepest = 200

// pythonReader reads text from at on and appends to out.
type pythonReader struct {
	text string
	at   int
	out  []byte
}

func (p *pythonReader) value(depth int) error {
	p.space()
	if p.at == len(p.text) || depth > deepest {
		return errNotPython
	}
	switch p.text[p.at] {
	case '[':
		return p.list(depth, ']')
	case '(':
		return p.list(depth, ')')
	case '{':
		return p.dict(depth)
	case '\'', '"':
		return p.str()
	}
	return p.word()
}

func (p *pythonReader) list(depth int, end byte) error {
	p.at++
	p.out = append(p.out, '[')
	for n := 0; ; n++ {
		if p.took(end) {
			p.out = append(p.out, ']')
			return nil
		}
		if n > 0 {
			p.out = append(p.out, ',')
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if !p.took(',') && !p.sees(end) {
			return errNotPython
		}
	}
}

func (p *pythonReader) dict(depth int) error {
	p.at++
	p.out = append(p.out, '{')
	for n := 0; ; n++ {
		if p.took('}') {
			p.out = append(p.out, '}')
			return nil
		}
		if n > 0 {
			p.out = append(p.out, ',')
		}
		if !p.sees('\'') && !p.sees('"') {
			return errNotPython
		}
		if err := p.str(); err != nil {
			return err
		}
		if !p.took(':') {
			return errNotPython
		}
		p.out = append(p.out, ':')
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if !p.took(',') && !p.sees('}') {
			return errNotPython
		}
	}
}

// str reads a string in single or double quotes.
func (p *pythonReader) str() error {
	quote := p.text[p.at]
	p.at++
	var s strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch {
		case c == quote:
			p.at++
			quoted, err := json.Marshal(s.String())
			p.out = append(p.out, quoted...)
			return err
		case c == '\n':
			return errNotPython
		case c != '\\':
			s.WriteByte(c)
			p.at++
		case p.at+1 < len(p.text) && strings.IndexByte(`'"`, p.text[p.at+1]) >= 0:
			s.WriteByte(p.text[p.at+1])
			p.at += 2
		default:
			r, raw, rest, err := strconv.UnquoteChar(p.text[p.at:], 0)
			if err != nil {
				return errNotPython
			}
			if !raw || r >= utf8.RuneSelf {
				s.WriteRune(r)
			} else {
				s.WriteByte(byte(r))
			}
			p.at = len(p.text) - len(rest)
		}
	}
	return errNotPython
}

// word reads a number, True, False or None.
func (p *pythonReader) word() error {
	from := p.at
	for p.at < len(p.text) && strings.IndexByte(",:]})( \t\r\n", p.text[p.at]) < 0 {
		p.at++
	}
	word := p.text[from:p.at]
	switch word {
	case "True", "False":
		word = strings.ToLower(word)
	case "None":
		word = "null"
	}
	if !json.Valid([]byte(word)) {
		return errNotPython
	}
	p.out = append(p.out, word...)
	return nil
}

func (p *pythonReader) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *pythonReader) sees(c byte) bool {
	p.space()
	return p.at < len(p.text) && p.text[p.at] == c
}

func (p *pythonReader) took(c byte) bool {
	if p.sees(c) {
		p.at++
		return true
	}
	return false
}

// pythonJSON writes JSON as Python's json.dumps does, which models were trained
// to read: a space after commas and colons, characters unescaped, keys in order.
func pythonJSON(raw json.RawMessage) string {
	var compact, out bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return string(raw)
	}
	text := compact.Bytes()
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '"' {
			out.WriteByte(c)
			if c == ',' || c == ':' {
				out.WriteByte(' ')
			}
			continue
		}
		end := i + 1
		for ; text[end] != '"'; end++ {
			if text[end] == '\\' {
				end++
			}
		}
		var s string
		json.Unmarshal(text[i:end+1], &s)
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.Encode(s)
		out.Truncate(out.Len() - 1) // Encode ends with a new line
		i = end
	}
	return out.String()
}
