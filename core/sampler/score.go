package sampler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"swiftgo/api"
)

// Judges are the reward models of a run; nil is none.
type Judges struct {
	ORM     api.ORM
	PRM     api.PRM
	Timeout time.Duration // of one call; 0 is any
}

// together is how many answers a reward model is given at a time, unless one
// question alone has more.
const together = 256

// score gives every answer of the rows, and the answer in the dataset after
// them, its score, and calls done for each row as it is there.
func (j *Judges) score(ctx context.Context, rows []*row, done func(*row) error) error {
	for len(rows) > 0 {
		n, answers := 1, rows[0].candidates()
		for n < len(rows) && answers+rows[n].candidates() <= together {
			answers += rows[n].candidates()
			n++
		}
		if err := j.scoreSome(ctx, rows[:n], done); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// scoreSome scores the answers of the rows together. If that fails they are
// scored once more, row by row, so that the error names the row, and the rows
// before it are done.
func (j *Judges) scoreSome(ctx context.Context, rows []*row, done func(*row) error) error {
	err := j.scoreAll(ctx, rows)
	if err != nil && (len(rows) == 1 || ctx.Err() != nil || errors.Is(err, errLate)) {
		return fmt.Errorf("%s: %w", span(rows), err)
	}
	for i, x := range rows {
		if err != nil { // of all together
			if err := j.scoreAll(ctx, rows[i:i+1]); err != nil {
				return fmt.Errorf("%s: %w", x.source, err)
			}
		}
		if err := done(x); err != nil {
			return err
		}
	}
	return nil
}

// span names the rows of a batch.
func span(rows []*row) string {
	if len(rows) == 1 {
		return rows[0].source
	}
	return rows[0].source + " to " + rows[len(rows)-1].source
}

func (j *Judges) scoreAll(ctx context.Context, rows []*row) error {
	var cs []api.Completion
	for _, x := range rows {
		cs = append(cs, x.completions()...)
	}
	scores := slices.Repeat([]score{{math.NaN(), math.NaN()}}, len(cs))
	if j.ORM != nil {
		rewards, err := within(ctx, j.Timeout, "the ORM", cs, j.ORM.Score)
		if err != nil {
			return err
		}
		for i, x := range rewards {
			scores[i].orm = x
		}
	}
	if j.PRM != nil {
		rewards, err := within(ctx, j.Timeout, "the PRM", cs, j.PRM.Score)
		if err != nil {
			return err
		}
		for i, steps := range rewards {
			scores[i].prm = smallest(steps)
		}
	}
	for _, x := range rows {
		n := x.candidates()
		x.scores, scores = scores[:n], scores[n:]
	}
	return nil
}

// candidates is how many answers there are to score, with that in the dataset.
func (x *row) candidates() int {
	if x.truth != nil {
		return len(x.answers) + 1
	}
	return len(x.answers)
}

// completions returns the answers as reward models see them, and after them the
// answer in the dataset.
func (x *row) completions() []api.Completion {
	question := make([]api.Message, len(x.messages))
	for i, m := range x.messages {
		question[i] = api.Message{Role: m.Role, Content: m.Content}
	}
	c := api.Completion{Messages: question, Row: x.other}
	if x.truth != nil {
		c.Truth = *x.truth
	}
	var cs []api.Completion
	for _, a := range x.answers {
		c.Text, c.Tokens, c.Truncated = a.Text, a.Tokens, a.Truncated
		cs = append(cs, c)
	}
	if x.truth != nil {
		c.Text, c.Tokens, c.Truncated = *x.truth, 0, false
		cs = append(cs, c)
	}
	return cs
}

// errLate says that a reward model has not returned in time. It may still be
// busy, so it is not called again.
var errLate = errors.New("it has not returned in time")

// within calls a reward model, and does not wait for it beyond the limit even if
// it does not heed its context.
func within[R any](ctx context.Context, limit time.Duration, who string, cs []api.Completion, score func(context.Context, []api.Completion) ([]R, error)) ([]R, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	type result struct {
		rewards []R
		err     error
	}
	back := make(chan result, 1)
	go func() {
		rewards, err := score(ctx, cs)
		back <- result{rewards, err}
	}()
	select {
	case r := <-back:
		if r.err == nil && len(r.rewards) != len(cs) {
			return nil, fmt.Errorf("%s returned %d rewards for %d answers, want one for each", who, len(r.rewards), len(cs))
		}
		return r.rewards, r.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("%s: %w: %v for %d answers; give it longer with --reward_timeout", who, errLate, limit, len(cs))
		}
		return nil, ctx.Err()
	}
}
