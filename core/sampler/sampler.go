// Package sampler is rejection sampling: it has a model answer the questions of a
// dataset several times, has reward models judge the answers, and keeps the best.
//
// Read [Run] first. Rows become questions (row.go), which an [Engine] answers:
// a model in memory, a server that speaks OpenAI's protocol (client.go,
// openai.go), or the files of an earlier run (engine.go). The answers are scored
// in batches (score.go) and chosen from (choose.go), and all of it goes to a
// journal as it is there (journal.go), so that a run that is killed at any
// instant goes on from it to the same file. The rules are those of ms-swift's
// sample, without its mistakes.
package sampler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"swiftgo/core/dataset"
	"swiftgo/core/template"
)

// Options are the numbers that a run goes by.
type Options struct {
	Path     string // file of the results, JSON lines
	Resume   bool   // go on from the journal of a run that was cut off
	Override bool   // begin again, and write over a file that is there

	Answers   int    // to sample for each question
	System    string // the system prompt of every question; "" leaves them as they are
	Batch     int    // questions that are answered and scored together
	Batches   int    // how many such batches to do at most; 0 is all
	Shard     int    // the part of the rows to do, from 0
	Shards    int    // how many parts there are
	Strict    bool   // a question without an answer ends the run, instead of being left out
	Selection        // which answers are kept
	Judges           // who scores them

	Settings map[string]any // everything that the results follow from, for a run that resumes
	Progress func(s *Summary)
}

// Run samples answers for the rows and writes those that are kept to o.Path, in
// the order of the rows. What was sampled before an error stays in the journal.
// The engine is made when there is something to do; nil is none.
func Run(ctx context.Context, rows *dataset.Dataset, engine func() (Engine, error), cached map[string][]string, o Options) (*Summary, error) {
	from, to := o.rows(rows.Len())
	j, err := openJournal(o.Path, o.Settings, o.Resume, o.Override)
	if err != nil {
		return nil, err
	}
	defer j.close()
	s := &Summary{Path: o.Path, Questions: to - from, began: time.Now()}
	var open []int
	for i := from; i < to; i++ {
		if done, ok := j.scored[i]; ok {
			s.add(done)
			continue
		}
		open = append(open, i)
	}
	s.Before = s.Done
	r := &run{rows: rows, cached: cached, journal: j, summary: s, Options: o}
	if len(open) > 0 && engine != nil {
		if r.engine, err = engine(); err != nil {
			return s, err
		}
	}
	if o.Progress != nil {
		o.Progress(s)
	}
	for len(open) > 0 {
		n := min(o.Batch, len(open))
		if err := r.batch(ctx, open[:n]); err != nil {
			if j.begun() {
				err = fmt.Errorf("%w; what was sampled is kept in %s: go on with --resume --output_file %s", err, j.path, filepath.Base(o.Path))
			}
			return s, err
		}
		open = open[n:]
		if o.Progress != nil {
			o.Progress(s)
		}
	}
	s.Elapsed = time.Since(s.began)
	return s, j.finish(from, to)
}

// rows returns the rows that this run is to do: its share of them, and no more
// than the batches that were asked for. The shares make up all the rows.
func (o *Options) rows(n int) (from, to int) {
	from, to = o.Shard*n/o.Shards, (o.Shard+1)*n/o.Shards
	if o.Batches > 0 {
		to = min(to, from+o.Batches*o.Batch)
	}
	return from, to
}

// run is what the batches of a run have in common.
type run struct {
	rows    *dataset.Dataset
	engine  Engine
	cached  map[string][]string // texts by the id of the row
	journal *journal
	summary *Summary
	Options
}

// batch samples, scores and keeps, and writes each down as it is there.
func (r *run) batch(ctx context.Context, indexes []int) error {
	var asked []*row
	for _, i := range indexes {
		x, err := readRow(r.rows, i, r.System)
		if errors.Is(err, errNoQuestion) && !r.Strict {
			slog.Warn("a row is left out", "row", err)
			r.summary.Failed++
			continue
		}
		if err != nil {
			return err
		}
		asked = append(asked, x)
	}
	answered, err := r.sample(ctx, asked)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.Judges.score(ctx, answered, func(x *row) error {
		done, err := r.choose(x)
		if err != nil {
			return err
		}
		r.summary.add(done)
		return r.journal.write(entry{Row: x.index, Scored: done})
	})
}

// sample gives the rows their answers: those of the journal, those of the cache,
// and for what is missing those of the engine. It returns the rows that have any.
func (r *run) sample(ctx context.Context, rows []*row) ([]*row, error) {
	var open []*row
	var questions []Question
	for _, x := range rows {
		if was, ok := r.journal.sampled[x.index]; ok {
			x.answers, x.cached = was.Sampled, was.Cached
			continue
		}
		for _, text := range r.cached[x.id] {
			if len(x.answers) < r.Answers || r.engine == nil {
				x.answers = append(x.answers, Answer{Text: text})
			}
		}
		x.cached = len(x.answers)
		switch missing := r.Answers - x.cached; {
		case r.engine == nil && x.cached == 0:
			return nil, fmt.Errorf("%s: the cache files have no answer to it (its id is %s); want those of a run on the same rows, or another --sampler_engine", x.source, x.id)
		case r.engine != nil && missing > 0:
			open = append(open, x)
			questions = append(questions, Question{Source: x.source, Row: x.index, First: x.cached, N: missing, Conversation: &template.Conversation{Messages: x.messages, Tools: x.tools}})
		}
	}
	if len(open) == 0 {
		return rows, nil
	}
	err := r.engine.Answer(ctx, questions, func(i int, a Answers) error { return r.got(open[i], a) })
	if err != nil {
		return nil, err
	}
	var left []*row
	for _, x := range rows {
		if len(x.answers) > 0 {
			left = append(left, x)
		}
	}
	return left, nil
}

// got writes down what the engine has answered to a question, or leaves it out.
func (r *run) got(x *row, a Answers) error {
	if x.answers = append(x.answers, a.Answers...); len(x.answers) == 0 {
		err := fmt.Errorf("%s: %w", x.source, a.Err)
		if r.Strict {
			return err
		}
		slog.Warn("a question is left out", "row", err)
		r.summary.Failed++
		return nil
	}
	if a.Err != nil {
		slog.Warn("a question has fewer answers than it should", "row", x.source, "answers", len(x.answers), "error", a.Err)
	}
	return r.journal.write(entry{Row: x.index, Sampled: x.answers, Cached: x.cached})
}
