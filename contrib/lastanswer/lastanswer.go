// Lastanswer is a plugin with one loss scale, last_answer, that trains on the
// last answer of a conversation only, as is usual where the answers before are
// not known to be good.
//
//	swiftgo sft --loss_scale last_answer …
//
// It shows what a loss scale is: a function from a stretch of the conversation
// to pieces of text with weights. This one is a Strategy, which decides by
// itself what is trained on; a scale that is not one only weighs what the
// strategy before it in the chain lets through, as in last_answer+mine.
package main

import "swiftgo/api"

// LossScales is what the host looks for.
var LossScales = api.LossScales{"last_answer": newLastAnswer}

type lastAnswer struct{}

func newLastAnswer(args *api.Args) (api.LossScale, error) {
	return lastAnswer{}, args.Decode(&lastAnswer{})
}

// Weigh gives 1 to the last response and to the end of turn after it, without
// which the model would not learn to stop, and 0 to all else.
func (lastAnswer) Weigh(s api.Segment) []api.Piece {
	if s.LastRound && (s.Role == api.Response || s.Role == api.Suffix) {
		return s.Weigh(1)
	}
	return s.Weigh(0)
}

// Strategy marks the type as an api.Strategy.
func (lastAnswer) Strategy() {}

func main() {}
