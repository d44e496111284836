package trainer

import (
	"errors"
	"fmt"

	"swiftgo/api"
	"swiftgo/core/registry"
)

// evaluate measures the loss and the metric on the evaluation data and logs
// them. As in transformers, a batch's loss is divided by its own tokens, and
// batches count by their sequences.
func (t *Trainer) evaluate() error {
	s := &t.state
	t.Model.Training = false
	var metric api.Metric
	if t.Metric != nil {
		var err error
		if metric, err = t.Metric(); err != nil {
			return err
		}
	}
	var sum, sequences float64
	var right, all int
	t.Model.Hits()
	for i := range t.Eval.StepsPerEpoch() {
		batches, err := t.Eval.Step(0, i)
		if err != nil {
			return err
		}
		for _, b := range batches {
			if t.Predict != nil {
				if err := t.Predict.answer(t.Model, b); err != nil {
					return fmt.Errorf("evaluation: %w", err)
				}
			}
			t.Model.Engine.Reset()
			b.Items, b.Decode = counted(b), t.Decode
			out := t.forward(b)
			perToken, err := t.Loss.Compute(out, b)
			if err != nil {
				return fmt.Errorf("evaluation: %w", err)
			}
			loss, err := Reduce(perToken, b, b.Items)
			if err != nil {
				return fmt.Errorf("evaluation: %s: %w", t.LossName, err)
			}
			sum += float64(loss.Data()[0]) * float64(len(b.Starts))
			sequences += float64(len(b.Starts))
			r, n := t.Model.Hits()
			right, all = right+r, all+n
			if metric != nil {
				if err := metric.Add(out, b); err != nil {
					return err
				}
				t.Model.Hits() // a metric's cross entropies are no predictions more
			}
			if err := t.call("OnPredictionStep", func(c Callback) hook { return c.OnPredictionStep }); err != nil {
				return err
			}
		}
	}
	s.Metrics = map[string]float64{"eval_loss": sum / max(1, sequences), "epoch": s.Epoch}
	if all > 0 {
		s.Metrics["eval_token_acc"] = float64(right) / float64(all)
	}
	disabled := false
	if metric != nil {
		values, err := metric.Result()
		if disabled = errors.Is(err, registry.ErrDisabled); err != nil && !disabled {
			return err
		}
		for name, v := range values {
			s.Metrics["eval_"+name] = v
		}
	}
	logs := make(map[string]float64, len(s.Metrics))
	for name, v := range s.Metrics {
		logs[name] = v
	}
	if err := t.log(logs); err != nil {
		return err
	}
	if err := t.compare(disabled); err != nil {
		return err
	}
	return t.call("OnEvaluate", func(c Callback) hook { return c.OnEvaluate })
}

// compare notes whether the evaluation is the best so far. Without the values of
// a metric that is disabled it may not be known.
func (t *Trainer) compare(disabled bool) error {
	s := &t.state
	v, ok := s.Metrics["eval_"+t.BestMetric]
	if t.bestIsNew = false; !ok && disabled {
		return nil
	}
	if !ok {
		return fmt.Errorf("--metric_for_best_model %s: the evaluation has no such metric; it has %s", t.BestMetric, names(s.Metrics))
	}
	t.bestIsNew = s.BestMetric == nil || v != *s.BestMetric && (v > *s.BestMetric) == t.GreaterIsBetter
	if t.bestIsNew {
		s.BestMetric = &v
	}
	return nil
}
