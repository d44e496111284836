package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/recipe"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// tryLossScale weighs one response, or a conversation.
func tryLossScale(x *trial, line []byte) (any, error) {
	var l struct {
		Method   string          `json:"method"`
		Query    string          `json:"query"`
		Response string          `json:"response"`
		Messages json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	scale, err := recipe.LossScale(x.name, x.reg)
	if err != nil {
		return nil, err
	}
	switch {
	case l.Method == "conversation" || l.Method == "" && l.Messages != nil:
		return x.weigh(scale, line)
	case l.Method != "" && l.Method != "response":
		return nil, fmt.Errorf("method is %q, want response or conversation", l.Method)
	}
	segments, weights := []string{}, []float64{}
	for _, p := range scale.Weigh(api.Segment{Text: l.Response, Role: api.Response, Query: l.Query, LastRound: true}) {
		segments, weights = append(segments, p.Text), append(weights, p.Weight)
	}
	return map[string]any{"segments": segments, "weights": weights}, nil
}

// weigh writes the conversation in line and weighs it.
func (x *trial) weigh(scale api.LossScale, line []byte) (any, error) {
	row, err := dataset.ParseRow(line, nil)
	if err != nil {
		return nil, err
	}
	e := &template.Encoder{Tokenizer: characters{}, Scale: scale, System: x.c.System}
	tok := x.tok
	if tok != nil {
		e.Tokenizer = tok
	} else {
		tok = &tokenizer.Tokenizer{EOS: '␄'}
	}
	if e.Chat, err = template.Find(x.c.Template, x.c.UseChatTemplate, tok); err != nil {
		return nil, err
	}
	if e.Tools, err = x.reg.AgentTemplate(x.c.AgentTemplate); err != nil {
		return nil, err
	}
	pieces, err := e.Pieces(&row.Conversation)
	if err != nil {
		return nil, err
	}
	segments, weights := []string{}, []float64{}
	for _, p := range pieces {
		segments, weights = append(segments, p.Text), append(weights, p.Weight)
	}
	answer := map[string]any{"segments": segments, "weights": weights}
	all, err := e.Encode(&row.Conversation)
	switch {
	case errors.Is(err, template.ErrNothingTrained):
		answer["token_runs_text_scale_trainable"] = [][3]any{{strings.Join(segments, ""), x.weight(0, nil), false}}
		return answer, nil
	case err != nil:
		return nil, err
	}
	var runs [][3]any
	for _, r := range all[0].Runs(func(ids []int32) string { return e.Tokenizer.Decode(ids, false) }) {
		runs = append(runs, [3]any{r.Text, x.weight(r.Weight, all[0].Scale), r.Trained})
	}
	answer["token_runs_text_scale_trainable"] = runs
	if x.tok != nil {
		answer["ids"], answer["labels"], answer["loss_scale"] = all[0].IDs, all[0].Labels, all[0].Scale
	}
	return answer, nil
}

// weight returns a weight as it is shown: nil where labels alone say what is
// trained on, since neither the loss scales nor the messages have any but 0 and 1.
func (x *trial) weight(w float32, all []float32) any {
	if all == nil && recipe.Binary(x.name) {
		return nil
	}
	return w
}

// characters is a tokenizer with one token a code point, where there is none.
type characters struct{}

func (characters) Encode(text string, _ bool) []int32 { return []rune(text) }
func (characters) Decode(ids []int32, _ bool) string  { return string(ids) }
func (characters) ID(string) (int32, bool)            { return 0, false }
