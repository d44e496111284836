package builtin

import "swiftgo/api"

func newCrossEntropy(args *api.Args) (api.Loss, error) {
	return api.LossFunc(crossEntropy), args.Decode(&none{})
}

// crossEntropy returns -log p(label) of each token.
func crossEntropy(out *api.Output, b *api.Batch) (*api.Var, error) {
	return out.CrossEntropy(b.Labels), nil
}
