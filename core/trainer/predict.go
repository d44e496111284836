package trainer

import (
	"errors"
	"maps"
	"slices"

	"swiftgo/api"
	"swiftgo/core/model"
)

// Predict lets the model answer in evaluations. The answer to each sequence of a
// batch is then the column response of its row, and that of the data the column
// labels, for metrics of text to compare.
type Predict struct {
	MaxNewTokens int
	Stop         []int32                  // tokens that end an answer
	Decode       func(ids []int32) string // without special tokens
}

// answer asks the model what comes before the last stretch of tokens that count,
// which is the answer of the data.
func (p *Predict) answer(m *model.Model, b *api.Batch) error {
	var prompts, answers [][]int32
	for i := range b.Starts {
		from, to := b.Sequence(i)
		end := to // beyond the labels of the answer
		for end > from && b.Labels[end-1] == api.Ignore {
			end--
		}
		begin := end
		for begin > from && b.Labels[begin-1] != api.Ignore {
			begin--
		}
		answer := b.Labels[begin:end]
		if stop := slices.IndexFunc(answer, func(id int32) bool { return slices.Contains(p.Stop, id) }); stop >= 0 {
			answer = answer[:stop]
		}
		if begin == from {
			return errors.New("--predict_with_generate: nothing comes before the answer of a row, so the model is asked nothing; it is for conversations")
		}
		prompts, answers = append(prompts, b.IDs[from:begin+1]), append(answers, answer)
	}
	rows := make([]map[string]any, len(prompts))
	for i, ids := range m.Generate(prompts, p.MaxNewTokens, p.Stop) {
		rows[i] = map[string]any{}
		if i < len(b.Rows) {
			maps.Copy(rows[i], b.Rows[i])
		}
		rows[i]["response"], rows[i]["labels"] = p.Decode(ids), p.Decode(answers[i])
	}
	b.Rows = rows
	return nil
}
