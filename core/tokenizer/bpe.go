package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// bpe is the model: it turns one word into ids.
type bpe struct {
	vocab  map[string]int32
	tokens map[int32]string
	maxID  int32
	merges map[pair]merge

	letters      [512]int32 // ids of the one-character tokens below U+0200
	fallback     [256]int32 // ids of <0x00> to <0xFF>
	byteFallback bool
	unk          int32 // -1: unknown characters are left out
	fuseUnk      bool
	ignoreMerges bool // a word that is a token is not merged
	byteLevel    bool // words are written in the letters of their bytes first

	cache wordCache
}

// pair is two neighbouring ids, the left one in the upper half.
type pair uint64

func pairOf(left, right int32) pair { return pair(left)<<32 | pair(right) }

// merge is what a pair becomes; the lowest rank goes first.
type merge struct{ rank, id int32 }

type bpeSpec struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
	Unk          *string         `json:"unk_token"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	Dropout      float64         `json:"dropout"`
	Prefix       string          `json:"continuing_subword_prefix"`
	Suffix       string          `json:"end_of_word_suffix"`
}

func newBPE(spec *bpeSpec) (*bpe, error) {
	switch {
	case spec.Type != "BPE" && spec.Type != "": // files of old omit it
		return nil, fmt.Errorf("type %q, want \"BPE\"", spec.Type)
	case spec.Vocab == nil || spec.Merges == nil:
		return nil, errors.New("lacks vocab or merges")
	case spec.Dropout != 0:
		return nil, fmt.Errorf("dropout %v, want none: encoding would be random", spec.Dropout)
	case spec.Prefix != "" || spec.Suffix != "":
		return nil, fmt.Errorf("continuing_subword_prefix %q or end_of_word_suffix %q, want none", spec.Prefix, spec.Suffix)
	}
	m := &bpe{
		unk:          -1,
		fuseUnk:      spec.FuseUnk,
		byteFallback: spec.ByteFallback,
		ignoreMerges: spec.IgnoreMerges,
	}
	m.cache = newWordCache()
	if err := m.readVocab(spec.Vocab); err != nil {
		return nil, err
	}
	if err := m.readMerges(spec.Merges); err != nil {
		return nil, err
	}
	if spec.Unk != nil {
		id, ok := m.vocab[*spec.Unk]
		if !ok {
			return nil, fmt.Errorf("unk_token %q is not in vocab", *spec.Unk)
		}
		m.unk = id
	}
	return m, nil
}

// vocabID is an id as vocab may hold it: null, fractions and negative
// numbers, which encoding/json would let pass or round, are refused.
type vocabID int32

func (v *vocabID) UnmarshalJSON(data []byte) error {
	id, err := strconv.ParseUint(string(data), 10, 31)
	if err != nil {
		return fmt.Errorf("%q is no token id", data)
	}
	*v = vocabID(id)
	return nil
}

func (m *bpe) readVocab(data []byte) error {
	var vocab map[string]vocabID
	if err := json.Unmarshal(data, &vocab); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	m.vocab = make(map[string]int32, len(vocab))
	m.tokens = make(map[int32]string, len(vocab))
	m.maxID = -1
	for token, id := range vocab {
		m.vocab[token] = int32(id)
		m.maxID = max(m.maxID, int32(id))
		// Where an id is used twice, the choice must not change from run to run.
		if old, ok := m.tokens[int32(id)]; !ok || token < old {
			m.tokens[int32(id)] = token
		}
	}
	id := func(token string) int32 {
		if id, ok := m.vocab[token]; ok {
			return id
		}
		return -1
	}
	for r := range m.letters {
		m.letters[r] = id(string(rune(r)))
	}
	for b := range m.fallback {
		m.fallback[b] = id(fmt.Sprintf("<0x%02X>", b))
	}
	return nil
}

// readMerges takes both forms: "left right" and ["left", "right"].
func (m *bpe) readMerges(data []byte) error {
	var pairs [][]string
	if first := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("[")), " \t\r\n"); len(first) > 0 && first[0] == '"' {
		var lines []string
		if err := json.Unmarshal(data, &lines); err != nil {
			return fmt.Errorf("merges: %w", err)
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, "#version") {
				pairs = append(pairs, strings.Split(line, " "))
			}
		}
	} else if err := json.Unmarshal(data, &pairs); err != nil {
		return fmt.Errorf("merges: %w", err)
	}
	m.merges = make(map[pair]merge, len(pairs))
	for rank, p := range pairs {
		if len(p) != 2 {
			return fmt.Errorf("merges[%d]: %q is not two tokens", rank, strings.Join(p, " "))
		}
		var ids [3]int32
		for i, token := range []string{p[0], p[1], p[0] + p[1]} {
			id, ok := m.vocab[token]
			if !ok {
				return fmt.Errorf("merges[%d]: %q is not in vocab", rank, token)
			}
			ids[i] = id
		}
		m.merges[pairOf(ids[0], ids[1])] = merge{int32(rank), ids[2]}
	}
	return nil
}

// encode appends the ids of a word.
func (m *bpe) encode(ids []int32, word string) []int32 {
	if len(word) > maxCached {
		return append(ids, m.word(word)...)
	}
	slot := m.cache.slot(word)
	known := slot.Load()
	if known == nil || known.word != word {
		// A word is part of a text, which must not live as long as the cache.
		known = &cachedWord{strings.Clone(word), m.word(word)}
		slot.Store(known)
	}
	return append(ids, known.ids...)
}

// word returns the ids of a word.
func (m *bpe) word(word string) []int32 {
	if m.byteLevel {
		word = byteLetters(word)
	}
	if m.ignoreMerges {
		if id, ok := m.vocab[word]; ok {
			return []int32{id}
		}
	}
	return m.merge(m.symbols(word))
}

// symbols returns the id of each character of a word, or of each of its bytes
// where the character has none.
func (m *bpe) symbols(word string) []int32 {
	ids := make([]int32, 0, len(word))
	unknown := 0 // unknown characters not yet written
	flush := func() {
		if m.fuseUnk {
			unknown = min(unknown, 1)
		}
		for ; unknown > 0; unknown-- {
			ids = append(ids, m.unk)
		}
	}
	for i, r := range word {
		char := word[i : i+utf8.RuneLen(r)]
		if id := m.letter(r, char); id >= 0 {
			flush()
			ids = append(ids, id)
		} else if bytes := m.fallbackIDs(char); bytes != nil {
			// Unknown characters before it come out behind it. This looks
			// wrong, and is what the Rust library does.
			ids = append(ids, bytes...)
		} else if m.unk >= 0 {
			if !m.fuseUnk {
				flush()
			}
			unknown++
		}
	}
	flush()
	return ids
}

func (m *bpe) letter(r rune, char string) int32 {
	if int(r) < len(m.letters) {
		return m.letters[r]
	}
	if id, ok := m.vocab[char]; ok {
		return id
	}
	return -1
}

// fallbackIDs returns the byte tokens of a character, nil unless all exist.
func (m *bpe) fallbackIDs(char string) []int32 {
	if !m.byteFallback {
		return nil
	}
	ids := make([]int32, len(char))
	for i := range len(char) {
		if ids[i] = m.fallback[char[i]]; ids[i] < 0 {
			return nil
		}
	}
	return ids
}

// merge joins neighbours in place until no pair is left that may be joined:
// always the pair of lowest rank, of equal ones the leftmost. A heap of
// candidates keeps long words from taking quadratic time.
func (m *bpe) merge(ids []int32) []int32 {
	type link struct{ prev, next int32 }
	links := make([]link, len(ids))
	var queue minHeap
	offer := func(left, right int32) {
		if left < 0 || right < 0 {
			return
		}
		if to, ok := m.merges[pairOf(ids[left], ids[right])]; ok {
			queue.push(uint64(to.rank)<<32 | uint64(left))
		}
	}
	for i := range links {
		links[i] = link{int32(i - 1), int32(i + 1)}
	}
	if len(links) > 0 {
		links[len(links)-1].next = -1
	}
	for i := range links {
		offer(int32(i), links[i].next)
	}
	for len(queue) > 0 {
		top := queue.pop()
		rank, left := int32(top>>32), int32(uint32(top))
		right := links[left].next
		if right < 0 {
			continue
		}
		// The pair may have changed since it was offered.
		to, ok := m.merges[pairOf(ids[left], ids[right])]
		if !ok || to.rank != rank {
			continue
		}
		after := links[right].next
		ids[left], links[left].next = to.id, after
		links[right].next = -1
		if after >= 0 {
			links[after].prev = left
		}
		offer(links[left].prev, left)
		offer(left, after)
	}
	out := ids[:0]
	for i := int32(0); i >= 0 && len(links) > 0; i = links[i].next {
		out = append(out, ids[i])
	}
	return out
}

// minHeap is a binary heap, the smallest key first.
type minHeap []uint64

func (h *minHeap) push(key uint64) {
	*h = append(*h, key)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if s[parent] <= s[i] {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

func (h *minHeap) pop() uint64 {
	s := *h
	top, last := s[0], len(s)-1
	s[0] = s[last]
	s = s[:last]
	*h = s
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && s[child+1] < s[child] {
			child++
		}
		if s[i] <= s[child] {
			return top
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
}

const (
	maxCached   = 64      // bytes of the longest word worth remembering
	cachedWords = 1 << 16 // that are remembered at most
)

// wordCache remembers the ids of words, each in the one slot that its hash names,
// where it takes the place of another.
type wordCache struct {
	seed  maphash.Seed
	slots []atomic.Pointer[cachedWord]
}

type cachedWord struct {
	word string
	ids  []int32
}

func newWordCache() wordCache {
	return wordCache{maphash.MakeSeed(), make([]atomic.Pointer[cachedWord], cachedWords)}
}

func (c *wordCache) slot(word string) *atomic.Pointer[cachedWord] {
	return &c.slots[maphash.String(c.seed, word)%cachedWords]
}
