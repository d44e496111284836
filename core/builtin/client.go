package builtin

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
	"unicode"

	"swiftgo/api"
)

// client is a process reward model that has a large language model judge answers,
// over HTTP: any server that speaks the protocol of OpenAI's chat completions.
type client struct {
	URL      string `json:"url"` // up to and with /v1
	Model    string `json:"model"`
	System   string `json:"system"`   // what the judge is told first
	Prompt   string `json:"prompt"`   // then; #query#, #ground_truth# and #response# are replaced
	KeyEnv   string `json:"key_env"`  // the environment variable that has the key
	Parallel int    `json:"parallel"` // questions at a time
	Retries  int    `json:"retries"`  // further tries of a question
	Timeout  string `json:"timeout"`  // of one try, such as 90s

	name  string
	key   string // never logged, and in no error
	http  *http.Client
	log   *slog.Logger
	pause time.Duration // before the second try; it doubles
}

const (
	judgeSystem = `You judge answers, as a process reward model does. Go through the answer step by step and say what is right and what is wrong. An answer may be unfinished: then judge what is there, by how right, coherent and clear it is. A reference is given; it is an example, and need not be the only good answer. End with one line "**Reward: x**", x a number from -1.0 (worst) to 1.0 (best).`
	judgePrompt = "The conversation so far:\n\n#query#\n\nThe reference:\n\n#ground_truth#\n\nThe answer to judge, from -1.0 to 1.0:\n\n#response#\n"
)

// newClient makes the PRMs client and qwen_max, which differ in the model.
func newClient(model string) func(*api.Args) (api.PRM, error) {
	return func(args *api.Args) (api.PRM, error) {
		c := &client{
			URL: "https://dashscope.aliyuncs.com/compatible-mode/v1", Model: model, System: judgeSystem, Prompt: judgePrompt,
			KeyEnv: "DASHSCOPE_API_KEY", Parallel: 8, Retries: 4, Timeout: "2m",
			name: args.Name, log: args.Log, pause: time.Second,
		}
		if err := args.Decode(c); err != nil {
			return nil, err
		}
		if c.Parallel < 1 || c.Retries < 0 {
			return nil, fmt.Errorf("parallel is %d and retries %d, want 1 or more and 0 or more", c.Parallel, c.Retries)
		}
		timeout, err := time.ParseDuration(c.Timeout)
		if err != nil || timeout <= 0 {
			return nil, fmt.Errorf("timeout is %q, want a duration such as 90s", c.Timeout)
		}
		if !strings.Contains(c.Prompt, "#response#") {
			return nil, errors.New("prompt has no #response#, want it where the answer to judge goes")
		}
		if _, err := c.request(context.Background(), nil); err != nil {
			return nil, fmt.Errorf("url is %q, want one such as http://127.0.0.1:8000/v1", c.URL)
		}
		c.key = strings.TrimSpace(os.Getenv(c.KeyEnv))
		c.http = &http.Client{Timeout: timeout}
		return c, nil
	}
}

// Score asks about every completion, and stops at the first that fails.
func (c *client) Score(ctx context.Context, cs []api.Completion) ([][]float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rewards := make([][]float64, len(cs))
	var wg sync.WaitGroup
	free := make(chan struct{}, c.Parallel)
	for i := range cs {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			reply, err := c.judge(ctx, cs[i])
			if err != nil {
				cancel(fmt.Errorf("completion %d: %w", i, err)) // only the first counts
				return
			}
			rewards[i] = []float64{c.reward(i, reply)}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return rewards, nil
}

// judge asks about one completion until there is an answer, or no more tries.
func (c *client) judge(ctx context.Context, completion api.Completion) (string, error) {
	question, err := json.Marshal(map[string]any{"model": c.Model, "messages": c.messages(completion)})
	if err != nil {
		return "", err
	}
	pause := c.pause
	for try := 0; ; try++ {
		reply, err := c.ask(ctx, question)
		var again *passing
		switch {
		case err == nil:
			return reply, nil
		case ctx.Err() != nil || try == c.Retries || !errors.As(err, &again):
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// messages is the question about a completion. The conversation is in it as JSON,
// without the system message.
func (c *client) messages(completion api.Completion) []api.Message {
	previous := completion.Messages
	if len(previous) > 0 && previous[0].Role == "system" {
		previous = previous[1:]
	}
	var query bytes.Buffer
	e := json.NewEncoder(&query)
	e.SetEscapeHTML(false)
	e.Encode(previous) // of strings: it cannot fail
	text := strings.NewReplacer("#query#", strings.TrimSpace(query.String()), "#ground_truth#", completion.Truth, "#response#", completion.Text).Replace(c.Prompt)
	return []api.Message{{Role: "system", Content: c.System}, {Role: "user", Content: text}}
}

// passing is an error that another try may not meet.
type passing struct{ error }

// ask sends a question and returns the text of the reply.
func (c *client) ask(ctx context.Context, question []byte) (string, error) {
	req, err := c.request(ctx, question)
	if err != nil {
		return "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", &passing{err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", &passing{err}
	}
	if resp.StatusCode != http.StatusOK {
		said := strings.TrimSpace(string(text))
		if c.key != "" {
			said = strings.ReplaceAll(said, c.key, "…") // a server may say it back
		}
		err := fmt.Errorf("%s: %s: %.200s", c.URL, resp.Status, said)
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
			return "", &passing{err}
		}
		if resp.StatusCode == http.StatusUnauthorized {
			return "", fmt.Errorf("%w; the key is taken from the environment variable %s", err, c.KeyEnv)
		}
		return "", err
	}
	var reply struct {
		Choices []struct{ Message api.Message }
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return "", fmt.Errorf("%s: the reply is not JSON: %w", c.URL, err)
	}
	if len(reply.Choices) == 0 {
		return "", fmt.Errorf("%s: the reply has no choices", c.URL)
	}
	return reply.Choices[0].Message.Content, nil
}

func (c *client) request(ctx context.Context, question []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", strings.TrimSuffix(c.URL, "/")+"/chat/completions", bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	if req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return nil, errors.New("no host")
	}
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

// reward reads the reward that a judge gave completion i. It is 0 if there is none
// to be read, as in ms-swift, and NaN, no opinion, where it is not finite.
func (c *client) reward(i int, reply string) float64 {
	x, ok := judgedReward(reply)
	if !ok && c.log != nil {
		c.log.Warn("the judge gave no reward that can be read, which counts as 0", "prm", c.name, "completion", i, "reply", reply)
	}
	if math.IsInf(x, 0) || math.IsNaN(x) {
		if c.log != nil {
			c.log.Warn("the reward that the judge gave is not finite, and does not count", "prm", c.name, "completion", i, "reply", reply)
		}
		return math.NaN()
	}
	return x
}

// judgedReward returns the number after the first "Reward:" of a reply. Stars around
// it do not count; if there is anything else before the next "Reward:" it is none.
func judgedReward(reply string) (float64, bool) {
	_, after, ok := strings.Cut(reply, "Reward:")
	if !ok {
		return 0, false
	}
	text, _, _ := strings.Cut(after, "Reward:")
	return pythonFloat(strings.ReplaceAll(strings.TrimFunc(text, isPythonSpace), "*", ""))
}

// pythonFloat reads a number as Python's float does: digits of any script, _ between
// digits, and inf and nan.
func pythonFloat(s string) (float64, bool) {
	s = strings.Map(func(r rune) rune {
		if d, ok := digit(r); ok {
			return '0' + d
		}
		return r
	}, strings.TrimFunc(s, isPythonSpace))
	if !floatSyntax.MatchString(s) {
		return 0, false
	}
	x, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return x, err == nil || errors.Is(err, strconv.ErrRange) // too large is infinite
}

var floatSyntax = regexp.MustCompile(`(?i)^[+-]?(?:(?:\d(?:_?\d)*(?:\.(?:\d(?:_?\d)*)?)?|\.\d(?:_?\d)*)(?:e[+-]?\d(?:_?\d)*)?|inf|infinity|nan)$`)

// digit returns the value of a decimal digit of any script.
func digit(r rune) (rune, bool) {
	for _, t := range unicode.Nd.R16 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10, true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10, true
		}
	}
	return 0, false
}
