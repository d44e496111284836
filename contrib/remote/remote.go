// Remote is a plugin with one process reward model, remote, that has a large
// language model judge answers step by step, as in Zheng et al. 2023 ("Judging
// LLM-as-a-judge"). The judge is any server that speaks the protocol of OpenAI's
// chat completions, such as vLLM's, or swiftgo's own.
//
//	export PRM_API_KEY=…
//	swiftgo sample --prm_model remote --remote.url http://127.0.0.1:8000/v1 --remote.model judge …
//
// It shows what a PRM is: a function from completions to the rewards of each
// one's steps. It also shows how a plugin deals with a slow and faulty world:
// several questions are under way at a time, what may pass is tried again, and
// all of it ends when the context does. A judgement without a number is NaN, no
// opinion.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"swiftgo/api"
)

// PRMs is what the host looks for.
var PRMs = api.PRMs{"remote": newRemote}

const defaultPrompt = `Judge the answer below. Go through its steps, and end your judgement of each with a line "Reward: x", x between -1 (wrong) and 1 (right).`

type remote struct {
	URL      string `json:"url"` // up to and with /v1
	Model    string `json:"model"`
	Prompt   string `json:"prompt"`   // what the judge is told
	Parallel int    `json:"parallel"` // questions at a time
	Timeout  string `json:"timeout"`  // of one question, such as 90s

	key    string // never logged, and in no error
	client *http.Client
	log    *slog.Logger
	pause  time.Duration // before the second try; it doubles
}

func newRemote(args *api.Args) (api.PRM, error) {
	r := &remote{
		URL: "http://127.0.0.1:8000/v1", Model: "judge", Prompt: defaultPrompt, Parallel: 4, Timeout: "2m",
		key: strings.TrimSpace(os.Getenv("PRM_API_KEY")), log: args.Log, pause: time.Second,
	}
	if err := args.Decode(r); err != nil {
		return nil, err
	}
	if r.Parallel < 1 {
		return nil, fmt.Errorf("parallel is %d, want 1 or more", r.Parallel)
	}
	timeout, err := time.ParseDuration(r.Timeout)
	if err != nil || timeout <= 0 {
		return nil, fmt.Errorf("timeout is %q, want a duration such as 90s", r.Timeout)
	}
	r.client = &http.Client{Timeout: timeout}
	return r, nil
}

// Score asks about every completion, and stops at the first that fails.
func (r *remote) Score(ctx context.Context, cs []api.Completion) ([][]float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rewards := make([][]float64, len(cs))
	var wg sync.WaitGroup
	free := make(chan struct{}, r.Parallel)
	for i, c := range cs {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			var err error
			if rewards[i], err = r.judge(ctx, c); err != nil {
				cancel(fmt.Errorf("completion %d: %w", i, err)) // only the first counts
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return rewards, nil
}

// judge asks about one completion, up to four times.
func (r *remote) judge(ctx context.Context, c api.Completion) ([]float64, error) {
	question, err := json.Marshal(map[string]any{"model": r.Model, "temperature": 0, "messages": r.messages(c)})
	if err != nil {
		return nil, err
	}
	pause := r.pause
	for try := 1; ; try++ {
		reply, err := r.ask(ctx, question)
		var again *temporary
		switch {
		case err == nil:
			return r.rewards(reply), nil
		case ctx.Err() != nil || try == 4 || !errors.As(err, &again):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
			pause *= 2
		}
	}
}

func (r *remote) messages(c api.Completion) []api.Message {
	var b strings.Builder
	for _, m := range c.Messages {
		fmt.Fprintf(&b, "%s: %s\n\n", m.Role, m.Content)
	}
	if c.Truth != "" {
		fmt.Fprintf(&b, "The right result is: %s\n\n", c.Truth)
	}
	return []api.Message{{Role: "system", Content: r.Prompt}, {Role: "user", Content: b.String() + "The answer to judge:\n" + c.Text}}
}

// temporary is an error that another try may not meet.
type temporary struct{ error }

// ask sends a question and returns the text of the reply.
func (r *remote) ask(ctx context.Context, question []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", strings.TrimSuffix(r.URL, "/")+"/chat/completions", bytes.NewReader(question))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", &temporary{err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", &temporary{err}
	}
	if resp.StatusCode != http.StatusOK {
		said := strings.TrimSpace(string(text))
		if r.key != "" {
			said = strings.ReplaceAll(said, r.key, "…") // a server may say it back
		}
		err := fmt.Errorf("%s: %s: %.200s", r.URL, resp.Status, said)
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
			return "", &temporary{err}
		}
		return "", err
	}
	var reply struct {
		Choices []struct{ Message api.Message }
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return "", fmt.Errorf("%s: the reply is not JSON: %w", r.URL, err)
	}
	if len(reply.Choices) == 0 {
		return "", fmt.Errorf("%s: the reply has no choices", r.URL)
	}
	return reply.Choices[0].Message.Content, nil
}

var reward = regexp.MustCompile(`Reward:[\s*]*([-+]?(?:\d+\.?\d*|\.\d+))`)

// rewards returns the numbers of a judgement, one for each step.
func (r *remote) rewards(judgement string) []float64 {
	var all []float64
	for _, m := range reward.FindAllStringSubmatch(judgement, -1) {
		if x, err := strconv.ParseFloat(m[1], 64); err == nil {
			all = append(all, x)
		}
	}
	if all == nil {
		if r.log != nil {
			r.log.Warn("the judge gave no reward", "judgement", judgement)
		}
		return []float64{math.NaN()}
	}
	return all
}

func main() {}
