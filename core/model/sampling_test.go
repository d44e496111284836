package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is the distribution that transformers' logits processors leave, each
// done as its source says, on all of the vocabulary: RepetitionPenalty,
// Temperature, TopK, TopP and MinP, then softmax.
func naive(p Sampling, logits []float32, text []int32) []float64 {
	scores := make([]float64, len(logits))
	for i, x := range logits {
		scores[i] = float64(x)
	}
	if p.RepetitionPenalty > 0 {
		for id := range scores {
			switch {
			case !slices.Contains(text, int32(id)):
			case scores[id] < 0:
				scores[id] *= p.RepetitionPenalty
			default:
				scores[id] /= p.RepetitionPenalty
			}
		}
	}
	for i := range scores {
		scores[i] /= p.Temperature
	}
	ascending := func() []int {
		order := make([]int, len(scores))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case scores[a] < scores[b]:
				return -1
			case scores[a] > scores[b]:
				return 1
			}
			return 0
		})
		return order
	}
	if p.TopK > 0 {
		order := ascending()
		kth := scores[order[max(0, len(order)-p.TopK)]]
		for i := range scores {
			if scores[i] < kth {
				scores[i] = math.Inf(-1)
			}
		}
	}
	if p.TopP > 0 && p.TopP < 1 {
		probs, order, sum := softmax(scores), ascending(), 0.0
		for _, i := range order[:len(order)-1] {
			if sum += probs[i]; sum <= 1-p.TopP {
				scores[i] = math.Inf(-1)
			}
		}
	}
	if p.MinP > 0 {
		probs := softmax(scores)
		least := p.MinP * slices.Max(probs)
		for i := range scores {
			if probs[i] < least {
				scores[i] = math.Inf(-1)
			}
		}
	}
	return softmax(scores)
}

func softmax(scores []float64) []float64 {
	most, sum := slices.Max(scores), 0.0
	out := make([]float64, len(scores))
	for i, x := range scores {
		out[i] = math.Exp(x - most)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// TestCandidates compares what may be drawn, and how likely, with the naive
// twin, over random logits and settings.
func TestCandidates(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 3000 {
		logits := make([]float32, 1+r.IntN(300))
		for i := range logits {
			logits[i] = float32(4 * r.NormFloat64())
			if round%5 == 0 { // equals
				logits[i] = float32(math.Round(float64(logits[i])))
			}
		}
		if round%5 == 0 {
			slices.SortFunc(logits, func(a, b float32) int { return r.IntN(3) - 1 })
		}
		p := Sampling{Temperature: []float64{0.1, 0.7, 1, 3}[r.IntN(4)], TopK: []int{0, 1, 5, 50, 1000}[r.IntN(5)], MinP: []float64{0, 0, 0.05, 0.5, 1}[r.IntN(5)],
			RepetitionPenalty: []float64{0, 1, 1.1, 2, 0.8}[r.IntN(5)]}
		if round%5 != 0 { // where the border is between equals, either may go
			p.TopP = []float64{0, 0.01, 0.5, 0.9, 0.999, 1}[r.IntN(6)]
		}
		text := []int32{int32(r.IntN(len(logits))), 0, int32(r.IntN(len(logits))), 0}
		want := naive(p, logits, text)
		own := slices.Clone(logits)
		p.penalise(own, text)
		all := p.candidates(own)
		total := 0.0
		for _, c := range all {
			total += c.score
		}
		got := make([]float64, len(logits))
		for _, c := range all {
			got[c.id] = c.score / total
		}
		for id := range got {
			if math.Abs(got[id]-want[id]) > 1e-5 || (got[id] == 0) != (want[id] == 0) && max(got[id], want[id]) > 1e-12 {
				t.Fatalf("round %d, %+v: token %d of %d has probability %g, want %g", round, p, id, len(got), got[id], want[id])
			}
		}
		if !slices.IsSortedFunc(all, func(a, b candidate) int { return int(a.id - b.id) }) {
			t.Fatal("the candidates are not in order")
		}
	}
}

// TestDraws counts how often each token is drawn.
func TestDraws(t *testing.T) {
	logits := []float32{1, -2, 0.5, 3, 2.5, -1, 0, 2}
	for _, p := range []Sampling{{Temperature: 1}, {Temperature: 1.5, TopK: 4}, {Temperature: 0.8, TopP: 0.9}, {Temperature: 2, MinP: 0.2, RepetitionPenalty: 1.3}} {
		text := []int32{3, 6}
		want := naive(p, logits, text)
		r := rand.New(rand.NewPCG(7, 7))
		const n = 40000
		counts := make([]float64, len(logits))
		for range n {
			counts[p.next(slices.Clone(logits), text, r)]++
		}
		for id, c := range counts {
			// Five deviations of a binomial.
			if math.Abs(c/n-want[id]) > 5*math.Sqrt(want[id]*(1-want[id])/n)+1e-12 {
				t.Errorf("%+v: token %d is drawn with frequency %g, want %g", p, id, c/n, want[id])
			}
		}
	}
}

func TestBest(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		logits := make([]float32, 1+r.IntN(60))
		for i := range logits {
			logits[i] = float32(r.IntN(20)) // many equals
		}
		n := r.IntN(len(logits) + 3)
		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return int(logits[b] - logits[a]) })
		var got []int32
		for _, c := range best(logits, n) {
			got = append(got, c.id)
		}
		if want := order[:min(n, len(order))]; !slices.Equal(got, want) {
			t.Fatalf("best %d of %v are %v, want %v", n, logits, got, want)
		}
	}
}

func TestCheckSampling(t *testing.T) {
	for _, p := range []Sampling{{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1}, {TopP: 1.1}, {TopP: -0.1}, {MinP: 2}, {RepetitionPenalty: -1}, {MaxTokens: -1}} {
		if p.Check() == nil {
			t.Errorf("%+v is let through", p)
		}
	}
	if err := (&Sampling{Temperature: 1, TopK: 50, TopP: 0.9, MinP: 0.1, RepetitionPenalty: 1.1, MaxTokens: 5}).Check(); err != nil {
		t.Error(err)
	}
}
