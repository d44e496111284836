package recipe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"swiftgo/api"
	"swiftgo/core/registry"
	"swiftgo/core/sampler"
	"swiftgo/core/template"
)

// judge is a reward model in memory: a checkpoint with a classification head of
// one number, which is its opinion of a conversation, read at its end.
type judge struct {
	flag, dir string
	config    Config
	reg       *registry.Registry

	mu sync.Mutex // a call that was given up may be under way
	a  *answering // nil until load
}

// newJudge finds out whether the directory that a flag names holds a checkpoint,
// or an adapter, that judges.
func newJudge(flag, dir string, c *Config, reg *registry.Registry) (*judge, error) {
	j := &judge{flag: flag, dir: dir, config: Default(), reg: reg}
	own := &j.config
	own.Model, own.TunerType, own.Threads, own.Seed = dir, "", c.Threads, c.Seed
	if _, err := os.Stat(filepath.Join(dir, adapterConfig)); err == nil {
		own.Model, own.Adapters = "", []string{dir}
	}
	err := own.FromCheckpoint(map[string]map[string]any{})
	if err == nil && own.Model == "" {
		err = fmt.Errorf("neither args.json nor %s says which model the adapter is for; want a checkpoint that does, or one merged by export", adapterConfig)
	}
	if err != nil {
		return nil, j.fails(err)
	}
	conf, err := own.modelConfig()
	if err == nil {
		err = scores(conf)
	}
	if err == nil && conf.Classes.N != 1 {
		err = fmt.Errorf("its classification head has num_labels %d; want a reward model, whose head has 1", conf.Classes.N)
	}
	if err != nil {
		return nil, j.fails(err)
	}
	return j, nil
}

func (j *judge) fails(err error) error { return fmt.Errorf("--%s %s: %w", j.flag, j.dir, err) }

// load loads the model.
func (j *judge) load() (err error) {
	if j.a, err = scoring(&j.config, j.reg); err != nil {
		return j.fails(err)
	}
	return nil
}

// scoring loads a model with a classification head, which is not to be trained.
func scoring(c *Config, reg *registry.Registry) (*answering, error) {
	a, err := alone(c, scores, reg)
	if err != nil {
		return nil, err
	}
	a.models[0].Freeze()
	return a, nil
}

// judgedTogether is how many answers a judge reads at a time.
const judgedTogether = 16

// score returns the judge's opinion of each answer, NaN of one that is too long.
func (j *judge) score(ctx context.Context, cs []api.Completion) (rewards []float64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err = j.reg.Guard(func() error {
		rewards, err = j.read(ctx, cs)
		return err
	})
	return rewards, err
}

// scoreWhole is score as a PRM's, of the whole answer as one step.
func (j *judge) scoreWhole(ctx context.Context, cs []api.Completion) ([][]float64, error) {
	rewards, err := j.score(ctx, cs)
	steps := make([][]float64, len(rewards))
	for i, x := range rewards {
		steps[i] = []float64{x}
	}
	return steps, err
}

func (j *judge) read(ctx context.Context, cs []api.Completion) ([]float64, error) {
	rewards := make([]float64, len(cs))
	var texts [][]int32
	var of []int
	for i, c := range cs {
		talk := &template.Conversation{}
		for _, m := range append(slices.Clone(c.Messages), api.Message{Role: template.Assistant, Content: c.Text}) {
			talk.Messages = append(talk.Messages, template.Message{Role: m.Role, Content: m.Content})
		}
		ids, err := j.a.enc.Text(talk)
		var long *template.TooLongError
		switch {
		case errors.As(err, &long):
			slog.Warn("an answer is too long for the judge, which has no opinion of it", "judge", j.dir, "tokens", long.Length, "most", long.Max)
			rewards[i] = math.NaN()
		case err != nil:
			return nil, j.fails(fmt.Errorf("answer %d: %w", i, err))
		default:
			texts, of = append(texts, ids), append(of, i)
		}
	}
	for len(texts) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(judgedTogether, len(texts))
		for k, logits := range j.a.models[0].Scores(texts[:n], n) {
			rewards[of[k]] = float64(logits[0])
		}
		texts, of = texts[n:], of[n:]
	}
	return rewards, nil
}

// judges finds the reward models that are named: extensions, or directories of
// checkpoints. load loads the latter, once where both are the same.
func (o *SampleOptions) judges(c *Config, reg *registry.Registry) (all sampler.Judges, load func() error, err error) {
	local := map[string]*judge{}
	find := func(kind, name string) (*judge, error) { // nil is an extension
		unknown := reg.Has(kind, name)
		if unknown == nil || name == "" {
			return nil, nil
		}
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%w; --%s_model may also be the directory of a reward model", unknown, kind)
		}
		dir := filepath.Clean(name)
		var err error
		if local[dir] == nil {
			local[dir], err = newJudge(kind+"_model", name, c, reg)
		}
		return local[dir], err
	}
	all.Timeout = time.Duration(o.RewardTimeout) * time.Second
	j, err := find("orm", o.ORM)
	switch {
	case err == nil && j != nil:
		all.ORM = api.ORMFunc(j.score)
	case err == nil && o.ORM != "":
		all.ORM, err = reg.ORM(o.ORM)
	}
	if err != nil {
		return all, nil, err
	}
	j, err = find("prm", o.PRM)
	switch {
	case err == nil && j != nil:
		all.PRM = api.PRMFunc(j.scoreWhole)
	case err == nil && o.PRM != "":
		all.PRM, err = reg.PRM(o.PRM)
	}
	load = func() error {
		for _, j := range local {
			if err := j.load(); err != nil {
				return err
			}
		}
		return nil
	}
	return all, load, err
}
