package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const secret = "sk-very-secret-0123456789"

// teacher is a server that answers "what is i+i" with 2i, 2i+1, 2i+2, 2i, …, and
// takes its time, and that judges answers as the plugin remote asks it to.
func teacher(t *testing.T, pause time.Duration) (address string, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c struct {
			Model    string
			N        int
			Messages []struct{ Role, Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Error(err)
		}
		if c.Model == "judge" {
			fmt.Fprint(w, `{"choices": [{"message": {"content": "fine\n**Reward: 0.5**"}}]}`)
			return
		}
		asked.Add(1)
		time.Sleep(pause)
		if r.Header.Get("Authorization") != "Bearer "+secret {
			http.Error(w, `{"error": {"message": "wrong key `+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`"}}`, 401)
			return
		}
		var i int
		fmt.Sscanf(c.Messages[len(c.Messages)-1].Content, "what is %d", &i)
		var choices []string
		for k := range max(1, c.N) {
			choices = append(choices, fmt.Sprintf(`{"index": %d, "message": {"content": "%d", "reasoning_content": "hm %d"}}`, k, 2*i+k%3, k))
		}
		fmt.Fprintf(w, `{"choices": [%s]}`, strings.Join(choices, ","))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", asked
}

func sums(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"query": "what is %d+%d", "response": "%d", "n": %d}`+"\n", i, i, 2*i, i)
	}
	return write(t, "sums.jsonl", b.String())
}

// sampling is a run of the binary with a key in the environment.
func sampling(key string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"sample", "--plugins_dir", plugins}, args...)...)
	cmd.Env = append(os.Environ(), "OPENAI_API_KEY="+key)
	return cmd
}

// TestSampleKilled kills ten runs at random instants, and each once more while it
// resumes; in the end the results are those of a run that nobody has disturbed.
func TestSampleKilled(t *testing.T) {
	address, asked := teacher(t, 4*time.Millisecond)
	data := sums(t, 60)
	run := func(dir string, more ...string) *exec.Cmd {
		return sampling(secret, append([]string{"--dataset", data, "--output_dir", dir, "--output_file", "out.jsonl", "--sampler_engine", "client", "--base_url", address, "--model", "m",
			"--orm_model", "math", "--prm_model", "remote", "--remote.url", address, "--num_return_sequences", "4", "--num_sampling_batch_size", "2", "--max_concurrency", "2"}, more...)...)
	}
	whole := t.TempDir()
	if out, err := run(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := read(t, filepath.Join(whole, "out.jsonl"))
	if bytes.Count(want, []byte("\n")) != 180 || asked.Load() != 60 {
		t.Fatalf("%d lines, asked %d times", bytes.Count(want, []byte("\n")), asked.Load())
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	cut, again := 0, 0
	for range 10 {
		dir := t.TempDir()
		asked.Store(0)
		for kill := range 2 {
			cmd := run(dir, "--resume")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan bool)
			go func() { cmd.Wait(); close(done) }()
			from := kill*20 + r.IntN(40) // a moment after so many questions
			for ended := false; !ended && int(asked.Load()) <= from; {
				select {
				case <-done:
					ended = true
				case <-time.After(time.Millisecond):
				}
			}
			time.Sleep(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
			cmd.Process.Kill()
			<-done
			if _, err := os.Stat(filepath.Join(dir, "out.jsonl.journal")); err == nil {
				cut++
			}
		}
		if out, err := run(dir, "--resume").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := read(t, filepath.Join(dir, "out.jsonl")); !bytes.Equal(got, want) {
			t.Fatalf("after two kills the results are not those of a run that is not disturbed:\n%s", got)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 2 { // args.json beside the results
			t.Errorf("left behind: %v", left)
		}
		again += int(asked.Load()) - 60
	}
	if again > 2*20 {
		t.Errorf("%d questions were asked again, want no more than the two under way at each kill", again)
	}
	if cut < 15 {
		t.Errorf("only %d of 20 kills hit a run in the middle", cut)
	}
	t.Logf("%d of 20 kills hit a run in the middle; %d questions were asked again", cut, again)
}

// TestSampleInterrupted ends a run with the first Ctrl-C, from which it goes on.
// Its settings are in a file and in the environment.
func TestSampleInterrupted(t *testing.T) {
	address, asked := teacher(t, 20*time.Millisecond)
	dir := t.TempDir()
	config := write(t, "sample.yaml", fmt.Sprintf("model: m\ndataset: [%s]\noutput_dir: %s\noutput_file: out.jsonl\nsampler_engine: client\nbase_url: %s\nnum_return_sequences: 9\n"+
		"engine_kwargs:\n  seed: 1\nmax_concurrency: 7\norm_model: math\ndata_range: [0, 2]\n", sums(t, 80), dir, address))
	run := func() *exec.Cmd {
		cmd := sampling(secret, "--config", config, "--max_concurrency", "1", "--resume")
		cmd.Env = append(cmd.Env, "SWIFTGO_NUM_RETURN_SEQUENCES=3")
		return cmd
	}
	cmd := run()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for wait := 0; asked.Load() < 3 && wait < 20000; wait++ {
		time.Sleep(time.Millisecond)
	}
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(out.String(), "go on with --resume --output_file out.jsonl") {
		t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), out.String())
	}
	text, err := run().CombinedOutput()
	if err != nil || !strings.Contains(string(text), "of them before the resume") || !strings.Contains(string(text), "answers    120") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestSampleKey holds that the key is nowhere but in the header.
func TestSampleKey(t *testing.T) {
	address, _ := teacher(t, 0)
	dir := t.TempDir()
	args := []string{"--dataset", sums(t, 3), "--output_dir", dir, "--output_file", "out.jsonl", "--sampler_engine", "client", "--base_url", address, "--model", "m", "--num_return_sequences", "2"}
	out, err := sampling(secret+"x", args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "wrong key ***; the key is read from OPENAI_API_KEY") || strings.Contains(string(out), "very-secret") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = sampling(secret, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"questions  3", "answers    6", "kept       6 answers to 3 questions", "out.jsonl"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the summary has no %q:\n%s", want, out)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 2 {
		t.Errorf("files %v, want results and settings", files)
	}
	for _, f := range files {
		if text, _ := os.ReadFile(f); strings.Contains(string(text), "very-secret") {
			t.Errorf("%s has the key", f)
		}
	}
	if out, err := sampling(secret, append(args, "--override_exist_file", "--engine_kwargs", `{"api_key": "very-secret"}`)...).CombinedOutput(); err == nil || strings.Contains(string(out), "very-secret") {
		t.Errorf("a key on the command line: %v\n%s", err, out)
	}
}

// TestSampleDistill trains on what was distilled.
func TestSampleDistill(t *testing.T) {
	address, _ := teacher(t, 0)
	dir := t.TempDir()
	out, err := sampling(secret, "--dataset", sums(t, 4), "--output_dir", dir, "--output_file", "out.jsonl", "--sampler_type", "distill", "--sampler_engine", "client",
		"--base_url", address, "--model", "m", "--num_return_sequences", "1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := filepath.Join(dir, "out.jsonl")
	text, _ := os.ReadFile(file)
	if !strings.HasPrefix(string(text), `{"messages": [{"role": "user", "content": "what is 0+0"}, {"role": "assistant", "content": "<think>hm 0</think>\n\n0"}], "n": 0, "id": "`) {
		t.Errorf("%s", text)
	}
	must(t, sft("qwen2", file, filepath.Join(t.TempDir(), "out"), "--max_steps", "1")...)
}

// TestSampleNative holds that the model in memory answers as it does in infer,
// that the answers can be judged later from the file, and shared between
// processes.
func TestSampleNative(t *testing.T) {
	model, rows, dir := filepath.Join(models, "llama"), data(t, 5), t.TempDir()
	adapter := filepath.Join(models, "llama", "lora_adapter")
	answers := filepath.Join(t.TempDir(), "answers.jsonl")
	must(t, "infer", "--model", model, "--adapters", adapter, "--val_dataset", rows, "--max_new_tokens", "8", "--result_path", answers)
	common := []string{"--plugins_dir", plugins, "--dataset", rows, "--output_dir", dir, "--num_return_sequences", "2"}
	native := append([]string{"sample", "--model", model, "--adapters", adapter, "--max_new_tokens", "8", "--temperature", "0", "--num_sampling_batch_size", "3"}, common...)
	must(t, append(native, "--output_file", "all.jsonl")...)
	var want []string
	for line := range strings.Lines(textOf(t, answers)) {
		var a struct{ Response string }
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		want = append(want, a.Response, a.Response)
	}
	all := textOf(t, filepath.Join(dir, "all.jsonl"))
	var got []string
	for line := range strings.Lines(all) {
		var a struct{ Messages []struct{ Content string } }
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		got = append(got, a.Messages[len(a.Messages)-1].Content)
	}
	if len(got) != 10 || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("sampled\n%q, infer says\n%q", got, want)
	}
	must(t, append(native, "--output_file", "first.jsonl", "--data_range", "0", "2")...)
	must(t, append(native, "--output_file", "second.jsonl", "--data_range", "1,2")...)
	if parts := textOf(t, filepath.Join(dir, "first.jsonl")) + textOf(t, filepath.Join(dir, "second.jsonl")); parts != all {
		t.Errorf("the parts are\n%s, want\n%s", parts, all)
	}
	judged := append([]string{"sample", "--sampler_engine", "no", "--cache_files", filepath.Join(dir, "all.jsonl"), "--orm_model", "math", "--output_file", "judged.jsonl"}, common...)
	out := must(t, judged...)
	if !strings.Contains(out, "10, 10 of them from cache files") || strings.Count(textOf(t, filepath.Join(dir, "judged.jsonl")), "\n") != 5 { // the dataset's own answers pass
		t.Errorf("%s", out)
	}
	if out, err := swiftgo(judged...); err == nil || !strings.Contains(out, "is there already") {
		t.Errorf("%v\n%s", err, out)
	}
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	return string(read(t, path))
}

func TestSampleSettings(t *testing.T) {
	rows := data(t, 2)
	for want, args := range map[string][]string{
		"--dataset is missing":                  {"--model", "m"},
		"--model is missing":                    {"--dataset", rows},
		`--sampler_engine is "vllm"`:            {"--dataset", rows, "--sampler_engine", "vllm"},
		"want --sampler_engine client":          {"--dataset", rows, "--model", "m", "--sampler_type", "distill"},
		"scores the answers of --cache_files":   {"--dataset", rows, "--sampler_engine", "no"},
		"which only an --orm_model knows":       {"--dataset", rows, "--model", "m", "--easy_query_threshold", "0.5"},
		"without folders":                       {"--dataset", rows, "--model", "m", "--output_file", "a/b.jsonl"},
		"--resume wants the --output_file":      {"--dataset", rows, "--model", "m", "--resume"},
		"the part and how many parts there are": {"--dataset", rows, "--model", "m", "--data_range", "4", "4"},
		"--base_url is missing":                 {"--dataset", rows, "--model", "m", "--sampler_engine", "client"},
		`no orm "mth"`:                          {"--dataset", rows, "--model", "m", "--orm_model", "mth"},
		"did you mean --num_return_sequences":   {"--num_return_sequence", "3"},
		"--num_return_sequences is 0, want 1":   {"--dataset", rows, "--model", "m", "--num_return_sequences", "0"},
		"want the directory of a Hugging Face":  {"--dataset", rows, "--model", filepath.Dir(rows)},
		"--cache_files: open":                   {"--dataset", rows, "--sampler_engine", "no", "--cache_files", "nowhere.jsonl"},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		if out, err := swiftgo(append([]string{"sample", "--output_dir", dir}, args...)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v\n%s, want %q", args, err, out, want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("%v: left behind %v", args, left)
		}
	}
}

// TestExport merges the adapter of a run, of the plugin ia3 too, which the
// checkpoint names, and has the merged model answer as model and adapter do.
func TestExport(t *testing.T) {
	for _, tuner := range []string{"lora", "ia3"} {
		out := filepath.Join(t.TempDir(), "out")
		rows := data(t, 8)
		must(t, sft("qwen2", rows, out, "--max_steps", "3", "--tuner_type", tuner, "--learning_rate", "0.05")...)
		adapter := filepath.Join(out, "checkpoint-3")
		text := must(t, "export", "--adapters", adapter, "--merge_lora", "true", "--plugins_dir", plugins)
		if !strings.Contains(text, "merged     "+tuner) || !strings.Contains(text, adapter+"-merged") {
			t.Errorf("%s", text)
		}
		results := filepath.Join(t.TempDir(), "answers")
		infer := []string{"infer", "--val_dataset", rows, "--max_new_tokens", "12", "--plugins_dir", plugins, "--result_path"}
		must(t, append(infer, results+"1", "--model", filepath.Join(models, "qwen2"), "--adapters", adapter)...)
		must(t, append(infer, results+"2", "--model", adapter+"-merged")...)
		if one, two := textOf(t, results+"1"), textOf(t, results+"2"); one != two {
			t.Errorf("%s: model and adapter answer\n%s, the merged model\n%s", tuner, one, two)
		}
		if text, err := swiftgo("export", "--adapters", adapter, "--merge_lora", "--plugins_dir", plugins); err == nil || !strings.Contains(text, "--exist_ok") {
			t.Errorf("%v\n%s", err, text)
		}
		must(t, "export", "--adapters", adapter, "--merge_lora", "--exist_ok", "--torch_dtype", "bfloat16", "--plugins_dir", plugins)
		must(t, "export", "--adapters", adapter, "--to_peft_format", "--plugins_dir", plugins)
	}
}

// TestSampleDrawn holds that drawn answers differ from one another, and are the
// same again, whatever the batches.
func TestSampleDrawn(t *testing.T) {
	model, rows, dir := filepath.Join(models, "llama"), data(t, 5), t.TempDir()
	args := []string{"sample", "--model", model, "--dataset", rows, "--output_dir", dir, "--num_return_sequences", "3", "--max_new_tokens", "8"}
	must(t, append(args, "--output_file", "a.jsonl")...)
	must(t, append(args, "--output_file", "b.jsonl", "--num_sampling_batch_size", "4")...)
	must(t, append(args, "--output_file", "c.jsonl", "--seed", "7")...)
	a, b, c := textOf(t, filepath.Join(dir, "a.jsonl")), textOf(t, filepath.Join(dir, "b.jsonl")), textOf(t, filepath.Join(dir, "c.jsonl"))
	if a != b || a == c {
		t.Errorf("a seed draws\n%s and\n%s, another one\n%s", a, b, c)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(a) {
		lines[line] = true
	}
	if len(lines) < 10 {
		t.Errorf("of 15 answers only %d are different", len(lines))
	}
}
