package generate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

func load(t *testing.T, family string) (*model.Model, *tokenizer.Tokenizer) {
	t.Helper()
	dir := filepath.Join("..", "model", "testdata", family)
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dir, e)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m, tok
}

func start(t *testing.T, o Options) (*Generator, *model.Model, *tokenizer.Tokenizer) {
	m, tok := load(t, "qwen2")
	g := New([]*model.Model{m}, tok, o)
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		g.Close(ended)
	})
	return g, m, tok
}

func ask(t *testing.T, g *Generator, r Request) []Choice {
	t.Helper()
	a, err := g.Ask(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	all, err := a.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTogether asks from many goroutines at once; each gets what it gets alone.
func TestTogether(t *testing.T) {
	g, _, tok := start(t, Options{Batch: 5})
	request := func(i int) Request {
		return Request{Prompt: tok.Encode(fmt.Sprintf("prompt number %d", i*i*i), false), N: 1 + i%3,
			Sampling: model.Sampling{Temperature: 1, Seed: int64(i), MaxTokens: 5 + i%7}}
	}
	const n = 24
	together := make([][]Choice, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { together[i] = ask(t, g, request(i)) })
	}
	all.Wait()
	prompts, answers := 0, 0
	for i, got := range together {
		want := ask(t, g, request(i))
		for k := range want {
			if got[k].Text != want[k].Text || got[k].Ended != model.EndLength || len(got[k].Tokens) != 5+i%7 {
				t.Errorf("choice %d of prompt %d: %+v, alone %+v", k, i, got[k], want[k])
			}
			answers += 2 * len(got[k].Tokens)
		}
		prompts += 2 * len(request(i).Prompt)
	}
	if s := g.Stats(); s.PromptTokens != prompts || s.CompletionTokens != answers || s.Waiting != 0 {
		t.Errorf("%+v, want %d and %d tokens", s, prompts, answers)
	}
}

// TestStopWords cuts at the first stop word wherever its tokens' borders are;
// the model's tokens are single bytes. The parts never show a part of one.
func TestStopWords(t *testing.T) {
	g, _, tok := start(t, Options{Batch: 4})
	r := Request{Prompt: tok.Encode("once upon", false), Sampling: model.Sampling{Temperature: 0.7, Seed: 3, MaxTokens: 60}}
	whole := ask(t, g, r)[0].Text
	if len(whole) < 20 {
		t.Fatalf("%q is too short to cut", whole)
	}
	pick := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		r.StopWords = nil
		first := len(whole)
		for range 1 + pick.IntN(3) {
			runes := []rune(whole)
			at := pick.IntN(len(runes))
			word := string(runes[at:min(len(runes), at+1+pick.IntN(4))])
			r.StopWords = append(r.StopWords, word)
		}
		for end := 1; end <= len(whole) && first == len(whole); end++ { // as a reader of bytes would see the first one end
			for _, word := range r.StopWords {
				if i := strings.Index(whole[:end], word); i >= 0 {
					first = min(first, i)
				}
			}
		}
		a, err := g.Ask(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		got, ended := "", model.Ending("")
		for {
			p, err := a.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got, ended = got+p.Text, p.Ended
			if !strings.HasPrefix(whole[:first], got) {
				t.Fatalf("stop words %q: %q was shown, want no more than %q", r.StopWords, got, whole[:first])
			}
		}
		if got != whole[:first] || ended != model.EndStop {
			t.Errorf("stop words %q: %q (%s), want %q", r.StopWords, got, ended, whole[:first])
		}
	}
	if g.Stats().Running > 1 { // the last one may not be counted out yet
		t.Errorf("%d sequences go on after their stop words", g.Stats().Running)
	}
}

// TestText feeds one text with random borders: what comes out is what stands
// before the first stop word, and nothing that could begin one is shown early.
func TestText(t *testing.T) {
	_, tok := load(t, "llama")
	for _, c := range []struct {
		text  string
		stops []string
		want  string
	}{
		{"aab aabaaab!", []string{"aaab"}, "aab aab"},
		{"aaaa", []string{"aaab"}, "aaaa"},
		{"one\n\ntwo", []string{"\n\n", "two"}, "one"},
		{"über alles", []string{"r a"}, "übe"},
		{"stop", []string{"stop"}, ""},
		{"nothing", nil, "nothing"},
	} {
		w := newText(tok, c.stops)
		got, stopped := "", false
		for _, id := range tok.Encode(c.text, false) {
			var piece string
			if piece, stopped = w.push(id); true {
				got += piece
			}
			if stopped {
				break
			}
		}
		if !stopped {
			piece, _ := w.flush()
			got += piece
		}
		if got != c.want {
			t.Errorf("%q until %q is %q, want %q", c.text, c.stops, got, c.want)
		}
	}
}

// TestCancel ends contexts of waiting and of running prompts; their places are
// free afterwards.
func TestCancel(t *testing.T) {
	before := runtime.NumGoroutine()
	g, _, tok := start(t, Options{Batch: 2, Queue: 3})
	long := Request{Prompt: tok.Encode("x", false)}
	ctx, cancel := context.WithCancel(context.Background())
	var answers []*Answer
	for range 2 {
		a, err := g.Ask(ctx, long)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Next(); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	for range 3 {
		a, err := g.Ask(ctx, long)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if _, err := g.Ask(ctx, long); !errors.Is(err, ErrBusy) {
		t.Errorf("a sixth prompt: %v, want %v", err, ErrBusy)
	}
	if s := g.Stats(); s.Waiting != 3 || s.Running != 2 {
		t.Errorf("%+v, want 3 waiting and 2 running", s)
	}
	cancel()
	for i, a := range answers {
		if _, err := a.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("answer %d ended with %v", i, err)
		}
	}
	short := long
	short.Sampling.MaxTokens = 3
	if got := ask(t, g, short); len(got[0].Tokens) != 3 {
		t.Errorf("%+v, want three tokens", got)
	}
	g.Close(context.Background())
	if _, err := g.Ask(context.Background(), short); !errors.Is(err, ErrClosed) {
		t.Errorf("asked after Close: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+runtime.NumCPU(); time.Sleep(time.Millisecond) { // the kernels' pool stays
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestClose ends answers that are going on, or gives them up when its own
// context has ended.
func TestClose(t *testing.T) {
	for _, patient := range []bool{true, false} {
		g, m, tok := start(t, Options{Batch: 2})
		r := Request{Prompt: tok.Encode("y", false)}
		var answers []*Answer
		for range 4 {
			a, err := g.Ask(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, a)
		}
		if _, err := answers[0].Next(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		if !patient {
			cancel()
		}
		g.Close(ctx)
		cancel()
		for _, a := range answers[1:] {
			all, err := a.Wait()
			if patient && (err != nil || len(all[0].Tokens) != m.Config.MaxLength()-1) {
				t.Errorf("closed patiently: %v, %d choices", err, len(all))
			}
			if !patient && !errors.Is(err, ErrClosed) {
				t.Errorf("closed at once: %v, want %v", err, ErrClosed)
			}
		}
	}
}

// TestFailure has a layer fail: its answers end with the error, and the
// generator goes on.
func TestFailure(t *testing.T) {
	m, tok := load(t, "llama")
	fail := false
	m.Linears[2].Wrap(func(x *api.Var, next api.Forward) *api.Var {
		if fail && x.Shape()[0] == 3 {
			panic("a tuner's bug")
		}
		return next(x)
	})
	g := New([]*model.Model{m}, tok, Options{Batch: 2})
	defer g.Close(context.Background())
	r := Request{Prompt: tok.Encode("abc", false), Sampling: model.Sampling{MaxTokens: 4}}
	want := ask(t, g, r)
	fail = true
	a, err := g.Ask(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Wait(); err == nil || !strings.Contains(err.Error(), "a tuner's bug") {
		t.Errorf("%v", err)
	}
	r.Prompt = tok.Encode("abcd", false)
	ask(t, g, r)
	fail = false
	r.Prompt = tok.Encode("abc", false)
	if got := ask(t, g, r); got[0].Text != want[0].Text {
		t.Errorf("afterwards %q, want %q", got[0].Text, want[0].Text)
	}
}

// TestRequests refuses what cannot be answered, before it waits.
func TestRequests(t *testing.T) {
	g, m, tok := start(t, Options{Batch: 2})
	good := tok.Encode("good", false)
	for what, r := range map[string]Request{
		"answers are wanted":     {Prompt: good, N: 3},
		"prompt is empty":        {},
		"reads at most":          {Prompt: slices.Repeat(good, m.Config.MaxLength())},
		"vocabulary":             {Prompt: []int32{9999}},
		"stop word is empty":     {Prompt: good, StopWords: []string{"a", ""}},
		"top_p is 2":             {Prompt: good, Sampling: model.Sampling{TopP: 2}},
		"temperature is -1":      {Prompt: good, Sampling: model.Sampling{Temperature: -1}},
		"max_new_tokens is -100": {Prompt: good, Sampling: model.Sampling{MaxTokens: -100}},
	} {
		if _, err := g.Ask(context.Background(), r); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}
