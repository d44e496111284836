package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Sampling says how each next token of a sequence is chosen. The zero value
// takes the most likely one, until the model can read no more.
//
// Penalty and filters are those of transformers, in its order: repetition
// penalty, temperature, top k, top p, min p.
type Sampling struct {
	Temperature       float64 // what logits are divided by; 0 takes the most likely token
	TopK              int     // draw among the K most likely tokens; 0 is all
	TopP              float64 // draw among the fewest tokens that have this probability together; 0 and 1 are all
	MinP              float64 // draw among the tokens that are this likely, relative to the most likely one
	RepetitionPenalty float64 // what logits above 0 of tokens in the prompt or the continuation are divided by, and those below multiplied with; 0 and 1 are none
	Seed              int64   // of the draws; sequence i of a prompt draws from a stream of its own

	MaxTokens int     // longest continuation; 0 is as long as the model can read
	Stop      []int32 // tokens that end a continuation, and are no part of it
	Logprobs  int     // log probabilities wanted of the likeliest tokens, beside the chosen one's; less than 0 is not even that
}

// LoadSampling reads what dir/generation_config.json says of sampling, as
// transformers does: without the file, or where do_sample is not true, the most
// likely token is taken, and where nothing is said of top_k it is 50.
func LoadSampling(dir string) (Sampling, error) {
	p := Sampling{TopK: 50, Logprobs: -1}
	path := filepath.Join(dir, "generation_config.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	var file struct {
		DoSample          bool     `json:"do_sample"`
		Temperature       *float64 `json:"temperature"`
		TopK              *int     `json:"top_k"`
		TopP              float64  `json:"top_p"`
		MinP              float64  `json:"min_p"`
		RepetitionPenalty float64  `json:"repetition_penalty"`
		EOS               ids      `json:"eos_token_id"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	p.TopP, p.MinP, p.RepetitionPenalty, p.Stop = file.TopP, file.MinP, file.RepetitionPenalty, file.EOS
	if file.TopK != nil {
		p.TopK = *file.TopK
	}
	if file.DoSample {
		if p.Temperature = 1; file.Temperature != nil {
			p.Temperature = *file.Temperature
		}
	}
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Check refuses values that mean nothing. Names are those of the flags.
func (p *Sampling) Check() error {
	for _, x := range []struct {
		name        string
		value, most float64
	}{
		{"temperature", p.Temperature, math.MaxFloat64}, {"top_k", float64(p.TopK), math.MaxFloat64},
		{"top_p", p.TopP, 1}, {"min_p", p.MinP, 1}, {"repetition_penalty", p.RepetitionPenalty, math.MaxFloat64},
		{"max_new_tokens", float64(p.MaxTokens), math.MaxFloat64},
	} {
		if x.value >= 0 && x.value <= x.most {
			continue
		}
		if x.most == 1 {
			return fmt.Errorf("%s is %g, want a number from 0 to 1", x.name, x.value)
		}
		return fmt.Errorf("%s is %g, want 0 or more", x.name, x.value)
	}
	return nil
}

// Token is one token of a continuation.
type Token struct {
	ID      int32
	Logprob float64   // of the token, as the model has it: before penalty, temperature and filters
	Top     []Logprob // the likeliest tokens, in the same way
}

// Logprob is the log of a token's probability.
type Logprob struct {
	ID      int32
	Logprob float64
}

// logprobs fills in the log probabilities that p wants of t, from the logits.
func (p *Sampling) logprobs(t *Token, logits []float32) {
	if p.Logprobs < 0 {
		return
	}
	most := float64(slices.Max(logits))
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - most)
	}
	lse := most + math.Log(sum)
	t.Logprob = float64(logits[t.ID]) - lse
	for _, c := range best(logits, p.Logprobs) {
		t.Top = append(t.Top, Logprob{c.id, c.score - lse})
	}
}

// candidate is a token that may be drawn.
type candidate struct {
	id    int32
	score float64
}

// next returns the token that follows text, which the logits are of. It changes
// them.
func (p *Sampling) next(logits []float32, text []int32, r *rand.Rand) int32 {
	p.penalise(logits, text)
	likeliest := best(logits, 1)[0]
	if p.Temperature == 0 || math.IsNaN(likeliest.score) || math.IsInf(likeliest.score, 0) {
		return likeliest.id
	}
	all := p.candidates(logits)
	total := 0.0
	for _, c := range all {
		total += c.score
	}
	x := r.Float64() * total
	for _, c := range all {
		if x -= c.score; x < 0 {
			return c.id
		}
	}
	return all[len(all)-1].id // rounding
}

// penalise makes the tokens of text less likely (Keskar et al. 2019).
func (p *Sampling) penalise(logits []float32, text []int32) {
	penalty := float32(p.RepetitionPenalty)
	if penalty == 0 || penalty == 1 {
		return
	}
	seen := make(map[int32]bool, len(text))
	for _, id := range text {
		if seen[id] {
			continue
		}
		seen[id] = true
		if logits[id] < 0 {
			logits[id] *= penalty
		} else {
			logits[id] /= penalty
		}
	}
}

// candidates returns the tokens that temperature and filters leave, in the
// order of their ids, and as scores their probabilities up to a common factor.
func (p *Sampling) candidates(logits []float32) []candidate {
	least := math.Inf(-1)
	if p.TopK > 0 && p.TopK < len(logits) {
		least = best(logits, p.TopK)[p.TopK-1].score // and all that are equal to the last of them
	}
	most := float64(slices.Max(logits))
	var all []candidate
	total := 0.0
	for id, x := range logits {
		if float64(x) >= least {
			c := candidate{int32(id), math.Exp((float64(x) - most) / p.Temperature)}
			total += c.score
			all = append(all, c)
		}
	}
	if p.TopP > 0 && p.TopP < 1 {
		all = nucleus(all, p.TopP, total)
	}
	if p.MinP > 0 {
		all = slices.DeleteFunc(all, func(c candidate) bool { return c.score < p.MinP }) // the most likely one has 1
	}
	return all
}

// nucleus leaves the fewest tokens whose probability together reaches topP
// (Holtzman et al. 2019): from the least likely on, those are taken away that
// have no more than 1-topP together. total is the sum of the scores.
func nucleus(all []candidate, topP, total float64) []candidate {
	rest := (1 - topP) * total
	// Together, those with less than their share of it have no more than it, so
	// they need not be sorted.
	share := rest / float64(len(all))
	gone := 0.0
	all = slices.DeleteFunc(all, func(c candidate) bool {
		if c.score < share {
			gone += c.score
		}
		return c.score < share
	})
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.score, b.score) })
	n := 0
	for n < len(all)-1 && gone+all[n].score <= rest {
		gone += all[n].score
		n++
	}
	all = all[n:]
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.id, b.id) })
	return all
}

// best returns the n tokens with the highest logits, best first; of equal ones
// that with the lower id.
func best(logits []float32, n int) []candidate {
	n = min(n, len(logits))
	if n <= 0 {
		return nil
	}
	worse := func(a, b candidate) bool { return a.score < b.score || a.score == b.score && a.id > b.id }
	heap := make([]candidate, 0, n) // the worst of them first
	sift := func(i int) {
		for {
			k := 2*i + 1
			if k >= len(heap) {
				return
			}
			if k+1 < len(heap) && worse(heap[k+1], heap[k]) {
				k++
			}
			if !worse(heap[k], heap[i]) {
				return
			}
			heap[i], heap[k] = heap[k], heap[i]
			i = k
		}
	}
	for id, x := range logits {
		c := candidate{int32(id), float64(x)}
		if len(heap) < n {
			if heap = append(heap, c); len(heap) == n {
				for i := n/2 - 1; i >= 0; i-- {
					sift(i)
				}
			}
			continue
		}
		if c.score > heap[0].score { // an equal one has a higher id
			heap[0] = c
			sift(0)
		}
	}
	slices.SortFunc(heap, func(a, b candidate) int {
		if worse(a, b) {
			return 1
		}
		return -1
	})
	return heap
}
