package registry

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// Loss constructs the loss of that name.
func (r *Registry) Loss(name string) (api.Loss, error) {
	l, x, err := construct[api.Loss](r, loss, name)
	if err != nil {
		return nil, err
	}
	return &guardedLoss{x, l}, nil
}

type guardedLoss struct {
	x    *extension
	loss api.Loss
}

func (l *guardedLoss) Compute(out *api.Output, b *api.Batch) (v *api.Var, err error) {
	err = l.x.guard("Compute", func() error {
		if v, err = l.loss.Compute(out, b); err != nil {
			return err
		}
		switch {
		case v == nil || v.Value() == nil:
			return errors.New("Compute returned nil and no error")
		case v.Value().Dtype() != tensor.Float32:
			return fmt.Errorf("Compute returned a tensor of %v, want float32", v.Value().Dtype())
		}
		return nil
	})
	return v, err
}

// LossScale constructs the loss scale of that name. Its Weigh panics with an
// *ExtensionError; see Catch.
func (r *Registry) LossScale(name string) (api.LossScale, error) {
	s, x, err := construct[api.LossScale](r, lossScale, name)
	if err != nil {
		return nil, err
	}
	if s, ok := s.(api.Strategy); ok {
		return &guardedStrategy{guardedScale{x, s}}, nil
	}
	return &guardedScale{x, s}, nil
}

type guardedScale struct {
	x     *extension
	scale api.LossScale
}

func (s *guardedScale) Weigh(seg api.Segment) (pieces []api.Piece) {
	s.x.must("Weigh", func() error {
		pieces = s.scale.Weigh(seg)
		return checkPieces(seg.Text, pieces)
	})
	return pieces
}

type guardedStrategy struct{ guardedScale }

func (*guardedStrategy) Strategy() {}

func checkPieces(text string, pieces []api.Piece) error {
	rest := text
	for i, p := range pieces {
		if !(p.Weight >= 0) || math.IsInf(p.Weight, 1) {
			return fmt.Errorf("piece %d has weight %g, want a number from 0 up", i, p.Weight)
		}
		if !strings.HasPrefix(rest, p.Text) {
			return fmt.Errorf("the pieces do not join to the segment's text: piece %d is %s where the text goes on with %s", i, short(p.Text), short(rest))
		}
		rest = rest[len(p.Text):]
	}
	if rest != "" {
		return fmt.Errorf("the pieces do not join to the segment's text: %s at its end is in none", short(rest))
	}
	return nil
}

// short quotes the beginning of text.
func short(text string) string {
	if r := []rune(text); len(r) > 40 {
		return fmt.Sprintf("%q…", string(r[:40]))
	}
	return fmt.Sprintf("%q", text)
}
