package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is an entry of added_tokens: a token that is recognised in the
// text itself and never split.
type addedToken struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not between word characters
	Lstrip     bool   `json:"lstrip"`      // takes the white space before it
	Rstrip     bool   `json:"rstrip"`      // takes the white space after it
	Normalized bool   `json:"normalized"`  // looked for in the normalised text
	Special    bool   `json:"special"`
}

// addTokens registers the added tokens. The "id" they carry is not read: like
// the Rust library, a token of the vocabulary keeps its id and any other gets
// the next free one.
func (t *Tokenizer) addTokens(tokens []addedToken) {
	t.added = map[int32]addedToken{}
	t.addedID = map[string]int32{}
	next := int32(len(t.model.vocab))
	for _, a := range tokens {
		if a.Content == "" {
			continue
		}
		id, ok := t.ID(a.Content)
		if !ok {
			id = next
		}
		next = max(next, id+1)
		a.Special = a.Special || t.added[id].Special
		t.added[id] = a
		t.addedID[a.Content] = id
	}
	t.size = int(max(t.model.maxID, -1)) + 1
	for id, a := range t.added {
		t.size = max(t.size, int(id)+1)
		if !a.Normalized {
			t.raw.add(a.Content, id, a)
		} else if t.normalize == nil {
			t.cooked.add(a.Content, id, a)
		} else {
			t.cooked.add(t.normalize(a.Content), id, a)
		}
	}
}

// addedMatcher finds added tokens in a text: the leftmost, and of those that
// start at one place the longest. The zero value finds none.
type addedMatcher struct {
	// nodes is a trie over bytes: node<<8|byte -> node, the root is 0.
	nodes map[uint32]uint32
	last  uint32
	ends  map[uint32]addedEnd
	first [256]bool // the bytes a token may start with
}

type addedEnd struct {
	id    int32
	token addedToken
}

func (m *addedMatcher) add(content string, id int32, token addedToken) {
	if content == "" {
		return
	}
	if m.nodes == nil {
		m.nodes, m.ends = map[uint32]uint32{}, map[uint32]addedEnd{}
	}
	m.first[content[0]] = true
	node := uint32(0)
	for i := range len(content) {
		key := node<<8 | uint32(content[i])
		child, ok := m.nodes[key]
		if !ok {
			m.last++
			child = m.last
			m.nodes[key] = child
		}
		node = child
	}
	// Two tokens may be equal once normalised: the lower id wins.
	if old, ok := m.ends[node]; !ok || id < old.id {
		m.ends[node] = addedEnd{id, token}
	}
}

// longest returns the longest token that s starts with and its length, 0
// where there is none.
func (m *addedMatcher) longest(s string) (found addedEnd, length int) {
	node := uint32(0)
	for i := range len(s) {
		child, ok := m.nodes[node<<8|uint32(s[i])]
		if !ok {
			break
		}
		node = child
		if end, ok := m.ends[node]; ok {
			found, length = end, i+1
		}
	}
	return found, length
}

// cut calls each in turn with every stretch of text between added tokens
// (id -1) and with the id of every added token.
func (m *addedMatcher) cut(text string, each func(part string, id int32)) {
	done := 0
	for i := 0; i < len(text); {
		if !m.first[text[i]] {
			i++
			continue
		}
		found, n := m.longest(text[i:])
		if n == 0 {
			i++
			continue
		}
		start, end := i, i+n
		// The search goes on behind the token itself, not behind the white
		// space it takes: that may be the start of another token.
		i = end
		if found.token.SingleWord && !isolated(text, start, end) {
			continue
		}
		if found.token.Lstrip {
			start = len(strings.TrimRightFunc(text[:start], unicode.IsSpace))
		}
		if found.token.Rstrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if start > done {
			each(text[done:start], -1)
		}
		each("", found.id)
		done = end
	}
	if done < len(text) {
		each(text[done:], -1)
	}
}

// isolated reports whether no word character touches text[start:end].
func isolated(text string, start, end int) bool {
	before, n := utf8.DecodeLastRuneInString(text[:start])
	after, m := utf8.DecodeRuneInString(text[end:])
	return !(n > 0 && isWord(before)) && !(m > 0 && isWord(after))
}
