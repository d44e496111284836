package model_test

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/model"
)

// settle steps until nothing is open.
func settle(s *model.Session) {
	for s.Len() > 0 {
		s.Step()
	}
}

func add(t *testing.T, s *model.Session, prompt []int32, n int, p model.Sampling) []*model.Sequence {
	t.Helper()
	all, err := s.Add(prompt, n, p)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSessionIsForward compares tokens and log probabilities with those of the
// whole text read at once, for prompts that join at different steps and are
// read in blocks of a few tokens.
func TestSessionIsForward(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref, _ := load(t, family)
			prompts := [][]int32{ref.InputIDs[0][:9], ref.InputIDs[1][:1], ref.InputIDs[2][:20], ref.InputIDs[0][:14]}
			s := m.NewSession()
			s.Block = 7
			var all []*model.Sequence
			tokens := map[*model.Sequence][]model.Token{}
			for len(prompts) > 0 || s.Len() > 0 {
				if len(prompts) > 0 {
					all = append(all, add(t, s, prompts[0], 1, model.Sampling{MaxTokens: 8, Logprobs: 5})...)
					prompts = prompts[1:]
				}
				for _, q := range s.Step() {
					tokens[q] = append(tokens[q], q.Last)
				}
			}
			for i, q := range all {
				if len(q.New()) != 8 || q.Ended != model.EndLength {
					t.Errorf("sequence %d has %d tokens and ended for %q, want 8 and length", i, len(q.New()), q.Ended)
				}
				for k, token := range tokens[q] {
					at := q.Prompt + k - 1
					m.Engine.Reset()
					logits := m.Forward(q.Text[:at+1], []int32{0}).Logits().Data()
					logits = logits[at*m.Config.VocabSize:]
					lse := 0.0
					for _, x := range logits {
						lse += math.Exp(float64(x))
					}
					lse = math.Log(lse)
					near(t, "log probability", token.Logprob, float64(logits[token.ID])-lse, 1e-4)
					if token.ID != q.New()[k] || len(token.Top) != 5 || token.Top[0].ID != token.ID {
						t.Fatalf("token %d of sequence %d is %+v, text has %d", k, i, token, q.New()[k])
					}
					sorted := slices.Clone(logits)
					slices.Sort(sorted)
					for rank, top := range token.Top {
						near(t, "log probability", top.Logprob, float64(logits[top.ID])-lse, 1e-4)
						near(t, "a likely logit", float64(logits[top.ID]), float64(sorted[len(sorted)-1-rank]), 1e-4)
					}
				}
			}
		})
	}
}

// TestBatchedIsAlone draws from many prompts at once and from each alone: a
// sequence's tokens depend on its own seed only.
func TestBatchedIsAlone(t *testing.T) {
	for _, family := range families {
		m, ref, _ := load(t, family)
		sampling := func(i int) model.Sampling {
			return model.Sampling{Temperature: 1, TopP: 0.95, TopK: 40, RepetitionPenalty: 1.05, Seed: int64(i), MaxTokens: 12}
		}
		prompt := func(i int) []int32 { return ref.InputIDs[i%3][:2+3*i] }
		s := m.NewSession()
		s.Block = 5
		var together []*model.Sequence
		for i := range 6 {
			together = append(together, add(t, s, prompt(i), 1, sampling(i))...)
			s.Step()
		}
		settle(s)
		for i, q := range together {
			alone := m.NewSession()
			got := add(t, alone, prompt(i), 1, sampling(i))[0]
			settle(alone)
			if !slices.Equal(q.New(), got.New()) {
				t.Errorf("%s: with others %v, alone %v", family, q.New(), got.New())
			}
		}
		other := sampling(0)
		other.Seed = 99
		s = m.NewSession()
		q := add(t, s, prompt(0), 1, other)[0]
		settle(s)
		if slices.Equal(q.New(), together[0].New()) {
			t.Errorf("%s: another seed says the same", family)
		}
	}
}

// TestTwins sees that several sequences that share a prompt say what each would
// say that reads it for itself, also where some of them are dropped on the way.
func TestTwins(t *testing.T) {
	m, ref, _ := load(t, "qwen2")
	p := model.Sampling{Temperature: 1, Seed: 5, MaxTokens: 10}
	prompt := ref.InputIDs[0][:12]
	run := func(drop ...int) [][]int32 {
		s := m.NewSession()
		s.Block = 5
		twins := add(t, s, prompt, 4, p)
		s.Step() // has read a part
		for _, i := range drop {
			s.Drop(twins[i])
		}
		steps := 0
		for s.Len() > 0 {
			s.Step()
			steps++
		}
		if want := 2 + 9; steps != want {
			t.Errorf("%d steps, want %d: two more for the prompt, which also choose the first token, and one for each other", steps, want)
		}
		var out [][]int32
		for _, q := range twins {
			out = append(out, q.New())
		}
		return out
	}
	all := run()
	for i := range all {
		for k := range i {
			if slices.Equal(all[i], all[k]) {
				t.Errorf("samples %d and %d are the same", k, i)
			}
		}
	}
	greedy := m.NewSession()
	three, one := add(t, greedy, prompt, 3, model.Sampling{MaxTokens: 10}), add(t, greedy, prompt, 1, model.Sampling{MaxTokens: 10})[0]
	settle(greedy)
	for _, q := range three {
		if !slices.Equal(q.New(), one.New()) {
			t.Errorf("%v with twins, %v alone", q.New(), one.New())
		}
	}
	for _, drop := range [][]int{{0}, {1}, {0, 1, 2}, {3, 0}} {
		left := run(drop...)
		for i := range left {
			if slices.Contains(drop, i) {
				if len(left[i]) > 0 {
					t.Errorf("sequence %d is dropped and says %v", i, left[i])
				}
			} else if !slices.Equal(left[i], all[i]) {
				t.Errorf("without %v sequence %d says %v, want %v", drop, i, left[i], all[i])
			}
		}
	}
}

// TestEndings ends sequences by a stop token, by their limit, and by what the
// model can read.
func TestEndings(t *testing.T) {
	m, ref, _ := load(t, "llama")
	s := m.NewSession()
	long := make([]int32, m.Config.MaxLength()-3)
	stop := ref.Greedy.New[3]
	want := slices.Index(ref.Greedy.New, stop)
	stopped := add(t, s, ref.Greedy.Prompt, 1, model.Sampling{Stop: []int32{stop}})[0]
	limited := add(t, s, ref.Greedy.Prompt, 1, model.Sampling{MaxTokens: 2})[0]
	full := add(t, s, long, 1, model.Sampling{})[0]
	settle(s)
	if !slices.Equal(stopped.New(), ref.Greedy.New[:want]) || stopped.Ended != model.EndStop {
		t.Errorf("stopped after %v for %q, want %v", stopped.New(), stopped.Ended, ref.Greedy.New[:want])
	}
	if len(limited.New()) != 2 || limited.Ended != model.EndLength || len(full.Text) != m.Config.MaxLength() || full.Ended != model.EndLength {
		t.Errorf("%d tokens (%s) and a text of %d (%s), want 2 and %d", len(limited.New()), limited.Ended, len(full.Text), full.Ended, m.Config.MaxLength())
	}
	for _, prompt := range [][]int32{{}, make([]int32, m.Config.MaxLength()), {-1}, {int32(m.Config.VocabSize)}} {
		if _, err := s.Add(prompt, 1, model.Sampling{}); err == nil {
			t.Errorf("a prompt of %d tokens is let through", len(prompt))
		}
	}
	if _, err := s.Add([]int32{1}, 0, model.Sampling{}); err == nil {
		t.Error("no sequence at all is let through")
	}
	if s.Step() != nil {
		t.Error("a step without sequences has results")
	}
}

// TestComingAndGoing adds and drops at random, and compares what is left to
// its end with what it says alone.
func TestComingAndGoing(t *testing.T) {
	m, ref, _ := load(t, "qwen3")
	r := rand.New(rand.NewPCG(3, 3))
	s := m.NewSession()
	s.Block = 6
	type made struct {
		q      *model.Sequence
		prompt []int32
	}
	var open, kept []made
	for range 60 {
		if r.IntN(3) > 0 {
			ids := ref.InputIDs[r.IntN(3)]
			p := ids[:1+r.IntN(len(ids)-1)]
			for _, q := range add(t, s, p, 1+r.IntN(3), model.Sampling{MaxTokens: 1 + r.IntN(9)}) {
				open = append(open, made{q, p})
			}
		}
		if len(open) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(open))
			s.Drop(open[i].q)
			open = slices.Delete(open, i, i+1)
		}
		s.Step()
		open = slices.DeleteFunc(open, func(o made) bool {
			if o.q.Ended != "" {
				kept = append(kept, o)
			}
			return o.q.Ended != ""
		})
	}
	settle(s)
	kept = append(kept, open...)
	if len(kept) < 30 {
		t.Fatalf("only %d sequences are left", len(kept))
	}
	for _, k := range kept {
		if want := m.Generate([][]int32{k.prompt}, len(k.q.New()), nil)[0]; !slices.Equal(k.q.New(), want) {
			t.Errorf("after %v: %v, alone %v", k.prompt, k.q.New(), want)
		}
	}
}

// TestMemoryIsGivenBack runs many sequences through one session: what the heap
// holds does not grow with them.
func TestMemoryIsGivenBack(t *testing.T) {
	m, ref, _ := load(t, "llama")
	s := m.NewSession()
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	round := func() {
		for i := range 8 {
			add(t, s, ref.InputIDs[0], 2, model.Sampling{MaxTokens: 20, Temperature: 1, Seed: int64(i)})
		}
		settle(s)
	}
	round()
	before, peak := heap(), m.Engine.Peak()
	for range 20 {
		round()
	}
	if after := heap(); after > before+256<<10 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if m.Engine.Peak() != peak {
		t.Errorf("a step takes %d bytes, took %d", m.Engine.Peak(), peak)
	}
}

// BenchmarkDecode measures tokens of continuations a second, on the pretrained
// model stories260K if it is beside the repository.
func BenchmarkDecode(b *testing.B) {
	dir := filepath.Join("..", "..", "..", "shared", "material", "models", "stories260K", "hf")
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join("testdata", "llama")
	}
	e, err := autograd.NewEngine(0)
	if err != nil {
		b.Fatal(err)
	}
	m, err := model.Load(dir, e)
	if err != nil {
		b.Fatal(err)
	}
	for _, batch := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) {
			const length = 64
			for b.Loop() {
				s := m.NewSession()
				for i := range batch {
					if _, err := s.Add([]int32{1, 4, 5}, 1, model.Sampling{MaxTokens: length, Temperature: 1, Seed: int64(i), Logprobs: -1}); err != nil {
						b.Fatal(err)
					}
				}
				settle(s)
			}
			b.ReportMetric(float64(b.N*batch*length)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// TestShare sees that a model that shares another's weights computes the same,
// in the same memory but for what is its own, and is not changed by what a tuner
// does to the other.
func TestShare(t *testing.T) {
	m, ref, _ := load(t, "qwen2")
	const own = "model.layers.0.mlp.up_proj.weight"
	shared := m.Share(func(name string) bool { return name == own })
	prompt := [][]int32{ref.Greedy.Prompt}
	want := m.Generate(prompt, 8, nil)[0]
	if got := shared.Generate(prompt, 8, nil)[0]; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for i, p := range m.Params {
		if same := &p.Data()[0] == &shared.Params[i].Data()[0]; same == (p.Name == own) {
			t.Errorf("%s: in the same memory: %v", p.Name, same)
		}
	}
	shared.Linears[0].Wrap(func(x *api.Var, next api.Forward) *api.Var { return next(x).Scale(-3) })
	shared.Params[0].Freeze()
	if got := m.Generate(prompt, 8, nil)[0]; !slices.Equal(got, want) || m.Params[0].Frozen() {
		t.Errorf("what is done to one is done to both: %v, want %v", got, want)
	}
	if got := shared.Generate(prompt, 8, nil)[0]; slices.Equal(got, want) {
		t.Error("a layer that is wrapped computes the same")
	}
}

func TestLoadSampling(t *testing.T) {
	for _, c := range []struct {
		text string
		want model.Sampling
	}{
		{"", model.Sampling{TopK: 50, Logprobs: -1}},
		{`{"do_sample": false, "temperature": 0.6, "eos_token_id": 5}`, model.Sampling{TopK: 50, Logprobs: -1, Stop: []int32{5}}},
		{`{"do_sample": true}`, model.Sampling{Temperature: 1, TopK: 50, Logprobs: -1}},
		{`{"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.1, "repetition_penalty": 1.05, "eos_token_id": [1, 2]}`,
			model.Sampling{Temperature: 0.7, TopK: 20, TopP: 0.8, MinP: 0.1, RepetitionPenalty: 1.05, Logprobs: -1, Stop: []int32{1, 2}}},
	} {
		dir := t.TempDir()
		if c.text != "" {
			if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(c.text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := model.LoadSampling(dir); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"{", `{"top_p": 3}`, `{"temperature": "x"}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := model.LoadSampling(dir); err == nil || !strings.Contains(err.Error(), "generation_config.json") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
