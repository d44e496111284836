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
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"swiftgo/api"
)

// judgeServer is a server that answers each question with what reply makes of it.
func judgeServer(t *testing.T, reply func(question string) (status int, text string)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Model    string
			Messages []api.Message
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil || req.Method != "POST" || req.URL.Path != "/v1/chat/completions" || len(body.Messages) != 2 {
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

func newJudge(t *testing.T, name string, settings map[string]any) *client {
	t.Helper()
	prm, err := Exports().PRMs[name](own(name, settings))
	if err != nil {
		t.Fatal(err)
	}
	c := prm.(*client)
	c.pause = time.Microsecond
	return c
}

func TestClientAsks(t *testing.T) {
	t.Setenv("DASHSCOPE_API_KEY", " secret\n")
	for name, model := range map[string]string{"client": "qwen-plus", "qwen_max": "qwen-max"} {
		var asked atomic.Value
		url := judgeServer(t, func(question string) (int, string) {
			asked.Store(question)
			return http.StatusOK, "Fine.\n**Reward: 0.75**"
		})
		c := newJudge(t, name, map[string]any{"url": url + "/", "system": "Judge!", "prompt": "#query# (#ground_truth#): #response#"})
		got, err := c.Score(context.Background(), []api.Completion{{
			Messages: []api.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "is 1<2 & #response#?"}}, Text: "It is #query#.", Truth: "4",
		}})
		if err != nil || !reflect.DeepEqual(got, [][]float64{{0.75}}) {
			t.Errorf("%v, %v", got, err)
		}
		want := `Bearer secret|` + model + `|Judge!|[{"role":"user","content":"is 1<2 & #response#?"}] (4): It is #query#.`
		if asked.Load() != want {
			t.Errorf("asked %q, want %q", asked.Load(), want)
		}
	}
}

func TestClientDefaults(t *testing.T) {
	t.Setenv("DASHSCOPE_API_KEY", "secret")
	c := newJudge(t, "client", nil)
	text := c.messages(api.Completion{Messages: []api.Message{{Role: "user", Content: "2+2?"}}, Text: "It is 4.", Truth: "four"})[1].Content
	for _, want := range []string{"2+2?", "It is 4.", "four"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the question %q", want, text)
		}
	}
	if strings.Contains(text, "#") {
		t.Errorf("a mark is left in the question %q", text)
	}
}

// TestPRMVectors has what ms-swift reads in replies. What is not finite does not
// count here.
func TestPRMVectors(t *testing.T) {
	var v struct {
		Inputs   []string
		Expected []any
	}
	vectors(t, "prm_parse.json", &v)
	for i, reply := range v.Inputs {
		got := newJudge(t, "client", nil).reward(0, reply)
		if want, ok := v.Expected[i].(float64); ok && got != want || !ok && !math.IsNaN(got) {
			t.Errorf("%q gives %v, want %v", reply, got, v.Expected[i])
		}
	}
}

// TestPythonFloat has what Python 3.11's float makes of these; NaN is no number.
func TestPythonFloat(t *testing.T) {
	no := math.NaN()
	for text, want := range map[string]float64{
		"1": 1, " -2.5\n": -2.5, "+.5": 0.5, "1.": 1, "1e3": 1000, "1_0": 10, "１２": 12, "٣.٥": 3.5, "1e999": math.Inf(1), "-Infinity": math.Inf(-1), "𝟙": 1,
		"": no, ".": no, "1__0": no, "_1": no, "0x10": no, "1,5": no, "1 2": no, "e5": no, "½": no,
	} {
		got, ok := pythonFloat(text)
		if ok == math.IsNaN(want) || ok && got != want {
			t.Errorf("%q is %v, %t, want %v", text, got, ok, want)
		}
	}
}

func TestClientTriesAgain(t *testing.T) {
	t.Setenv("DASHSCOPE_API_KEY", "secret")
	for _, c := range []struct {
		statuses []int
		asked    int64
		want     string // of the error
	}{
		{[]int{429, 500, 200}, 3, ""},
		{[]int{503, 503, 503, 503}, 3, "503 Service Unavailable: wrong"},
		{[]int{400}, 1, "completion 0: "},
		{[]int{400}, 1, "400 Bad Request: wrong"},
		{[]int{401}, 1, "DASHSCOPE_API_KEY"},
	} {
		var n atomic.Int64
		url := judgeServer(t, func(string) (int, string) {
			status := c.statuses[n.Add(1)-1]
			return status, map[bool]string{true: "Reward: 1", false: "wrong secret"}[status == 200]
		})
		_, err := newJudge(t, "client", map[string]any{"url": url, "retries": 2}).Score(context.Background(), make([]api.Completion, 1))
		if n.Load() != c.asked || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: asked %d times, %v; want %d and %q", c.statuses, n.Load(), err, c.asked, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the key is in the error %v", err)
		}
	}
}

// TestClientNamesTheCompletion checks that one bad reply among good ones is said to
// be of its completion.
func TestClientNamesTheCompletion(t *testing.T) {
	for body, want := range map[string]string{"<html>": "completion 2: ", `{"choices": []}`: "no choices", "": "is not JSON"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			question, _ := io.ReadAll(req.Body)
			if bytes.Contains(question, []byte("bad one")) {
				io.WriteString(w, body)
				return
			}
			io.WriteString(w, `{"choices": [{"message": {"role": "assistant", "content": "Reward: 1"}}]}`)
		}))
		_, err := newJudge(t, "client", map[string]any{"url": s.URL}).Score(context.Background(), []api.Completion{{Text: "a"}, {Text: "b"}, {Text: "bad one"}, {Text: "c"}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "completion 2: ") {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
		s.Close()
	}
}

func TestClientTimesOut(t *testing.T) {
	var n atomic.Int64
	release := make(chan struct{})
	url := judgeServer(t, func(string) (int, string) {
		if n.Add(1) == 1 {
			<-release // the first question hangs
		}
		return http.StatusOK, "Reward: 1"
	})
	defer close(release)
	got, err := newJudge(t, "client", map[string]any{"url": url, "timeout": "100ms"}).Score(context.Background(), make([]api.Completion, 1))
	if err != nil || n.Load() != 2 || got[0][0] != 1 {
		t.Errorf("%v, %v after %d questions, want 1 after 2", got, err, n.Load())
	}
}

func TestClientIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	url := judgeServer(t, func(string) (int, string) { cancel(); return http.StatusServiceUnavailable, "later" })
	c := newJudge(t, "client", map[string]any{"url": url, "parallel": 1})
	c.pause = time.Hour
	if _, err := c.Score(ctx, make([]api.Completion, 3)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

// TestClientLimitsQuestions counts how many are under way at a time.
func TestClientLimitsQuestions(t *testing.T) {
	var now, most atomic.Int64
	both := make(chan struct{}, 2)
	url := judgeServer(t, func(q string) (int, string) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		both <- struct{}{} // waits until there are two
		for len(both) < 2 && most.Load() < 2 {
			time.Sleep(time.Millisecond)
		}
		<-both
		return http.StatusOK, "Reward: " + q[strings.LastIndex(q, " ")+1:]
	})
	var cs []api.Completion
	for i := range 12 {
		cs = append(cs, api.Completion{Text: strconv.Itoa(i)})
	}
	got, err := newJudge(t, "client", map[string]any{"url": url, "parallel": 2, "prompt": "is #response#"}).Score(context.Background(), cs)
	if err != nil || most.Load() != 2 {
		t.Fatalf("%v, %d questions at a time, want 2", err, most.Load())
	}
	for i, x := range got {
		if x[0] != float64(i) {
			t.Errorf("completion %d has the reward %v", i, x)
		}
	}
}

func TestClientLogs(t *testing.T) {
	t.Setenv("JUDGE_KEY", "secret")
	for reply, want := range map[string]string{"no idea": "gave no reward", "Reward: -inf": "is not finite"} {
		var log bytes.Buffer
		url := judgeServer(t, func(string) (int, string) { return http.StatusOK, reply })
		args := own("client", map[string]any{"url": url, "key_env": "JUDGE_KEY"})
		args.Log = slog.New(slog.NewTextHandler(&log, nil))
		prm, err := Exports().PRMs["client"](args)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := prm.Score(context.Background(), make([]api.Completion, 1)); err != nil {
			t.Fatal(err)
		}
		if text := log.String(); !strings.Contains(text, want) || !strings.Contains(text, reply) || strings.Contains(text+fmt.Sprintf("%v", err), "secret") {
			t.Errorf("the log says %q, want %q and no key", text, want)
		}
	}
}

func TestClientSettings(t *testing.T) {
	for key, x := range map[string]any{"parallel": 0, "retries": -1, "timeout": "60", "prompt": "Judge!", "url": "localhost"} {
		if _, err := Exports().PRMs["client"](own("client", map[string]any{key: x})); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %v: %v", key, x, err)
		}
	}
}
