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
