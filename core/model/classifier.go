package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
)

// What the logits of a classification head are: transformers' problem_type.
const (
	Regression  = "regression"                  // numbers
	SingleLabel = "single_label_classification" // of classes, one of which is right
	MultiLabel  = "multi_label_classification"  // of classes, any of which are
)

// Problems are the problem types.
var Problems = []string{Regression, SingleLabel, MultiLabel}

// Classes says of a model with a sequence classification head in the place of
// the output projection what its logits are.
type Classes struct {
	N       int      // how many there are
	Problem string   // one of Problems
	Names   []string // of each; nil is transformers' LABEL_0 and so on
	New     bool     // the checkpoint has no head: it is drawn at random
}

const (
	score          = "score" // transformers' name of the head
	classification = "ForSequenceClassification"
)

// readClasses fills in Classes as transformers reads them: names say how many
// there are, and of a head without a word there are two.
func (c *Config) readClasses() error {
	if !slices.ContainsFunc(c.Architectures, func(name string) bool { return strings.HasSuffix(name, classification) }) {
		return nil
	}
	n := c.NumLabels
	if len(c.ID2Label) > 0 {
		n = len(c.ID2Label)
	}
	if n == 0 {
		n = 2
	}
	h, err := newClasses(n, c.ProblemType)
	if err != nil {
		return err
	}
	for i := range c.ID2Label {
		if k, err := strconv.Atoi(i); err != nil || k < 0 || k >= n {
			return fmt.Errorf("id2label has %q, want numbers from 0 to %d", i, n-1)
		}
	}
	for i := range len(c.ID2Label) {
		h.Names = append(h.Names, c.ID2Label[strconv.Itoa(i)])
	}
	c.Classes = h
	return nil
}

func newClasses(n int, problem string) (*Classes, error) {
	if problem == "" {
		if problem = SingleLabel; n == 1 { // as ms-swift
			problem = Regression
		}
	}
	switch {
	case n < 1 || n > 1<<20:
		return nil, fmt.Errorf("num_labels is %d, want a whole number from 1 to %d", n, 1<<20)
	case !slices.Contains(Problems, problem):
		return nil, fmt.Errorf("problem_type is %q, want %s", problem, strings.Join(Problems, ", "))
	}
	return &Classes{N: n, Problem: problem}, nil
}

// Classify makes the model one with a classification head of n logits, new if the
// checkpoint has none. 0 and "" are what the checkpoint says.
func (c *Config) Classify(n int, problem string) error {
	if c.Classes == nil {
		h, err := newClasses(n, problem)
		if err != nil {
			return err
		}
		h.New = true
		c.Classes = h
		return nil
	}
	if n != 0 && n != c.Classes.N {
		return fmt.Errorf("num_labels is %d, and the checkpoint has a head of %d; want as many, or a language model, which gets a new head", n, c.Classes.N)
	}
	if problem != "" {
		h, err := newClasses(c.Classes.N, problem)
		if err != nil {
			return err
		}
		c.Classes.Problem = h.Problem
	}
	return nil
}

// Keys returns what config.json says of the head.
func (h *Classes) Keys(modelType string) map[string]any {
	names, ids := map[string]string{}, map[string]int{}
	for i := range h.N {
		name := fmt.Sprintf("LABEL_%d", i)
		if h.Names != nil {
			name = h.Names[i]
		}
		names[strconv.Itoa(i)], ids[name] = name, i
	}
	return map[string]any{
		"architectures": []string{strings.ToUpper(modelType[:1]) + modelType[1:] + classification},
		"num_labels":    h.N, "id2label": names, "label2id": ids, "problem_type": h.Problem,
	}
}

// InitRange is the deviation of the numbers that new weights begin with.
func (c *Config) InitRange() float64 {
	if c.Initializer == nil {
		return 0.02
	}
	return *c.Initializer
}

// newHead draws a head as transformers does: normal, with deviation InitRange.
func (c *Config) newHead(e *autograd.Engine, seed int64, shape []int) *tensor.Dense {
	r := rand.New(rand.NewPCG(uint64(seed), headStream))
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(c.InitRange() * r.NormFloat64())
	}
	return e.Param(data, shape...)
}

// headStream keeps the draws of a head apart from others of the same seed.
const headStream = 1<<32 + 2

// Score returns the weight of the classification head, [labels, hidden], nil
// where there is none.
func (m *Model) Score() *api.Param {
	if m.Config.Classes == nil {
		return nil
	}
	return m.head.Weight
}

// Classified returns out with the logits of the classification head, [tokens,
// labels]: what each token says of the sequence up to it. The last one's count.
func (m *Model) Classified(out *api.Output) *api.Output {
	return api.NewOutput(out.Hidden(), noTokens{m.head.Forward})
}

// scoreTokens is about how many tokens Scores reads at a time.
const scoreTokens = 4096

// Scores returns the logits that the classification head gives each text, at its
// last token. At most so many texts are read at a time.
func (m *Model) Scores(texts [][]int32, most int) [][]float32 {
	m.Training = false
	var all [][]float32
	for len(texts) > 0 {
		var ids, starts, last []int32
		for len(texts) > 0 && (len(starts) == 0 || len(starts) < most && len(ids)+len(texts[0]) <= scoreTokens) {
			starts, ids = append(starts, int32(len(ids))), append(ids, texts[0]...)
			last, texts = append(last, int32(len(ids)-1)), texts[1:]
		}
		m.Engine.Reset()
		logits := m.head.Forward(m.Forward(ids, starts).Hidden().Detach().Gather(last)).Data()
		for n := m.Config.Classes.N; len(logits) > 0; logits = logits[n:] {
			all = append(all, slices.Clone(logits[:n]))
		}
	}
	return all
}
