package registry

import (
	"context"
	"fmt"

	"swiftgo/api"
)

// ORM constructs the outcome reward model of that name.
func (r *Registry) ORM(name string) (api.ORM, error) {
	m, x, err := construct[api.ORM](r, orm, name)
	if err != nil {
		return nil, err
	}
	return api.ORMFunc(guardScore(x, m.Score)), nil
}

// PRM constructs the process reward model of that name.
func (r *Registry) PRM(name string) (api.PRM, error) {
	m, x, err := construct[api.PRM](r, prm, name)
	if err != nil {
		return nil, err
	}
	return api.PRMFunc(guardScore(x, func(ctx context.Context, cs []api.Completion) ([][]float64, error) {
		rewards, err := m.Score(ctx, cs)
		for i, steps := range rewards {
			if err == nil && len(steps) == 0 {
				return nil, fmt.Errorf("completion %d has no reward, want one for each step or one for the whole; NaN is no opinion", i)
			}
		}
		return rewards, err
	})), nil
}

func guardScore[R any](x *extension, score func(context.Context, []api.Completion) ([]R, error)) func(context.Context, []api.Completion) ([]R, error) {
	return func(ctx context.Context, cs []api.Completion) (rewards []R, err error) {
		err = x.guard("Score", func() error {
			if rewards, err = score(ctx, cs); err == nil && len(rewards) != len(cs) {
				return fmt.Errorf("%d rewards for %d completions, want one for each", len(rewards), len(cs))
			}
			return err
		})
		return rewards, err
	}
}
