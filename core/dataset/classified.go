package dataset

import (
	"encoding/json"
	"fmt"

	"swiftgo/core/model"
)

// Labels say what the column label of a classification holds.
type Labels struct {
	N       int    // classes, or numbers
	Problem string // one of model.Problems
}

// Read returns a label as losses and metrics see it: the number of a class, a
// list of them, a number, or a list of numbers. A text, as tables have it, is
// read as JSON.
func (l Labels) Read(value any) (any, error) {
	if text, ok := value.(string); ok {
		if json.Unmarshal([]byte(text), &value) != nil {
			return nil, l.bad(text)
		}
	}
	switch x := value.(type) {
	case bool:
		value = 0.0
		if x {
			value = 1.0
		}
	case []any:
		for _, y := range x {
			if _, ok := y.(float64); !ok || l.Problem == model.MultiLabel && !l.class(y) {
				return nil, l.bad(x)
			}
		}
	}
	list, many := value.([]any)
	_, one := value.(float64)
	switch {
	case value == nil:
		return nil, bad("no label", "there is no column label, want %s", l.want())
	case l.Problem == model.SingleLabel && l.class(value), l.Problem == model.Regression && one && l.N == 1,
		l.Problem == model.Regression && many && len(list) == l.N, l.Problem == model.MultiLabel && many:
		return value, nil
	}
	return nil, l.bad(value)
}

func (l Labels) class(value any) bool {
	y, ok := value.(float64)
	return ok && y >= 0 && y < float64(l.N) && y == float64(int(y))
}

func (l Labels) bad(value any) error {
	return bad("bad label", "label is %v, want %s: --problem_type is %s", value, l.want(), l.Problem)
}

func (l Labels) want() string {
	switch {
	case l.Problem == model.SingleLabel:
		return fmt.Sprintf("the number of a class, from 0 to %d", l.N-1)
	case l.Problem == model.MultiLabel:
		return fmt.Sprintf("a list of the numbers of classes, from 0 to %d", l.N-1)
	case l.N == 1:
		return "a number"
	}
	return fmt.Sprintf("a list of %d numbers", l.N)
}

// classified encodes a row as one sequence, which is read whole.
func (e *encoding) classified(row *Row) ([]*Sequence, error) {
	label, err := e.rows.options.Labels.Read(row.Columns["label"])
	if err != nil {
		return nil, err
	}
	row.Columns["label"] = label
	q, err := e.unlabelled(&row.Conversation, row, row.Columns)
	if err != nil {
		return nil, err
	}
	return []*Sequence{q}, nil
}
