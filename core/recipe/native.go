package recipe

import (
	"context"
	"fmt"
	"slices"

	"swiftgo/core/autograd"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/sampler"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// native answers with a model in memory.
type native struct {
	m     *model.Model
	enc   *template.Encoder
	limit int
}

// Answer answers the questions together.
func (n *native) Answer(ctx context.Context, qs []sampler.Question, got func(i int, a sampler.Answers) error) error {
	var prompts [][]int32
	var asked []int // the question of each prompt
	for i, q := range qs {
		ids, err := n.enc.Prompt(q.Conversation)
		if most := n.m.Config.MaxLength(); err == nil && len(ids) >= most {
			err = fmt.Errorf("the question has %d tokens, and the model takes less than %d", len(ids), most)
		}
		if err == nil {
			prompts, asked = append(prompts, ids), append(asked, i)
		} else if err := got(i, sampler.Answers{Err: err}); err != nil {
			return err
		}
	}
	for k, answers := range n.generate(prompts, asked, qs) {
		var a sampler.Answers
		for _, ids := range answers {
			a.Answers = append(a.Answers, sampler.Answer{Text: n.enc.Tokenizer.Decode(ids, true), Tokens: len(ids), Truncated: len(ids) == n.limit})
		}
		if err := got(asked[k], a); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// generate returns the answers to each prompt, as many as its question asks for.
// They are the most likely tokens, and so all the same.
func (n *native) generate(prompts [][]int32, asked []int, qs []sampler.Question) [][][]int32 {
	out := make([][][]int32, len(prompts))
	for k, ids := range n.m.Generate(prompts, n.limit, n.enc.Stop()) {
		out[k] = slices.Repeat([][]int32{ids}, qs[asked[k]].N)
	}
	return out
}

// loadAnswering loads the model that is to answer, with its adapter, and what writes
// the questions for it.
func loadAnswering(c *Config, reg *registry.Registry) (*model.Model, *template.Encoder, error) {
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return nil, nil, err
	}
	chat, err := template.Find(c.Template, c.UseChatTemplate, tok)
	if err != nil {
		return nil, nil, err
	}
	m, _, err := loadAdapted(c, reg)
	if err != nil {
		return nil, nil, err
	}
	return m, &template.Encoder{Chat: chat, Tokenizer: tok, System: c.System, Vocab: m.Config.VocabSize}, nil
}

// loadAdapted loads a model and the adapter of --adapters, if there is one, by the
// tuner that made it: the one that its checkpoint names, or --tuner_type.
func loadAdapted(c *Config, reg *registry.Registry) (*model.Model, *tuned, error) {
	if len(c.Adapters) > 1 {
		return nil, nil, fmt.Errorf("--adapters names %d directories, want one", len(c.Adapters))
	}
	e, err := autograd.NewEngine(c.Threads)
	if err != nil {
		return nil, nil, err
	}
	m, err := model.Load(c.Model, e)
	if err != nil || len(c.Adapters) == 0 {
		return m, nil, err
	}
	if err := fromAdapter(c, c.Adapters[0]); err != nil {
		return nil, nil, err
	}
	t, err := reg.Tuner(c.TunerType)
	if err != nil {
		return nil, nil, err
	}
	tuned, err := tune(c, m, t)
	return m, tuned, err
}
