package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// talk gives lines to a chat and returns what it prints on standard output.
func talk(t *testing.T, lines string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"infer", "--plugins_dir", plugins}, args...)...)
	cmd.Stdin = strings.NewReader(lines)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, errs.String())
	}
	return out.String()
}

// roomy copies the model of a family with room for longer texts; its weights do
// not depend on that.
func roomy(t *testing.T, family string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), family)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(models, family))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"max_position_embeddings": \d+`).ReplaceAll(text, []byte(`"max_position_embeddings": 4096`))
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTalk answers lines of standard input as one conversation.
func TestTalk(t *testing.T) {
	model := roomy(t, "qwen2")
	first := talk(t, "hello\n", "--model", model, "--max_new_tokens", "12", "--temperature", "1")
	if first == "" || !strings.HasSuffix(first, "\n") {
		t.Fatalf("%q", first)
	}
	if got := talk(t, "hello\n/clear\nhello\n/clear\n\nhello", "--model", model, "--max_new_tokens", "12", "--temperature", "1"); got != strings.Repeat(first, 3) {
		t.Errorf("%q, want three times %q", got, first)
	}
	got := talk(t, "hello\nhello\n/exit\nhello\n", "--model", model, "--max_new_tokens", "12", "--temperature", "1")
	second, ok := strings.CutPrefix(got, first)
	if other := talk(t, "good morning\nhello\n", "--model", model, "--max_new_tokens", "12", "--temperature", "1"); !ok || second == "" || strings.HasSuffix(other, second) {
		t.Errorf("%q and %q: the second answer does not depend on the first question", got, other)
	}
	// That of another system prompt is that of a run with it.
	want := talk(t, "hello\n", "--model", model, "--max_new_tokens", "12", "--temperature", "1", "--system", "You are a dog.")
	if got := talk(t, "hello\n/system You are a dog.\nhello\n", "--model", model, "--max_new_tokens", "12", "--temperature", "1"); got != first+want || want == first {
		t.Errorf("%q, want %q and %q", got, first, want)
	}
	if got := talk(t, "/wat\n", "--model", model); !strings.Contains(got, "there is no /wat") {
		t.Errorf("%q", got)
	}
}

// TestTalkInterrupted stops an answer with Ctrl-C; the next line is answered.
func TestTalkInterrupted(t *testing.T) {
	cmd := exec.Command(binary, "infer", "--plugins_dir", plugins, "--model", roomy(t, "qwen2"), "--temperature", "0", "--repetition_penalty", "1.01")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	fmt.Fprintln(in, "a question with a long answer")
	r := bufio.NewReader(out)
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for !strings.HasSuffix(readUntil(t, r, '\n'), "(stopped)\n") { // an answer may have lines
	}
	cmd.Process.Signal(os.Interrupt) // between answers it is nothing
	fmt.Fprintln(in, "/clear\n/wat")
	for !strings.HasPrefix(readUntil(t, r, '\n'), "there is no /wat") {
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func readUntil(t *testing.T, r *bufio.Reader, end byte) string {
	t.Helper()
	text, err := r.ReadString(end)
	if err != nil {
		t.Fatalf("%v after %q", err, text)
	}
	return text
}

// answers runs infer over a dataset and returns the lines of its results.
func answers(t *testing.T, args ...string) ([]map[string]any, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sub", "results.jsonl")
	out := must(t, append([]string{"infer", "--plugins_dir", plugins, "--result_path", path}, args...)...)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(text)) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, a)
	}
	return all, out
}

// TestInferDataset answers rows: the same whatever the batch, with log
// probabilities, and drawn by the seed.
func TestInferDataset(t *testing.T) {
	rows, model := data(t, 10), filepath.Join(models, "llama")
	one, out := answers(t, "--model", model, "--val_dataset", rows, "--max_new_tokens", "7", "--max_batch_size", "1", "--top_logprobs", "2", "--metric", "acc")
	if len(one) != 10 || !strings.Contains(out, "10 answers, acc 0 over 10") {
		t.Fatalf("%d answers, %s", len(one), out)
	}
	for i, a := range one {
		messages := a["messages"].([]any)
		last := messages[len(messages)-1].(map[string]any)
		if a["labels"] != fmt.Sprintf("it is %d", i*i) || last["role"] != "assistant" || last["content"] != a["response"] || len(messages) != 2 {
			t.Errorf("line %d is %v", i, a)
		}
		content := a["logprobs"].(map[string]any)["content"].([]any)
		for _, token := range content {
			if top := token.(map[string]any)["top_logprobs"].([]any); len(top) != 2 || top[0].(map[string]any)["logprob"] != token.(map[string]any)["logprob"] {
				t.Errorf("line %d: %v", i, token)
			}
		}
	}
	many, _ := answers(t, "--model", model, "--val_dataset", rows, "--max_new_tokens", "7", "--max_batch_size", "8")
	for i := range many {
		if many[i]["response"] != one[i]["response"] {
			t.Errorf("row %d: %q in a batch, %q alone", i, many[i]["response"], one[i]["response"])
		}
	}
	// A text of the model's own is like itself; contrib's metric sees it too.
	own, err := json.Marshal(map[string]any{"query": "say 3", "response": one[3]["response"]})
	if err != nil {
		t.Fatal(err)
	}
	labelled := write(t, "own.jsonl", string(own)+"\n"+`{"query": "say 5", "response": "nothing of it"}`)
	_, out = answers(t, "--model", model, "--val_dataset", labelled, "--max_new_tokens", "7", "--metric", "rouge")
	if !strings.Contains(out, "rouge-1 50") || !strings.Contains(out, "bleu-4") {
		t.Errorf("rouge: %s", out)
	}
	texts := func(seed string) (all []any) {
		lines, _ := answers(t, "--model", model, "--val_dataset", rows, "--max_new_tokens", "7", "--temperature", "1", "--top_p", "0.95", "--seed", seed)
		for _, a := range lines {
			all = append(all, a["response"])
		}
		return all
	}
	if a, b, c := fmt.Sprint(texts("1")), fmt.Sprint(texts("1")), fmt.Sprint(texts("2")); a != b || a == c {
		t.Errorf("seed 1 %s and %s, seed 2 %s", a, b, c)
	}
}

// TestInferRefuses names what is wrong before a weight is read.
func TestInferRefuses(t *testing.T) {
	rows, model := data(t, 2), filepath.Join(models, "llama")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--model is missing", nil},
		{"--top_p is 2", []string{"--model", model, "--top_p", "2"}},
		{"--temperature is -1", []string{"--model", model, "--temperature", "-1"}},
		{"--template_backend is", []string{"--model", model, "--template_backend", "jinjaa"}},
		{"--metric ppl looks into the model", []string{"--model", model, "--val_dataset", rows, "--metric", "ppl"}},
		{"did you mean", []string{"--model", model, "--val_dataset", rows, "--metric", "exct"}},
		{"to which infer gives texts alone", []string{"--model", model, "--val_dataset", rows, "--metric", "exact", "--max_new_tokens", "2"}},
		{"give --val_dataset", []string{"--model", model, "--metric", "acc"}},
		{"--tools", []string{"--model", model, "--tools", write(t, "tools.json", "{")}},
		{"is no directory", []string{"--model", model, "--adapters", "nowhere"}},
		{"says which tuner made it", []string{"--model", model, "--adapters", t.TempDir()}},
		{"want the one to answer with", []string{"--model", model, "--tuner_type", "lora", "--adapters", t.TempDir(), t.TempDir()}},
	} {
		if out, err := swiftgo(append([]string{"infer", "--plugins_dir", plugins}, c.args...)...); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%v: %v\n%s, want %q", c.args, err, out, c.want)
		}
	}
}

// adapter trains a few steps and returns the checkpoint.
func adapter(t *testing.T, tuner string, more ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), tuner)
	must(t, sft("qwen2", data(t, 8), out, append([]string{"--tuner_type", tuner, "--max_steps", "4", "--learning_rate", "0.05", "--system", "Be " + tuner + "."}, more...)...)...)
	return filepath.Join(out, "checkpoint-4")
}

// TestAnswersThroughAdapters answers through the tuner that made an adapter, a plugin's too,
// with nothing given but the adapter: as the merged server does, which serves
// all of them and the base model at a time.
func TestAnswersThroughAdapters(t *testing.T) {
	dirs := map[string]string{"lora": adapter(t, "lora"), "ia3": adapter(t, "ia3"), "full": adapter(t, "full")}
	rows := data(t, 3)
	said := map[string][]string{}
	for name, dir := range dirs {
		lines, _ := answers(t, "--adapters", dir, "--val_dataset", rows, "--max_new_tokens", "12", "--temperature", "1")
		for _, a := range lines {
			said[name] = append(said[name], a["response"].(string))
		}
	}
	base := filepath.Join(models, "qwen2")
	lines, _ := answers(t, "--model", base, "--val_dataset", rows, "--max_new_tokens", "12", "--temperature", "1", "--system", "Be lora.")
	for _, a := range lines {
		said["qwen2"] = append(said["qwen2"], a["response"].(string))
	}
	for name := range dirs {
		if fmt.Sprint(said[name]) == fmt.Sprint(said["qwen2"]) {
			t.Errorf("%s says what the base model says: %q", name, said[name])
		}
	}
	url, _ := deploy(t, "--adapters", "lora="+dirs["lora"], "ia3="+dirs["ia3"], "full="+dirs["full"])
	type result struct {
		name string
		row  int
		text string
	}
	results := make(chan result)
	for name := range said {
		for i := range 3 {
			go func() { // all at the same time
				system := name
				if name == "qwen2" {
					system = "lora"
				}
				body := fmt.Sprintf(`{"model": %q, "max_tokens": 12, "temperature": 1, "seed": %d, "messages": [{"role": "system", "content": "Be %s."}, {"role": "user", "content": "say %d"}]}`, name, 42+i, system, i)
				results <- result{name, i, post(url, body)}
			}()
		}
	}
	for range 4 * 3 {
		r := <-results
		if want := said[r.name][r.row]; r.text != want {
			t.Errorf("%s, row %d: served %q, infer says %q", r.name, r.row, r.text, want)
		}
	}
}

// post asks for a chat completion and returns the text, or what went wrong.
func post(url, body string) string {
	r, err := http.Post(url+"/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	var c struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if json.Unmarshal(text, &c) != nil || len(c.Choices) == 0 {
		return string(text)
	}
	return c.Choices[0].Message.Content
}

// deploy starts a server on a free port and returns its address and process.
func deploy(t *testing.T, args ...string) (string, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"deploy", "--plugins_dir", plugins, "--port", "0"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	m := regexp.MustCompile(`on (http://127\.0\.0\.1:\d+/v1)`).FindStringSubmatch(line)
	if err != nil || m == nil {
		cmd.Wait()
		t.Fatalf("%v: %q %v\n%s", cmd.Args, line, err, errs.String())
	}
	return m[1], cmd
}

// TestDeploy serves with a key of the environment, and ends well on SIGTERM in
// the middle of a stream.
func TestDeploy(t *testing.T) {
	t.Setenv("SWIFTGO_API_KEY", "secret")
	url, cmd := deploy(t, "--model", roomy(t, "llama"), "--served_model_name", "tiny", "--max_new_tokens", "3000")
	if text := post(url, `{"messages": [{"role": "user", "content": "x"}]}`); !strings.Contains(text, "API key") {
		t.Errorf("without the key: %s", text)
	}
	r, err := http.NewRequest("POST", url+"/completions", strings.NewReader(`{"model": "tiny", "prompt": "x", "max_tokens": 1500, "stream": true, "temperature": 1, "n": 4}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(err, answer)
	}
	defer answer.Body.Close()
	in := bufio.NewReader(answer.Body)
	readUntil(t, in, '\n')
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) {
		t.Errorf("the stream that was going on ends with %v, %q", err, rest[max(0, len(rest)-100):])
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the server goes on after SIGTERM")
	}
}

// TestInferKilled kills infer in the middle: what is in the results is whole
// lines, and at most a part of the one that was being written: the system may
// end a write of more than a page in its middle.
func TestInferKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	cmd := exec.Command(binary, "infer", "--plugins_dir", plugins, "--model", filepath.Join(models, "qwen3"), "--val_dataset", data(t, 2000),
		"--result_path", path, "--max_new_tokens", "30", "--top_logprobs", "5", "--temperature", "1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if text, _ := os.ReadFile(path); bytes.Contains(text, []byte("\n")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no line after a minute")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if bytes.HasSuffix(line, []byte("\n")) && !json.Valid(line) {
			t.Errorf("half a line: %q", line)
		}
	}
}
