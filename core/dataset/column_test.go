package dataset

import (
	"fmt"
	"testing"
)

// TestColumnsOfARow holds that what is left of a row beside its conversation stands as
// it does in the file.
func TestColumnsOfARow(t *testing.T) {
	for _, test := range []struct {
		name, file, text string
		rename           map[string]string
		want             string
	}{
		{"the order of the file", "a.jsonl", `{"b": 1.50, "messages": [{"role": "user", "content": "q"}], "a": 100000000000000000000, "n": null}`, nil,
			"b=1.50 messages a=100000000000000000000 n=null"},
		{"a question and an answer", "a.jsonl", `{"z": [1,  2], "query": "q", "response": "r", "history": [], "system": "s"}`, nil, "messages z=[1,  2]"},
		{"the solution stays", "a.jsonl", `{"problem": "q", "solution": "r"}`, nil, `messages solution="r"`},
		{"other names", "a.jsonl", `{"ask": "q", "x": 1, "talk": 2}`, map[string]string{"ask": "query", "talk": "y"}, "messages x=1 y=2"},
		{"other conversations", "a.jsonl", `{"conversations": [{"from": "human", "value": "q"}], "tools": []}`, nil, "messages tools=[]"},
		{"the last of equal names", "a.jsonl", `{"x": 1, "query": "q", "x": 2}`, nil, "messages x=2"},
		{"a table", "a.csv", "query,x,y\nq,1,\n", nil, `messages x="1"`},
		{"an array", "a.json", `[{"query": "q", "x": {"k": 1}}]`, nil, `messages x={"k": 1}`},
	} {
		rows, err := Open([]string{write(t, test.file, test.text)}, Options{Prompts: true, Columns: test.rename})
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns(0)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, c := range columns {
			if i > 0 {
				got += " "
			}
			if got += c.Name; c.Value != nil {
				got += fmt.Sprintf("=%s", c.Value)
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
