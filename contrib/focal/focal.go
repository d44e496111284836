// Focal is a plugin with one loss, focal, of Lin et al. 2017 ("Focal loss for
// dense object detection"): tokens that the model already predicts well count
// for less, so that training spends itself on the hard ones.
//
//	swiftgo sft --loss_type focal --focal.gamma 1.5 …
//
// It shows what a loss is: a function from the model's output and the labels to
// one value per token, made of operations that know their own gradients. The
// trainer sees to the rest: masks, loss scale, and the division by the number
// of tokens of the whole step.
package main

import (
	"fmt"

	"swiftgo/api"
)

// Losses is what the host looks for.
var Losses = api.Losses{"focal": newFocal}

type focal struct {
	Gamma float64 `json:"gamma"` // how much less; 0 would be cross entropy
}

func newFocal(args *api.Args) (api.Loss, error) {
	f := &focal{Gamma: 2}
	if err := args.Decode(f); err != nil {
		return nil, err
	}
	if !(f.Gamma >= 1) { // below 1 the slope has no bound where p is 1
		return nil, fmt.Errorf("gamma is %g, want 1 or more", f.Gamma)
	}
	return f, nil
}

// Compute returns -(1-p)^γ·log p of each token, p being the probability of its
// label.
func (f *focal) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	ce := out.CrossEntropy(b.Labels) // -log p
	p := ce.Neg().Exp()
	return p.OneMinus().Pow(f.Gamma).Mul(ce), nil
}

func main() {}
