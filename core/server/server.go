// Package server answers HTTP requests as OpenAI's API does: chat completions
// and completions, whole or as a stream of server-sent events, with tools, log
// probabilities and several answers; the list of models; /health, and /metrics
// for Prometheus.
//
// Read [Server.chat] first. A request is read and checked (request.go), becomes
// tokens, and waits in a generate.Generator; its answer is written whole or in
// chunks (chat.go, completion.go, stream.go). Whatever a client does, it costs no
// more than its place: bodies, answers and lines are limited, a client that goes
// away or does not read gives its place up.
package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// Options are what a Server serves, and its limits.
type Options struct {
	Models    []string // their names; model i is model i of the Generator
	Generator *generate.Generator
	Chat      *template.Encoder // writes conversations
	Plain     *template.Encoder // writes text alone, as the one message of a user
	Tokenizer *tokenizer.Tokenizer
	Sampling  model.Sampling // where requests say nothing

	APIKey       string        // that requests must have; "" is none
	MaxTokens    int           // longest answer, and what a request without a limit gets; 0 is as long as the model can read
	MaxBody      int64         // bytes of a request; 0 is 4 MiB
	WriteTimeout time.Duration // for a client to take a chunk; 0 is 30 seconds
	Grace        time.Duration // for answers to end in when the server does; 0 is a minute
}

// Server answers requests.
type Server struct {
	Options
	key     [sha256.Size]byte
	began   time.Time
	closing atomic.Bool
	metrics metrics
}

// New returns a server for what o names.
func New(o Options) *Server {
	o.MaxBody = cmp.Or(o.MaxBody, 4<<20)
	o.WriteTimeout, o.Grace = cmp.Or(o.WriteTimeout, 30*time.Second), cmp.Or(o.Grace, time.Minute)
	return &Server{Options: o, key: sha256.Sum256([]byte(o.APIKey)), began: time.Now()}
}

// Handler returns what answers the requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.measured("chat", s.chat))
	mux.HandleFunc("POST /v1/completions", s.measured("completions", s.completions))
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("GET /v1/models/{name...}", s.models)
	mux.HandleFunc("GET /metrics", s.writeMetrics)
	open := http.NewServeMux() // to everybody
	open.HandleFunc("GET /health", s.health)
	open.Handle("/", s.authorised(mux))
	return open
}

// Serve answers what comes to l until ctx ends. Then it takes in no more, waits
// for the answers that are going on, at most Grace, and closes the Generator.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: log.New(quiet{}, "", 0)}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.closing.Store(true)
	grace, cancel := context.WithTimeout(context.Background(), s.Grace)
	defer cancel()
	if err == nil && h.Shutdown(grace) != nil {
		slog.Warn("answers are given up: the time to end in is over", "seconds", s.Grace.Seconds())
	}
	cancel()
	s.Generator.Close(grace)
	h.Close()
	return err
}

// quiet takes what net/http logs: mostly what clients do to their connections.
type quiet struct{}

func (quiet) Write(line []byte) (int, error) {
	slog.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}

// authorised lets through who has the key. The comparison takes the same time
// wherever a wrong key differs.
func (s *Server) authorised(next http.Handler) http.Handler {
	if s.APIKey == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if sum := sha256.Sum256([]byte(key)); subtle.ConstantTimeCompare(sum[:], s.key[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, &apiError{http.StatusUnauthorized, "invalid_api_key", errors.New("the API key is wrong or missing; want the header Authorization: Bearer KEY")})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// measured counts a request and its time, and writes its error.
func (s *Server) measured(route string, f func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began, code := time.Now(), http.StatusOK
		defer func() { s.metrics.count(route, code, time.Since(began)) }()
		err := error(&apiError{http.StatusServiceUnavailable, "server_closing", generate.ErrClosed})
		if !s.closing.Load() {
			r.Body = http.MaxBytesReader(w, r.Body, s.MaxBody)
			err = f(w, r)
		}
		if err == nil {
			return
		}
		code = statusOf(r, err)
		var begun *streamError
		if code != statusGone && !errors.As(err, &begun) {
			s.deadline(w)
			writeError(w, err)
		}
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.closing.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, map[string]string{"status": "ok"})
}

// models lists the models, or shows one.
func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	type object struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	show := func(name string) object { return object{name, "model", s.began.Unix(), "swiftgo"} }
	if name := r.PathValue("name"); name != "" {
		if _, err := s.model(name); err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, show(name))
		return
	}
	var all []object
	for _, name := range s.Models {
		all = append(all, show(name))
	}
	writeJSON(w, map[string]any{"object": "list", "data": all})
}

// model returns the index of the model of a name, that of the first without one.
func (s *Server) model(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if i := slices.Index(s.Models, name); i >= 0 {
		return i, nil
	}
	return 0, &apiError{http.StatusNotFound, "model_not_found", fmt.Errorf("there is no model %q; there is %s", name, strings.Join(s.Models, ", "))}
}

// apiError is an error with its HTTP status and OpenAI's code.
type apiError struct {
	status int
	code   string
	err    error
}

func (e *apiError) Error() string { return e.err.Error() }

func (e *apiError) Unwrap() error { return e.err }

// bad is the error of a request that is wrong.
func bad(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "invalid_request", fmt.Errorf(format, args...)}
}

// statusGone counts requests whose client has gone away, as nginx does.
const statusGone = 499

func statusOf(r *http.Request, err error) int {
	var e *apiError
	switch {
	case r.Context().Err() != nil:
		return statusGone
	case errors.As(err, &e):
		return e.status
	}
	return asAPIError(err).status
}

// asAPIError gives an error of another package its status.
func asAPIError(err error) *apiError {
	var e *apiError
	var large *http.MaxBytesError
	var extension *registry.ExtensionError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &large):
		return &apiError{http.StatusRequestEntityTooLarge, "request_too_large", fmt.Errorf("the request has more than %d bytes", large.Limit)}
	case errors.Is(err, generate.ErrBusy):
		return &apiError{http.StatusTooManyRequests, "rate_limit_exceeded", err}
	case errors.Is(err, generate.ErrClosed):
		return &apiError{http.StatusServiceUnavailable, "server_closing", err}
	case errors.As(err, &extension):
		return &apiError{http.StatusInternalServerError, "extension_failed", err}
	}
	return &apiError{http.StatusInternalServerError, "internal_error", err}
}

// errorBody is an error as OpenAI writes it.
func errorBody(e *apiError) any {
	kind := "invalid_request_error"
	if e.status >= 500 {
		kind = "server_error"
	}
	return map[string]any{"error": map[string]any{"message": e.Error(), "type": kind, "param": nil, "code": e.code}}
}

func writeError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	w.Header().Set("Content-Type", "application/json")
	if e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(errorBody(e)) // whether the client takes it is its own affair
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(v)
}

// newID returns a name that no other thing has.
func newID(prefix string) string {
	var b [12]byte
	rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}
