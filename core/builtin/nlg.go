package builtin

import (
	"errors"
	"math"
	"slices"
	"strings"

	"swiftgo/api"
)

// nlg measures generated answers against those of the data, in percent: ROUGE-1,
// ROUGE-2 and ROUGE-L (Lin 2004; F₁, as in the Python package rouge 1.0.1) and
// sentence BLEU-4 (Papineni et al. 2002; smoothing 3 of Chen and Cherry 2014, as
// in nltk 3.8), over the words that jieba cuts, each the mean over the answers.
// As in ms-swift, an answer does not count where it or that of the data is empty.
type nlg struct {
	scores [4]float64
	n      int
}

var nlgNames = [4]string{"rouge-1", "rouge-2", "rouge-l", "bleu-4"}

func newNLG(args *api.Args) (api.Metric, error) { return &nlg{}, args.Decode(&none{}) }

// Add takes in the answers of a batch.
func (n *nlg) Add(_ *api.Output, b *api.Batch) error {
	for _, row := range b.Rows {
		response, generated := row["response"].(string)
		labels, known := row["labels"].(string)
		if !generated || !known {
			return errors.New("nlg compares answers that the model generates; want --predict_with_generate")
		}
		if said, truth := cutTrimmed(response), cutTrimmed(labels); len(said) > 0 && len(truth) > 0 {
			for i, x := range compareWords(said, truth) {
				n.scores[i] += x
			}
			n.n++
		}
	}
	return nil
}

// Result returns the four means, and nothing where nothing was counted.
func (n *nlg) Result() (map[string]float64, error) {
	result := map[string]float64{}
	for i, name := range nlgNames {
		if n.n > 0 {
			result[name] = math.Round(n.scores[i]/float64(n.n)*1e8) / 1e6
		}
	}
	return result, nil
}

// cutTrimmed returns the words of text without spaces.
func cutTrimmed(text string) []string {
	words := cutWords(text)
	for i, w := range words {
		words[i] = strings.Trim(w, " ")
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// compareWords returns the scores of an answer, from 0 to 1, in the order of
// nlgNames.
func compareWords(said, truth []string) [4]float64 {
	s, t := sentences(said), sentences(truth)
	return [4]float64{rougeN(1, s, t), rougeN(2, s, t), rougeL(s, t), bleu(said, truth)}
}

// sentences are the words between full stops, in which signs that are spaces do
// not count. A text of nothing but full stops has none; its ROUGE is 0, where the
// package rouge ends in an error.
func sentences(words []string) [][]string {
	var all [][]string
	for text := range strings.SplitSeq(strings.Join(words, " "), ".") {
		if text != "" {
			all = append(all, strings.Split(strings.Join(strings.Fields(text), " "), " "))
		}
	}
	return all
}

// rougeN compares the n-grams of two texts, each of which counts once.
func rougeN(n int, said, truth [][]string) float64 {
	s, t := ngrams(n, slices.Concat(said...)), ngrams(n, slices.Concat(truth...))
	both := 0
	for gram := range s {
		both += btoi(t[gram] > 0)
	}
	return f1(both, len(s), len(t))
}

// f1 is the harmonic mean of both/said and both/truth, but for the 1e-8 with
// which the package rouge avoids a division by 0.
func f1(both, said, truth int) float64 {
	if said == 0 || truth == 0 {
		return 0
	}
	precision, recall := float64(both)/float64(said), float64(both)/float64(truth)
	return 2 * precision * recall / (precision + recall + 1e-8)
}

// ngrams counts the n-grams of a text.
func ngrams(n int, words []string) map[string]int {
	grams := map[string]int{}
	for i := 0; i+n <= len(words); i++ {
		grams[strings.Join(words[i:i+n], "\x00")]++
	}
	return grams
}

// rougeL compares the words that are in the longest common subsequence of a
// sentence of truth and one of said, each of which counts once.
func rougeL(said, truth [][]string) float64 {
	common := map[string]bool{}
	for _, t := range truth {
		for _, s := range said {
			for _, word := range subsequence(t, s) {
				common[word] = true
			}
		}
	}
	return f1(len(common), len(ngrams(1, slices.Concat(said...))), len(ngrams(1, slices.Concat(truth...))))
}

// subsequence returns the longest common subsequence of a and b, from its end.
// Of several it is the one that the package rouge finds.
func subsequence(a, b []string) []string {
	width := len(b) + 1
	length := make([]int32, (len(a)+1)*width) // of that of a[:i] and b[:j], at [i*width+j]
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			if a[i-1] == b[j-1] {
				length[i*width+j] = length[(i-1)*width+j-1] + 1
			} else {
				length[i*width+j] = max(length[(i-1)*width+j], length[i*width+j-1])
			}
		}
	}
	var words []string
	for i, j := len(a), len(b); i > 0 && j > 0; {
		switch {
		case a[i-1] == b[j-1]:
			words, i, j = append(words, a[i-1]), i-1, j-1
		case length[(i-1)*width+j] > length[i*width+j-1]:
			i--
		default:
			j--
		}
	}
	return words
}

// bleu is the geometric mean of the shares of the answer's n-grams, n from 1 to
// 4, that are in the truth too, times a penalty where it is shorter.
func bleu(said, truth []string) float64 {
	logs, misses := 0.0, 0
	for n := 1; n <= 4; n++ {
		s, t := ngrams(n, said), ngrams(n, truth)
		both := 0
		for gram, count := range s {
			both += min(count, t[gram])
		}
		share := float64(both) / float64(max(1, len(said)-n+1))
		if both == 0 {
			if n == 1 {
				return 0
			}
			misses++
			share = 1 / (math.Exp2(float64(misses)) * float64(max(1, len(said)-n+1)))
		}
		logs += math.Log(share) / 4
	}
	brevity := 1.0
	if len(said) < len(truth) {
		brevity = math.Exp(1 - float64(len(truth))/float64(len(said)))
	}
	return brevity * math.Exp(logs)
}
