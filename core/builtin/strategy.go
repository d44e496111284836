package builtin

import "swiftgo/api"

// strategy is a loss scale that gives 1 to the segments it trains on and 0 to
// the rest.
type strategy func(s api.Segment) bool

func newDefault(args *api.Args) (api.LossScale, error) {
	return strategy(answered), args.Decode(&none{})
}

func newLastRound(args *api.Args) (api.LossScale, error) {
	return strategy(func(s api.Segment) bool { return s.LastRound && answered(s) }), args.Decode(&none{})
}

func newAll(args *api.Args) (api.LossScale, error) {
	return strategy(func(api.Segment) bool { return true }), args.Decode(&none{})
}

// answered reports whether the model itself writes s: a response, or the end of
// its turn, without which it would not learn to stop.
func answered(s api.Segment) bool { return s.Role == api.Response || s.Role == api.Suffix }

// Weigh returns s as one piece.
func (trains strategy) Weigh(s api.Segment) []api.Piece {
	if trains(s) {
		return s.Weigh(1)
	}
	return s.Weigh(0)
}

// Strategy marks the type as an api.Strategy.
func (strategy) Strategy() {}
