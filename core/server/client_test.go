package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"swiftgo/core/generate"
	"swiftgo/core/server"
)

// TestHostile sends what is wrong; each gets a clear 4xx, and the server goes on.
func TestHostile(t *testing.T) {
	s := serve(t, server.Options{MaxBody: 1 << 16}, generate.Options{})
	const user = `"messages": [{"role": "user", "content": "x"}]`
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"chat/completions", ``, 400, "no JSON"},
		{"chat/completions", `{`, 400, "no JSON"},
		{"chat/completions", `[]`, 400, "no JSON"},
		{"chat/completions", `{"messages": "x"}`, 400, "messages is"},
		{"chat/completions", `{}`, 400, "messages is missing"},
		{"chat/completions", `{"messages": []}`, 400, "messages is []"},
		{"chat/completions", `{"messages": [null]}`, 400, "messages"},
		{"chat/completions", `{"messages": [{"role": "king", "content": "x"}]}`, 400, "king"},
		{"chat/completions", `{"messages": [{"role": "user"}]}`, 400, "content"},
		{"chat/completions", `{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}`, 400, "image_url"},
		{"chat/completions", `{"messages": [{"role": "tool", "content": "x"}]}`, 400, "tool"},
		{"chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}", 400, "not UTF-8"},
		{"chat/completions", `{"model": "gpt", ` + user + `}`, 404, `no model \"gpt\"; there is small`},
		{"chat/completions", `{"temperature": -1, ` + user + `}`, 400, "temperature is -1"},
		{"chat/completions", `{"temperature": "hot", ` + user + `}`, 400, "temperature"},
		{"chat/completions", `{"temperature": 1e999, ` + user + `}`, 400, "temperature"},
		{"chat/completions", `{"top_p": 1.5, ` + user + `}`, 400, "top_p is 1.5"},
		{"chat/completions", `{"max_tokens": 0, ` + user + `}`, 400, "max_tokens is 0"},
		{"chat/completions", `{"max_tokens": 65, ` + user + `}`, 400, "max_tokens is 65, want a number from 1 to 64"},
		{"chat/completions", `{"n": 0, ` + user + `}`, 400, "n is 0"},
		{"chat/completions", `{"n": 1000000, ` + user + `}`, 400, "1000000 answers"},
		{"chat/completions", `{"stop": [""], ` + user + `}`, 400, "empty"},
		{"chat/completions", `{"stop": {"a": 1}, ` + user + `}`, 400, "no JSON as wanted"},
		{"chat/completions", `{"stop": ["` + strings.Repeat(`a","`, 20) + `"], ` + user + `}`, 400, "stop has 21"},
		{"chat/completions", `{"top_logprobs": 3, ` + user + `}`, 400, "top_logprobs"},
		{"chat/completions", `{"logprobs": true, "top_logprobs": 21, ` + user + `}`, 400, "top_logprobs is 21"},
		{"chat/completions", `{"frequency_penalty": 1, ` + user + `}`, 400, "not supported"},
		{"chat/completions", `{"response_format": {"type": "json_object"}, ` + user + `}`, 400, "json_object is not supported"},
		{"chat/completions", `{"tools": 5, ` + user + `}`, 400, "tools"},
		{"chat/completions", `{"tools": [{"type": "function"}], ` + user + `}`, 400, "tools[0]"},
		{"chat/completions", `{"tools": [{"name": "f"}], "tool_choice": "required", ` + user + `}`, 400, "tool_choice"},
		{"chat/completions", `{"messages": [{"role": "user", "content": "` + strings.Repeat("long ", 1000) + `"}]}`, 400, "reads at most 4096"},
		{"chat/completions", `{"messages": [{"role": "user", "content": "` + strings.Repeat("long ", 1<<14) + `"}]}`, 413, "more than 65536 bytes"},
		{"completions", `{"prompt": 5}`, 400, "prompt is 5"},
		{"completions", `{}`, 400, "prompt is missing"},
		{"completions", `{"prompt": []}`, 400, "prompt is []"},
		{"completions", `{"prompt": ""}`, 400, "empty"},
		{"completions", `{"prompt": [99999]}`, 400, "vocabulary"},
		{"completions", `{"prompt": [-1]}`, 400, "vocabulary"},
		{"completions", `{"prompt": "x", "logprobs": 50}`, 400, "logprobs is 50"},
		{"completions", `{"prompt": "x", "echo": true}`, 400, "not supported"},
		{"completions", `{"prompt": [` + strings.Repeat(`"x",`, 64) + `"x"]}`, 400, "65 prompts"},
		{"nothing", `{}`, 404, ""},
	} {
		status, body, header := s.post(t, "/v1/"+c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%.80s: %d %s, want %d with %q", c.body, status, body, c.status, c.want)
		}
		if status == 400 {
			var e struct {
				Error struct{ Message, Type string }
			}
			if json.Unmarshal([]byte(body), &e) != nil || e.Error.Type != "invalid_request_error" || header.Get("Content-Type") != "application/json" {
				t.Errorf("%.80s: the error is %s", c.body, body)
			}
		}
	}
	if r, err := http.Get(s.url + "/v1/chat/completions"); err != nil || r.StatusCode != 405 {
		t.Errorf("GET: %v", err)
	}
	if status, body, _ := s.post(t, "/v1/chat/completions", `{`+user+`, "max_tokens": 2}`); status != 200 {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

// FuzzRequest sends anything: no request is the server's fault.
func FuzzRequest(f *testing.F) {
	s := serve(f, server.Options{MaxTokens: 2}, generate.Options{})
	for _, body := range []string{`{"messages": [{"role": "user", "content": "x"}], "stream": true}`, `{"prompt": ["a", "b"], "n": 2, "logprobs": 1}`,
		`{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "y"}], "tools": [{"type": "function", "function": {"name": "f"}}]}`,
		`{"prompt": [[1, 2], [3]], "stop": "a", "temperature": 1e300, "top_p": 0.1, "min_p": 1, "repetition_penalty": 1e-300, "seed": -1}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			if status, text, _ := s.post(t, path, body); status >= 500 {
				t.Errorf("%s %s: %d %s", path, body, status, text)
			}
		}
	})
}

// warm answers one request, which starts what stays, and returns the number of
// goroutines after it.
func (s *served) warm(t *testing.T) int {
	t.Helper()
	if status, text, _ := s.post(t, "/v1/completions", `{"prompt": "x", "max_tokens": 1}`); status != 200 {
		t.Fatal(status, text)
	}
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond) // the connection's own take a moment to go
	return runtime.NumGoroutine()
}

// settled waits until nothing runs and the goroutines are as many as before.
func (s *served) settled(t *testing.T, before int) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stats, now := s.gen.Stats(), runtime.NumGoroutine()
		if stats.Running == 0 && stats.Waiting == 0 && now <= before {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%+v and %d goroutines, %d before\n%s", stats, now, before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestDisconnect has clients leave in the middle of streams, of answers and of
// requests: their places are free, and no goroutine stays.
func TestDisconnect(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 3000}, generate.Options{Batch: 16})
	before := s.warm(t)
	for _, c := range []struct {
		body string
		read int // bytes of the answer
	}{
		{`{"prompt": "x", "stream": true, "ignored": 1}`, 300}, {`{"prompt": ["x", "y", "z"], "stream": true}`, 700}, {`{"prompt": "x"}`, 0}, {`{"prompt": "x", "n": 8}`, 0}, {`{"prompt": "x`, 0},
	} {
		for range 4 {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			length := len(c.body)
			if !json.Valid([]byte(c.body)) {
				length += 10 // that never come
			}
			fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", length, c.body)
			if c.read > 0 {
				if _, err := io.CopyN(io.Discard, conn, int64(c.read)); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close()
		}
	}
	s.settled(t, before)
}

// TestSlowReader has a client read nothing of a long stream: it is cut off, and
// its place given to others.
func TestSlowReader(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 4000, WriteTimeout: 200 * time.Millisecond}, generate.Options{Batch: 16})
	before := s.warm(t)
	s.script = slices.Repeat(s.tok.Encode("a", false), 4096) // else it may end early
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(1 << 12)
	body := `{"prompt": "x", "n": 8, "logprobs": 20, "stream": true, "temperature": 1}`
	fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	s.waitFor(t, func(g generate.Stats) bool { return g.Running > 0 })
	s.settled(t, before)
	if text, _ := io.ReadAll(conn); bytes.Contains(text, []byte("[DONE]")) {
		t.Errorf("all of an answer of %d bytes was taken", len(text))
	}
	_, metrics := s.get(t, "/metrics")
	if line := `swiftgo_requests_total{route="completions",code="499"} 1`; !strings.Contains(metrics, line) {
		t.Errorf("no %q in the metrics\n%s", line, metrics)
	}
}

// TestSoak has 64 clients stream at the same time, some of whom leave early.
func TestSoak(t *testing.T) {
	s := serve(t, server.Options{MaxTokens: 200}, generate.Options{Batch: 32})
	before := s.warm(t)
	const clients, requests = 64, 4
	var all sync.WaitGroup
	var whole atomic.Int64
	for i := range clients {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for k := range requests {
				body := fmt.Sprintf(`{"messages": [{"role": "user", "content": "client %d, request %d"}], "stream": true, "max_tokens": %d, "temperature": 1, "n": %d}`, i, k, 1+(i*7+k)%40, 1+k%3)
				r, err := client.Post(s.url+"/v1/chat/completions", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				lines := bufio.NewScanner(r.Body)
				last := ""
				for n := 0; lines.Scan(); n++ {
					if lines.Text() != "" {
						last = lines.Text()
					}
					if (i+k)%9 == 0 && n == 3 { // leaves
						break
					}
				}
				r.Body.Close()
				if last == "data: [DONE]" {
					whole.Add(1)
				} else if (i+k)%9 != 0 {
					t.Errorf("client %d, request %d: %d, the stream ends with %s", i, k, r.StatusCode, last)
				}
			}
		})
	}
	all.Wait()
	if n := whole.Load(); n < clients*requests*8/9-5 {
		t.Errorf("%d whole answers", n)
	}
	s.settled(t, before)
}
