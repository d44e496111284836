package builtin

import (
	"math"

	"swiftgo/api"
)

// ppl is perplexity: e to the power of the mean of -log p over all tokens that
// count, whatever their weights.
type ppl struct{ sum, n float64 }

func newPPL(args *api.Args) (api.Metric, error) { return &ppl{}, args.Decode(&none{}) }

// Add takes in the tokens of a batch.
func (p *ppl) Add(out *api.Output, b *api.Batch) error {
	ce := out.CrossEntropy(b.Labels).Data()
	for i, label := range b.Labels {
		if label != api.Ignore {
			p.sum, p.n = p.sum+float64(ce[i]), p.n+1
		}
	}
	return nil
}

// Result returns ppl, and nothing where nothing was counted.
func (p *ppl) Result() (map[string]float64, error) {
	if p.n == 0 {
		return map[string]float64{}, nil
	}
	return map[string]float64{"ppl": math.Exp(p.sum / p.n)}, nil
}
