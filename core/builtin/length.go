package builtin

import (
	"fmt"
	"math"

	"swiftgo/api"
)

// cosineReward is the reward of Yeo et al. 2025 ("Demystifying long chain-of-thought
// reasoning"): short right answers are better than long ones, and long wrong ones
// better than short.
type cosineReward struct {
	MinLenWrong   float64 `json:"min_len_wrong"`   // reward of a wrong answer of no length
	MaxLenWrong   float64 `json:"max_len_wrong"`   // of one of max_len
	MinLenCorrect float64 `json:"min_len_correct"` // of a right answer of no length
	MaxLenCorrect float64 `json:"max_len_correct"`
	MaxLen        int     `json:"max_len"` // tokens

	accuracy func(api.Completion) float64
}

func newCosine(args *api.Args) (api.ORM, error) {
	r := cosineReward{MinLenWrong: -0.5, MaxLenWrong: 0, MinLenCorrect: 1, MaxLenCorrect: 0.5, accuracy: accuracy}
	if err := args.Decode(&r); err != nil {
		return nil, err
	}
	if r.MaxLen < 1 {
		return nil, fmt.Errorf("max_len is %d, want the tokens that an answer may have, such as --%s.max_len 1024", r.MaxLen, args.Name)
	}
	return judgeEach(r.score), nil
}

// score goes from the one reward to the other along half a cosine. Past max_len it
// comes back, as ms-swift's does.
func (r *cosineReward) score(c api.Completion) float64 {
	tokens, ok := tokensOf(c)
	right := r.accuracy(c)
	if !ok || math.IsNaN(right) {
		return math.NaN()
	}
	short, long := r.MinLenWrong, r.MaxLenWrong
	if right >= 1 {
		short, long = r.MinLenCorrect, r.MaxLenCorrect
	}
	return long + (short-long)*(1+math.Cos(math.Pi*float64(tokens)/float64(r.MaxLen)))/2
}

// tokensOf returns how many tokens a completion has, if that is known.
func tokensOf(c api.Completion) (int, bool) { return c.Tokens, c.Tokens > 0 || c.Text == "" }

// softOverlong is the penalty of DAPO (Yu et al. 2025) for answers that come near
// the longest length: it goes from 0 to -1 over the last cache_length tokens, and,
// as ms-swift's, on past it.
type softOverlong struct {
	MaxLength   int `json:"max_length"`   // tokens
	CacheLength int `json:"cache_length"` // tokens
}

func newSoftOverlong(args *api.Args) (api.ORM, error) {
	var r softOverlong
	if err := args.Decode(&r); err != nil {
		return nil, err
	}
	if r.CacheLength < 1 || r.CacheLength >= r.MaxLength {
		return nil, fmt.Errorf("max_length is %d and cache_length %d, want cache_length 1 or more and less than max_length, such as --%s.max_length 1024 --%[3]s.cache_length 256",
			r.MaxLength, r.CacheLength, args.Name)
	}
	return judgeEach(r.score), nil
}

func (r *softOverlong) score(c api.Completion) float64 {
	tokens, ok := tokensOf(c)
	if !ok {
		return math.NaN()
	}
	return min(0, -float64(tokens-(r.MaxLength-r.CacheLength))/float64(r.CacheLength))
}
