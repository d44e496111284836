package builtin

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"swiftgo/api"
)

// newToolbench makes the ORM toolbench, that wants the call of the solution, as
// ToolBench's ReAct format writes it: the same action, and arguments that are the
// same JSON object. Other arguments are never right, as in ms-swift, whose
// comparison of them has a threshold that no text reaches.
func newToolbench(args *api.Args) (api.ORM, error) {
	return judgeEach(func(c api.Completion) float64 {
		wanted, ok := solution(c)
		if !ok {
			return math.NaN()
		}
		text := c.Text
		if strings.HasSuffix(text, "Observation:") {
			text, _, _ = strings.Cut(text, "Observation:")
		}
		text = strings.NewReplacer("<|endoftext|>", "", "<|im_end|>", "").Replace(text)
		action, input := reactCall(text)
		wantedAction, wantedInput := reactCall(wanted)
		return reward(action == wantedAction && sameObject(input, wantedInput))
	}), args.Decode(&none{})
}

// reactCall returns the last action of a text and the last input, "none" and {} if
// there are none.
func reactCall(text string) (action, input string) {
	const actionMark, inputMark = "Action:", "Action Input:"
	action, input = "none", "{}"
	if i := strings.LastIndex(text, inputMark); i >= 0 {
		input = strings.TrimSpace(text[i+len(inputMark):])
	}
	if i := strings.LastIndex(text, actionMark); i >= 0 {
		action, _, _ = strings.Cut(text[i+len(actionMark):], inputMark)
		action = strings.TrimSpace(action)
	}
	return action, input
}

// sameObject reports whether two texts are the same JSON object, as Python compares
// what it reads.
func sameObject(a, b string) bool {
	x, ok := readObject(a)
	y, is := readObject(b)
	return ok && is && sameJSON(x, y)
}

func readObject(text string) (map[string]any, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, err == io.EOF && !bytes.Equal(bytes.TrimSpace([]byte(text)), []byte("null"))
}

func sameJSON(a, b any) bool {
	if x, ok := jsonNumber(a); ok {
		y, ok := jsonNumber(b)
		return ok && x.Cmp(y) == 0
	}
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, x := range a {
			if y, ok := b[key]; !ok || !sameJSON(x, y) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// maxPythonDigits is how long a whole number may be that Python reads.
const maxPythonDigits = 4300

// jsonNumber returns a number, or true and false as 1 and 0. With a point or an
// exponent it is a float.
func jsonNumber(v any) (*big.Float, bool) {
	switch v := v.(type) {
	case bool:
		return big.NewFloat(reward(v)), true
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			n, ok := new(big.Int), len(v) <= maxPythonDigits
			if ok {
				n.SetString(v.String(), 10)
			}
			return new(big.Float).SetInt(n), ok
		}
		x, _ := strconv.ParseFloat(v.String(), 64) // too large is infinite
		return big.NewFloat(x), true
	}
	return nil, false
}
