package server

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// bounds are the upper ends of the buckets of the histogram of request times, in
// seconds.
var bounds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// metrics counts requests.
type metrics struct {
	mu       sync.Mutex
	requests map[requestKey]int
	times    map[string]*histogram // by route
}

type requestKey struct {
	route string
	code  int
}

type histogram struct {
	counts [15]int // of each bucket alone; the last is above all bounds
	sum    float64
}

func (m *metrics) count(route string, code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests, m.times = map[requestKey]int{}, map[string]*histogram{}
	}
	m.requests[requestKey{route, code}]++
	h := m.times[route]
	if h == nil {
		h = &histogram{}
		m.times[route] = h
	}
	i, _ := slices.BinarySearch(bounds, took.Seconds())
	h.counts[i]++
	h.sum += took.Seconds()
}

// writeMetrics writes the numbers in Prometheus' text format.
func (s *Server) writeMetrics(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	one := func(name, kind, help string, value any) {
		fmt.Fprintf(&b, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n%[1]s %[4]v\n", name, help, kind, value)
	}
	g := s.Generator.Stats()
	one("swiftgo_prompt_tokens_total", "counter", "Tokens of prompts read.", g.PromptTokens)
	one("swiftgo_completion_tokens_total", "counter", "Tokens of answers.", g.CompletionTokens)
	one("swiftgo_queue_length", "gauge", "Prompts that wait for a place.", g.Waiting)
	one("swiftgo_running_sequences", "gauge", "Sequences that are being continued.", g.Running)
	s.metrics.write(&b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(b.Bytes())
}

func (m *metrics) write(b *bytes.Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprint(b, "# HELP swiftgo_requests_total Requests by route and HTTP status; 499 is a client that went away.\n# TYPE swiftgo_requests_total counter\n")
	keys := slices.SortedFunc(maps.Keys(m.requests), func(x, y requestKey) int {
		return cmp.Or(cmp.Compare(x.route, y.route), cmp.Compare(x.code, y.code))
	})
	for _, k := range keys {
		fmt.Fprintf(b, "swiftgo_requests_total{route=%q,code=\"%d\"} %d\n", k.route, k.code, m.requests[k])
	}
	const name = "swiftgo_request_duration_seconds"
	fmt.Fprintf(b, "# HELP %[1]s Time from a request to the end of its answer.\n# TYPE %[1]s histogram\n", name)
	for _, route := range slices.Sorted(maps.Keys(m.times)) {
		h, below := m.times[route], 0
		for i, bound := range bounds {
			below += h.counts[i]
			fmt.Fprintf(b, "%s_bucket{route=%q,le=\"%g\"} %d\n", name, route, bound, below)
		}
		below += h.counts[len(bounds)]
		fmt.Fprintf(b, "%[1]s_bucket{route=%[2]q,le=\"+Inf\"} %[3]d\n%[1]s_sum{route=%[2]q} %[4]g\n%[1]s_count{route=%[2]q} %[3]d\n", name, route, below, h.sum)
	}
}
