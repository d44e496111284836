package builtin

import (
	_ "embed"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// cutWords cuts text into words as jieba 0.42.1 does by default: Chinese text on
// the most likely way through the dictionary, and what the dictionary does not
// know by a hidden Markov model. Spaces and signs are words too.
func cutWords(text string) []string {
	c := &cutter{dictionary: loadDictionary()}
	for text != "" {
		n := run(text, inWord)
		if n > 0 {
			c.block([]rune(text[:n]))
			text = text[n:]
			continue
		}
		if n = 2; !strings.HasPrefix(text, "\r\n") {
			_, n = utf8.DecodeRuneInString(text)
		}
		c.words, text = append(c.words, text[:n]), text[n:]
	}
	return c.words
}

// run returns how many bytes text begins with whose runes are all in.
func run(text string, in func(rune) bool) int {
	if n := strings.IndexFunc(text, func(r rune) bool { return !in(r) }); n >= 0 {
		return n
	}
	return len(text)
}

func isHan(r rune) bool { return r >= 0x4E00 && r <= 0x9FD5 }

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isAlnum(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || isDigit(r) }

func inWord(r rune) bool { return isHan(r) || isAlnum(r) || strings.ContainsRune("+#&._%-", r) }

// cutter cuts one text.
type cutter struct {
	*dictionary
	words []string
}

// block cuts a run of Chinese and Latin text.
func (c *cutter) block(text []rune) {
	next := c.route(text)
	single := 0 // where the words of one character before i begin
	for i := 0; i < len(text); i = next[i] {
		if next[i] == i+1 {
			continue
		}
		c.unknown(text[single:i])
		c.words = append(c.words, string(text[i:next[i]]))
		single = next[i]
	}
	c.unknown(text[single:])
}

// route returns, for each place in text, where the word that begins there ends
// on the most likely way to the end; of equals it is the longest.
func (c *cutter) route(text []rune) []int {
	best, next := make([]float64, len(text)+1), make([]int, len(text))
	for i := len(text) - 1; i >= 0; i-- {
		best[i] = math.Inf(-1)
		try := func(to, count int) {
			if p := math.Log(float64(max(1, count))) - logTotal + best[to]; p >= best[i] {
				best[i], next[i] = p, to
			}
		}
		word := make([]byte, 0, 32)
		for to := i + 1; to <= len(text); to++ {
			word = utf8.AppendRune(word, text[to-1])
			count, begins := c.counts[string(word)]
			if !begins {
				break
			}
			if count > 0 {
				try(to, int(count))
			}
		}
		if next[i] == 0 {
			try(i+1, 0)
		}
	}
	return next
}

// unknown cuts characters of which none is part of a longer word on the route.
func (c *cutter) unknown(text []rune) {
	switch {
	case len(text) == 0:
	case len(text) == 1:
		c.words = append(c.words, string(text))
	case c.counts[string(text)] > 0: // a word, and yet it is more likely apart
		for _, r := range text {
			c.words = append(c.words, string(r))
		}
	default:
		c.recognize(string(text))
	}
}

// recognize finds words by the hidden Markov model, and numbers.
func (c *cutter) recognize(text string) {
	for text != "" {
		n := run(text, isHan)
		if n > 0 {
			c.viterbi([]rune(text[:n]))
		} else if n = numberOrName(text); n == 0 {
			for n < len(text) && run(text[n:], isHan) == 0 && numberOrName(text[n:]) == 0 {
				_, size := utf8.DecodeRuneInString(text[n:])
				n += size
			}
			c.words = append(c.words, text[:n])
		} else {
			c.words = append(c.words, text[:n])
		}
		text = text[n:]
	}
}

// numberOrName returns the length of what text begins with: letters and digits,
// decimals and a percent sign.
func numberOrName(text string) int {
	n := run(text, isAlnum)
	if n == 0 {
		return 0
	}
	if rest := text[n:]; strings.HasPrefix(rest, ".") {
		if digits := run(rest[1:], isDigit); digits > 0 {
			n += 1 + digits
		}
	}
	if strings.HasPrefix(text[n:], "%") {
		n++
	}
	return n
}

// The states of a character in a word, in the order of their letters, by which
// jieba decides between equals.
const (
	begin = iota
	end
	middle
	alone
	states
)

const never = -3.14e100 // logarithm of no probability

var startWith = [states]float64{begin: -0.26268660809250016, end: never, middle: never, alone: -1.4652633398537678}

// follow are the states that may come before each, with the logarithm of how
// likely it follows them.
var follow = [states]map[int]float64{
	begin:  {end: -0.5897149736854513, alone: -0.7211965654669841},
	middle: {middle: -1.2603623820268226, begin: -0.916290731874155},
	alone:  {alone: -0.6658631448798212, end: -0.8085250474669937},
	end:    {begin: -0.51082562376599, middle: -0.33344856811948514},
}

// viterbi cuts Chinese text by the most likely states of its characters.
func (c *cutter) viterbi(text []rune) {
	from := make([][states]int, len(text))
	var best [states]float64
	for i, r := range text {
		var next [states]float64
		for s := range states {
			emit, ok := c.emit[s][r]
			if !ok {
				emit = never
			}
			if i == 0 {
				next[s] = startWith[s] + emit
				continue
			}
			next[s] = math.Inf(-1)
			for before := range states {
				if p, ok := follow[s][before]; ok && best[before]+p+emit >= next[s] {
					next[s], from[i][s] = best[before]+p+emit, before
				}
			}
		}
		best = next
	}
	s := end
	if best[alone] >= best[end] {
		s = alone
	}
	var reversed []string
	to := len(text)
	for i := len(text) - 1; i >= 0; i-- {
		if s == begin || s == alone {
			reversed, to = append(reversed, string(text[i:to])), i
		}
		s = from[i][s]
	}
	for k := len(reversed) - 1; k >= 0; k-- {
		c.words = append(c.words, reversed[k])
	}
}

// dictionary is what is known of Chinese words.
type dictionary struct {
	counts map[string]int32 // of words, and 0 for what words begin with
	emit   [states]map[rune]float64
}

// logTotal is the logarithm of the sum of the counts in dict.txt, which has one
// word twice.
var logTotal = math.Log(60_101_967)

//go:embed jieba/words.txt
var wordsText string

//go:embed jieba/emit.txt
var emitText string

// loadDictionary reads it, the first time.
var loadDictionary = sync.OnceValue(func() *dictionary {
	d := &dictionary{counts: make(map[string]int32, 500_000)}
	count := 0
	for word := range strings.Lines(wordsText) {
		word = word[:len(word)-1]
		if n, ok := strings.CutPrefix(word, "= "); ok {
			count, _ = strconv.Atoi(n)
			continue
		}
		d.counts[word] = int32(count)
		for i := range word {
			if _, ok := d.counts[word[:i]]; !ok && i > 0 {
				d.counts[word[:i]] = 0
			}
		}
	}
	for s := range d.emit {
		d.emit[s] = map[rune]float64{}
	}
	for line := range strings.Lines(emitText) {
		f := strings.Fields(line)
		p, _ := strconv.ParseFloat(f[1], 64)
		for _, r := range f[2] {
			d.emit[strings.Index("BEMS", f[0])][r] = p
		}
	}
	return d
})
