package api

// Metric measures one evaluation. Each evaluation constructs its own.
type Metric interface {
	// Add takes in one batch. It must not keep out or b: their memory is used
	// again. For infer --metric there are only b.Rows, and out is nil.
	Add(out *Output, b *Batch) error

	// Result returns the measurements by name, after the last Add. In the log
	// their names get the prefix "eval_"; "loss" is the evaluation's own.
	Result() (map[string]float64, error)
}
