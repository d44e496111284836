package builtin

import (
	"fmt"
	"slices"

	"swiftgo/api"
)

// The problem types of a classification, by transformers' names.
const (
	regression  = "regression"
	singleLabel = "single_label_classification"
	multiLabel  = "multi_label_classification"
)

// problem is the setting that says what the labels are.
type problem struct {
	Type string `json:"problem_type"` // "" is a regression of one number, and else one class of several
}

func (p problem) check() error {
	if want := []string{"", regression, singleLabel, multiLabel}; !slices.Contains(want, p.Type) {
		return fmt.Errorf("problem_type is %q, want %s, %s or %s", p.Type, regression, singleLabel, multiLabel)
	}
	return nil
}

// seqCls is transformers' loss of a sequence classification, the mean over the
// sequences: the cross entropy of one class, the binary cross entropy of each
// class of several, or the squared error.
type seqCls struct{ problem }

func newSeqCls(args *api.Args) (api.Loss, error) {
	l := &seqCls{}
	if err := args.Decode(&l.problem); err != nil {
		return nil, err
	}
	return l, l.check()
}

// Compute returns a single value.
func (l *seqCls) Compute(out *api.Output, b *api.Batch) (*api.Var, error) {
	logits := out.Logits().Gather(last(b)) // [sequences, labels]
	n, labels := logits.Shape()[0], logits.Shape()[1]
	kind := l.Type
	if kind == "" {
		if kind = singleLabel; labels == 1 {
			kind = regression
		}
	}
	if kind == singleLabel {
		classes := make([]int32, n)
		for i := range classes {
			var err error
			if classes[i], err = class(b, i, labels); err != nil {
				return nil, err
			}
		}
		return api.CrossEntropy(logits, classes).Mean().Scale(share(b)), nil
	}
	want := make([]float32, 0, n*labels)
	for i := range n {
		row, err := numbers(b, i)
		if err != nil {
			return nil, err
		}
		if kind == multiLabel {
			if row, err = marked(row, i, labels); err != nil {
				return nil, err
			}
		}
		if len(row) != labels {
			return nil, fmt.Errorf("sequence %d has %d numbers as label, and the model gives %d", i, len(row), labels)
		}
		for _, y := range row {
			want = append(want, float32(y))
		}
	}
	if kind == multiLabel {
		return binaryCrossEntropy(logits.Reshape(n*labels), want).Scale(share(b)), nil
	}
	off := logits.Sub(constant(want, n, labels))
	return off.Mul(off).Mean().Scale(share(b)), nil
}

// binaryCrossEntropy is the mean over logits [n] of that to the truth, from 0 to 1.
func binaryCrossEntropy(logits *api.Var, truth []float32) *api.Var {
	n := len(truth)
	both := api.Concat(1, api.Const(api.Full(0, n, 1)), logits.Reshape(n, 1)).LogSoftmax() // log of 1-p and of p
	pairs := make([]float32, 0, 2*n)
	for _, y := range truth {
		pairs = append(pairs, 1-y, y)
	}
	return both.Mul(constant(pairs, n, 2)).Sum().Scale(-1 / float64(n))
}

// class returns the class of sequence i.
func class(b *api.Batch, i, classes int) (int32, error) {
	row, err := numbers(b, i)
	if err != nil {
		return 0, err
	}
	if len(row) != 1 || row[0] < 0 || row[0] >= float64(classes) || row[0] != float64(int32(row[0])) {
		return 0, fmt.Errorf("the label of sequence %d is %v, want the number of a class, from 0 to %d", i, row, classes-1)
	}
	return int32(row[0]), nil
}

// marked returns 1 for each class in the list, and 0 for the others.
func marked(list []float64, i, classes int) ([]float64, error) {
	row := make([]float64, classes)
	for _, k := range list {
		if k < 0 || k >= float64(classes) || k != float64(int(k)) {
			return nil, fmt.Errorf("the label of sequence %d has %v, want numbers of classes, from 0 to %d", i, k, classes-1)
		}
		row[int(k)] = 1
	}
	return row, nil
}

// numbers returns the label of sequence i, a number or a list of them.
func numbers(b *api.Batch, i int) ([]float64, error) {
	if i < len(b.Rows) {
		if list, ok := b.Rows[i]["label"].([]any); ok {
			row := make([]float64, len(list))
			for k, x := range list {
				if row[k], ok = x.(float64); !ok {
					return nil, fmt.Errorf("the label of sequence %d is %v, want numbers", i, list)
				}
			}
			return row, nil
		}
	}
	y, ok, err := label(b, i)
	if err == nil && !ok {
		err = fmt.Errorf("sequence %d has no label; use it with --task_type seq_cls", i)
	}
	return []float64{y}, err
}
