package recipe

import (
	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// Shown is a dataset as the trainer will see it.
type Shown struct {
	Template string        `json:"template"`
	Stats    dataset.Stats `json:"stats"`
	Summary  string        `json:"summary"`
	Rows     []ShownRow    `json:"-"`
}

// ShownRow is one sequence. Labels and weights are those of the token itself: the
// token at 5 is trained on where Labels[5] is not -100.
type ShownRow struct {
	Source string         `json:"source"`
	Runs   []template.Run `json:"runs"`
	Tokens []string       `json:"tokens"`
	IDs    []int32        `json:"ids"`
	Labels []int32        `json:"labels"`
	Scale  []float32      `json:"loss_scale,omitempty"` // none if every weight is 0 or 1
	Row    map[string]any `json:"row,omitempty"`        // the other columns
}

// Trained returns the number of tokens that are trained on.
func (r *ShownRow) Trained() (n int) {
	for _, l := range r.Labels {
		if l != api.Ignore {
			n++
		}
	}
	return n
}

// ShowData turns a dataset into tokens as SFT does, and returns its numbers and n
// of its sequences, after the first skip. Of the model it wants no more than the
// tokenizer.
func ShowData(c Config, skip, n int, reg *registry.Registry, progress dataset.Progress) (*Shown, error) {
	var tools api.AgentTemplate
	var err error
	if c.AgentTemplate != "" {
		if tools, err = reg.AgentTemplate(c.AgentTemplate); err != nil {
			return nil, err
		}
	}
	if err := reg.CheckOwn(); err != nil {
		return nil, err
	}
	conf, err := configAt(c.Model)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return nil, err
	}
	enc, err := encoder(&c, conf, tok, tools, reg)
	if err != nil {
		return nil, err
	}
	rows, val, err := encode(&c, enc, reg, progress)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if val != nil {
		defer val.Close()
	}
	s := &Shown{Template: enc.Chat.Name, Stats: rows.Stats(), Summary: rows.Summary()}
	sequences, err := rows.Sequences(skip, skip+n)
	if err != nil {
		return nil, err
	}
	for _, q := range sequences {
		r := ShownRow{Source: q.Source, IDs: q.IDs, Labels: q.Labels, Scale: q.Scale, Row: q.Columns}
		r.Runs = q.Runs(func(ids []int32) string { return tok.Decode(ids, false) })
		for _, id := range q.IDs {
			r.Tokens = append(r.Tokens, tok.Decode([]int32{id}, false))
		}
		s.Rows = append(s.Rows, r)
	}
	return s, nil
}
