// Exact is a plugin with one metric, exact, that measures the share of answers
// the model would give word for word: of which it predicts every token.
//
//	swiftgo sft --eval_metric exact --metric_for_best_model exact_acc …
//
// It shows what a metric is: something that takes in one batch after the other
// and keeps no more than sums, however large the evaluation is. The log has its
// result as eval_exact_acc.
package main

import "swiftgo/api"

// Metrics is what the host looks for.
var Metrics = api.Metrics{"exact": newExact}

type exact struct{ right, all int }

func newExact(args *api.Args) (api.Metric, error) { return &exact{}, args.Decode(&struct{}{}) }

// Add counts the sequences of a batch that have an answer.
func (e *exact) Add(out *api.Output, b *api.Batch) error {
	guess := out.Argmax()
	for i := range b.Starts {
		from, to := b.Sequence(i)
		answer, right := false, true
		for k := from; k < to; k++ {
			if b.Labels[k] != api.Ignore {
				answer = true
				right = right && guess[k] == b.Labels[k]
			}
		}
		if answer {
			e.all++
		}
		if answer && right {
			e.right++
		}
	}
	return nil
}

// Result returns exact_acc, 0 where there was no answer.
func (e *exact) Result() (map[string]float64, error) {
	return map[string]float64{"exact_acc": float64(e.right) / float64(max(1, e.all))}, nil
}

func main() {}
