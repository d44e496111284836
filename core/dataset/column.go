package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Column is one column of a row as it stands in the file.
type Column struct {
	Name  string
	Value json.RawMessage // nil for the messages, which Row has as they were read
}

// messagesColumn is the name of the conversation, whatever it has in the file.
const messagesColumn = "messages"

// Columns returns the columns of row i in the order of the file, with numbers as
// they are written there: the messages, and what the conversation was not made of.
// It may be called from several goroutines.
func (d *Dataset) Columns(i int) ([]Column, error) {
	r := d.refs[i]
	f, data, err := d.bytes(r)
	if err != nil {
		return nil, err
	}
	row, err := d.Row(i)
	if err != nil {
		return nil, err
	}
	all, err := f.columns(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", row.Source, err)
	}
	var left []Column
	for _, c := range all {
		if to, ok := d.options.Columns[c.Name]; ok {
			c.Name = to
		}
		_, other := row.Columns[c.Name]
		switch {
		case other, c.Name == "tools", string(c.Value) == "null":
			left = append(left, c)
		case slices.Contains(conversations, c.Name):
			left = append(left, Column{Name: messagesColumn})
		}
	}
	if !slices.ContainsFunc(left, func(c Column) bool { return c.Name == messagesColumn }) {
		left = slices.Insert(left, 0, Column{Name: messagesColumn})
	}
	return left, nil
}

// columns returns the columns of a row in order. Of equal names the last one
// counts, in the place of the first.
func (f *file) columns(data []byte) ([]Column, error) {
	var all []Column
	if f.form == table {
		fields, err := f.csv(bytes.NewReader(data)).Read()
		if err != nil {
			return nil, err
		}
		for i, name := range f.header {
			if fields[i] != "" {
				text, _ := json.Marshal(fields[i]) // text cannot fail
				all = append(all, Column{name, text})
			}
		}
		return all, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the brace
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		c := Column{Name: name.(string)}
		if err := d.Decode(&c.Value); err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(all, func(o Column) bool { return o.Name == c.Name }); at >= 0 {
			all[at] = c
			continue
		}
		all = append(all, c)
	}
	return all, nil
}
