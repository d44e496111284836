package builtin

import (
	"fmt"

	"swiftgo/api"
)

// acc measures how often the most likely token is the right one: token_acc of
// the tokens that count, or seq_acc of the sequences, which are right where all
// their tokens that count are. Unlike that of ms-swift, seq_acc of packed
// sequences leaves out the tokens that do not count. Of a classification it is
// acc, the share of the sequences whose class is right.
type acc struct {
	Strategy string `json:"strategy"` // token or seq
	problem         // of a classification; "" is none

	right, all int
}

func newAcc(args *api.Args) (api.Metric, error) {
	a := &acc{Strategy: "token"}
	if err := args.Decode(a); err != nil {
		return nil, err
	}
	if a.Strategy != "token" && a.Strategy != "seq" {
		return nil, fmt.Errorf("strategy is %q, want token or seq", a.Strategy)
	}
	if a.Type != "" && a.Type != singleLabel {
		return nil, fmt.Errorf("acc counts classes that are right, and problem_type is %s; want %s", a.Type, singleLabel)
	}
	return a, nil
}

// Add counts the hits in a batch.
func (a *acc) Add(out *api.Output, b *api.Batch) error {
	if a.Type != "" {
		logits := out.Logits().Detach().Gather(last(b))
		for i, guess := range api.LogitsOutput(logits).Argmax() {
			want, err := class(b, i, logits.Shape()[1])
			if err != nil {
				return err
			}
			a.right, a.all = a.right+btoi(guess == want), a.all+1
		}
		return nil
	}
	guess := out.Argmax()
	for i := range b.Starts {
		from, to := b.Sequence(i)
		right, all := hits(guess[from:to], b.Labels[from:to])
		if a.Strategy == "seq" {
			right, all = btoi(right == all), 1
		}
		a.right, a.all = a.right+right, a.all+all
	}
	return nil
}

// Result returns the share of hits, and nothing where nothing was counted.
func (a *acc) Result() (map[string]float64, error) {
	if a.all == 0 {
		return map[string]float64{}, nil
	}
	name := a.Strategy + "_acc"
	if a.Type != "" {
		name = "acc"
	}
	return map[string]float64{name: float64(a.right) / float64(a.all)}, nil
}

func hits(guess, labels []int32) (right, all int) {
	for i, label := range labels {
		if label == api.Ignore {
			continue
		}
		all++
		right += btoi(guess[i] == label)
	}
	return right, all
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
