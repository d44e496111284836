package sampler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"swiftgo/api"
)

var (
	noORM = api.ORMFunc(func(context.Context, []api.Completion) ([]float64, error) { return nil, errors.New("not to be called") })
	noPRM = api.PRMFunc(func(context.Context, []api.Completion) ([][]float64, error) {
		return nil, errors.New("not to be called")
	})
)

// parrot answers "<question> <k>", k counted from 0, and counts what it is asked.
type parrot struct {
	asked map[string]int
	fail  map[string]error // questions that get no answer
	end   map[string]error // questions that end the run
}

func (p *parrot) Answer(ctx context.Context, qs []Question, got func(int, Answers) error) error {
	for i, q := range qs {
		text := q.Conversation.Messages[len(q.Conversation.Messages)-1].Content
		if err := p.end[text]; err != nil {
			return err
		}
		var a Answers
		if a.Err = p.fail[text]; a.Err == nil {
			if p.asked == nil {
				p.asked = map[string]int{}
			}
			p.asked[text] += q.N
			for k := range q.N {
				a.Answers = append(a.Answers, Answer{Text: fmt.Sprintf("%s %d", text, q.First+k)})
			}
		}
		if err := got(i, a); err != nil {
			return err
		}
	}
	return nil
}

// questions returns n rows whose answer is "q<i> 0".
func questions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"query": "q%d", "response": "q%d 0", "number": %d}`+"\n", i, i, i)
	}
	return b.String()
}

// options are those of a small run with an ORM that wants the dataset's answer.
func options(t *testing.T) Options {
	return Options{Path: filepath.Join(t.TempDir(), "out.jsonl"), Answers: 3, Batch: 2, Shards: 1, Selection: Selection{Best: 1},
		Judges: Judges{ORM: api.ORMFunc(exact)}, Settings: map[string]any{"n": 3}}
}

func exact(_ context.Context, cs []api.Completion) ([]float64, error) {
	rewards := make([]float64, len(cs))
	for i, c := range cs {
		if c.Text == c.Truth {
			rewards[i] = 1
		}
	}
	return rewards, nil
}

func sampled(t *testing.T, text string, p Engine, o Options) (string, *Summary, error) {
	t.Helper()
	engine := func() (Engine, error) { return p, nil }
	if p == nil {
		engine = nil
	}
	s, err := Run(context.Background(), open(t, text), engine, nil, o)
	out, _ := os.ReadFile(o.Path)
	return string(out), s, err
}

// TestShardsAndBatches holds that every row is done exactly once, however the
// rows are cut.
func TestShardsAndBatches(t *testing.T) {
	whole, s, err := sampled(t, questions(11), &parrot{}, options(t))
	if err != nil || s.Done != 11 || s.Kept != 11 || strings.Count(whole, "\n") != 11 {
		t.Fatalf("%v, %+v\n%s", err, s, whole)
	}
	for _, shards := range []int{1, 3, 4, 11, 13} {
		for _, batch := range []int{1, 3} {
			joined := ""
			for shard := range shards {
				o := options(t)
				o.Shard, o.Shards, o.Batch = shard, shards, batch
				part, _, err := sampled(t, questions(11), &parrot{}, o)
				if err != nil {
					t.Fatal(err)
				}
				joined += part
			}
			if joined != whole {
				t.Fatalf("%d shards, batches of %d:\n%s, want\n%s", shards, batch, joined, whole)
			}
		}
	}
	o := options(t)
	o.Batches = 2
	if part, _, err := sampled(t, questions(11), &parrot{}, o); err != nil || part != strings.Join(strings.SplitAfter(whole, "\n")[:4], "") {
		t.Errorf("two batches: %v\n%s", err, part)
	}
}

// TestFailingReward holds that the error names the row, that what was sampled is
// not sampled again, and that the run ends as if nothing had happened.
func TestFailingReward(t *testing.T) {
	want, _, err := sampled(t, questions(7), &parrot{}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Batch = 4
	broken := true
	o.ORM = api.ORMFunc(func(ctx context.Context, cs []api.Completion) ([]float64, error) {
		for i, c := range cs {
			if broken && c.Row["number"] == 5.0 {
				return nil, fmt.Errorf("completion %d: the judge is out", i)
			}
		}
		return exact(ctx, cs)
	})
	p := &parrot{}
	_, _, err = sampled(t, questions(7), p, o)
	if err == nil || !strings.Contains(err.Error(), "rows.jsonl:6: completion 0: the judge is out") || !strings.Contains(err.Error(), "--resume") {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(o.Path); err == nil {
		t.Fatal("there are results of a run that failed")
	}
	if _, _, err := sampled(t, questions(7), p, o); err == nil || !strings.Contains(err.Error(), "cut off; go on with --resume") {
		t.Errorf("begun again: %v", err)
	}
	broken, o.Resume = false, true
	got, s, err := sampled(t, questions(7), p, o)
	if err != nil || got != want {
		t.Fatalf("%v\n%s, want\n%s", err, got, want)
	}
	if s.Before != 5 || s.Done != 7 || s.Answers != 21 || s.Passed != 7 {
		t.Errorf("%+v", s)
	}
	for q, n := range p.asked {
		if n != 3 {
			t.Errorf("%s was asked for %d answers, want 3", q, n)
		}
	}
	if _, _, err := sampled(t, questions(7), p, o); !errors.Is(err, ErrComplete) {
		t.Errorf("resumed when complete: %v", err)
	}
	o.Resume = false
	if _, _, err := sampled(t, questions(7), p, o); err == nil || !strings.Contains(err.Error(), "--override_exist_file") {
		t.Errorf("an existing file: %v", err)
	}
	o.Override = true
	if got, _, err := sampled(t, questions(7), p, o); err != nil || got != want {
		t.Errorf("written over: %v", err)
	}
}

// TestEngineEnds holds that answers which came before an error are kept.
func TestEngineEnds(t *testing.T) {
	o := options(t)
	o.Batch = 3
	p := &parrot{end: map[string]error{"q2": errors.New("the server is gone")}}
	if _, _, err := sampled(t, questions(5), p, o); err == nil || !strings.Contains(err.Error(), "the server is gone") {
		t.Fatalf("%v", err)
	}
	p.end, o.Resume = nil, true
	if got, s, err := sampled(t, questions(5), p, o); err != nil || strings.Count(got, "\n") != 5 || s.Failed != 0 {
		t.Fatalf("%v\n%s", err, got)
	}
	for q, n := range p.asked {
		if n != 3 {
			t.Errorf("%s was asked for %d answers, want 3", q, n)
		}
	}
}

// TestCutJournal holds that a journal which is cut off at any byte, as the end of
// a process may leave it, is gone on with to the same results.
func TestCutJournal(t *testing.T) {
	want, _, err := sampled(t, questions(3), &parrot{}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	if _, _, err := sampled(t, questions(3), &parrot{end: map[string]error{"q2": errors.New("gone")}}, o); err == nil {
		t.Fatal("no error")
	}
	whole, err := os.ReadFile(o.Path + ".journal")
	if err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	rows := open(t, questions(3))
	for n := 0; n <= len(whole); n += 3 {
		os.Remove(o.Path)
		if err := os.WriteFile(o.Path+".journal", whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		p := &parrot{}
		if _, err := Run(context.Background(), rows, func() (Engine, error) { return p, nil }, nil, o); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if got, _ := os.ReadFile(o.Path); string(got) != want {
			t.Fatalf("cut at %d of\n%s\nthe results are\n%s, want\n%s", n, whole, got, want)
		}
	}
}

func TestQuestionFails(t *testing.T) {
	p := &parrot{fail: map[string]error{"q1": errors.New("too long")}}
	got, s, err := sampled(t, questions(3)+`{"response": "an answer to nothing"}`, p, options(t))
	if err != nil || s.Failed != 2 || strings.Count(got, "\n") != 2 || strings.Contains(got, "q1") {
		t.Errorf("%v, %+v\n%s", err, s, got)
	}
	o := options(t)
	o.Strict = true
	if _, _, err := sampled(t, questions(3), p, o); err == nil || !strings.Contains(err.Error(), "rows.jsonl:2: too long") {
		t.Errorf("strict: %v", err)
	}
}

func TestResumeWantsTheSameSettings(t *testing.T) {
	o := options(t)
	p := &parrot{end: map[string]error{"q2": errors.New("gone")}}
	sampled(t, questions(5), p, o)
	o.Resume, o.Settings = true, map[string]any{"n": 4}
	if _, _, err := sampled(t, questions(5), p, o); err == nil || !strings.Contains(err.Error(), "another n (3, now 4)") {
		t.Errorf("%v", err)
	}
}

// TestLateReward holds that a reward model which does not heed its context cannot
// hold up the run.
func TestLateReward(t *testing.T) {
	o := options(t)
	o.Timeout = 20 * time.Millisecond
	release := make(chan bool)
	defer close(release)
	o.ORM = api.ORMFunc(func(context.Context, []api.Completion) ([]float64, error) { <-release; return nil, nil })
	_, _, err := sampled(t, questions(3), &parrot{}, o)
	if !errors.Is(err, errLate) || !strings.Contains(err.Error(), "rows.jsonl:1 to ") || !strings.Contains(err.Error(), "rows.jsonl:2") {
		t.Errorf("%v", err)
	}
}

// TestCache holds that cached answers are used, that only missing ones are
// sampled, and that without an engine a miss names the row.
func TestCache(t *testing.T) {
	o := options(t)
	o.Judges = Judges{}
	all, _, err := sampled(t, questions(3), &parrot{}, o)
	if err != nil || strings.Count(all, "\n") != 9 {
		t.Fatalf("%v\n%s", err, all)
	}
	path := filepath.Join(t.TempDir(), "cache.jsonl")
	lines := strings.SplitAfter(all, "\n")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:8], "")), 0o666); err != nil {
		t.Fatal(err)
	}
	cached, err := ReadCache([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	p := &parrot{}
	o.Path += "2"
	s, err := Run(context.Background(), open(t, questions(3)), func() (Engine, error) { return p, nil }, cached, o)
	again, _ := os.ReadFile(o.Path)
	if err != nil || string(again) != all || len(p.asked) != 1 || p.asked["q2"] != 1 || s.Cached != 8 {
		t.Errorf("%v, asked %v, %d cached\n%s", err, p.asked, s.Cached, again)
	}
	o = options(t)
	o.Answers = 64 // what there is counts
	s, err = Run(context.Background(), open(t, questions(3)), nil, cached, o)
	if err != nil || s.Kept != 3 || s.Answers != 8 {
		t.Errorf("%v, %+v", err, s)
	}
	o = options(t)
	_, err = Run(context.Background(), open(t, questions(4)), nil, cached, o)
	if err == nil || !strings.Contains(err.Error(), "rows.jsonl:4: the cache files have no answer to it") {
		t.Errorf("%v", err)
	}
}

func TestRowWithoutAnswer(t *testing.T) {
	o := options(t)
	o.Judges = Judges{}
	o.System = "be brief"
	got, _, err := sampled(t, `{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "x": 1.50, "y": null, "z": "<é>"}`+"\n", &parrot{}, o)
	want := `{"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "q 0"}], "x": 1.5, "y": null, "z": "<é>", "id": "` // Python's 1.5
	if err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
}
