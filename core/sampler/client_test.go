package sampler

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/core/template"
)

const key = "sk-very-secret-0123456789"

// call is a request as the server sees it.
type call struct {
	Model       string
	N           int
	Temperature float64
	Tools       []any
	Messages    []struct {
		Role       string
		Content    *string
		ToolCalls  []map[string]any `json:"tool_calls"`
		ToolCallID string           `json:"tool_call_id"`
	}
}

func (c *call) question() string { return *c.Messages[len(c.Messages)-1].Content }

// respond answers with texts.
func respond(w http.ResponseWriter, texts ...string) {
	var choices []string
	for i, text := range slices.Backward(texts) { // the index counts, not the order
		content, _ := json.Marshal(text)
		choices = append(choices, fmt.Sprintf(`{"index": %d, "finish_reason": "stop", "message": {"role": "assistant", "content": %s}}`, i, content))
	}
	fmt.Fprintf(w, `{"choices": [%s], "usage": {"completion_tokens": 7}}`, strings.Join(choices, ","))
}

// server serves with f, which is told what is asked.
func server(t *testing.T, f func(w http.ResponseWriter, c *call)) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c call
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || r.Header.Get("Authorization") != "Bearer "+key || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("asked %s with %v, %v", r.URL, r.Header, err)
		}
		f(w, &c)
	}))
	t.Cleanup(s.Close)
	return s
}

func newClient(t *testing.T, address string) *Client {
	t.Helper()
	c, err := NewClient(&Client{BaseURL: address + "/v1", Key: key, Model: "m", Body: map[string]any{"temperature": 0.5}, Concurrency: 4, Timeout: 5 * time.Second, Retries: 6, First: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer collects what the client hands over.
func answer(ctx context.Context, c *Client, qs []Question) ([]Answers, error) {
	out := make([]Answers, len(qs))
	err := c.Answer(ctx, qs, func(i int, a Answers) error {
		if out[i].Answers != nil {
			return fmt.Errorf("question %d is answered twice", i)
		}
		out[i] = a
		return nil
	})
	return out, err
}

func ask(n int, texts ...string) []Question {
	var qs []Question
	for i, text := range texts {
		qs = append(qs, Question{Source: fmt.Sprintf("rows.jsonl:%d", i+1), Row: i, N: n,
			Conversation: &template.Conversation{Messages: []template.Message{{Role: "user", Content: text}}}})
	}
	return qs
}

// TestClient holds that servers with and without n give the same answers.
func TestClient(t *testing.T) {
	for name, most := range map[string]int{"all at once": 100, "two at a time": 2, "one at a time": 1, "one, and n is refused": 0} {
		var mu sync.Mutex
		served := map[string]int{}
		s := server(t, func(w http.ResponseWriter, c *call) {
			if most == 0 && c.N > 1 {
				http.Error(w, `{"error": {"message": "n must be 1"}}`, 400)
				return
			}
			if c.Model != "m" || c.Temperature != 0.5 {
				t.Errorf("%+v", c)
			}
			var texts []string
			mu.Lock()
			for range max(1, min(max(1, most), c.N)) {
				texts = append(texts, fmt.Sprintf("%s %d", c.question(), served[c.question()]))
				served[c.question()]++
			}
			mu.Unlock()
			respond(w, texts...)
		})
		out, err := answer(context.Background(), newClient(t, s.URL), ask(5, "a", "b", "c"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, q := range []string{"a", "b", "c"} {
			var texts []string
			for _, a := range out[i].Answers {
				texts = append(texts, a.Text)
			}
			slices.Sort(texts) // several requests may be served in any order
			want := fmt.Sprintf("[%[1]s 0 %[1]s 1 %[1]s 2 %[1]s 3 %[1]s 4]", q)
			if got := fmt.Sprint(texts); got != want || out[i].Err != nil {
				t.Errorf("%s: %s, %v, want %s", name, got, out[i].Err, want)
			}
		}
	}
}

// TestBrokenServer lets a server fail in every way that passes, and holds that
// every question has exactly its answers in the end, with no more requests at a
// time than there may be.
func TestBrokenServer(t *testing.T) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	var at atomic.Int32
	most := int32(0)
	s := server(t, func(w http.ResponseWriter, c *call) {
		n := at.Add(1)
		time.Sleep(2 * time.Millisecond)
		at.Add(-1) // before the client knows that this one is over
		mu.Lock()
		most = max(most, n)
		how := r.IntN(22)
		mu.Unlock()
		switch how {
		case 0:
			w.Header().Set("Retry-After", "0.01")
			http.Error(w, `{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}`, 429)
		case 1:
			http.Error(w, "<html>bad gateway</html>", 502)
		case 2:
			http.Error(w, "", 500)
		case 3:
			w.Header().Set("Retry-After", time.Now().UTC().Format(http.TimeFormat))
			http.Error(w, "overloaded", 503)
		case 4: // a connection that breaks
			hijacked, _, _ := w.(http.Hijacker).Hijack()
			hijacked.Close()
		case 5: // half of a response
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"choices": [{"message": {"content": "ha`)
		case 6:
			io.WriteString(w, `{"choices": []}`)
		case 7:
			io.WriteString(w, `no JSON`)
		case 8:
			io.WriteString(w, `{"choices": [{"message": null}]}`)
		case 9: // too slow
			time.Sleep(150 * time.Millisecond)
		case 10:
			http.Error(w, `{"detail": "again"}`, 408)
		default:
			respond(w, slices.Repeat([]string{c.question()}, max(1, c.N))...)
		}
	})
	c := newClient(t, s.URL)
	c.Timeout, c.Retries = 100*time.Millisecond, 100
	var texts []string
	for i := range 24 {
		texts = append(texts, fmt.Sprintf("q%d", i))
	}
	out, err := answer(context.Background(), c, ask(3, texts...))
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range out {
		if len(a.Answers) != 3 || a.Err != nil {
			t.Errorf("%s has %d answers, %v", texts[i], len(a.Answers), a.Err)
		}
		for _, x := range a.Answers {
			if x.Text != texts[i] {
				t.Errorf("%s is answered %q", texts[i], x.Text)
			}
		}
	}
	if most != 4 {
		t.Errorf("%d requests at a time, want 4 at most, and so many", most)
	}
}

// TestRefusals holds which errors end the run and which the question, that both
// say what to do, and that the key is in none of them.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		ends   bool
		tries  int // of the question "bad"
		want   string
	}{
		{401, `{"error": {"message": "Incorrect API key provided: ` + key + `"}}`, true, 1, "401 Unauthorized: Incorrect API key provided: ***; the key is read from OPENAI_API_KEY"},
		{404, `{"error": "no such model"}`, true, 1, "404 Not Found: no such model; want --base_url"},
		{301, ``, true, 1, "it sends elsewhere, to /v2"},
		{429, `{"error": {"message": "pay first", "code": "insufficient_quota"}}`, true, 1, "pay first"},
		{429, `{"error": {"message": "slow down"}}`, true, 3, "slow down; it was tried 3 times (--max_retries)"},
		{503, `down`, true, 3, "503 Service Unavailable: down; it was tried 3 times"},
		{400, `{"error": {"message": "too many tokens"}}`, false, 2, "400 Bad Request: too many tokens"}, // it could have been n
		{200, `{"choices": [{"finish_reason": "length", "message": {"content": "", "reasoning_content": "hm"}}]}`, false, 2, "raise --max_new_tokens"},
		{200, `{"choices": [{"message": {"content": null, "tool_calls": [{"id": "x"}]}}]}`, false, 2, "calls a tool instead of answering"},
	} {
		var tries atomic.Int32
		s := server(t, func(w http.ResponseWriter, c *call) {
			if c.question() != "bad" {
				respond(w, "x", "y")
				return
			}
			tries.Add(1)
			w.Header().Set("Location", "/v2")
			w.WriteHeader(test.status)
			io.WriteString(w, test.body)
		})
		c := newClient(t, s.URL)
		c.Retries = 2
		out, err := answer(context.Background(), c, ask(2, "bad"))
		if test.ends != (err != nil) || int(tries.Load()) != test.tries {
			t.Errorf("%d %s: %v, %d tries", test.status, test.body, err, tries.Load())
		}
		if err == nil {
			err = out[0].Err
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), key) {
			t.Errorf("%d %s: %v, want %q", test.status, test.body, err, test.want)
		}
	}
	c := newClient(t, "http://127.0.0.1:1")
	c.Retries = 1
	if _, err := answer(context.Background(), c, ask(1, "a")); err == nil || !strings.Contains(err.Error(), "rows.jsonl:1: the server cannot be asked") {
		t.Errorf("no server: %v", err)
	}
}

// TestRetryAfter holds that the server's wish is heeded, in both forms.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "0.5": time.Second / 2, "-1": 0, "soon": 0, "NaN": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	var first time.Time
	var waited time.Duration
	s := server(t, func(w http.ResponseWriter, c *call) {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "0.3")
			http.Error(w, "", 429)
			return
		}
		waited = time.Since(first)
		respond(w, "x")
	})
	if _, err := answer(context.Background(), newClient(t, s.URL), ask(1, "a")); err != nil || waited < 300*time.Millisecond {
		t.Errorf("%v, waited %v", err, waited)
	}
	c := &Client{First: time.Second}
	for try := range 100 {
		most := min(time.Second<<min(try, 20), longest)
		if got := c.backOff(try); got < most/2 || got > most {
			t.Errorf("try %d waits %v, want %v to %v", try, got, most/2, most)
		}
	}
}

// TestInterrupt holds that the end of the context ends the waiting.
func TestInterrupt(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, c *call) {
		w.Header().Set("Retry-After", "3600")
		http.Error(w, "", 429)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := answer(ctx, newClient(t, s.URL), ask(2, "a", "b", "c", "d", "e")); err == nil {
		t.Error("no error")
	}
}

func TestDistill(t *testing.T) {
	for body, want := range map[string]string{
		`{"content": "4", "reasoning_content": "2+2"}`: "<think>2+2</think>\n\n4",
		`{"content": "4", "reasoning": "2+2"}`:         "<think>2+2</think>\n\n4",
		`{"content": "4", "reasoning_content": null}`:  "4",
		`{"content": "4"}`:                             "4",
	} {
		for _, distill := range []bool{true, false} {
			if !distill {
				want = "4"
			}
			got, err := answers([]byte(`{"choices": [{"message": `+body+`}]}`), distill)
			if err != nil || got[0].Text != want {
				t.Errorf("%s: %v, %v, want %q", body, got, err, want)
			}
		}
	}
}

// TestTools holds that a conversation with tools reaches the server as OpenAI
// writes it.
func TestTools(t *testing.T) {
	var seen call
	s := server(t, func(w http.ResponseWriter, c *call) { seen = *c; respond(w, "x") })
	q := ask(1, "")
	q[0].Conversation = &template.Conversation{
		Tools: []api.Tool{{Name: "f", JSON: json.RawMessage(`{"type": "function", "function": {"name": "f"}}`)}},
		Messages: []template.Message{{Role: "user", Content: "q"}, {Role: "assistant", Content: "let me see"}, {Role: "tool_call", Content: `{"name": "f", "arguments": {"a": 1}}`},
			{Role: "tool_call", Content: `{"name": "f", "arguments": {"a": 2}}`}, {Role: "tool", Content: "r1"}, {Role: "tool", Content: "r2"}},
	}
	if _, err := answer(context.Background(), newClient(t, s.URL), q); err != nil {
		t.Fatal(err)
	}
	m := seen.Messages
	if len(m) != 4 || len(m[1].ToolCalls) != 2 || *m[1].Content != "let me see" || m[2].ToolCallID != m[1].ToolCalls[0]["id"] || m[3].ToolCallID != m[1].ToolCalls[1]["id"] || len(seen.Tools) != 1 {
		t.Errorf("%+v", seen)
	}
}

func TestClientSettings(t *testing.T) {
	for address, want := range map[string]string{"": "--base_url is missing", "ftp://x": "no address", "http://user:pw@host/v1": "OPENAI_API_KEY", "://": "no address"} {
		_, err := NewClient(&Client{BaseURL: address, Model: "m", Concurrency: 1, Timeout: 1})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pw@") {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}
