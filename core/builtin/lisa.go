package builtin

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"swiftgo/api"
)

// lisa is LISA (Pan et al. 2024): of the model's layers only a few are trained at
// a time, drawn at random every so many steps. What belongs to no layer is always
// trained. Which layers they are follows from the seed and the step alone, so a
// run that resumes goes on with the same.
type lisa struct {
	Layers   int `json:"activated_layers"`
	Interval int `json:"step_interval"` // steps between draws

	seed  uint64
	drawn int // the number of the last draw, from 1
}

func newLisa(args *api.Args) (*api.Callback, error) {
	l := &lisa{Layers: 2, Interval: 20, seed: uint64(args.Seed)}
	if err := args.Decode(l); err != nil {
		return nil, err
	}
	if l.Layers < 1 || l.Interval < 1 {
		return nil, fmt.Errorf("activated_layers and step_interval are %d and %d, want 1 or more", l.Layers, l.Interval)
	}
	return &api.Callback{OnTrainBegin: l.onTrainBegin, OnStepBegin: l.onStepBegin}, nil
}

func (l *lisa) onTrainBegin(s *api.State) error {
	for _, p := range s.Model.Params {
		if p.Added || p.Frozen() {
			return errors.New("lisa is for a model that is trained in full; want --tuner_type full")
		}
	}
	if l.Layers > s.Model.Layers {
		return fmt.Errorf("lisa: activated_layers is %d, and the model has %d layers", l.Layers, s.Model.Layers)
	}
	return nil
}

func (l *lisa) onStepBegin(s *api.State) error {
	draw := s.Step/l.Interval + 1
	if draw == l.drawn {
		return nil
	}
	l.drawn = draw
	chosen := rand.New(rand.NewPCG(l.seed, uint64(draw))).Perm(s.Model.Layers)[:l.Layers]
	for _, p := range s.Model.Params {
		switch {
		case p.Layer < 0:
		case slices.Contains(chosen, p.Layer):
			p.Unfreeze()
		default:
			p.Freeze()
		}
	}
	return nil
}
