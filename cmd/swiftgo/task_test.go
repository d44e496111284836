package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// judged writes n rows of a query, what belongs to it and what does not, and
// returns the path.
func judged(t *testing.T, n int, negatives bool) string {
	t.Helper()
	message := func(text string) []map[string]string { return []map[string]string{{"role": "user", "content": text}} }
	var b strings.Builder
	for i := range n {
		word := func(k int) string { return strings.Repeat(string(rune('a'+(i+k)%5)), 3) }
		row := map[string]any{"messages": message("find " + word(0)), "positive_messages": [][]map[string]string{message(word(0))}}
		if negatives {
			row["negative_messages"] = [][]map[string]string{message(word(1)), message(word(2))}
		} else {
			row["label"] = float64(i%2) / 2
		}
		line, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", line)
	}
	return write(t, "judged.jsonl", b.String())
}

// TestTasks trains an embedding model and a reranker, and goes on from a
// checkpoint to the same end.
func TestTasks(t *testing.T) {
	for _, c := range []struct {
		name, dataset string
		args          []string
		metric        string
	}{
		{"infonce", judged(t, 24, true), []string{"--task_type", "embedding", "--infonce.temperature", "0.05", "--metric_for_best_model", "margin"}, "eval_margin"},
		{"pairs", judged(t, 24, false), []string{"--task_type", "embedding", "--loss_type", "cosine_similarity", "--tuner_type", "full", "--metric_for_best_model", "eval_spearman_cosine"}, "eval_spearman_cosine"},
		{"reranker with a head", judged(t, 24, true), []string{"--task_type", "reranker", "--metric_for_best_model", "mrr"}, "eval_mrr"},
		{"reranker", judged(t, 24, true), []string{"--task_type", "generative_reranker", "--loss_type", "listwise_reranker",
			"--generative_reranker_positive_token", "a", "--generative_reranker_negative_token", "b", "--metric_for_best_model", "mrr"}, "eval_mrr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			args := append(c.args, "--split_dataset_ratio", "0.25", "--eval_steps", "4", "--save_steps", "4", "--max_steps", "8", "--learning_rate", "3e-3")
			text := must(t, sft("qwen2", c.dataset, out, args...)...)
			losses, held := logged(t, out, "loss"), logged(t, out, "eval_loss")
			if len(losses) != 8 || len(held) != 2 {
				t.Fatalf("losses %v and %v, want eight and two\n%s", losses, held, text)
			}
			first, _ := held[0].Float64()
			if last, _ := held[1].Float64(); !(last < first) {
				t.Errorf("losses %v of the evaluations, want them to fall", held)
			}
			if best := logged(t, out, c.metric); len(best) != 2 || !strings.Contains(text, "best       "+c.metric) {
				t.Errorf("%s %v\n%s", c.metric, best, text)
			}
			if strings.Contains(text, "token_acc") {
				t.Errorf("a model that predicts no tokens has a token_acc:\n%s", text)
			}
			again := must(t, sft("qwen2", c.dataset, out, append(args, "--resume_from_checkpoint", filepath.Join(out, "checkpoint-4"))...)...)
			if resumed := logged(t, out, "loss"); resumed[len(resumed)-1] != losses[7] {
				t.Errorf("resumed, the last loss is %v, want %v\n%s", resumed[len(resumed)-1], losses[7], again)
			}
		})
	}
}

// TestAnswersInEvaluation lets the model answer, and logs the loss of channels.
func TestAnswersInEvaluation(t *testing.T) {
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, `{"query": "say %d", "response": "it is %d", "channel": "c%d"}`+"\n", i, i, i%2)
	}
	out := filepath.Join(t.TempDir(), "out")
	text := must(t, sft("qwen2", write(t, "train.jsonl", b.String()), out, "--split_dataset_ratio", "0.5", "--predict_with_generate", "--max_new_tokens", "4",
		"--enable_channel_loss", "--enable_dft_loss", "--eval_steps", "2", "--max_steps", "2")...)
	for _, key := range []string{"eval_rouge-1", "eval_rouge-2", "eval_rouge-l", "eval_bleu-4", "eval_loss", "eval_loss_c0", "eval_loss_c1"} {
		if len(logged(t, out, key)) != 1 {
			t.Errorf("no %s in the log:\n%s", key, text)
		}
	}
	if !strings.Contains(text, "best       eval_rouge-l") || len(logged(t, out, "loss_c0"))+len(logged(t, out, "loss_c1")) < 2 {
		t.Error(text)
	}
}

// TestTaskErrors looks at what does not go together.
func TestTaskErrors(t *testing.T) {
	embedding := []string{"--task_type", "embedding"}
	classes := []string{"--task_type", "seq_cls", "--num_labels", "3"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--task_type", "seq2seq"}, `--task_type is "seq2seq", want causal_lm, embedding, generative_reranker, reranker, seq_cls`},
		{[]string{"--task_type", "reranker"}, "no column positive_messages"},
		{[]string{"--task_type", "reranker", "--num_labels", "2"}, "a reranker has one score a document"},
		{[]string{"--task_type", "reranker", "--loss_type", "infonce"}, "--loss_type infonce is for --task_type embedding, and the task is reranker"},
		{[]string{"--task_type", "seq_cls"}, "--num_labels is missing"},
		{[]string{"--num_labels", "2"}, "--num_labels and --problem_type are for --task_type seq_cls"},
		{append(classes, "--problem_type", "ranking"), `problem_type is "ranking", want regression, single_label_classification, multi_label_classification`},
		{append(classes, "--loss_type", "focal"), "--loss_type focal: the loss of --task_type seq_cls follows from --problem_type, here single_label_classification"},
		{append(classes, "--problem_type", "regression", "--eval_metric", "acc"), "--eval_metric acc counts classes that are right"},
		{append(classes, "--packing"), "goes with neither --packing"},
		{[]string{"--task_type", "seq_cls", "--num_labels", "1", "--problem_type", "single_label_classification"}, "wants --num_labels of 2 or more"},
		{classes, "there is no column label, want the number of a class, from 0 to 2"},
		{[]string{"--loss_type", "seq_cls"}, "--loss_type seq_cls is for --task_type seq_cls, and the task is causal_lm"},
		{[]string{"--loss_type", "infonce"}, "--loss_type infonce is for --task_type embedding, and the task is causal_lm"},
		{append(embedding, "--loss_type", "dft"), "--loss_type dft is for --task_type causal_lm, and the task is embedding"},
		{append(embedding, "--eval_metric", "acc"), "--eval_metric acc is for --task_type causal_lm or seq_cls"},
		{append(embedding, "--packing"), "goes with neither --packing"},
		{append(embedding, "--predict_with_generate"), "--predict_with_generate is for --task_type causal_lm"},
		{embedding, "no column positive_messages"},
		{[]string{"--task_type", "generative_reranker"}, "no column positive_messages"},
		{[]string{"--predict_with_generate"}, "--predict_with_generate wants evaluation data"},
		{[]string{"--eval_metric", "nlg"}, "want --predict_with_generate"},
		{[]string{"--loss_type", "focal", "--enable_dft_loss"}, "--loss_type focal goes with neither"},
		{[]string{"--loss_type", "dft", "--label_smoothing_factor", "0.1"}, "--label_smoothing_factor is of --loss_type cross_entropy"},
		{[]string{"--label_smoothing_factor", "1"}, "label_smoothing is 1"},
		{[]string{"--acc_strategy", "word"}, `--acc_strategy is "word", want token, seq`},
		{[]string{"--max_new_tokens", "0"}, "--max_new_tokens is 0, want 1 or more"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		text, err := swiftgo(sft("qwen2", data(t, 4), out, append(c.args, "--max_steps", "1")...)...)
		if err == nil || !strings.Contains(text, c.want) {
			t.Errorf("%v: %v\n%swant an error with %q", c.args, err, text, c.want)
		}
	}
	text, err := swiftgo(sft("qwen2", judged(t, 4, true), filepath.Join(t.TempDir(), "out"), "--task_type", "generative_reranker", "--max_steps", "1")...)
	if err == nil || !strings.Contains(text, `--generative_reranker_positive_token is "yes", which is no token of the model`) {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestTryJudged tries losses and metrics of embeddings, rerankers and generated
// answers on lines of ms-swift's vectors.
func TestTryJudged(t *testing.T) {
	for _, c := range []struct {
		kind, name, file string
		at               int // in the file
		flags            []string
	}{
		{"loss", "cosine_similarity", "loss_plugins", 0, nil},
		{"loss", "infonce", "loss_plugins", 3, nil},
		{"loss", "infonce", "loss_plugins", 5, []string{"--infonce.temperature", "0.5"}},
		{"loss", "listwise_reranker", "loss_plugins", 15, []string{"--listwise_reranker.min_group_size", "3"}},
		{"metric", "infonce", "metric_infonce", 0, []string{"--infonce.use_batch", "false"}},
		{"metric", "paired", "metric_paired", 1, nil},
		{"metric", "reranker", "metric_reranker", 4, nil},
		{"metric", "nlg", "metric_nlg", 7, nil},
	} {
		text, err := os.ReadFile("../../core/builtin/testdata/" + c.file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Inputs   []json.RawMessage
			Expected []map[string]any
		}
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, append([]string{"plugin", "try", c.kind, c.name}, c.flags...)...)
		var in bytes.Buffer
		if err := json.Compact(&in, v.Inputs[c.at]); err != nil { // one line
			t.Fatal(err)
		}
		cmd.Stdin = &in
		line, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", c.kind, c.name, err, line)
		}
		var got struct{ OK map[string]any }
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		for key, want := range v.Expected[c.at] {
			x, ok := want.(float64)
			if !ok { // the gradient
				continue
			}
			if y, ok := got.OK[key].(float64); !ok || math.Abs(y-x) > 1e-6*max(1, math.Abs(x)) {
				t.Errorf("%s %s: %s is %v, want %g\n%s", c.kind, c.name, key, got.OK[key], x, line)
			}
		}
	}
}
