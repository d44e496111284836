package template

import (
	"fmt"
	"math"

	"swiftgo/api"
)

// Chain returns the loss scale of several, the first of which must be an
// api.Strategy: each splits the pieces of the one before, and their weights
// multiply. What the strategy does not train on, the others do not see.
func Chain(scales ...api.LossScale) api.LossScale { return chain(scales) }

type chain []api.LossScale

func (c chain) Weigh(s api.Segment) []api.Piece { return c.split(s, 1) }

func (c chain) split(s api.Segment, weight float64) []api.Piece {
	if len(c) == 0 || weight == 0 {
		return s.Weigh(weight)
	}
	var out []api.Piece
	for _, p := range c[0].Weigh(s) {
		if p.Text == "" && len(c) > 1 {
			continue // there is nothing to split
		}
		s.Text = p.Text
		out = append(out, c[1:].split(s, weight*p.Weight)...)
	}
	return out
}

// Strategy lets a chain stand for its first member.
func (c chain) Strategy() {}

// weigh splits a segment into pieces, heeding what its message says itself.
func (e *Encoder) weigh(s segment) ([]api.Piece, error) {
	scales := e.chain()
	var pieces []api.Piece
	switch trained := s.loss; {
	case trained != nil && !*trained:
		pieces = s.Weigh(0)
	case s.scale != nil && (trained != nil || trains(scales, s.Segment)):
		pieces = s.Weigh(*s.scale)
	case trained != nil:
		pieces = scales[1:].Weigh(s.Segment)
	default:
		pieces = scales.Weigh(s.Segment)
	}
	rest := s.Text
	for _, p := range pieces {
		if math.IsNaN(p.Weight) || math.IsInf(p.Weight, 0) {
			return nil, fmt.Errorf("loss scale: the weight of %.60q is %g, want a finite number", p.Text, p.Weight)
		}
		if len(rest) < len(p.Text) || rest[:len(p.Text)] != p.Text {
			return nil, fmt.Errorf("loss scale: a piece of %.60q is %.60q, want pieces that join to the whole", s.Text, p.Text)
		}
		rest = rest[len(p.Text):]
	}
	if rest != "" {
		return nil, fmt.Errorf("loss scale: the pieces of %.60q end before %.60q, want pieces that join to the whole", s.Text, rest)
	}
	return pieces, nil
}

// chain returns the loss scale as a chain, whose first member is the strategy.
func (e *Encoder) chain() chain {
	if c, ok := e.Scale.(chain); ok {
		return c
	}
	return chain{e.Scale}
}

// trains reports whether the strategy of a chain trains on any of s.
func trains(c chain, s api.Segment) bool {
	for _, p := range c[0].Weigh(s) {
		if p.Weight > 0 {
			return true
		}
	}
	return false
}

// lastRoundOnly reports whether the strategy trains on the last round alone.
func (e *Encoder) lastRoundOnly() bool {
	scales := e.chain()
	s := api.Segment{Text: "a", Role: api.Response, Query: "a"}
	if trains(scales, s) {
		return false
	}
	s.LastRound = true
	return trains(scales, s)
}
