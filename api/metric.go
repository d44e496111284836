package api

// Metric measures one evaluation. Each evaluation constructs its own.
type Metric interface {
	// Add takes in one batch. It must not keep out or b: their memory is
	// used again for the next batch. Where the model generates, b.Rows[i] has
	// the columns response and labels, texts; for swiftgo infer --metric they
	// are all there is, and out is nil.
	Add(out *Output, b *Batch) error

	// Result returns the measurements by name, after the last Add. In the log
	// their names get the prefix "eval_"; "loss" is the evaluation's own.
	Result() (map[string]float64, error)
}
