package builtin

import (
	"fmt"

	"swiftgo/api"
)

// crossEntropy is -log p(label) of each token. With label smoothing ε it is
// (1-ε) times that and ε times the mean of -log p over the vocabulary, as the
// LabelSmoother of transformers has it.
type crossEntropy struct {
	Smoothing float64 `json:"label_smoothing"` // ε
}

func newCrossEntropy(args *api.Args) (api.Loss, error) {
	c := &crossEntropy{}
	if err := args.Decode(c); err != nil {
		return nil, err
	}
	if !(c.Smoothing >= 0 && c.Smoothing < 1) {
		return nil, fmt.Errorf("label_smoothing is %g, want 0 or more and less than 1", c.Smoothing)
	}
	return c, nil
}

// Compute returns the loss of each token, [tokens].
func (c *crossEntropy) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	ce := out.CrossEntropy(b.Labels)
	if c.Smoothing == 0 {
		return ce, nil
	}
	uniform := out.Logits().LogSoftmax().Mean(1).Neg()
	return ce.Scale(1 - c.Smoothing).Add(uniform.Scale(c.Smoothing)), nil
}
