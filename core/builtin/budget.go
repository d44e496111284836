package builtin

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// budget says how many ranks AdaLoRA has. It falls, from tinit steps after the beginning to tfinal
// steps before the end, from init_r ranks a layer to target_r along a cubic
// curve. Every deltaT steps as many singular values as it has no room for are
// set to 0: those of least importance, which is that of E plus the means of those
// of its row of A and its column of B. The importance of a number is the average
// over steps of its sensitivity |w·∂L/∂w| times that of its uncertainty. Steps
// count from 1, and the gradients are those that the optimizer saw, as in PEFT.
type budget struct {
	TargetRank int     `json:"target_r"` // ranks of a layer at the end, on average
	InitRank   int     `json:"init_r"`   // at the beginning
	First      int     `json:"tinit"`    // steps before any is given up
	Last       int     `json:"tfinal"`   // steps at the end when none is any more
	Every      int     `json:"deltaT"`   // steps from one time to the next
	Beta1      float64 `json:"beta1"`    // of the average of the sensitivity
	Beta2      float64 `json:"beta2"`    // of the average of its uncertainty
}

func (t *budget) check() error {
	for _, n := range []struct {
		key        string
		value, min int
	}{{"target_r", t.TargetRank, 1}, {"init_r", t.InitRank, t.TargetRank}, {"tinit", t.First, 0}, {"tfinal", t.Last, 0}, {"deltaT", t.Every, 1}} {
		if n.value < n.min {
			return fmt.Errorf("%s of adalora is %d, want %d or more", n.key, n.value, n.min)
		}
	}
	for key, beta := range map[string]float64{"beta1": t.Beta1, "beta2": t.Beta2} {
		if !(beta > 0 && beta < 1) {
			return fmt.Errorf("%s of adalora is %g, want more than 0 and less than 1", key, beta)
		}
	}
	return nil
}

// averages is what is known of each element of a parameter.
type averages struct{ sensitivity, uncertainty *tensor.Dense }

// Callback gives ranks up between steps.
func (t *adaLora) Callback(steps int) (*api.Callback, error) {
	if t.steps = steps; t.First >= steps-t.Last {
		return nil, fmt.Errorf("tinit is %d and tfinal %d, which leaves none of the run's %d steps to give up ranks in; lower them", t.First, t.Last, steps)
	}
	return &api.Callback{OnOptimizerStep: func(s *api.State) error {
		t.allocate(s.Step + 1)
		return nil
	}}, nil
}

// allocate is what happens after the step of that number.
func (t *adaLora) allocate(step int) {
	spent := t.steps - t.Last
	switch {
	case step < spent:
		for _, p := range t.triplets {
			for _, param := range p.params() {
				t.observe(p, param)
			}
		}
		if step > t.First && step%t.Every == 0 {
			t.mask(t.ranks(step))
		}
	case step == spent:
		t.mask(t.ranks(step))
		for _, p := range t.triplets {
			clear(p.scores)
		}
	default:
		for _, p := range t.triplets {
			p.mask()
		}
	}
}

// ranks returns those that all layers together have after the step.
func (t *adaLora) ranks(step int) int {
	all, end := t.InitRank*len(t.triplets), t.TargetRank*len(t.triplets)
	left := 1 - float64(step-t.First)/float64(t.steps-t.Last-t.First)
	return int(float64(all-end)*left*left*left + float64(end))
}

// observe takes a gradient into the averages.
func (t *adaLora) observe(p *triplet, param *api.Param) {
	s := p.scores[param]
	if s == nil {
		s = &averages{api.Full(0, param.Shape()...), api.Full(0, param.Shape()...)}
		p.scores[param] = s
	}
	beta1, beta2 := float32(t.Beta1), float32(t.Beta2)
	fresh1, fresh2 := float32(1-t.Beta1), float32(1-t.Beta2)
	sensitivity, uncertainty := s.sensitivity.Float32s(), s.uncertainty.Float32s()
	param.Update(func(w, g []float32) {
		for i := range w {
			now := float32(math.Abs(float64(w[i] * g[i])))
			sensitivity[i] = beta1*sensitivity[i] + fresh1*now
			uncertainty[i] = beta2*uncertainty[i] + fresh2*float32(math.Abs(float64(now-sensitivity[i])))
		}
	})
}

// mask gives up the ranks that there is no budget for.
func (t *adaLora) mask(budget int) {
	var all []float32
	scores := make([][]float32, len(t.triplets))
	for i, p := range t.triplets {
		scores[i] = p.importance()
		all = append(all, scores[i]...)
	}
	slices.Sort(all)
	limit := float32(-1) // no importance is as small
	if over := len(all) - budget; over > 0 {
		limit = all[over-1]
	}
	for i, p := range t.triplets {
		p.keep = make([]bool, len(scores[i]))
		for rank, x := range scores[i] {
			p.keep[rank] = x > limit
		}
		p.mask()
	}
}

// mask sets the singular values that are given up to 0.
func (p *triplet) mask() {
	p.e.Set(func(w []float32) {
		for rank, keep := range p.keep {
			if !keep {
				w[rank] = 0
			}
		}
	})
}

// importance returns that of each rank.
func (p *triplet) importance() []float32 {
	ranks := p.e.Shape()[0]
	sums := make([]float64, ranks)
	collect := func(param *api.Param, rank func(i int) int, n int) {
		s := p.scores[param]
		if s == nil {
			return
		}
		for i, x := range s.sensitivity.Float32s() {
			sums[rank(i)] += float64(x) * float64(s.uncertainty.Float32s()[i]) / float64(n)
		}
	}
	collect(p.e, func(i int) int { return i }, 1)
	collect(p.a, func(i int) int { return i / p.In }, p.In)
	collect(p.b, func(i int) int { return i % ranks }, p.Out)
	scores := make([]float32, ranks)
	narrow(scores, sums)
	return scores
}

// State returns, of each parameter, its averages and, as an adapter has no ranks
// that are given up, its value; and which ranks are kept.
func (t *adaLora) State() map[string]*tensor.Dense {
	state := map[string]*tensor.Dense{}
	for _, p := range t.triplets {
		for _, param := range p.params() {
			state[param.Name] = param.Value()
			if s := p.scores[param]; s != nil {
				state[param.Name+".sensitivity"], state[param.Name+".uncertainty"] = s.sensitivity, s.uncertainty
			}
		}
		if p.keep != nil {
			keep := api.Full(0, len(p.keep))
			for i, k := range p.keep {
				if k {
					keep.Float32s()[i] = 1
				}
			}
			state[p.Name+".keep"] = keep
		}
	}
	return state
}

// Restore takes over what State returned.
func (t *adaLora) Restore(state map[string]*tensor.Dense) error {
	for _, p := range t.triplets {
		for _, param := range p.params() {
			x, ok := state[param.Name]
			if !ok {
				return fmt.Errorf("the state of adalora lacks %s; was it saved with other layers?", param.Name)
			}
			if err := param.Assign(x); err != nil {
				return err
			}
			s := &averages{state[param.Name+".sensitivity"], state[param.Name+".uncertainty"]}
			if s.sensitivity == nil || s.uncertainty == nil {
				continue
			}
			if !s.sensitivity.Shape().Eq(param.Shape()) || !s.uncertainty.Shape().Eq(param.Shape()) {
				return errors.New("the state of adalora has other ranks")
			}
			p.scores[param] = s
		}
		p.keep = nil
		if keep := state[p.Name+".keep"]; keep != nil {
			if keep.Shape().TotalSize() != t.InitRank {
				return errors.New("the state of adalora has other ranks")
			}
			for _, k := range keep.Float32s() {
				p.keep = append(p.keep, k != 0)
			}
		}
	}
	return nil
}
