package recipe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
)

// verdict is one line of the results of a model with a classification head.
type verdict struct {
	Response any            `json:"response"` // a class, a list of classes, a number, or a list of numbers
	Labels   any            `json:"labels,omitempty"`
	Logits   []float32      `json:"logits"`
	Logprobs *classLogprobs `json:"logprobs"` // null for numbers
	Messages []api.Message  `json:"messages"` // what was read, but for the documents of a query

	texts [][]int32
}

// classLogprobs are the log probabilities of classes, as ms-swift has them.
type classLogprobs struct {
	Content []classProbs `json:"content"`
}

type classProbs struct {
	Index    any         `json:"index"`    // the response
	Logprobs any         `json:"logprobs"` // of it
	Top      []classProb `json:"top_logprobs"`
}

type classProb struct {
	Index   int     `json:"index"`
	Logprob float64 `json:"logprob"`
}

// topClasses is how many of the likeliest classes have their log probabilities
// written where nothing is said, as in ms-swift.
const topClasses = 20

// classify has a model with a classification head judge the rows of
// --val_dataset, each read whole.
func classify(ctx context.Context, c *Config, o InferOptions, reg *registry.Registry) (*Inference, error) {
	if o.ORM != "" || len(o.StopWords) > 0 {
		return nil, errors.New("--orm_model and --stop_words are for what a model writes, and this one has a classification head; want --metric acc")
	}
	if o.Metric != "" && o.Metric != "acc" {
		return nil, fmt.Errorf("--metric %s compares what a model writes, and this one has a classification head; want acc", o.Metric)
	}
	conf, err := c.modelConfig()
	if err != nil {
		return nil, err
	}
	h := conf.Classes
	if o.Metric == "acc" && h.Problem == model.Regression {
		return nil, fmt.Errorf("--metric acc counts classes that are right, and the problem_type of the model is %s", h.Problem)
	}
	read, err := c.rows(nil)
	if err != nil {
		return nil, err
	}
	read.Prompts, read.Task = true, dataset.Answer // a row need not have a label
	rows, err := dataset.Open(c.ValDataset, read)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	a, err := scoring(c, reg)
	if err != nil {
		return nil, err
	}
	m := a.models[0]
	results, err := openResults(o.ResultPath)
	if err != nil {
		return nil, err
	}
	defer results.Close()
	r := &Inference{acc: o.Metric == "acc"}
	var lines []*verdict
	flush := func() error {
		var texts [][]int32
		for _, v := range lines {
			texts = append(texts, v.texts...)
		}
		var logits [][]float32
		err := reg.Guard(func() error { logits = m.Scores(texts, o.MaxBatchSize); return nil })
		for _, v := range lines {
			if err != nil {
				return err
			}
			v.judge(logits[:len(v.texts)], h.Problem, c.TaskType, o.Logprobs)
			logits = logits[len(v.texts):]
			if r.Answers++; v.Labels != nil {
				if r.Labelled++; same(v.Response, v.Labels) {
					r.Right++
				}
			}
			err = results.write(v)
		}
		lines = nil
		return err
	}
	for i := range rows.Len() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		row, err := rows.Row(i)
		if err != nil {
			return nil, err
		}
		v, err := readRow(row, a, c.TaskType)
		if label := row.Columns["label"]; err == nil && label != nil && c.TaskType == seqCls {
			if v.Labels, err = (dataset.Labels{N: h.N, Problem: h.Problem}).Read(label); err != nil && o.Metric == "" {
				v.Labels, err = label, nil // nobody compares it
			}
		}
		if err != nil {
			if err := r.leaveOut(c, row, err); err != nil {
				return nil, err
			}
			continue
		}
		if lines = append(lines, v); len(lines) >= 4*o.MaxBatchSize {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return r, flush()
}

// readRow returns what is to be judged of a row: the conversation, or for a
// reranker the documents of a query, where the row has any.
func readRow(row *dataset.Row, a *answering, task string) (*verdict, error) {
	v := &verdict{Messages: messages(&row.Conversation)}
	read := []*template.Conversation{&row.Conversation}
	if task == reranker {
		documents, err := row.Documents()
		if err != nil {
			return nil, err
		}
		if len(documents) > 0 {
			read = documents
		}
	}
	for _, talk := range read {
		ids, err := a.enc.Text(talk)
		if err != nil {
			return nil, err
		}
		v.texts = append(v.texts, ids)
	}
	return v, nil
}

// judge fills in what the logits of the texts say: as ms-swift, the likeliest
// class, the classes at least as likely as not, the numbers, or of a reranker how
// likely it is that each document belongs to the query.
func (v *verdict) judge(rows [][]float32, problem, task string, top int) {
	logits := slices.Concat(rows...)
	v.Logits = logits
	var probs []float64 // logarithms
	switch {
	case task == reranker:
		var likely []float64
		for _, x := range logits {
			likely = append(likely, 1/(1+math.Exp(-float64(x))))
		}
		if v.Response = likely; len(likely) == 1 {
			v.Response = likely[0]
		}
		return
	case problem == model.Regression && len(logits) == 1:
		v.Response = logits[0]
		return
	case problem == model.Regression:
		v.Response = logits
		return
	case problem == model.SingleLabel:
		sum := 0.0
		most := float64(slices.Max(logits))
		for _, x := range logits {
			sum += math.Exp(float64(x) - most)
		}
		for _, x := range logits {
			probs = append(probs, float64(x)-most-math.Log(sum))
		}
		class := slices.Index(logits, slices.Max(logits))
		v.Response = class
		v.Logprobs = &classLogprobs{[]classProbs{{Index: class, Logprobs: probs[class]}}}
	default:
		classes, of := []int{}, []float64{}
		for k, x := range logits {
			probs = append(probs, min(float64(x), 0)-math.Log1p(math.Exp(-math.Abs(float64(x)))))
			if x >= 0 {
				classes, of = append(classes, k), append(of, probs[k])
			}
		}
		v.Response = classes
		v.Logprobs = &classLogprobs{[]classProbs{{Index: classes, Logprobs: of}}}
	}
	order := make([]classProb, len(probs))
	for k, p := range probs {
		order[k] = classProb{k, p}
	}
	slices.SortStableFunc(order, func(a, b classProb) int { return cmp.Compare(b.Logprob, a.Logprob) })
	if top <= 0 {
		top = topClasses
	}
	v.Logprobs.Content[0].Top = order[:min(top, len(order))]
}

// same reports whether a response is the label: the class, or all the classes in
// any order.
func same(response, label any) bool {
	classes, ok := response.([]int)
	if !ok {
		class, ok := response.(int)
		return ok && label == float64(class)
	}
	var want []int
	list, _ := label.([]any)
	for _, x := range list {
		k, _ := x.(float64)
		want = append(want, int(k))
	}
	slices.Sort(want)
	return slices.Equal(classes, slices.Compact(want))
}
