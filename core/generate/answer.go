package generate

import (
	"context"
	"io"
	"strings"
	"sync"

	"swiftgo/core/model"
)

// Answer is what is said to a request, as it grows. It is read from one
// goroutine.
type Answer struct {
	Request
	ctx     context.Context
	release func() bool   // of the wait for the end of ctx
	news    chan struct{} // has room for one

	mu    sync.Mutex
	parts []Part
	going int // choices that have not ended
	err   error
}

// Part is what is new of one of an answer's choices.
type Part struct {
	Choice int           // from 0
	Text   string        // none while a character is unfinished or a stop word may have begun
	Tokens []model.Token // none where a stop token ends it
	Ended  model.Ending  // why this is the choice's last part, "" if it is not
}

// give hands p, or the error that ends the answer, to the reader.
func (a *Answer) give(p Part, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return
	}
	if err == nil {
		a.parts = append(a.parts, p)
	}
	if p.Ended != "" {
		a.going--
	}
	if a.going == 0 && err == nil {
		err = io.EOF
	}
	if a.err = err; err != nil {
		a.release()
	}
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// Next waits for the next part. After the last it returns io.EOF, else the error
// that the answer ended with.
func (a *Answer) Next() (Part, error) {
	for {
		a.mu.Lock()
		if len(a.parts) > 0 {
			p := a.parts[0]
			a.parts = a.parts[1:]
			a.mu.Unlock()
			return p, nil
		}
		err := a.err
		a.mu.Unlock()
		if err != nil {
			return Part{}, err
		}
		<-a.news
	}
}

// Choice is one whole answer.
type Choice struct {
	Text   string
	Tokens []model.Token
	Ended  model.Ending
}

// Wait returns the whole answer, each of its choices.
func (a *Answer) Wait() ([]Choice, error) {
	all := make([]Choice, a.N)
	texts := make([]strings.Builder, a.N)
	for {
		p, err := a.Next()
		if err == io.EOF {
			for i := range all {
				all[i].Text = texts[i].String()
			}
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		c := &all[p.Choice]
		texts[p.Choice].WriteString(p.Text)
		c.Tokens = append(c.Tokens, p.Tokens...)
		c.Ended = p.Ended
	}
}
