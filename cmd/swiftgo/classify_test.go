package main_test

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swiftgo/core/checkpoint"
)

// labelled writes n texts that say which label they have, and returns the path.
func labelled(t *testing.T, n int, labels ...string) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		k := i % len(labels)
		fmt.Fprintf(&b, `{"messages": [{"role": "user", "content": "say %d"}, {"role": "assistant", "content": "%s"}], "label": %s}`+"\n", i, strings.Repeat(string(rune('a'+k)), 3), labels[k])
	}
	return write(t, "labelled.jsonl", b.String())
}

// verdict is a line of the results of infer.
type verdict struct {
	Response, Labels any
	Logits           []float64
	Logprobs         *struct {
		Content []struct {
			Index, Logprobs any
			Top             []struct {
				Index   int
				Logprob float64
			} `json:"top_logprobs"`
		}
	}
}

// verdicts has a classifier judge a dataset.
func verdicts(t *testing.T, dataset string, args ...string) (all []verdict, said string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdicts.jsonl")
	said = must(t, append([]string{"infer", "--plugins_dir", plugins, "--val_dataset", dataset, "--result_path", path}, args...)...)
	for line := range strings.Lines(textOf(t, path)) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all, said
}

// sameLogits wants two judgements to be the same.
func sameLogits(t *testing.T, what string, a, b []verdict) {
	t.Helper()
	for i := range a {
		for k, x := range a[i].Logits {
			if len(a) != len(b) || math.Abs(x-b[i].Logits[k]) > 1e-4 {
				t.Fatalf("%s: row %d has the logits %v, want %v", what, i, b[i].Logits, a[i].Logits)
			}
		}
	}
}

// TestClassifier trains classifiers of each kind with tuners of each kind, goes on
// from a checkpoint to the same end, and has each judge what it has learned.
func TestClassifier(t *testing.T) {
	for _, c := range []struct {
		family, labels string
		args           []string
		problem        string
	}{
		{"qwen2", "0 1 2", []string{"--num_labels", "3"}, "single_label_classification"},
		{"llama", "0 1 2", []string{"--num_labels", "3", "--tuner_type", "full", "--learning_rate", "2e-3", "--torch_dtype", "bfloat16"}, "single_label_classification"},
		{"qwen3", "[0] [1,2] []", []string{"--num_labels", "3", "--problem_type", "multi_label_classification", "--tuner_type", "llamapro", "--llamapro.num_new_blocks", "1"}, "multi_label_classification"},
		{"qwen2", "-1 0.5 1", []string{"--num_labels", "1", "--tuner_type", "ia3"}, "regression"},
	} {
		t.Run(c.family+" "+c.problem, func(t *testing.T) {
			rows := labelled(t, 30, strings.Fields(c.labels)...)
			out := filepath.Join(t.TempDir(), "out")
			args := append([]string{"--task_type", "seq_cls", "--max_steps", "24", "--save_steps", "12", "--split_dataset_ratio", "0.2", "--learning_rate", "1e-2"}, c.args...)
			text := must(t, sft(c.family, rows, out, args...)...)
			if !strings.Contains(text, c.problem+", new: normal with deviation 0.02, seed 42") {
				t.Errorf("nothing is said of the new head:\n%s", text)
			}
			losses := logged(t, out, "loss")
			first, _ := losses[0].Float64()
			if last, _ := losses[23].Float64(); !(last < 0.7*first) {
				t.Errorf("losses %v, want them to fall", losses)
			}
			if classes := c.problem == "single_label_classification"; len(logged(t, out, "eval_acc")) != map[bool]int{true: 2}[classes] || strings.Contains(text, "token_acc") {
				t.Errorf("eval_acc %v\n%s", logged(t, out, "eval_acc"), text)
			}
			must(t, sft(c.family, rows, out, append(args, "--resume_from_checkpoint", filepath.Join(out, "checkpoint-12"))...)...)
			if again := logged(t, out, "loss"); again[len(again)-1] != losses[23] {
				t.Errorf("resumed, the last loss is %v, want %v", again[len(again)-1], losses[23])
			}

			last := filepath.Join(out, "checkpoint-24")
			model := last
			flags := []string{"--adapters", last}
			if slices.Contains(c.args, "full") {
				flags = []string{"--model", last}
			} else {
				must(t, "export", "--adapters", last, "--merge_lora", "--plugins_dir", plugins)
				model = last + "-merged"
			}
			all, said := verdicts(t, rows, flags...)
			whole, _ := verdicts(t, rows, "--model", model, "--max_batch_size", "3")
			sameLogits(t, "the whole model", all, whole)
			looksRight(t, all, c.problem)
			if c.problem == "single_label_classification" {
				if _, said = verdicts(t, rows, append(flags, "--metric", "acc")...); !strings.Contains(said, "30 answers, acc ") {
					t.Error(said)
				}
				odd := write(t, "odd.jsonl", `{"query": "say 1", "label": "good"}`+"\n"+`{"query": "say 2", "label": 2}`+"\n"+`{"query": "say 3"}`+"\n")
				judged, _ := verdicts(t, odd, flags...)
				if len(judged) != 3 || judged[0].Labels != "good" || judged[1].Labels != 2.0 || judged[2].Labels != nil {
					t.Errorf("rows with odd labels: %+v", judged)
				}
				if _, said = verdicts(t, odd, append(flags, "--metric", "acc")...); !strings.Contains(said, "2 answers, 1 rows left out, acc ") {
					t.Error(said)
				}
			}
			var config struct {
				Architectures []string
				NumLabels     int               `json:"num_labels"`
				Problem       string            `json:"problem_type"`
				Names         map[string]string `json:"id2label"`
				IDs           map[string]int    `json:"label2id"`
				Pad           *int              `json:"pad_token_id"`
			}
			if err := checkpoint.ReadJSON(filepath.Join(model, "config.json"), &config); err != nil {
				t.Fatal(err)
			}
			n := len(all[0].Logits)
			if want := strings.ToUpper(c.family[:1]) + c.family[1:] + "ForSequenceClassification"; !slices.Equal(config.Architectures, []string{want}) || config.NumLabels != n ||
				config.Problem != c.problem || len(config.Names) != n || config.IDs["LABEL_0"] != 0 || config.Names["0"] != "LABEL_0" || config.Pad == nil {
				t.Errorf("config.json says %+v", config)
			}
			if c.problem != "multi_label_classification" { // once is enough
				return
			}
			// what was trained is trained on; its head says what it is
			text = must(t, "sft", "--model", model, "--dataset", rows, "--output_dir", filepath.Join(t.TempDir(), "more"), "--task_type", "seq_cls", "--max_steps", "1", "--plugins_dir", plugins)
			if !strings.Contains(text, fmt.Sprintf("num_labels %d, %s, from the checkpoint", n, c.problem)) {
				t.Error(text)
			}
			for _, refused := range [][]string{{"sft", "--dataset", rows, "--output_dir", t.TempDir(), "--model", model}, {"sample", "--dataset", rows, "--output_dir", t.TempDir(), "--model", model}, {"deploy", "--port", "0", "--model", model}, {"infer", "--model", model}} {
				if text, err := swiftgo(refused...); err == nil || !strings.Contains(text, "has a classification head") {
					t.Errorf("%s: %v\n%s", refused[0], err, text)
				}
			}
		})
	}
}

// looksRight compares responses and log probabilities with what the logits say.
func looksRight(t *testing.T, all []verdict, problem string) {
	t.Helper()
	right := 0
	for i, v := range all {
		var want any
		probs := []float64{}
		switch problem {
		case "regression":
			want = v.Logits[0]
			if math.Abs(v.Logits[0]-v.Labels.(float64)) < 0.75 {
				right++
			}
		case "single_label_classification":
			sum := 0.0
			for _, x := range v.Logits {
				sum += math.Exp(x)
			}
			for _, x := range v.Logits {
				probs = append(probs, math.Log(math.Exp(x)/sum))
			}
			want = float64(slices.Index(v.Logits, slices.Max(v.Logits)))
		default:
			list := []any{}
			for k, x := range v.Logits {
				if probs = append(probs, -math.Log(1+math.Exp(-x))); x >= 0 {
					list = append(list, float64(k))
				}
			}
			want = list
		}
		if !reflect.DeepEqual(v.Response, want) {
			t.Errorf("row %d: response %v of the logits %v, want %v", i, v.Response, v.Logits, want)
		}
		if reflect.DeepEqual(v.Response, v.Labels) {
			right++
		}
		if (v.Logprobs == nil) != (problem == "regression") {
			t.Errorf("row %d has the log probabilities %v", i, v.Logprobs)
		} else if v.Logprobs != nil {
			top := v.Logprobs.Content[0].Top
			for k, x := range top {
				if math.Abs(x.Logprob-probs[x.Index]) > 1e-5 || k > 0 && x.Logprob > top[k-1].Logprob {
					t.Errorf("row %d: likeliest classes %v, want log probabilities %v", i, top, probs)
				}
			}
		}
	}
	if right < len(all)*8/10 {
		t.Errorf("%d of %d texts it was trained on are judged right", right, len(all))
	}
}

// TestLocalJudge samples with reward models of a directory: an adapter and a whole
// model give the scores that infer does, and what is kept stands in their order.
func TestLocalJudge(t *testing.T) {
	out, dir := filepath.Join(t.TempDir(), "out"), t.TempDir()
	must(t, sft("qwen2", labelled(t, 30, "-1", "0.5", "1"), out, "--task_type", "seq_cls", "--num_labels", "1", "--max_steps", "8", "--learning_rate", "1e-2")...)
	judge := filepath.Join(out, "checkpoint-8")
	must(t, "export", "--adapters", judge, "--merge_lora")
	var b strings.Builder
	for i := range 3 {
		fmt.Fprintf(&b, `{"query": "say %d", "response": "%s"}`+"\n", i, strings.Repeat(string(rune('a'+i)), 3))
	}
	rows := write(t, "questions.jsonl", b.String())
	sample := []string{"sample", "--model", filepath.Join(models, "llama"), "--dataset", rows, "--output_dir", dir, "--num_return_sequences", "5", "--max_new_tokens", "6", "--num_sampling_batch_size", "2"}
	text := must(t, append(sample, "--prm_model", judge, "--prm_threshold", "-100", "--n_best_to_keep", "9", "--output_file", "all.jsonl")...)
	kept, _ := verdicts(t, filepath.Join(dir, "all.jsonl"), "--adapters", judge)
	if len(kept) < 15 || !strings.Contains(text, "PRM        mean reward") {
		t.Fatalf("%d answers kept\n%s", len(kept), text)
	}
	var questions []string
	for line := range strings.Lines(textOf(t, filepath.Join(dir, "all.jsonl"))) {
		var a struct{ Messages []struct{ Content string } }
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		questions = append(questions, a.Messages[0].Content)
	}
	scores := []float64{}
	for i, v := range kept {
		scores = append(scores, v.Logits[0])
		if i > 0 && questions[i] == questions[i-1] && v.Logits[0] > kept[i-1].Logits[0]+1e-5 {
			t.Errorf("answer %d of %q with the reward %g stands behind one with %g", i, questions[i], v.Logits[0], kept[i-1].Logits[0])
		}
	}
	slices.Sort(scores)
	threshold := (scores[len(scores)/2] + scores[len(scores)/2-1]) / 2
	above := len(scores) - len(scores)/2
	for _, flags := range [][]string{{"--prm_model", judge + "-merged"}, {"--prm_model", judge, "--orm_model", judge}} {
		file := fmt.Sprintf("above%d.jsonl", len(flags))
		must(t, append(sample, append(flags, "--prm_threshold", fmt.Sprint(threshold), "--n_best_to_keep", "9", "--output_file", file)...)...)
		best, _ := verdicts(t, filepath.Join(dir, file), "--adapters", judge)
		want := above
		if len(flags) == 4 { // an ORM's are right above 0
			want = 0
			for _, x := range scores {
				if x > max(0, threshold) {
					want++
				}
			}
		}
		if len(best) != want {
			t.Errorf("%v: %d answers above %g, want %d of %v", flags, len(best), threshold, want, scores)
		}
		for _, v := range best {
			if v.Logits[0] < threshold-1e-5 {
				t.Errorf("%v: an answer with the reward %g was kept", flags, v.Logits[0])
			}
		}
	}
	for _, c := range [][]string{
		{"--prm_model", filepath.Join(models, "llama"), "it has no classification head"},
		{"--orm_model", t.TempDir(), "no config.json"},
		{"--prm_model", "nowhere", `no prm "nowhere"; there are client, qwen_max, remote`},
	} {
		none := filepath.Join(t.TempDir(), "none")
		text, err := swiftgo("sample", "--model", filepath.Join(models, "llama"), "--dataset", rows, "--plugins_dir", plugins, "--output_dir", none, c[0], c[1])
		if left, _ := filepath.Glob(none); err == nil || !strings.Contains(text, c[2]) || left != nil {
			t.Errorf("%v: %v, left %v\n%s", c[:2], err, left, text)
		}
	}
}

// TestRerankerJudges trains a reranker with a head of its own, which gives the
// documents of each query how likely they belong to it.
func TestRerankerJudges(t *testing.T) {
	rows, out := judged(t, 20, true), filepath.Join(t.TempDir(), "out")
	must(t, sft("llama", rows, out, "--task_type", "reranker", "--loss_type", "listwise_reranker", "--tuner_type", "full", "--learning_rate", "2e-3", "--max_steps", "20")...)
	first := 0
	all, _ := verdicts(t, rows, "--model", filepath.Join(out, "checkpoint-20"))
	for i, v := range all {
		likely, _ := v.Response.([]any)
		if len(likely) != 3 || len(v.Logits) != 3 {
			t.Fatalf("row %d: %+v, want one number for each document", i, v)
		}
		for k, x := range v.Logits {
			if got, _ := likely[k].(float64); math.Abs(got-1/(1+math.Exp(-x))) > 1e-6 {
				t.Errorf("row %d: document %d has the logit %g and is likely by %v", i, k, x, likely[k])
			}
		}
		if v.Logits[0] > max(v.Logits[1], v.Logits[2]) {
			first++
		}
	}
	if len(all) != 20 || first < 15 {
		t.Errorf("of %d queries %d have the document that belongs to them first", len(all), first)
	}
}
