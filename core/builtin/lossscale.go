package builtin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"swiftgo/api"
)

// keyed is a loss scale that splits a text by keys or by patterns, as ms-swift's
// JSON files have them. A key has a weight of its own and one for what follows
// it, up to the next key; a pattern weighs what it matches. The rest weighs 1.
type keyed struct {
	keys     []key          // tried in this order where several fit
	patterns []pattern      // only where there are no keys
	any      *regexp.Regexp // of the patterns
	queries  []key          // of which one in the query gives the whole response its weight
}

type key struct {
	text           string
	weight, follow float64
}

type pattern struct {
	begins *regexp.Regexp
	weight float64
}

// The scales that ms-swift has, by its names.
var (
	react = keyed{keys: []key{{"Action:", 2, 2}, {"Action Input:", 2, 2}, {"Thought:", 1, 1}, {"Final Answer:", 1, 1}, {"Observation:", 2, 0}}}

	alphaUMI = keyed{keys: append(slices.Clone(react.keys), key{"Next:", 2, 2})}

	qwen = keyed{keys: []key{{"✿FUNCTION✿:", 2, 2}, {"✿ARGS✿:", 2, 2}, {"✿RETURN✿:", 1, 1}, {"✿RESULT✿:", 2, 0}}}

	agentFlan = keyed{
		keys: []key{{"Name:", 1, 3}, {"Action:", 1, 3}, {"ACTION:", 1, 3}, {"Tool:", 1, 3}, {"Command", 1, 3}, {"Arguments:", 1, 3}, {"action input", 1, 3},
			{"ACTION_INPUT:", 1, 3}, {"Action Input:", 1, 3}, {"Thought:", 1, 1}, {"Final Answer:", 1, 1}, {"Observation:", 2, 0}},
		queries: []key{{"What is the tool you want to use", 3, 0}, {"What are the required parameter names", 3, 0},
			{"What is the value of", 3, 0}, {"What are the required parameter names for this tool", 3, 0}},
	}

	hermesCalls = byPatterns(2, `<tool_call>.+?</tool_call>`)

	emptyThink = byPatterns(0, `^<think>\s*</think>\s*`,
		`^<seed:think>\s*<seed:cot_budget_reflect>The current thinking budget is 0.*?</seed:cot_budget_reflect>\s*</seed:think>\s*`,
		`^</think>\s*`, `^<\|channel>thought\s*<channel\|>\s*`, `^</mm:think>\s*`)

	thinkPrefix = byPatterns(0, `^<think>\n?`)
)

// scale returns a constructor of the loss scale.
func scale(k keyed) func(*api.Args) (api.LossScale, error) {
	return func(args *api.Args) (api.LossScale, error) { return k, args.Decode(&none{}) }
}

// LossScaleFile reads a loss scale from a JSON file in ms-swift's form: an object
// of either keys with two weights, {"Action:": [2, 2]}, that of the key and that
// of the text after it, or of patterns with one, {"<tool_call>.+?</tool_call>": [2]}.
// Where both are, the patterns would never be looked at, so that is an error.
func LossScaleFile(path string) (api.LossScale, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := parseKeyed(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func parseKeyed(data []byte) (keyed, error) {
	var k keyed
	var patterns []string
	var ones []float64
	const want = `want {"key": [its weight, that of what follows]} or {"pattern": [weight]}`
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return k, fmt.Errorf("no JSON object, %s", want)
	}
	for d.More() { // in the order of the file, which decides between keys
		name, err := d.Token()
		if err != nil {
			return k, fmt.Errorf("%w, %s", err, want)
		}
		var weights []float64
		text := name.(string)
		if err := d.Decode(&weights); err != nil || len(weights) < 1 || len(weights) > 2 || text == "" {
			return k, fmt.Errorf("%q has not one or two numbers, %s", text, want)
		}
		for _, w := range weights {
			if w < 0 || math.IsInf(w, 0) {
				return k, fmt.Errorf("%q has the weight %g, want 0 or more", text, w)
			}
		}
		if len(weights) == 2 {
			k.keys = append(k.keys, key{text, weights[0], weights[1]})
			continue
		}
		patterns, ones = append(patterns, text), append(ones, weights[0])
	}
	if _, err := d.Token(); err != nil {
		return k, fmt.Errorf("%w, %s", err, want)
	}
	switch {
	case len(k.keys)+len(patterns) == 0:
		return k, fmt.Errorf("an empty object, %s", want)
	case len(k.keys) > 0 && len(patterns) > 0:
		return k, fmt.Errorf("keys with two weights and patterns with one, of which the patterns would never be used; make two files of them: --loss_scale a.json+b.json")
	case len(k.keys) > 0:
		return k, nil
	}
	return k, k.compile(patterns, ones)
}

// compile makes the patterns of texts, which are read as Python's re with DOTALL
// reads them.
func (k *keyed) compile(texts []string, weights []float64) (err error) {
	for i, text := range texts {
		text = pythonSpace(text)
		begins, err := regexp.Compile(`(?s)\A(?:` + text + ")")
		if err != nil {
			return fmt.Errorf("pattern %q: %w; it is a regular expression of Go, without lookahead and backreferences", texts[i], err)
		}
		texts[i] = text
		k.patterns = append(k.patterns, pattern{begins, weights[i]})
	}
	k.any, err = regexp.Compile("(?s)" + strings.Join(texts, "|"))
	return err
}

// pythonSpace writes \s as Python means it: more characters than Go's.
func pythonSpace(pattern string) string {
	const space = `\s\v\x1c-\x1f\x85\p{Z}`
	var b strings.Builder
	class := false // within brackets
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			switch {
			case pattern[i] == 's' && class:
				b.WriteString(space)
			case pattern[i] == 's':
				b.WriteString("[" + space + "]")
			default:
				b.WriteString(pattern[i-1 : i+1])
			}
			continue
		case c == '[':
			class = true
		case c == ']':
			class = false
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

func byPatterns(weight float64, texts ...string) (k keyed) {
	if err := k.compile(texts, slices.Repeat([]float64{weight}, len(texts))); err != nil {
		panic(err)
	}
	return k
}

// Weigh splits s by keys or patterns.
func (k keyed) Weigh(s api.Segment) []api.Piece {
	for _, q := range k.queries {
		if strings.Contains(s.Query, q.text) {
			return s.Weigh(q.weight)
		}
	}
	if len(k.keys) > 0 {
		return k.split(s.Text)
	}
	if k.any == nil {
		return s.Weigh(1)
	}
	return k.cut(s.Text)
}

// split makes two pieces of each key and what follows it, even if that is
// nothing.
func (k keyed) split(text string) (pieces []api.Piece) {
	from, weight := 0, 1.0 // of what comes before the next key
	for i := 0; i < len(text); {
		at := slices.IndexFunc(k.keys, func(key key) bool { return strings.HasPrefix(text[i:], key.text) })
		if at < 0 {
			i++
			continue
		}
		if i > 0 {
			pieces = append(pieces, api.Piece{Text: text[from:i], Weight: weight})
		}
		found := k.keys[at]
		pieces = append(pieces, api.Piece{Text: found.text, Weight: found.weight})
		i += len(found.text)
		from, weight = i, found.follow
	}
	if len(pieces) > 0 || text != "" {
		pieces = append(pieces, api.Piece{Text: text[from:], Weight: weight})
	}
	return pieces
}

// cut cuts out what the patterns match. As ms-swift does, it then asks of every piece whether it
// begins as a pattern wants, so that what comes after a match may weigh as one.
func (k keyed) cut(text string) (pieces []api.Piece) {
	add := func(text string) {
		if text == "" {
			return
		}
		weight := 1.0
		for _, p := range k.patterns {
			if p.begins.MatchString(text) {
				weight = p.weight
				break
			}
		}
		pieces = append(pieces, api.Piece{Text: text, Weight: weight})
	}
	from := 0
	for _, m := range k.any.FindAllStringIndex(text, -1) {
		if m[0] < m[1] { // an empty match divides nothing
			add(text[from:m[0]])
			add(text[m[0]:m[1]])
			from = m[1]
		}
	}
	add(text[from:])
	return pieces
}
