package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/core/builtin"
	"swiftgo/core/tokenizer"
)

const vectors = "../../../shared/vectors/extensions"

// toy has one token a code point, as the tokenizer of the vectors.
type toy struct {
	eos    bool // puts its end of text after a text
	words  map[string]int32
	noting *[]string // the texts it encoded
}

const (
	toyEOS = 1114112
	toyBOS = 1114113
)

func (t toy) Encode(text string, special bool) []int32 {
	if t.noting != nil && !special && text != "a" {
		*t.noting = append(*t.noting, text)
	}
	var ids []int32
	if special && t.words != nil {
		ids = append(ids, toyBOS)
	}
	for _, r := range text {
		ids = append(ids, r)
	}
	if special && t.eos {
		ids = append(ids, toyEOS)
	}
	return ids
}

func (toy) Decode(ids []int32, _ bool) string {
	var b strings.Builder
	for _, id := range ids {
		switch id {
		case toyEOS:
			b.WriteString("<EOS>")
		case toyBOS:
			b.WriteString("<BOS>")
		default:
			b.WriteRune(id)
		}
	}
	return b.String()
}

func (t toy) ID(token string) (int32, bool) { id, ok := t.words[token]; return id, ok }

// strategy is a loss scale that trains on what it says true of.
type strategy func(s api.Segment) bool

func (f strategy) Strategy() {}
func (f strategy) Weigh(s api.Segment) []api.Piece {
	if f(s) {
		return s.Weigh(1)
	}
	return s.Weigh(0)
}

var strategies = map[string]api.LossScale{
	"all":        strategy(func(s api.Segment) bool { return true }),
	"default":    strategy(func(s api.Segment) bool { return s.Role >= api.Response }),
	"last_round": strategy(func(s api.Segment) bool { return s.Role >= api.Response && s.LastRound }),
}

func find(t *testing.T, name string) *Chat {
	t.Helper()
	c, err := Find(name, true, &tokenizer.Tokenizer{BOS: toyBOS, EOS: toyEOS})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// conversation is one of a vector file.
type conversation struct {
	ID       string
	Tools    json.RawMessage
	Messages []struct {
		Role      string
		Content   string
		Loss      *bool
		LossScale *float64 `json:"loss_scale"`
	}
}

func (v conversation) build(t *testing.T) *Conversation {
	t.Helper()
	c := &Conversation{}
	for _, m := range v.Messages {
		if m.Role == "tool_response" {
			m.Role = Tool
		}
		c.Messages = append(c.Messages, Message{m.Role, m.Content, m.Loss, m.LossScale})
	}
	var text string
	if json.Unmarshal(v.Tools, &text) == nil {
		v.Tools = json.RawMessage(text)
	}
	var tools []json.RawMessage
	if v.Tools != nil {
		read(t, v.Tools, &tools)
	}
	for _, tool := range tools {
		tool = spaced(t, tool)
		if !strings.HasPrefix(string(tool), `{"type"`) {
			tool = json.RawMessage(`{"type": "function", "function": ` + string(tool) + `}`)
		}
		c.Tools = append(c.Tools, api.Tool{JSON: tool})
	}
	return c
}

// spaced writes JSON as Python does.
func spaced(t *testing.T, data []byte) json.RawMessage {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		t.Fatal(err)
	}
	var out []byte
	quoted, escaped := false, false
	for _, c := range compact.Bytes() {
		out = append(out, c)
		if !quoted && (c == ',' || c == ':') {
			out = append(out, ' ')
		}
		if c == '"' && !escaped {
			quoted = !quoted
		}
		escaped = c == '\\' && !escaped
	}
	return out
}

func read(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

// file reads one file of the vectors, or of the small copy of them.
func file(t *testing.T, dir, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("needs the shared vectors beside the repository: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	read(t, data, v)
}

type run struct {
	text    string
	scale   *float32
	trained *bool
}

func (r *run) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&r.text, &r.scale, &r.trained})
}

// TestConversations renders and encodes the conversations of the vectors.
func TestConversations(t *testing.T) {
	for _, dir := range []string{"testdata", vectors} {
		files, err := filepath.Glob(filepath.Join(dir, "loss_scale_*.json"))
		if err != nil || len(files) == 0 {
			t.Logf("no vectors in %s: %v", dir, err)
		}
		for _, path := range files {
			t.Run(filepath.Base(dir)+"/"+filepath.Base(path), func(t *testing.T) {
				type expected struct {
					Conversations map[string][]struct {
						Error    string
						Segments []any
						Weights  []float64
						Runs     []run `json:"token_runs_text_scale_trainable"`
					}
				}
				var v struct {
					Name     string
					Inputs   struct{ Conversations []conversation }
					Expected expected
					Fixed    *expected `json:"expected_with_upstream_fix"`
				}
				file(t, dir, filepath.Base(path), &v)
				if v.Fixed != nil {
					v.Expected = *v.Fixed
				}
				for pipeline, want := range v.Expected.Conversations {
					if pipeline == "qwen2_5_react_en" {
						for i, c := range v.Inputs.Conversations {
							if c.ID == "hermes_tool" {
								w := &want[i]
								w.Segments, w.Weights = observed(w.Segments, w.Weights)
								for k := range w.Runs {
									w.Runs[k].text = strings.Replace(w.Runs[k].text, "r2r3", "r2\nObservation:r3\n", 1)
								}
							}
						}
					}
					e := &Encoder{Tokenizer: toy{}, Scale: named(t, v.Name)}
					switch pipeline {
					case "qwen2_5_react_en":
						e.Chat, e.Tools = find(t, "qwen2_5"), agent(t, "react_en")
					case "chatml":
						e.Chat = find(t, "chatml")
					case "qwen2_5_pt":
						e.Chat = find(t, "none")
					default:
						e.Chat, e.Tools = find(t, strings.TrimSuffix(pipeline, "_infer")), agent(t, "hermes")
					}
					for i, c := range v.Inputs.Conversations {
						t.Run(pipeline+"/"+c.ID, func(t *testing.T) {
							want := want[i]
							c := c.build(t)
							pieces, err := e.Pieces(c)
							if (want.Error != "") != (err != nil) {
								t.Fatalf("error %v, want %q", err, want.Error)
							}
							if err != nil {
								return
							}
							if strings.HasSuffix(pipeline, "_infer") {
								ids, err := e.Prompt(c)
								if got := (toy{}).Decode(ids, false); err != nil || got != want.Runs[0].text {
									t.Errorf("prompt %q, %v, want %q", got, err, want.Runs[0].text)
								}
								return
							}
							samePieces(t, pieces, want.Segments, want.Weights)
							enc, err := single(e, c)
							if errors.Is(err, ErrNothingTrained) {
								if len(want.Runs) != 1 {
									t.Error(err)
								}
								return
							}
							if err != nil {
								t.Fatal(err)
							}
							sameRuns(t, enc, want.Runs)
						})
					}
				}
			})
		}
	}
}

// observed writes the results r2 and r3 of a turn with text and calls as those
// of a turn with calls alone are written. ms-swift does not see the words of
// ReAct in such a turn.
func observed(segments []any, weights []float64) ([]any, []float64) {
	for i, s := range segments {
		if s == "r2" {
			segments = slices.Replace(slices.Clone(segments), i, i+2, "r2", any("\n"), "Observation:", "r3", "\n")
			if weights != nil {
				w := weights[i]
				weights = slices.Replace(slices.Clone(weights), i, i+2, w, w, w, w, w)
			}
			break
		}
	}
	return segments, weights
}

// named returns the chain of built-in loss scales of a name such as "all+react".
func named(t *testing.T, text string) api.LossScale {
	t.Helper()
	var scales []api.LossScale
	for _, name := range strings.Split(text, "+") {
		s, err := builtin.Exports().LossScales[name](&api.Args{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.(api.Strategy); !ok && len(scales) == 0 {
			scales = append(scales, strategies["default"])
		}
		scales = append(scales, s)
	}
	return Chain(scales...)
}

// agent returns a built-in agent template.
func agent(t *testing.T, name string) api.AgentTemplate {
	t.Helper()
	construct := builtin.Exports().AgentTemplates[name]
	if construct == nil {
		t.Fatalf("no agent template %s", name)
	}
	a, err := construct(&api.Args{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func samePieces(t *testing.T, got []Piece, segments []any, weights []float64) {
	t.Helper()
	var text, want []string
	for _, p := range got {
		text = append(text, fmt.Sprint(p.Text, p.Weight))
	}
	for i, s := range segments {
		if ids, ok := s.([]any); ok && ids[0] == float64(toyEOS) {
			s = "<EOS>"
		}
		if s == "" { // where a key has nothing after it
			continue
		}
		want = append(want, fmt.Sprint(s, weights[i]))
	}
	if !slices.Equal(text, want) {
		t.Errorf("pieces\n%q, want\n%q", text, want)
	}
}

// sameRuns compares what is trained on and how much. Where the vectors have no
// weights only the former: ms-swift drops the weights of messages under a scale
// of its own that has none, and we keep them.
func sameRuns(t *testing.T, enc *Encoded, want []run) {
	t.Helper()
	weighted := slices.ContainsFunc(want, func(r run) bool { return r.scale != nil })
	same := func(a, b run) bool {
		return *a.trained == *b.trained && (!weighted || *a.scale == *b.scale)
	}
	var got, merged []run
	for _, r := range enc.Runs(func(ids []int32) string { return toy{}.Decode(ids, false) }) {
		got = append(got, run{r.Text, &r.Weight, &r.Trained})
	}
	join := func(runs []run) (out []run) {
		for _, r := range runs {
			if n := len(out); n > 0 && same(out[n-1], r) {
				out[n-1].text += r.text
				continue
			}
			if !weighted {
				r.scale = nil
			}
			out = append(out, r)
		}
		return out
	}
	if got, merged = join(got), join(want); !reflect.DeepEqual(got, merged) {
		t.Errorf("runs\n%s, want\n%s", show(got), show(merged))
	}
}

func show(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		weight := ""
		if r.scale != nil {
			weight = fmt.Sprint(" ", *r.scale)
		}
		fmt.Fprintf(&b, "%t%s %q ", *r.trained, weight, r.text)
	}
	return b.String()
}

// What is written of a turn with text and a call where ms-swift errs: see
// docs/ms-swift.md.
var (
	inTurnResult     = strings.NewReplacer("\nObservation:2It is 2.", "\nObservation:2\nIt is 2.", "\n✿RESULT✿:2It is 2.", "\n✿RESULT✿:2\nIt is 2.")
	seedTextThenCall = "<seed:bos>system\nYou are Doubao, a helpful AI assistant. You may call one or more functions to assist with the user query.\n\n" +
		"Function:\ndef calc(e: str):\n    \"\"\"\n    math\n\n    Args:\n    - e (str) [选填]: \n\n    \"\"\"\n工具调用请遵循如下格式:\n<seed:tool_call>\n<function=example_function_name>\n" +
		"<parameter=example_parameter_1>value_1</parameter>\n<parameter=example_parameter_2>This is the value for the second parameter\nthat can span\nmultiple lines</parameter>\n</function>\n</seed:tool_call>\n" +
		"<seed:eos><seed:bos>system\n" + seedNoBudget + "<seed:eos><seed:bos>user\n1+1?<seed:eos><seed:bos>assistant\n" +
		seedTextThenCallSpans[0] + "<seed:bos>tool\n2<seed:eos><seed:bos>assistant\n" + seedTextThenCallSpans[1] +
		"<seed:bos>user\nthanks<seed:eos><seed:bos>assistant\n" + seedTextThenCallSpans[2]
	seedTextThenCallSpans = []string{
		seedNoThought + "Let me compute.<seed:tool_call>\n<function=calc>\n<parameter=e>1+1</parameter>\n</function>\n</seed:tool_call><seed:eos>",
		seedNoThought + "It is 2.<seed:eos>",
		seedNoThought + "bye<seed:eos>",
	}
)

// TestAgentConversations renders conversations with tools for training and for
// answering.
func TestAgentConversations(t *testing.T) {
	for _, dir := range []string{"testdata", vectors} {
		t.Run(filepath.Base(dir), func(t *testing.T) { agentConversations(t, dir) })
	}
}

func agentConversations(t *testing.T, dir string) {
	now = func() time.Time { return time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC) } // when ms-swift was run
	defer func() { now = time.Now }()
	var v struct {
		Conversations map[string]conversation
		Inputs        []struct {
			Template, Conversation, Mode string
			Agent                        string `json:"agent_template"`
		}
		Expected []struct {
			Text, Error string
			Spans       []string `json:"trained_spans"`
		}
	}
	file(t, dir, "template_agent_conversations.json", &v)
	for i, in := range v.Inputs {
		name := fmt.Sprintf("%s %s %s %s", in.Template, in.Agent, in.Conversation, in.Mode)
		c, want := v.Conversations[in.Conversation].build(t), v.Expected[i]
		e := &Encoder{Chat: find(t, in.Template), Tokenizer: toy{}, Scale: strategies["default"], Tools: agent(t, in.Agent)}
		if in.Conversation == "text_then_call_two_rounds" { // where ms-swift loses a new line, or gives up
			want.Text = inTurnResult.Replace(want.Text)
			if want.Error != "" {
				want.Text, want.Spans = seedTextThenCall, seedTextThenCallSpans
			}
		}
		if in.Mode == "infer" {
			question, _ := c.Cut()
			ids, err := e.Prompt(question)
			if got := (toy{}).Decode(ids, false); err != nil || got != want.Text {
				t.Errorf("%s: %v\n%q, want\n%q", name, err, got, want.Text)
			}
			continue
		}
		enc, err := single(e, c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var spans []string
		for _, r := range enc.Runs(func(ids []int32) string { return toy{}.Decode(ids, false) }) {
			if r.Trained {
				spans = append(spans, r.Text)
			}
		}
		if got := (toy{}).Decode(enc.IDs, false); got != want.Text || !slices.Equal(spans, want.Spans) {
			t.Errorf("%s: %q\ntrained %q, want\n%q\ntrained %q", name, got, spans, want.Text, want.Spans)
		}
	}
}

func TestTruncation(t *testing.T) {
	var v struct {
		Inputs []struct {
			Strategy     string `json:"truncation_strategy"`
			Max          int    `json:"max_length"`
			Scale        string `json:"loss_scale"`
			Conversation conversation
		}
		Expected []json.RawMessage
	}
	file(t, "testdata", "template_truncate.json", &v)
	for i, in := range v.Inputs {
		name := fmt.Sprintf("%s, %s to %d", in.Scale, in.Strategy, in.Max)
		e := &Encoder{Chat: find(t, "chatml"), Tokenizer: toy{}, Scale: named(t, in.Scale), MaxLength: in.Max, Truncation: in.Strategy}
		all, err := e.Encode(in.Conversation.build(t))
		var want []struct {
			Text   string
			Labels []int32
			Scale  []float32 `json:"loss_scale"`
		}
		if json.Unmarshal(v.Expected[i], &want) != nil {
			var long *TooLongError
			if !errors.As(err, &long) || long.Length <= in.Max || long.Max != in.Max {
				t.Errorf("%s: %v, want a TooLongError", name, err)
			}
			continue
		}
		for k := 0; k < len(want); k++ { // what has nothing to train on is left out
			if !slices.ContainsFunc(want[k].Labels, func(l int32) bool { return l != api.Ignore }) {
				want = slices.Delete(want, k, k+1)
				k--
			}
		}
		if len(want) == 0 && errors.Is(err, ErrNothingTrained) {
			continue
		}
		if err != nil || len(all) != len(want) {
			t.Errorf("%s: %d sequences, %v, want %d", name, len(all), err, len(want))
			continue
		}
		for k, enc := range all {
			if got := (toy{}).Decode(enc.IDs, false); got != want[k].Text || !slices.Equal(enc.Labels, want[k].Labels) {
				t.Errorf("%s: sequence %d %q, labels %v, want %q, labels %v", name, k, got, enc.Labels, want[k].Text, want[k].Labels)
			}
			if enc.Scale != nil && !slices.Equal(enc.Scale, want[k].Scale) {
				t.Errorf("%s: sequence %d weighs %v, want %v", name, k, enc.Scale, want[k].Scale)
			}
		}
	}
}
