package apitest

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"swiftgo/api"
)

// length is an ORM, and lengths a PRM, that rewards long answers.
var (
	length = api.ORMFunc(func(_ context.Context, cs []api.Completion) ([]float64, error) {
		rewards := make([]float64, len(cs))
		for i, c := range cs {
			rewards[i] = float64(len(c.Text))
		}
		return rewards, nil
	})
	lengths = api.PRMFunc(func(ctx context.Context, cs []api.Completion) ([][]float64, error) {
		var rewards [][]float64
		for _, c := range cs {
			rewards = append(rewards, []float64{float64(len(c.Text)), math.NaN()})
		}
		return rewards, nil
	})
)

func TestRewardsFindMistakes(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 100 * time.Millisecond
	for _, c := range []struct {
		name, want string
		orm        api.ORMFunc
	}{
		{"right", "", length},
		{"too few", "11 completions have 10 rewards", func(ctx context.Context, cs []api.Completion) ([]float64, error) {
			all, err := length(ctx, cs)
			return all[:max(0, len(all)-1)], err
		}},
		{"in one order", "in the order of the completions", func(ctx context.Context, cs []api.Completion) ([]float64, error) {
			all := make([]float64, len(cs))
			for i := range all {
				all[i] = float64(i)
			}
			return all, nil
		}},
		{"infinite", "want a finite number or NaN", func(ctx context.Context, cs []api.Completion) ([]float64, error) {
			all, err := length(ctx, cs)
			for i := range all {
				all[i] = math.Log(all[i])
			}
			return all, err
		}},
		{"changes", "have changed", func(ctx context.Context, cs []api.Completion) ([]float64, error) {
			for i := range cs {
				cs[i].Text = strings.TrimSpace(cs[i].Text) + "."
			}
			return length(ctx, cs)
		}},
		{"fails", "score: no", func(context.Context, []api.Completion) ([]float64, error) { return nil, errors.New("no") }},
		{"hangs", "does not return", func(ctx context.Context, cs []api.Completion) ([]float64, error) {
			if ctx.Err() != nil {
				select {}
			}
			return length(ctx, cs)
		}},
	} {
		expect(t, c.name, c.want, func(t testing.TB) { ORM(t, maker(func() api.ORM { return c.orm })) })
	}
	expect(t, "right PRM", "", func(t testing.TB) { PRM(t, maker(func() api.PRM { return lengths })) })
	expect(t, "PRM without a reward", "has no reward", func(t testing.TB) {
		PRM(t, maker(func() api.PRM {
			return api.PRMFunc(func(_ context.Context, cs []api.Completion) ([][]float64, error) {
				return make([][]float64, len(cs)), nil
			})
		}))
	})
}
