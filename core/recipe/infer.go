package recipe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
)

// InferOptions are the settings of Infer and Chat beside those of a run.
type InferOptions struct {
	generate.Settings
	MaxNewTokens int // 0 is as many as the model can read
	StopWords    []string
	MaxBatchSize int    // answers that go through the model together; 0 is 16
	Logprobs     int    // log probabilities of likely tokens, beside each chosen one's; less than 0 is none at all
	Metric       string // "acc", the share of answers that are the label, "rouge", a metric of a plugin, or "" for none
	ORM          string // outcome reward model that judges the answers; "" for none
	ResultPath   string // "" for none
}

// sampling returns how the next tokens are chosen where the model's own settings
// are base.
func (o *InferOptions) sampling(c *Config, base model.Sampling) model.Sampling {
	base.Seed, base.MaxTokens, base.Logprobs = c.Seed, o.MaxNewTokens, o.Logprobs
	return o.Over(base)
}

func (o *InferOptions) check() error {
	if o.MaxBatchSize < 0 {
		return fmt.Errorf("--max_batch_size is %d, want 1 or more", o.MaxBatchSize)
	}
	if o.MaxBatchSize == 0 {
		o.MaxBatchSize = 16
	}
	p := o.Over(model.Sampling{MaxTokens: o.MaxNewTokens})
	if err := p.Check(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// Inference is what Infer found.
type Inference struct {
	Answers    int
	LeftOut    int                // rows that could not be asked
	Judged     int                // answers that the ORM had an opinion of
	MeanReward float64            // of those
	Labelled   int                // answers to rows with a label
	Right      int                // answers that are the label, if --metric acc asks
	Measured   map[string]float64 // by another metric
	Examples   []Answer

	acc bool
}

// Answer is one line of the results.
type Answer struct {
	Response string             `json:"response"`
	Labels   string             `json:"labels,omitempty"`
	Logprobs *generate.Logprobs `json:"logprobs,omitempty"`
	Reward   *float64           `json:"reward,omitempty"`
	Messages []api.Message      `json:"messages"` // the response is the last
}

func (r *Inference) String() string {
	s := fmt.Sprintf("%d answers", r.Answers)
	if r.LeftOut > 0 {
		s += fmt.Sprintf(", %d rows left out", r.LeftOut)
	}
	if r.Judged > 0 {
		s += fmt.Sprintf(", mean reward %.4g over %d", r.MeanReward, r.Judged)
	}
	if r.acc && r.Labelled > 0 {
		s += fmt.Sprintf(", acc %.4g over %d", float64(r.Right)/float64(r.Labelled), r.Labelled)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Measured)) {
		s += fmt.Sprintf(", %s %.4g", name, r.Measured[name])
	}
	return s
}

// Infer answers the last user's message of each row of --val_dataset. Row i
// draws with a seed of its own, --seed plus i. A model with a classification head
// judges the rows.
func Infer(ctx context.Context, c Config, o InferOptions, reg *registry.Registry) (*Inference, error) {
	if c.Model == "" || len(c.ValDataset) == 0 {
		return nil, fmt.Errorf("--model and --val_dataset are wanted; the first is %q, the second %q", c.Model, c.ValDataset)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if slices.Contains(headed, c.TaskType) { // as its checkpoint says
		return classify(ctx, &c, o, reg)
	}
	var orm api.ORM
	var err error
	if o.ORM != "" {
		if orm, err = reg.ORM(o.ORM); err != nil {
			return nil, err
		}
	}
	metric, err := o.metric(reg)
	if err != nil {
		return nil, err
	}
	read, err := c.rows(nil)
	if err != nil {
		return nil, err
	}
	read.Prompts = true
	rows, err := dataset.Open(c.ValDataset, read)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	a, err := alone(&c, writes, reg)
	if err != nil {
		return nil, err
	}
	results, err := openResults(o.ResultPath)
	if err != nil {
		return nil, err
	}
	defer results.Close()
	g := a.generator(o.MaxBatchSize, 0, reg)
	ctx, cancel := context.WithCancel(ctx)
	defer g.Close(ctx)
	defer cancel()
	r := &Inference{acc: o.Metric == "acc"}
	// A few batches at a time, so that there are always some that wait, and the
	// ORM has many to judge.
	batch := max(64, 4*o.MaxBatchSize)
	for from := 0; from < rows.Len(); from += batch {
		said, err := answerRows(ctx, a, g, rows, from, min(from+batch, rows.Len()), orm, o, &c, results, r)
		if err != nil {
			return nil, err
		}
		if metric != nil && len(said) > 0 {
			if err := metric.Add(nil, &api.Batch{Rows: said}); err != nil {
				return nil, fmt.Errorf("--metric %s, to which infer gives texts alone, the columns response and labels: %w", o.Metric, err)
			}
		}
	}
	if metric != nil {
		if r.Measured, err = metric.Result(); err != nil {
			return nil, fmt.Errorf("--metric %s: %w", o.Metric, err)
		}
	}
	return r, nil
}

// metric returns what --metric names, but for acc, which is counted here. It
// sees the answers as an evaluation with --predict_with_generate shows them, and
// nothing of the model.
func (o *InferOptions) metric(reg *registry.Registry) (api.Metric, error) {
	name := o.Metric
	switch _, builtIn := tasksOf["metric "+name]; {
	case name == "" || name == "acc":
		return nil, nil
	case name == "rouge":
		name = "nlg"
	case builtIn && name != "nlg":
		return nil, fmt.Errorf("--metric %s looks into the model, and infer has nothing but its answers; want acc, rouge or a metric of texts of a plugin", name)
	}
	return reg.Metric(name)
}

// answerRows answers the rows [from, to), and has the answers judged. It returns
// the columns of those that have a label, for metrics.
func answerRows(ctx context.Context, a *answering, g *generate.Generator, rows *dataset.Dataset, from, to int, orm api.ORM, o InferOptions, c *Config, results *results, r *Inference) ([]map[string]any, error) {
	var cs []api.Completion
	var asked []*generate.Answer
	for i := from; i < to; i++ {
		row, err := rows.Row(i)
		if err != nil {
			return nil, err
		}
		question, truth := row.Cut()
		p := o.sampling(c, a.sampling)
		p.Seed += int64(i)
		ids, err := a.enc.Prompt(question)
		if err == nil {
			err = a.models[0].Config.CheckPrompt(ids)
		}
		if err != nil {
			if err := r.leaveOut(c, row, err); err != nil {
				return nil, err
			}
			continue
		}
		answer, err := g.Ask(ctx, generate.Request{Prompt: ids, Sampling: p, StopWords: o.StopWords})
		if err != nil {
			return nil, err
		}
		asked = append(asked, answer)
		cs = append(cs, api.Completion{Messages: messages(question), Truth: truth, Row: row.Columns})
	}
	answers := make([]Answer, len(cs))
	for i := range cs {
		choices, err := asked[i].Wait()
		if err != nil {
			return nil, err
		}
		said := choices[0]
		cs[i].Text, cs[i].Tokens, cs[i].Truncated = said.Text, len(said.Tokens), said.Ended == model.EndLength
		answers[i] = Answer{Response: said.Text, Labels: cs[i].Truth, Messages: append(slices.Clone(cs[i].Messages), api.Message{Role: template.Assistant, Content: said.Text})}
		if o.Logprobs >= 0 {
			answers[i].Logprobs = generate.NewLogprobs(a.tok, said.Tokens)
		}
	}
	if orm != nil {
		rewards, err := orm.Score(ctx, cs)
		if err != nil {
			return nil, err
		}
		for i := range rewards {
			if !math.IsNaN(rewards[i]) {
				r.MeanReward = (r.MeanReward*float64(r.Judged) + rewards[i]) / float64(r.Judged+1)
				r.Judged++
				answers[i].Reward = &rewards[i]
			}
		}
	}
	var labelled []map[string]any
	for i, answer := range answers {
		if err := results.write(answer); err != nil {
			return nil, err
		}
		r.add(answer)
		if answer.Labels != "" {
			row := map[string]any{}
			maps.Copy(row, cs[i].Row)
			row["response"], row["labels"] = answer.Response, answer.Labels
			labelled = append(labelled, row)
		}
	}
	return labelled, nil
}

// leaveOut counts a row that cannot be asked; with --strict it is an error.
func (r *Inference) leaveOut(c *Config, row *dataset.Row, err error) error {
	if err = fmt.Errorf("%s: %w", row.Source, err); c.Strict {
		return err
	}
	slog.Warn("row left out", "row", err)
	r.LeftOut++
	return nil
}

func (r *Inference) add(a Answer) {
	r.Answers++
	if a.Labels != "" {
		r.Labelled++
		if a.Response == a.Labels {
			r.Right++
		}
	}
	if len(r.Examples) < 5 {
		r.Examples = append(r.Examples, a)
	}
}

// messages returns a conversation as reward models see it.
func messages(c *template.Conversation) []api.Message {
	var all []api.Message
	for _, m := range c.Messages {
		all = append(all, api.Message{Role: m.Role, Content: m.Content})
	}
	return all
}

// results is a file of lines of JSON, each of which is whole at all times, but for
// the last where the process was killed while it wrote it.
type results struct {
	f    *os.File // nil if nobody wants one
	size int64
}

func openResults(path string) (*results, error) {
	if path == "" {
		return &results{}, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("--result_path: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--result_path: %w", err)
	}
	return &results{f: f}, nil
}

// write appends v in one piece, or, where the disk is full, not at all.
func (r *results) write(v any) error {
	if r.f == nil {
		return nil
	}
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	n, err := r.f.Write(line.Bytes())
	if err != nil {
		if n > 0 {
			r.f.Truncate(r.size)
			r.f.Seek(r.size, io.SeekStart)
		}
		return fmt.Errorf("--result_path: %w", err)
	}
	r.size += int64(n)
	return nil
}

func (r *results) Close() error {
	if r.f == nil {
		return nil
	}
	return r.f.Close()
}
