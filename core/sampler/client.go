package sampler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Client is an Engine that asks a server which speaks OpenAI's protocol of chat
// completions. What a busy or broken server does not answer it asks again, each
// time after about twice as long.
type Client struct {
	BaseURL     string         // what /chat/completions is added to
	Key         string         // "" sends none
	Model       string         // as the server calls it
	Body        map[string]any // what else a request says, such as temperature
	Distill     bool           // put the server's reasoning before the answer, as a thought
	Concurrency int            // requests at a time
	Timeout     time.Duration  // of one request
	Retries     int            // of one request, after the first try
	First       time.Duration  // about how long to wait before the first of them; 0 is half a second

	http   *http.Client
	slots  chan bool
	single atomic.Bool // whether the server gives one answer a request, whatever it is asked for
}

// NewClient checks the settings of c.
func NewClient(c *Client) (*Client, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case c.BaseURL == "":
		return nil, errors.New("--base_url is missing; want the address of an OpenAI-compatible server, such as http://localhost:8000/v1, there or in OPENAI_BASE_URL")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("--base_url is no address; want one such as http://localhost:8000/v1")
	case u.User != nil:
		return nil, errors.New("--base_url holds a user or password; want the key in OPENAI_API_KEY")
	case c.Model == "":
		return nil, errors.New("--model is missing; want the name that the server knows the model by")
	case c.Concurrency < 1 || c.Retries < 0 || c.Timeout <= 0:
		return nil, fmt.Errorf("--max_concurrency is %d, --max_retries %d and --request_timeout %v; want 1 or more, 0 or more, and more than 0", c.Concurrency, c.Retries, c.Timeout)
	}
	if c.First == 0 {
		c.First = time.Second / 2
	}
	c.Key = strings.TrimSpace(c.Key)
	c.slots = make(chan bool, c.Concurrency)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = c.Concurrency
	// The key is for this server and no other that it may point to.
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Answer asks all questions at once, as far as Concurrency lets it. An error that
// every request would meet, such as a key that is refused, ends the run, as does
// a server that does not come back.
func (c *Client) Answer(ctx context.Context, qs []Question, got func(i int, a Answers) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var one sync.Mutex
	for i, q := range qs {
		wg.Go(func() {
			answers, err := c.ask(ctx, &q)
			if err != nil && !ofRow(err) {
				cancel(fmt.Errorf("%s: %w", q.Source, err)) // the first one counts
				return
			}
			one.Lock()
			defer one.Unlock()
			if err := got(i, Answers{answers, err}); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// ask collects the answers to one question: all with one request, or as many as
// the server gives, and the rest with more requests.
func (c *Client) ask(ctx context.Context, q *Question) ([]Answer, error) {
	messages, tools, err := openAI(q.Conversation)
	if err != nil {
		return nil, &refusal{text: err.Error(), row: true}
	}
	if !c.single.Load() && q.N > 1 {
		got, err := c.request(ctx, messages, tools, q.N)
		switch {
		case err == nil && len(got) >= q.N:
			return got[:q.N], nil
		case err == nil:
			if len(got) == 1 {
				c.oneByOne(q.N)
			}
			more, err := c.each(ctx, messages, tools, q.N-len(got))
			return append(got, more...), err
		case !ofRow(err):
			return nil, err
		}
		// It may be the number that is refused, or the question.
		got, err = c.request(ctx, messages, tools, 1)
		if err != nil {
			return nil, err
		}
		c.oneByOne(q.N)
		more, err := c.each(ctx, messages, tools, q.N-1)
		return append(got[:1], more...), err
	}
	return c.each(ctx, messages, tools, q.N)
}

func (c *Client) oneByOne(n int) {
	if !c.single.Swap(true) {
		slog.Info("the server gives one answer at a time, and is asked for each", "wanted", n)
	}
}

// each asks n times for one answer. The answers that there are come back in the
// order of the requests, beside the first error.
func (c *Client) each(ctx context.Context, messages, tools any, n int) ([]Answer, error) {
	got, errs := make([][]Answer, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { got[i], errs[i] = c.request(ctx, messages, tools, 1) })
	}
	wg.Wait()
	var all []Answer
	var failed error
	for i := range n {
		switch err := errs[i]; {
		case err == nil:
			all = append(all, got[i][0])
		case failed == nil, ofRow(failed) && !ofRow(err): // what ends the run counts
			failed = err
		}
	}
	return all, failed
}

// request asks for n answers until it has some, or an error that will not pass.
func (c *Client) request(ctx context.Context, messages, tools any, n int) ([]Answer, error) {
	select {
	case c.slots <- true:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	body := map[string]any{}
	for name, v := range c.Body {
		body[name] = v
	}
	body["model"], body["messages"] = c.Model, messages
	if tools != nil {
		body["tools"] = tools
	}
	if n > 1 {
		body["n"] = n
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		got, wait, err := c.try(ctx, text)
		if err == nil {
			return got, nil
		}
		var refused *refusal
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.As(err, &refused) && !refused.passing {
			return nil, err
		}
		if try == c.Retries {
			return nil, fmt.Errorf("%w; it was tried %d times (--max_retries)", err, try+1)
		}
		wait = max(wait, c.backOff(try))
		slog.Debug("asking the server again", "error", err, "after", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// longest is the longest wait that is not the server's wish.
const longest = time.Minute

// backOff is the wait after the try of that number, from 0: twice as long each
// time, and up to half of it less at random, so that many clients do not come
// back together.
func (c *Client) backOff(try int) time.Duration {
	wait := min(c.First<<min(try, 20), longest)
	return wait/2 + rand.N(wait/2+1)
}

// refusal is an answer of the server that is none.
type refusal struct {
	status  int // of HTTP, 0 if there is none
	text    string
	passing bool // whether it may be over when asked again
	row     bool // whether it is about the question, whatever the status
}

func (r *refusal) Error() string {
	if r.status == 0 {
		return r.text
	}
	return fmt.Sprintf("the server says %d %s: %s", r.status, http.StatusText(r.status), r.text)
}

// ofRow reports whether an error is about one question, and not about all of
// them.
func ofRow(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return r.row
}

// most is how much is read of one response.
const most = 1 << 28

// try sends one request. wait is how long the server wants to be left alone.
func (c *Client) try(ctx context.Context, body []byte) (got []Answer, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	address := strings.TrimSuffix(c.BaseURL, "/") + "/chat/completions"
	if base, query, ok := strings.Cut(c.BaseURL, "?"); ok {
		address = strings.TrimSuffix(base, "/") + "/chat/completions?" + query
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, &refusal{text: c.hidden(c.reason(ctx, err)), passing: true}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return nil, 0, &refusal{text: "the response is cut off: " + c.hidden(c.reason(ctx, err)), passing: true}
	}
	if res.StatusCode != http.StatusOK {
		return nil, retryAfter(res.Header.Get("Retry-After"), time.Now()), c.refused(res, text)
	}
	got, err = answers(text, c.Distill)
	var refused *refusal
	if errors.As(err, &refused) {
		refused.text = c.hidden(refused.text)
	}
	return got, 0, err
}

// reason says what was wrong with a request that had no response.
func (c *Client) reason(ctx context.Context, err error) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Sprintf("the server has not answered within %v (--request_timeout)", c.Timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Sprintf("the server cannot be asked: %v", err)
}

// refused reads a response that is no success.
func (c *Client) refused(res *http.Response, text []byte) *refusal {
	r := &refusal{status: res.StatusCode}
	message, code := errorOf(text)
	r.text = c.hidden(message)
	switch s := res.StatusCode; {
	case s == http.StatusTooManyRequests:
		r.passing = code != "insufficient_quota"
	case s == http.StatusRequestTimeout, s == http.StatusConflict, s == http.StatusTooEarly, s >= 500 && s != http.StatusNotImplemented:
		r.passing = true
	case s >= 300 && s < 400:
		r.text = "it sends elsewhere, to " + c.hidden(res.Header.Get("Location")) + "; give that as --base_url if it is right"
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		r.text += "; the key is read from OPENAI_API_KEY"
	case s == http.StatusNotFound:
		r.text += "; want --base_url up to and with /v1, and a --model that the server has"
	}
	return r
}

// hidden takes the key out of a text, and all but its beginning out of a long
// one.
func (c *Client) hidden(text string) string {
	if c.Key != "" {
		text = strings.ReplaceAll(text, c.Key, "***")
	}
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300]) + "…"
	}
	return text
}

// retryAfter reads the header, in seconds or as a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 86400 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), 24*time.Hour))
	}
	return 0
}
