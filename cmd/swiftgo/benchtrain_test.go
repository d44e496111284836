package main_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// TestBenchTrain measures a few steps of the smallest model in every way there
// is: the numbers hang together, memory does not grow, and none of the ways
// changes what is learned.
func TestBenchTrain(t *testing.T) {
	var loss float64
	for _, more := range [][]string{nil, {"--gradient_checkpointing"}, {"--threads", "1"}, {"--torch_dtype", "bfloat16"}} {
		args := append([]string{"bench", "train", "stories260k-lora", "--steps", "5", "--warmup", "2", "--json"}, more...)
		var r struct {
			Steps      []float64          `json:"steps_ms"`
			Median     float64            `json:"median_ms"`
			Tokens     float64            `json:"tokens_per_s"`
			Before     float64            `json:"peak_before"`
			After      float64            `json:"peak_after"`
			Share      float64            `json:"share"`
			Multiplied float64            `json:"multiplied"`
			Trained    int                `json:"trained"`
			RSS        float64            `json:"peak_rss"`
			Predicted  float64            `json:"predicted_memory"`
			Growth     float64            `json:"rss_growth"`
			Heap       float64            `json:"heap_per_step"`
			Loss       float64            `json:"final_loss"`
			Parts      map[string]float64 `json:"parts_ms"`
		}
		if err := json.Unmarshal([]byte(must(t, args...)), &r); err != nil {
			t.Fatal(err)
		}
		close := func(what string, got, want, within float64) {
			t.Helper()
			if !(math.Abs(got/want-1) <= within) {
				t.Errorf("%v: %s is %g, want %g", more, what, got, want)
			}
		}
		mean, parts := 0.0, 0.0
		for _, ms := range r.Steps {
			mean += ms / 5
		}
		for _, ms := range r.Parts {
			parts += ms
		}
		close("the sum of the parts", parts, mean, 1e-6)
		close("tokens/s", r.Tokens, 512/r.Median*1e3, 1e-6)
		close("the share of the limit", r.Share, 4*r.Multiplied*r.Tokens/max(r.Before, r.After), 1e-6)
		close("N", r.Multiplied, 5*(64*64*2+64*32*2+3*64*172)+512*64, 0)
		if r.RSS < r.Predicted/2 || r.RSS > r.Predicted+200e6 { // most of it is the program's and the library's own
			t.Errorf("%v: %g bytes of memory, and %g were predicted", more, r.RSS, r.Predicted)
		}
		if len(r.Steps) != 5 || r.Trained != 5*8*(2*128+2*96+3*236) || r.Heap > 1e6 || r.Growth > 32e6 {
			t.Errorf("%v: %+v", more, r)
		}
		if loss == 0 {
			loss = r.Loss
		}
		close("the loss", r.Loss, loss, 0.01)
	}
}

func TestBenchTrainBadInput(t *testing.T) {
	for want, args := range map[string][]string{
		"shape gpt5 is not known, want one of gpt2-full": {"gpt5"},
		"--steps 0 and --warmup 2, want 1 or more":       {"stories260k-lora", "--steps", "0"},
		"--torch_dtype is \"int8\", want float32":        {"stories260k-lora", "--torch_dtype", "int8"},
		"takes at most 2048 tokens":                      {"stories260k-lora", "--seq", "4096"},
	} {
		if out, err := swiftgo(append([]string{"bench", "train"}, args...)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v, %s; want %q", args, err, out, want)
		}
	}
}

// TestBenchGenerate measures a few answers of the smallest model: the numbers
// hang together.
func TestBenchGenerate(t *testing.T) {
	for _, dtype := range []string{"float32", "bfloat16"} {
		var r struct {
			Peak, Bandwidth float64
			Milliseconds    float64 `json:"prefill_ms"`
			Read            float64 `json:"prefill_tokens_per_s"`
			ReadShare       float64 `json:"prefill_share"`
			Step            float64 `json:"decode_ms"`
			Written         float64 `json:"decode_tokens_per_s"`
			Weights         float64 `json:"weight_bytes"`
			Share           float64 `json:"decode_share"`
		}
		text := must(t, "bench", "generate", "stories260k-lora", "--sequences", "3", "--prompt", "40", "--new", "8", "--json", "--torch_dtype", dtype)
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		size := map[string]float64{"float32": 4, "bfloat16": 2}[dtype]
		body := 5 * float64(64*64*2+64*32*2+3*64*172)
		for what, pair := range map[string][2]float64{
			"the weights": {r.Weights, size * (body + 512*64)}, "prefill": {r.Read, 3 * 40 / r.Milliseconds * 1e3}, "its share": {r.ReadShare, 2 * body * r.Read / r.Peak},
			"decoding": {r.Written, 3 / r.Step * 1e3}, "its share of the limit": {r.Share, r.Weights / r.Bandwidth / r.Step * 1e3},
		} {
			if !(math.Abs(pair[0]/pair[1]-1) < 1e-6) {
				t.Errorf("%s: %s is %g, want %g", dtype, what, pair[0], pair[1])
			}
		}
	}
	for want, args := range map[string][]string{
		"shape gpt5 is not known":                 {"gpt5"},
		"the model takes at most 2048":            {"stories260k-lora", "--prompt", "2000"},
		"want 1, 1 and 2 or more":                 {"stories260k-lora", "--new", "1"},
		"--compare: open nowhere.json":            {"stories260k-lora", "--compare", "nowhere.json"},
		"--torch_dtype is \"int8\", want float32": {"stories260k-lora", "--torch_dtype", "int8"},
	} {
		if out, err := swiftgo(append([]string{"bench", "generate"}, args...)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v, %s; want %q", args, err, out, want)
		}
	}
}

// TestBenchCompare compares with an earlier result, and says what was measured
// otherwise.
func TestBenchCompare(t *testing.T) {
	args := []string{"bench", "train", "stories260k-lora", "--steps", "2", "--warmup", "1"}
	earlier := write(t, "earlier.json", must(t, append(args, "--json")...))
	out := must(t, append(args, "--compare", earlier, "--threads", "1")...)
	for _, want := range []string{"compared with " + earlier, "measured otherwise: threads was", "tokens/s, ", "attention"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "measured otherwise: shape") {
		t.Errorf("%s", out)
	}
}
