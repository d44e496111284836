package sampler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Selection says which answers are kept. An answer passes if each reward model
// there is puts it above its threshold: the ORM above 0, which is right, the PRM
// above PRMThreshold. Those that pass are kept by their score, the ORM's reward
// ten times and the PRM's once, each between 0 and 1 among the answers to the
// question; the answer in the dataset competes with those that were sampled.
//
// With the answers that are kept stands the worst as rejected_response. It is
// never the dataset's own, nor one that the ORM takes to be right, nor one that
// is as good as the one that is kept.
type Selection struct {
	Best         int     // answers to keep for a question
	PRMThreshold float64 // of the PRM's smallest reward
	Easy         float64 // leave out questions that this share of the sampled answers or more get right; 0 is none
	AsMSSwift    bool    // reject the worst, whatever it is
}

// score is what the reward models say of one answer, NaN where they have no
// opinion.
type score struct{ orm, prm float64 }

// pick is an answer that is kept.
type pick struct {
	text     string
	truth    bool // whether it is the one in the dataset
	rejected *string
}

// candidate is an answer that may be kept.
type candidate struct {
	text  string
	truth bool // whether it is the one in the dataset
	score
}

// The reasons why nothing of a question is kept.
const (
	nonePasses = "no answer passes"
	tooEasy    = "too easy"
)

// choose returns what is kept of the answers to a question, or why nothing is.
func (r *run) choose(x *row) (*scored, error) {
	done := &scored{Answers: len(x.answers), Cached: x.cached}
	var cs []candidate
	for i, a := range x.answers {
		c := candidate{text: a.Text, score: x.scores[i]}
		cs = append(cs, c)
		done.count(c, r.passes(c, r.ORM != nil, r.PRM != nil))
	}
	if x.truth != nil && len(x.scores) > len(x.answers) {
		cs = append(cs, candidate{*x.truth, true, x.scores[len(x.answers)]})
	}
	picks, why := r.Selection.choose(cs, r.Answers, r.ORM != nil, r.PRM != nil)
	done.Why = why
	for _, p := range picks {
		line, err := x.line(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.source, err)
		}
		done.Lines = append(done.Lines, line)
		if p.truth {
			done.Own++
		}
	}
	return done, nil
}

// passes reports whether the reward models that there are let a candidate pass.
func (s *Selection) passes(c candidate, orm, prm bool) bool {
	return (!orm || c.orm > 0) && (!prm || c.prm > s.PRMThreshold)
}

// choose returns the picks among the candidates, the best first, or why there
// are none. Of n sampled answers each question was to have.
func (s *Selection) choose(cs []candidate, n int, orm, prm bool) (picks []pick, why string) {
	if !orm && !prm {
		for _, c := range cs {
			if !c.truth {
				picks = append(picks, pick{text: c.text})
			}
		}
		return picks, ""
	}
	cs = slices.DeleteFunc(slices.Clone(cs), func(c candidate) bool { return orm && math.IsNaN(c.orm) || prm && math.IsNaN(c.prm) })
	if !slices.ContainsFunc(cs, func(c candidate) bool { return s.passes(c, orm, prm) }) {
		return nil, nonePasses
	}
	if s.Easy > 0 && orm && s.tooEasy(cs, n) {
		return nil, tooEasy
	}
	ranked := rank(cs, orm, prm)
	kept := ranked[:min(s.Best, len(ranked))]
	worst := s.reject(cs, ranked, orm, prm)
	for _, k := range kept {
		c := cs[k.index]
		if !s.passes(c, orm, prm) || worst != nil && k.index == worst.index {
			continue
		}
		p := pick{text: c.text, truth: c.truth}
		if worst != nil && (s.AsMSSwift || k.score > worst.score && c.text != cs[worst.index].text) {
			p.rejected = &cs[worst.index].text
		}
		picks = append(picks, p)
	}
	if len(picks) == 0 {
		return nil, nonePasses
	}
	return picks, ""
}

func (s *Selection) tooEasy(cs []candidate, n int) bool {
	limit, right := int(float64(n)*s.Easy), 0
	if s.AsMSSwift { // which counts what is not the worst, and the dataset's as right
		for _, x := range normalize(of(cs, func(c candidate) float64 { return c.orm })) {
			if x > 0 {
				right++
			}
		}
		return right-1 >= limit
	}
	for _, c := range cs {
		if c.orm > 0 && !c.truth {
			right++
		}
	}
	return right >= max(1, limit)
}

// ranking is a candidate's place by its score.
type ranking struct {
	index int
	score float64
}

// rank returns the candidates, the best first; of equals the later one comes
// first, as in ms-swift.
func rank(cs []candidate, orm, prm bool) []ranking {
	scores := make([]float64, len(cs))
	add := func(weight float64, used bool, reward func(candidate) float64) {
		for i, x := range normalize(of(cs, reward)) {
			if !used {
				x = 1
			}
			scores[i] += weight * x
		}
	}
	add(1, prm, func(c candidate) float64 { return c.prm })
	add(10, orm, func(c candidate) float64 { return c.orm })
	all := make([]ranking, len(cs))
	for i := range cs {
		all[i] = ranking{i, scores[i]}
	}
	slices.SortStableFunc(all, func(a, b ranking) int { return cmp.Compare(a.score, b.score) })
	slices.Reverse(all)
	return all
}

// reject returns the candidate that stands beside those that are kept as what is
// worse, nil if there is none.
func (s *Selection) reject(cs []candidate, ranked []ranking, orm, prm bool) *ranking {
	if s.AsMSSwift {
		return &ranked[len(ranked)-1]
	}
	best := ranked[slices.IndexFunc(ranked, func(k ranking) bool { return s.passes(cs[k.index], orm, prm) })]
	for i := len(ranked) - 1; i >= 0 && ranked[i].score < best.score; i-- {
		c := cs[ranked[i].index]
		right := orm && c.orm > 0
		truth := slices.ContainsFunc(cs, func(o candidate) bool { return o.truth && o.text == c.text })
		if !right && !truth && c.text != cs[best.index].text {
			return &ranked[i]
		}
	}
	return nil
}

func of(cs []candidate, f func(candidate) float64) []float64 {
	x := make([]float64, len(cs))
	for i, c := range cs {
		x[i] = f(c)
	}
	return x
}

// smallest is the reward of an answer whose steps have several: the smallest of
// those that are opinions.
func smallest(steps []float64) float64 {
	least := math.NaN()
	for _, x := range steps {
		if !math.IsNaN(x) && !(x >= least) {
			least = x
		}
	}
	return least
}

// normalize brings rewards between 0 and 1: the smallest to 0 and the largest to
// nearly 1, as ms-swift divides by their distance and 1e-5. Rewards that are all
// equal stay as they are, but no more than 1. Infinite ones are 0 and 1.
func normalize(rewards []float64) []float64 {
	least, most, finite := math.Inf(1), math.Inf(-1), true
	for _, x := range rewards {
		if math.IsInf(x, 0) {
			finite = false
			continue
		}
		least, most = min(least, x), max(most, x)
	}
	out := make([]float64, len(rewards))
	for i, x := range rewards {
		switch {
		case math.IsInf(x, 1):
			out[i] = 1
		case math.IsInf(x, -1):
			out[i] = 0
		case least == most && finite:
			out[i] = min(1, x)
		case least == most:
			out[i] = 0.5
		default:
			out[i] = (x - least) / (most - least + 1e-5)
		}
	}
	return out
}
