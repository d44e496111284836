package builtin

import "swiftgo/api"

func newDFT(args *api.Args) (api.Loss, error) { return api.LossFunc(dft), args.Decode(&none{}) }

// dft is dynamic fine-tuning of Wu et al. 2025 ("On the generalization of SFT"):
// the cross entropy of each token times its probability, through which no
// gradient flows, so that tokens the model thinks unlikely pull less.
func dft(out *api.Output, b *api.Batch) (*api.Var, error) {
	ce := out.CrossEntropy(b.Labels)
	return ce.Mul(ce.Detach().Neg().Exp()), nil
}
