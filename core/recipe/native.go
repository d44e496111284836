package recipe

import (
	"context"
	"fmt"

	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/sampler"
)

// native answers with a model in memory.
type native struct {
	a        *answering
	g        *generate.Generator
	sampling model.Sampling
}

// newNative loads the model; what answers ends with ctx.
func newNative(ctx context.Context, c *Config, o *SampleOptions, reg *registry.Registry) (*native, error) {
	a, err := alone(c, writes, reg)
	if err != nil {
		return nil, err
	}
	p := a.sampling
	p.Temperature, p.TopK, p.TopP, p.MaxTokens, p.Seed, p.Logprobs = o.Temperature, o.TopK, o.TopP, o.MaxNewTokens, c.Seed, -1
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	n := &native{a, a.generator(max(16, o.NumReturnSequences), 0, reg), p}
	context.AfterFunc(ctx, func() { n.g.Close(ctx) })
	return n, nil
}

// Answer asks all questions at once. What is drawn for an answer follows from the
// seed, the row and the number of the answer alone.
func (n *native) Answer(ctx context.Context, qs []sampler.Question, got func(i int, a sampler.Answers) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make([]*generate.Answer, len(qs))
	errs := make([]error, len(qs))
	for i, q := range qs {
		var ids []int32
		if ids, errs[i] = n.a.enc.Prompt(q.Conversation); errs[i] == nil {
			p := n.sampling
			p.Seed += int64(q.Row) + int64(q.First)<<32
			asked[i], errs[i] = n.g.Ask(ctx, generate.Request{Prompt: ids, N: q.N, Sampling: p})
		}
	}
	for i, answer := range asked {
		a := sampler.Answers{Err: errs[i]}
		if answer != nil {
			choices, err := answer.Wait()
			if err != nil {
				return fmt.Errorf("%s: %w", qs[i].Source, err)
			}
			for _, c := range choices {
				a.Answers = append(a.Answers, sampler.Answer{Text: c.Text, Tokens: len(c.Tokens), Truncated: c.Ended != "stop"})
			}
		}
		if err := got(i, a); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// loadAdapted loads a model and the adapter of --adapters, if there is one, by the
// tuner that made it: the one that its checkpoint names, or --tuner_type.
func loadAdapted(c *Config, reg *registry.Registry) (*model.Model, *tuned, error) {
	if len(c.Adapters) > 1 {
		return nil, nil, fmt.Errorf("--adapters names %d directories, want one", len(c.Adapters))
	}
	if len(c.Adapters) == 1 {
		if err := fromAdapter(c, c.Adapters[0]); err != nil {
			return nil, nil, err
		}
	}
	e, err := autograd.NewEngine(c.Threads)
	if err != nil {
		return nil, nil, err
	}
	conf, err := c.modelConfig()
	if err != nil {
		return nil, nil, err
	}
	m, err := model.LoadAs(c.Model, conf, e, c.Seed, checkpoint.F32)
	if err != nil || len(c.Adapters) == 0 {
		return m, nil, err
	}
	t, err := reg.Tuner(c.TunerType)
	if err != nil {
		return nil, nil, err
	}
	tuned, err := tune(c, m, t)
	return m, tuned, err
}
