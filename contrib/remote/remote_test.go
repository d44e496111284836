package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// judge is a server that answers each question with what reply makes of it.
func judge(t *testing.T, reply func(question string) (status int, text string)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Model    string
			Messages []api.Message
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil || req.URL.Path != "/v1/chat/completions" {
			t.Errorf("%s %s: %v", req.Method, req.URL.Path, err)
			return
		}
		status, text := reply(req.Header.Get("Authorization") + "|" + body.Model + "|" + body.Messages[0].Content + "|" + body.Messages[1].Content)
		if status != http.StatusOK {
			http.Error(w, text, status)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": api.Message{Role: "assistant", Content: text}}}})
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

func construct(t *testing.T, own map[string]any) *remote {
	t.Helper()
	prm, err := newRemote(&api.Args{Name: "remote", Own: own})
	if err != nil {
		t.Fatal(err)
	}
	r := prm.(*remote)
	r.pause = time.Microsecond
	return r
}

func TestConformance(t *testing.T) {
	url := judge(t, func(question string) (int, string) {
		return http.StatusOK, fmt.Sprintf("Hm.\n**Reward: %d.5**", len(question))
	})
	apitest.PRM(t, newRemote, apitest.With(map[string]any{"url": url, "parallel": 3}))
}

func TestAsks(t *testing.T) {
	t.Setenv("PRM_API_KEY", " secret\n")
	var asked atomic.Value
	url := judge(t, func(question string) (int, string) {
		asked.Store(question)
		return http.StatusOK, "Step 1. Reward: 0.5\nStep 2. **Reward:** -1\nReward: **.25**"
	})
	r := construct(t, map[string]any{"url": url + "/", "model": "m", "prompt": "Judge!"})
	got, err := r.Score(context.Background(), []api.Completion{{Messages: []api.Message{{Role: "user", Content: "2+2?"}}, Text: "It is 4.", Truth: "4"}})
	if err != nil || !reflect.DeepEqual(got, [][]float64{{0.5, -1, 0.25}}) {
		t.Errorf("%v, %v", got, err)
	}
	want := "Bearer secret|m|Judge!|user: 2+2?\n\nThe right result is: 4\n\nThe answer to judge:\nIt is 4."
	if asked.Load() != want {
		t.Errorf("asked %q, want %q", asked.Load(), want)
	}
}

// TestReadsReplies has ms-swift's cases for the judge of its own; where that
// says 0 for no number, this one has no opinion.
func TestReadsReplies(t *testing.T) {
	for text, want := range map[string][]float64{
		"**Reward: 0.8**": {0.8}, "Reward: -0.5": {-0.5}, "thoughts\n**Reward: 1.0**": {1}, "Reward: 0.3 because": {0.3},
		"Reward: 0.1 Reward: 0.9": {0.1, 0.9}, "Reward: **0.25**": {0.25}, "no score": nil, "Reward: high": nil, "Reward: inf": nil, "": nil,
	} {
		got := (&remote{}).rewards(text)
		if want == nil && len(got) == 1 && math.IsNaN(got[0]) {
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %v, want %v", text, got, want)
		}
	}
}

func TestTriesAgain(t *testing.T) {
	for _, c := range []struct {
		statuses []int
		asked    int64
		want     string // of the error
	}{
		{[]int{429, 500, 200}, 3, ""},
		{[]int{503, 503, 503, 503, 200}, 4, "completion 0: "},
		{[]int{400, 200}, 1, "400 Bad Request: wrong"},
		{[]int{401, 200}, 1, "401 Unauthorized"},
	} {
		var n atomic.Int64
		url := judge(t, func(string) (int, string) {
			status := c.statuses[n.Add(1)-1]
			return status, map[bool]string{true: "Reward: 1", false: "wrong: secret"}[status == 200]
		})
		t.Setenv("PRM_API_KEY", "secret")
		_, err := construct(t, map[string]any{"url": url}).Score(context.Background(), make([]api.Completion, 1))
		if n.Load() != c.asked || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: asked %d times, %v; want %d and %q", c.statuses, n.Load(), err, c.asked, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the key is in the error %v", err)
		}
	}
}

func TestKeyIsNotLogged(t *testing.T) {
	t.Setenv("PRM_API_KEY", "secret")
	var log bytes.Buffer
	url := judge(t, func(string) (int, string) { return http.StatusOK, "no idea" })
	prm, err := newRemote(&api.Args{Own: map[string]any{"url": url}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prm.Score(context.Background(), make([]api.Completion, 1)); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "no idea") || strings.Contains(text, "secret") {
		t.Errorf("the log says %q, want the judgement and no key", text)
	}
}

func TestBadReplies(t *testing.T) {
	for body, want := range map[string]string{"<html>": "is not JSON", `{"choices": []}`: "no choices"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		_, err := construct(t, map[string]any{"url": s.URL}).Score(context.Background(), make([]api.Completion, 2))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
		s.Close()
	}
}

func TestErrors(t *testing.T) {
	for key, x := range map[string]any{"parallel": 0, "timeout": "60"} {
		if _, err := newRemote(&api.Args{Own: map[string]any{key: x}}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %v: %v", key, x, err)
		}
	}
}
