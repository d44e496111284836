package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swiftgo/api"
)

// show runs data show with the tokenizer, and no more, of a model of the tests.
func show(t *testing.T, dataset string, more ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(models, "qwen3", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Dir(write(t, "tokenizer.json", string(text)))
	return must(t, append([]string{"data", "show", "--model", model, "--template", "qwen3", "--dataset", dataset, "--plugins_dir", plugins}, more...)...)
}

const toolRows = `{"tools": [{"name": "now"}], "messages": [{"role": "user", "content": "when?"}, {"role": "tool_call", "content": "{\"name\": \"now\", \"arguments\": {}}"}, {"role": "tool", "content": "5"}, {"role": "assistant", "content": "at\u001b[31m five"}]}
{"query": "a", "response": "b"}
{"query": "a", "respons": "b"}
`

func TestDataShow(t *testing.T) {
	rows := write(t, "rows.jsonl", toolRows)
	text := show(t, rows, "--loss_scale", "hermes")
	for _, want := range []string{
		"⟦×2 <tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>⟧⟦<|im_end|>\n⟧<|im_start|>user\n<tool_response>\n5\n",
		"⟦at\\x1b[31m five<|im_end|>\n⟧", // what a terminal would obey is written out
		"rows.jsonl:2, ", "2 rows, ", "left out: 1 no message of the assistant", `rows.jsonl:3: there is no message of the assistant`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := show(t, rows, "--color", "always", "--rows", "1", "--loss_scale", "hermes"); !strings.Contains(text, "\x1b[1;33m<tool_call>") || strings.Contains(text, "rows.jsonl:2, ") {
		t.Errorf("in colour: %q", text)
	}
	if text := show(t, rows, "--tokens", "--skip", "1", "--disable_ignore_empty_think"); !strings.Contains(text, "     0      257") && !strings.Contains(text, `"b"`) {
		t.Errorf("tokens:\n%s", text)
	}
	if text, err := swiftgo("data", "show", "--model", filepath.Join(models, "qwen3"), "--dataset", rows, "--strict"); err == nil || !strings.Contains(text, "rows.jsonl:3") {
		t.Errorf("strict: %v\n%s", err, text)
	}
}

func TestDataShowJSON(t *testing.T) {
	out := show(t, write(t, "rows.jsonl", strings.Join(strings.Split(toolRows, "\n")[:2], "\n")), "--loss_scale", "hermes", "--json", "--rows", "0")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines\n%s", len(lines), out)
	}
	var row struct {
		Source string
		Runs   []struct {
			Text    string
			Weight  float64
			Trained bool
		}
		Tokens []string
		IDs    []int32
		Labels []int32
		Scale  []float64 `json:"loss_scale"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &row); err != nil {
		t.Fatal(err)
	}
	var text, trained strings.Builder
	for _, r := range row.Runs {
		if text.WriteString(r.Text); r.Trained {
			trained.WriteString(r.Text)
		}
	}
	joined := ""
	for i, l := range row.Labels {
		if l != api.Ignore {
			joined += row.Tokens[i]
			if l != row.IDs[i] || row.Scale[i] == 0 {
				t.Errorf("token %d has the id %d, the label %d and the weight %g", i, row.IDs[i], l, row.Scale[i])
			}
		}
	}
	if strings.Join(row.Tokens, "") != text.String() || joined != trained.String() || !strings.Contains(joined, "at\x1b[31m five") || len(row.Scale) != len(row.IDs) {
		t.Errorf("tokens %q, of them trained %q; the runs have %q and %q", row.Tokens, joined, text.String(), trained.String())
	}
	var last struct{ Stats struct{ Rows, Tokens int } }
	if err := json.Unmarshal([]byte(lines[2]), &last); err != nil || last.Stats.Rows != 2 || last.Stats.Tokens <= len(row.IDs) {
		t.Errorf("%s: %v", lines[2], err)
	}
}

func TestDataShowHTML(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	rows := write(t, "rows.jsonl", `{"query": "a <script>", "response": "b & c"}`)
	show(t, rows, "--html", page)
	data, err := os.ReadFile(page)
	text := string(data)
	if err != nil || strings.Contains(text, "<script") || !strings.Contains(text, `<span class="one" title="weight 1">b &amp; c`) || strings.Contains(text, "http") {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err := swiftgo("data", "show", "--model", filepath.Join(models, "qwen3"), "--dataset", rows, "--html", "/nowhere/page.html"); err == nil || !strings.Contains(text, "--html") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestResumeData goes on in the middle of an epoch of mixed, shuffled and packed
// rows, read ahead, from kept tokens, and as they are used.
func TestResumeData(t *testing.T) {
	a, b := data(t, 40), write(t, "b.csv", "query,response\none,1\n\"two\nlines\",2\nthree,3\n")
	for name, more := range map[string][]string{
		"ahead": nil, "kept": {"--load_from_cache_file"}, "streaming": {"--streaming"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := append([]string{"--dataset", b, "--lr_scheduler_type", "constant", "--interleave_prob", "0.7", "0.3", "--stopping_strategy", "all_exhausted", "--packing", "--packing_length", "200",
				"--max_steps", "8", "--save_steps", "5", "--learning_rate", "1e-2"}, more...)
			whole, cut := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "cut")
			must(t, sft("llama", a, whole, flags...)...)
			must(t, sft("llama", a, cut, append(flags, "--max_steps", "5")...)...)
			must(t, sft("llama", a, cut, append(flags, "--resume_from_checkpoint", filepath.Join(cut, "checkpoint-5"))...)...)
			want, got := logged(t, whole, "loss"), logged(t, cut, "loss")
			if len(want) != 8 || !slices.Equal(got, want) {
				t.Errorf("losses %v of the run that was cut, want %v", got, want)
			}
		})
	}
}

func TestBadDataSettings(t *testing.T) {
	rows := data(t, 4)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--streaming wants --max_steps", []string{"--streaming"}},
		{"--streaming goes with neither", []string{"--streaming", "--max_steps", "2", "--split_dataset_ratio", "0.5"}},
		{"--truncation_strategy split is for text", []string{"--truncation_strategy", "split"}},
		{"--packing_length is given, and --packing is not", []string{"--packing_length", "9"}},
		{"--packing_length is 9, and a row has", []string{"--packing", "--packing_length", "9"}},
		{"--interleave_prob has 2 numbers, and there are 1 datasets", []string{"--interleave_prob", "0.5", "0.5"}},
		{`--interleave_prob has "x", want numbers`, []string{"--interleave_prob", "x"}},
		{`--columns is "x", want JSON`, []string{"--columns", "x"}},
		{`--compat is "x", want ms-swift`, []string{"--compat", "x"}},
		{"a row has", []string{"--packing", "--packing_length", "1"}},
		{"keys.json: no JSON object", []string{"--loss_scale", "last_round+" + write(t, "keys.json", "x")}},
	} {
		out := filepath.Join(t.TempDir(), "out")
		text, err := swiftgo(sft("qwen2", rows, out, c.args...)...)
		if err == nil || !strings.Contains(text, c.want) {
			t.Errorf("%v: %v\n%swant an error with %q", c.args, err, text, c.want)
		}
	}
}

// TestLossScaleFile weighs by keys of a file.
func TestLossScaleFile(t *testing.T) {
	keys := write(t, "keys.json", `{"it is": [3, 0.5]}`)
	text := show(t, data(t, 2), "--loss_scale", keys, "--rows", "1")
	if !strings.Contains(text, "⟦×3 it is⟧⟦×0.5  0⟧⟦<|im_end|>") {
		t.Error(text)
	}
}

// TestCompat sees the weight of a message count, and not where ms-swift leaves it
// out.
func TestCompat(t *testing.T) {
	rows := write(t, "rows.jsonl", `{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "loss_scale": 0.5}]}`)
	if text := show(t, rows); !strings.Contains(text, "⟦×0.5 <think>\n\n</think>\n\na⟧⟦<|im_end|>") {
		t.Error(text)
	}
	if text := show(t, rows, "--compat", "ms-swift"); !strings.Contains(text, "⟦<think>\n\n</think>\n\na<|im_end|>") {
		t.Error(text)
	}
}
