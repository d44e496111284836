package recipe

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
)

// InferOptions are the settings of Infer beside those of a run.
type InferOptions struct {
	MaxNewTokens int
	ORM          string // outcome reward model that judges the answers; "" for none
	ResultPath   string // "" for none
}

// Inference is what Infer found.
type Inference struct {
	Answers    int
	Judged     int     // answers that the ORM had an opinion of
	MeanReward float64 // of those
	Examples   []Answer
}

// Answer is one line of the results.
type Answer struct {
	Response string        `json:"response"`
	Labels   string        `json:"labels,omitempty"`
	Reward   *float64      `json:"reward,omitempty"`
	Messages []api.Message `json:"messages"`
}

func (r *Inference) String() string {
	if r.Judged == 0 {
		return fmt.Sprintf("%d answers", r.Answers)
	}
	return fmt.Sprintf("%d answers, mean reward %.4g over %d", r.Answers, r.MeanReward, r.Judged)
}

// inferBatch is the number of conversations that go through the model together.
const inferBatch = 64

// Infer answers the last user's message of each row of --val_dataset.
func Infer(ctx context.Context, c Config, o InferOptions, reg *registry.Registry) (*Inference, error) {
	if c.Model == "" || len(c.ValDataset) == 0 {
		return nil, fmt.Errorf("--model and --val_dataset are wanted; the first is %q, the second %q", c.Model, c.ValDataset)
	}
	var orm api.ORM
	var err error
	if o.ORM != "" {
		if orm, err = reg.ORM(o.ORM); err != nil {
			return nil, err
		}
	}
	if err := reg.CheckOwn(); err != nil {
		return nil, err
	}
	read, err := c.rows(nil)
	if err != nil {
		return nil, err
	}
	read.Prompts = true
	rows, err := dataset.Open(c.ValDataset, read)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m, enc, err := loadAnswering(&c, reg)
	if err != nil {
		return nil, err
	}
	return answer(ctx, m, enc, rows, orm, o)
}

// messages returns a conversation as reward models see it.
func messages(c *template.Conversation) []api.Message {
	var all []api.Message
	for _, m := range c.Messages {
		all = append(all, api.Message{Role: m.Role, Content: m.Content})
	}
	return all
}

func answer(ctx context.Context, m *model.Model, enc *template.Encoder, rows *dataset.Dataset, orm api.ORM, o InferOptions) (*Inference, error) {
	var results *bufio.Writer
	if o.ResultPath != "" {
		f, err := os.Create(o.ResultPath)
		if err != nil {
			return nil, fmt.Errorf("--result_path: %w", err)
		}
		defer f.Close()
		results = bufio.NewWriter(f)
		defer results.Flush()
	}
	r := &Inference{}
	for from := 0; from < rows.Len(); from += inferBatch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var prompts [][]int32
		var cs []api.Completion
		for i := from; i < min(from+inferBatch, rows.Len()); i++ {
			row, err := rows.Row(i)
			if err != nil {
				return nil, err
			}
			asked, truth := row.Cut()
			ids, err := enc.Prompt(asked)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", row.Source, err)
			}
			prompts = append(prompts, ids)
			cs = append(cs, api.Completion{Messages: messages(asked), Truth: truth, Row: row.Columns})
		}
		for i, ids := range m.Generate(prompts, o.MaxNewTokens, enc.Stop()) {
			cs[i].Text, cs[i].Tokens, cs[i].Truncated = enc.Tokenizer.Decode(ids, true), len(ids), len(ids) == o.MaxNewTokens
		}
		rewards := make([]float64, len(cs))
		if orm != nil {
			var err error
			if rewards, err = orm.Score(ctx, cs); err != nil {
				return nil, err
			}
		}
		for i, c := range cs {
			a := Answer{Response: c.Text, Labels: c.Truth, Messages: c.Messages}
			if orm != nil && !math.IsNaN(rewards[i]) {
				r.MeanReward = (r.MeanReward*float64(r.Judged) + rewards[i]) / float64(r.Judged+1)
				r.Judged++
				a.Reward = &rewards[i]
			}
			if len(r.Examples) < 5 {
				r.Examples = append(r.Examples, a)
			}
			r.Answers++
			if results == nil {
				continue
			}
			line, err := json.Marshal(a)
			if err != nil {
				return nil, err
			}
			if _, err := results.Write(append(line, '\n')); err != nil {
				return nil, fmt.Errorf("--result_path: %w", err)
			}
		}
	}
	return r, nil
}
