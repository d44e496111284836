package sampler

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/core/builtin"
	"swiftgo/core/dataset"
	"swiftgo/core/template"
)

// row is one row of the dataset on its way to the results.
type row struct {
	index    int
	source   string
	id       string
	columns  []dataset.Column
	messages []template.Message // up to the answer
	tools    []api.Tool
	truth    *string        // the answer in the dataset, nil if there is none
	other    map[string]any // what reward models see of the other columns

	answers []Answer
	cached  int // how many of them, from the first, are of a cache
	scores  []score
}

var errNoQuestion = errors.New("the row has no question; want a message of the user")

// readRow reads row i of the dataset. A system prompt that is not "" takes the
// place of the row's own: what is asked, judged, written and known by its id is
// one conversation.
func readRow(rows *dataset.Dataset, i int, system string) (*row, error) {
	r, err := rows.Row(i)
	if err != nil {
		return nil, err
	}
	columns, err := rows.Columns(i)
	if err != nil {
		return nil, err
	}
	if system != "" {
		if r.Messages[0].Role == template.System {
			r.Messages = r.Messages[1:]
		}
		r.Messages = slices.Insert(r.Messages, 0, template.Message{Role: template.System, Content: system})
	}
	x := &row{index: i, source: r.Source, columns: columns, messages: r.Messages, tools: r.Tools, other: r.Columns}
	x.columns = slices.DeleteFunc(x.columns, func(c dataset.Column) bool { return c.Name == "choices" })
	if n := len(r.Messages) - 1; n >= 0 && r.Messages[n].Role == template.Assistant {
		x.truth, x.messages = &r.Messages[n].Content, r.Messages[:n]
	}
	if len(x.messages) == 0 {
		return nil, fmt.Errorf("%s: %w", x.source, errNoQuestion)
	}
	text, err := x.object(x.truth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.source, err)
	}
	if x.id, err = rowID(text); err != nil {
		return nil, fmt.Errorf("%s: %w", x.source, err)
	}
	return x, nil
}

// object returns the row as a JSON object with the given answer, and with more
// columns, or others in the place of those of the same name.
func (x *row) object(answer *string, more ...dataset.Column) ([]byte, error) {
	columns := slices.Clone(x.columns)
	for _, c := range more {
		if at := slices.IndexFunc(columns, func(o dataset.Column) bool { return o.Name == c.Name }); at >= 0 {
			columns[at] = c
			continue
		}
		columns = append(columns, c)
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quoted(c.Name))
		b.WriteByte(':')
		if c.Value != nil {
			b.Write(c.Value)
			continue
		}
		messages := x.messages
		if answer != nil {
			messages = append(slices.Clone(messages), template.Message{Role: template.Assistant, Content: *answer})
		}
		text, err := json.Marshal(written(messages))
		if err != nil {
			return nil, err
		}
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// line returns a line of the results: the row with the answer in the place of
// the dataset's, written as Python's json.dumps does without escapes.
func (x *row) line(p pick) (string, error) {
	var more []dataset.Column
	if p.rejected != nil {
		more = append(more, dataset.Column{Name: "rejected_response", Value: quoted(*p.rejected)})
	}
	text, err := x.object(&p.text, append(more, dataset.Column{Name: "id", Value: quoted(x.id)})...)
	if err != nil {
		return "", err
	}
	return builtin.PythonJSON(string(text))
}

// quoted returns a text as JSON.
func quoted(text string) json.RawMessage {
	b, _ := json.Marshal(text) // a text cannot fail
	return b
}

type message struct {
	Role      string   `json:"role"`
	Content   string   `json:"content"`
	Loss      *bool    `json:"loss,omitempty"`
	LossScale *float64 `json:"loss_scale,omitempty"`
}

func written(messages []template.Message) []message {
	all := make([]message, len(messages))
	for i, m := range messages {
		all[i] = message(m)
	}
	return all
}

// rowID returns the id that ms-swift gives a row: the MD5 of Python's
// json.dumps(row, sort_keys=True).
func rowID(object []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	sorted, err := json.Marshal(v) // sorts the keys by their bytes, which is Python's order
	if err != nil {
		return "", err
	}
	text, err := builtin.PythonJSON(string(sorted))
	if err != nil {
		return "", err
	}
	sum := md5.Sum([]byte(ascii(text)))
	return hex.EncodeToString(sum[:]), nil
}

// ascii writes the characters of JSON that are not ASCII, all of them in texts,
// as escapes.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r <= '~':
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return b.String()
}
