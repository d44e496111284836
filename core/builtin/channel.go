package builtin

import (
	"fmt"

	"swiftgo/api"
)

// channel is cross entropy, or dft, that also logs the mean of each channel of
// the data: loss_NAME, and eval_loss_NAME in an evaluation, for each text of the
// column channel, over the tokens that count and with their weights.
//
// A loss does not see the log and a callback does not see the batches, so it is
// both, and the two share what they know. A plugin does it in the same way.
type channel struct {
	DFT bool `json:"dft"`

	fresh, train, eval sums // since the last hook, since the last log, of the evaluation
}

// sums are the averages of the channels.
type sums map[string]average

func (s sums) add(other sums) {
	for name, x := range other {
		s[name] = average{s[name].sum + x.sum, s[name].n + x.n}
	}
	clear(other)
}

func (s sums) log(prefix string, logs map[string]float64) {
	for name, x := range s {
		logs[prefix+name] = x.sum / x.n
	}
	clear(s)
}

func newChannel() *channel { return &channel{fresh: sums{}, train: sums{}, eval: sums{}} }

func (c *channel) newLoss(args *api.Args) (api.Loss, error) { return c, args.Decode(c) }

func (c *channel) newCallback(args *api.Args) (*api.Callback, error) {
	return &api.Callback{
		OnPreOptimizerStep: func(*api.State) error {
			c.train.add(c.fresh)
			return nil
		},
		OnPredictionStep: func(*api.State) error {
			c.eval.add(c.fresh)
			return nil
		},
		OnLog: func(s *api.State) error {
			if _, ok := s.Logs["eval_loss"]; ok {
				c.eval.log("eval_loss_", s.Logs)
			} else {
				c.train.log("loss_", s.Logs)
			}
			return nil
		},
	}, args.Decode(&channel{})
}

// Compute returns the loss of each token, [tokens].
func (c *channel) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	var inner api.Loss = &crossEntropy{}
	if c.DFT {
		inner = api.LossFunc(dft)
	}
	v, err := inner.Compute(out, b)
	if err != nil {
		return nil, err
	}
	for i := range b.Starts {
		name := "None" // as ms-swift names a row without
		if i < len(b.Rows) && b.Rows[i]["channel"] != nil {
			name = fmt.Sprint(b.Rows[i]["channel"])
		}
		sum := c.fresh[name]
		from, to := b.Sequence(i)
		for k := from; k < to; k++ {
			if b.Labels[k] == api.Ignore {
				continue
			}
			w := 1.0
			if b.Scale != nil {
				w = float64(b.Scale[k])
			}
			sum.add(w * float64(v.Data()[k]))
		}
		if sum.n > 0 {
			c.fresh[name] = sum
		}
	}
	return v, nil
}
