// Package generate answers prompts: it keeps models busy with all the prompts
// that there are at a time, and hands out each answer as it grows.
//
// A [Generator] is the one goroutine that the models are used from. Whoever has a
// prompt asks it, from any goroutine, and reads the [Answer] part by part;
// prompts join those that are being answered between two tokens. An answer that
// nobody wants any more, because its context has ended, gives its place to the
// next one. A reader that is slow holds up nobody: the parts wait for it.
package generate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"

	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

// Generator answers prompts with one or more models of one vocabulary, such as a
// base model with several adapters. The sequences of one model are read together,
// and the models take turns, a token each.
type Generator struct {
	models    []*model.Model
	tokenizer *tokenizer.Tokenizer
	options   Options
	wake      chan struct{} // has room for one
	done      chan struct{}

	mu      sync.Mutex
	waiting []*Answer
	closed  bool // no more is taken in
	stats   Stats

	sessions []*model.Session // of the goroutine that runs the models
	active   map[*model.Sequence]*choice
}

// Options say how much a Generator does at a time.
type Options struct {
	Batch int // most sequences that are continued at a time
	Queue int // most prompts that wait for a place; 0 is any number

	// Guard calls f and turns panics of extensions into errors; nil only calls it.
	Guard func(f func() error) error
}

// Stats are what a Generator does and has done.
type Stats struct {
	Waiting, Running               int // prompts, sequences
	PromptTokens, CompletionTokens int // so far
}

// Errors of Ask.
var (
	ErrBusy   = errors.New("too many prompts are waiting already")
	ErrClosed = errors.New("no more prompts are taken in: the program is ending")
)

// Request is a prompt and how it is to be answered.
type Request struct {
	Model     int // index of the model
	Prompt    []int32
	N         int // answers; 0 is one
	Sampling  model.Sampling
	StopWords []string // end an answer, and are no part of it
}

// New starts a Generator. Nothing else may use the models until it is closed.
func New(models []*model.Model, tok *tokenizer.Tokenizer, o Options) *Generator {
	if o.Guard == nil {
		o.Guard = func(f func() error) error { return f() }
	}
	o.Batch = max(1, o.Batch)
	g := &Generator{models: models, tokenizer: tok, options: o, wake: make(chan struct{}, 1), done: make(chan struct{}), active: map[*model.Sequence]*choice{}}
	for _, m := range models {
		g.sessions = append(g.sessions, m.NewSession())
	}
	go g.run()
	return g
}

// Ask puts a prompt in line. Its answer is given up when ctx ends. The error is
// ErrBusy, ErrClosed, or says what is wrong with the request.
func (g *Generator) Ask(ctx context.Context, r Request) (*Answer, error) {
	if err := r.check(g); err != nil {
		return nil, err
	}
	r.Sampling.Stop = slices.Clone(r.Sampling.Stop)
	for _, word := range r.StopWords { // special tokens are not part of an answer's text
		if id, ok := g.tokenizer.ID(word); ok && g.tokenizer.IsSpecial(id) {
			r.Sampling.Stop = append(r.Sampling.Stop, id)
		}
	}
	a := &Answer{Request: r, ctx: ctx, news: make(chan struct{}, 1), going: r.N}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, ErrClosed
	case g.options.Queue > 0 && len(g.waiting) >= g.options.Queue:
		return nil, ErrBusy
	}
	a.release = context.AfterFunc(ctx, g.poke)
	g.waiting = append(g.waiting, a)
	g.poke()
	return a, nil
}

func (r *Request) check(g *Generator) error {
	if r.N = max(1, r.N); r.N > g.options.Batch {
		return fmt.Errorf("%d answers are wanted at a time, and at most %d can be given", r.N, g.options.Batch)
	}
	if slices.Contains(r.StopWords, "") {
		return errors.New("a stop word is empty")
	}
	if err := r.Sampling.Check(); err != nil {
		return err
	}
	return g.models[r.Model].Config.CheckPrompt(r.Prompt)
}

// Stats returns the numbers of this moment.
func (g *Generator) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Waiting = len(g.waiting)
	return s
}

// Close takes in no more prompts, waits until all are answered or ctx has ended,
// in which case it gives the rest up, and returns when the models are free.
func (g *Generator) Close(ctx context.Context) {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.poke()
	select {
	case <-g.done:
		return
	case <-ctx.Done():
	}
	g.mu.Lock()
	g.options.Batch = 0 // nothing has a place any more
	g.mu.Unlock()
	g.poke()
	<-g.done
}

func (g *Generator) poke() {
	select {
	case g.wake <- struct{}{}:
	default: // it has not looked yet since the last time
	}
}

// run goes on with what there is, a token at a time, until the Generator is
// closed and nothing is left.
func (g *Generator) run() {
	defer close(g.done)
	for g.admit() {
		if len(g.active) == 0 {
			<-g.wake
			continue
		}
		for i, s := range g.sessions {
			if s.Len() == 0 {
				continue
			}
			told, err := g.step(s)
			if err != nil {
				g.fail(i, err)
				continue
			}
			for _, q := range told {
				g.tell(i, q)
			}
		}
	}
}

// admit drops what nobody wants any more and lets in what there is room for. It
// reports whether the Generator goes on.
func (g *Generator) admit() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := g.options.Batch == 0
	for q, c := range g.active {
		if err := c.answer.ctx.Err(); err != nil || over {
			g.sessions[c.answer.Model].Drop(q)
			delete(g.active, q)
			c.answer.give(Part{}, cmp.Or(err, ErrClosed))
		}
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(a *Answer) bool {
		err := a.ctx.Err()
		if err == nil && !over {
			return false
		}
		a.give(Part{}, cmp.Or(err, ErrClosed))
		return true
	})
	for len(g.waiting) > 0 && len(g.active)+g.waiting[0].N <= g.options.Batch {
		a := g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
		all, err := g.sessions[a.Model].Add(a.Prompt, a.N, a.Sampling)
		if err != nil {
			a.give(Part{}, err)
			continue
		}
		g.stats.PromptTokens += len(a.Prompt)
		for i, q := range all {
			g.active[q] = &choice{answer: a, index: i, text: newText(g.tokenizer, a.StopWords)}
		}
	}
	g.stats.Running = len(g.active)
	return !g.closed || len(g.active)+len(g.waiting) > 0
}

// step is a step of a session, in which a tuner's code may fail.
func (g *Generator) step(s *model.Session) (told []*model.Sequence, err error) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("answering failed", "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("the model failed: %v", v)
		}
	}()
	err = g.options.Guard(func() error {
		told = s.Step()
		return nil
	})
	return told, err
}

// fail ends every answer of model i, whose session is of no use any more.
func (g *Generator) fail(i int, err error) {
	g.sessions[i] = g.models[i].NewSession()
	for q, c := range g.active {
		if c.answer.Model == i {
			delete(g.active, q)
			c.answer.give(Part{}, err)
		}
	}
}

// tell gives the news of sequence q of model i to whoever waits for it.
func (g *Generator) tell(i int, q *model.Sequence) {
	c := g.active[q]
	p := Part{Choice: c.index, Ended: q.Ended}
	stopped := false
	if q.Ended != model.EndStop {
		p.Tokens = []model.Token{q.Last}
		p.Text, stopped = c.text.push(q.Last.ID)
	}
	if q.Ended != "" && !stopped {
		var rest string
		rest, stopped = c.text.flush()
		p.Text += rest
	}
	if stopped {
		if q.Ended == "" {
			g.sessions[i].Drop(q)
		}
		p.Ended = model.EndStop
	}
	g.mu.Lock()
	g.stats.CompletionTokens += len(p.Tokens)
	g.mu.Unlock()
	if p.Ended != "" {
		delete(g.active, q)
	}
	c.answer.give(p, nil)
}

// choice is one sequence of an answer.
type choice struct {
	answer *Answer
	index  int
	text   *text
}
