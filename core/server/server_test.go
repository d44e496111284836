package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/server"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// served is a server on loopback with the small random model of
// core/model/testdata, whose tokens are bytes.
type served struct {
	url    string
	client openai.Client
	model  *model.Model
	tok    *tokenizer.Tokenizer
	gen    *generate.Generator
	stop   func() // and wait until it has

	mu     sync.Mutex
	script []int32 // what the model says next, whatever it is asked; empty: as it is
	gate   chan struct{}
	gated  atomic.Bool // every step waits at the gate
}

func serve(t testing.TB, o server.Options, g generate.Options) *served {
	t.Helper()
	dir := filepath.Join("..", "model", "testdata", "qwen2")
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{gate: make(chan struct{})}
	if s.model, err = model.Load(dir, e); err != nil {
		t.Fatal(err)
	}
	s.model.Config.MaxPositions = 4096
	if s.tok, err = tokenizer.Load(dir); err != nil {
		t.Fatal(err)
	}
	s.model.Linears[len(s.model.Linears)-1].Wrap(s.head)
	reg := registry.New(api.Args{}, nil)
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		t.Fatal(err)
	}
	o.Chat = &template.Encoder{Tokenizer: s.tok, Vocab: s.model.Config.VocabSize}
	if o.Chat.Chat, err = template.Find("qwen", true, s.tok); err != nil {
		t.Fatal(err)
	}
	if o.Chat.Tools, err = reg.AgentTemplate("hermes"); err != nil {
		t.Fatal(err)
	}
	plain, err := template.Find("none", true, s.tok)
	if err != nil {
		t.Fatal(err)
	}
	g.Batch = max(g.Batch, 8)
	s.gen = generate.New([]*model.Model{s.model}, s.tok, g)
	o.Plain, o.Tokenizer, o.Generator = &template.Encoder{Chat: plain, Tokenizer: s.tok}, s.tok, s.gen
	o.Sampling.Stop = append(o.Chat.Stop(), o.Sampling.Stop...)
	o.Models = []string{"small"}
	if o.MaxTokens == 0 {
		o.MaxTokens = 64
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.New(o).Serve(ctx, narrow{l}) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	s.url = "http://" + l.Addr().String()
	s.client = openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(o.APIKey), option.WithMaxRetries(0))
	return s
}

// narrow gives connections little memory for what a client does not read.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(1 << 12)
	}
	return conn, err
}

// head is the output projection, as the test wants it.
func (s *served) head(x *api.Var, next api.Forward) *api.Var {
	if s.gated.Load() {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) == 0 {
		return next(x)
	}
	out := tensor.New(tensor.WithShape(x.Shape()[0], s.model.Config.VocabSize), tensor.Of(tensor.Float32))
	for row := range x.Shape()[0] {
		out.Float32s()[row*s.model.Config.VocabSize+int(s.script[0])] = 50
	}
	s.script = s.script[1:]
	return api.Const(out)
}

// say makes the model say text next, and end.
func (s *served) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.tok.Encode(text, false), s.tok.EOS)
}

// post sends a body and returns the status, the body and the headers.
func (s *served) post(t testing.TB, path, body string) (int, string, http.Header) {
	t.Helper()
	r, err := http.Post(s.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text), r.Header
}

func TestModels(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	all, err := s.client.Models.List(context.Background())
	if err != nil || len(all.Data) != 1 || all.Data[0].ID != "small" {
		t.Errorf("%v, %+v", err, all)
	}
	if m, err := s.client.Models.Get(context.Background(), "small"); err != nil || m.ID != "small" {
		t.Errorf("%v, %+v", err, m)
	}
	var e *openai.Error
	if _, err := s.client.Models.Get(context.Background(), "other"); !errors.As(err, &e) || e.StatusCode != 404 || e.Code != "model_not_found" {
		t.Errorf("%v", err)
	}
}

// hold lets steps of the model wait until the function it returns is called.
func (s *served) hold() (release func()) {
	s.gated.Store(true)
	return sync.OnceFunc(func() {
		s.gated.Store(false)
		close(s.gate)
	})
}

// waitFor waits until the generator is as wanted.
func (s *served) waitFor(t *testing.T, ok func(generate.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(s.gen.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s.gen.Stats())
		}
	}
}

// TestBusy fills the places and the queue: what comes then is refused, with the
// time to wait.
func TestBusy(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{Batch: 8, Queue: 2})
	release := s.hold()
	defer release()
	const body = `{"prompt": "x", "n": 8, "max_tokens": 3}`
	statuses := make(chan int, 3)
	for i := range 3 {
		go func() {
			r, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(body))
			if err != nil {
				statuses <- 0
				return
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			statuses <- r.StatusCode
		}()
		s.waitFor(t, func(g generate.Stats) bool { return g.Running == 8 && g.Waiting == i })
	}
	status, text, header := s.post(t, "/v1/completions", body)
	if status != 429 || header.Get("Retry-After") == "" || !strings.Contains(text, "waiting") {
		t.Errorf("%d %s, Retry-After %q", status, text, header.Get("Retry-After"))
	}
	_, metrics := s.get(t, "/metrics")
	for _, line := range []string{"swiftgo_queue_length 2", "swiftgo_running_sequences 8", `swiftgo_requests_total{route="completions",code="429"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %q in the metrics\n%s", line, metrics)
		}
	}
	release()
	for range 3 {
		if status := <-statuses; status != 200 {
			t.Errorf("one that waited got %d", status)
		}
	}
	_, metrics = s.get(t, "/metrics")
	for _, line := range []string{"swiftgo_queue_length 0", "swiftgo_prompt_tokens_total 3", "swiftgo_completion_tokens_total 72", `swiftgo_requests_total{route="completions",code="200"} 3`,
		`swiftgo_request_duration_seconds_count{route="completions"} 4`, `swiftgo_request_duration_seconds_bucket{route="completions",le="+Inf"} 4`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %q in the metrics\n%s", line, metrics)
		}
	}
}

func (s *served) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

func TestKey(t *testing.T) {
	s := serve(t, server.Options{APIKey: "secret"}, generate.Options{})
	if _, err := s.client.Models.List(context.Background()); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"", "Secret", "secret ", "secre", "secrets"} {
		r, err := http.NewRequest("GET", s.url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 401 && key != "secret " { // net/http trims
			t.Errorf("key %q gets %d", key, answer.StatusCode)
		}
	}
	if status, _ := s.get(t, "/metrics"); status != 401 {
		t.Errorf("/metrics without the key: %d", status)
	}
	if status, _ := s.get(t, "/health"); status != 200 {
		t.Errorf("/health: %d", status)
	}
}

// TestShutdown ends the server in the middle of an answer: that one is given
// whole, and no other begins.
func TestShutdown(t *testing.T) {
	s := serve(t, server.Options{}, generate.Options{})
	release := s.hold()
	defer release()
	whole := make(chan string, 1)
	go func() {
		r, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(`{"prompt": "x", "max_tokens": 5, "stream": true}`))
		if err != nil {
			whole <- err.Error()
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		whole <- fmt.Sprint(string(text), err)
	}()
	s.waitFor(t, func(g generate.Stats) bool { return g.Running == 1 })
	ended := make(chan struct{})
	go func() {
		s.stop()
		close(ended)
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server that ends takes in connections")
		}
	}
	select {
	case <-ended:
		t.Fatal("the server has ended in the middle of an answer")
	default:
	}
	release()
	if text := <-whole; !strings.HasSuffix(text, "data: [DONE]\n\n<nil>") || !strings.Contains(text, `"finish_reason":"length"`) {
		t.Errorf("the answer that was going on is %s", text)
	}
	<-ended
}
