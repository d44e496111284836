package main

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/core/checkpoint"
	"swiftgo/core/kernel"
	"swiftgo/core/model"
)

// generation is what was measured of answering. Times are in milliseconds,
// rates in tokens, floating-point operations or bytes a second.
type generation struct {
	Shape     string  `json:"shape"`
	Dtype     string  `json:"dtype"`
	Library   string  `json:"library"`
	Kernels   string  `json:"kernels"`
	Threads   int     `json:"threads"`
	Sequences int     `json:"sequences"`
	Prompt    int     `json:"prompt"` // tokens of each
	New       int     `json:"new"`    // tokens of each
	Prefill   float64 `json:"prefill_ms"`
	Peak      float64 `json:"peak"` // of matrix products
	Read      float64 `json:"prefill_tokens_per_s"`
	ReadShare float64 `json:"prefill_share"` // of 2·N·T at the peak, N without the output projection
	Step      float64 `json:"decode_ms"`     // the median of a token of every sequence
	Written   float64 `json:"decode_tokens_per_s"`
	Weights   int     `json:"weight_bytes"` // that a step reads
	Bandwidth float64 `json:"bandwidth"`    // of the memory
	Share     float64 `json:"decode_share"` // of the time that reading the weights once takes
	RSS       int64   `json:"peak_rss"`
}

func benchGenerateCommand() *cobra.Command {
	r := generation{Sequences: 1, Prompt: 512, New: 64, Dtype: "float32"}
	var asJSON, row bool
	var against string
	names := slices.Sorted(maps.Keys(benchShapes))
	cmd := &cobra.Command{
		Use: "generate [SHAPE]", Short: "measure answers and compare them with what the machine can do", Args: cobra.MaximumNArgs(1), ValidArgs: names,
		Long: fmt.Sprintf(`Answer random prompts with a model with random weights, of the shape named. Reading the prompts
is compared with what their matrix products take at the library's best rate, 2·N·T
floating-point operations; writing, a token of every sequence at a time, with what it takes to
read all weights once from memory.

Shapes: %s.`, strings.Join(names, ", ")),
	}
	f := cmd.Flags()
	f.IntVar(&r.Sequences, "sequences", r.Sequences, "sequences that are answered together")
	f.IntVar(&r.Prompt, "prompt", r.Prompt, "tokens of a prompt")
	f.IntVar(&r.New, "new", r.New, "tokens of an answer")
	f.IntVar(&r.Threads, "threads", 0, "threads to compute with (default: all cores)")
	f.StringVar(&r.Dtype, "torch_dtype", r.Dtype, "type of the weights: float32 or bfloat16")
	f.BoolVar(&asJSON, "json", false, "write the result as JSON")
	f.BoolVar(&row, "row", false, "write the result as a row of the table in BENCHMARKS.md")
	f.StringVar(&against, "compare", "", "file of an earlier --json to compare with")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.Shape = "qwen2.5-0.5b-lora"
		if len(args) > 0 {
			r.Shape = args[0]
		}
		shape, ok := benchShapes[r.Shape]
		switch {
		case !ok:
			return fmt.Errorf("shape %s is not known, want one of %s", r.Shape, strings.Join(names, ", "))
		case r.Sequences < 1 || r.Prompt < 1 || r.New < 2:
			return fmt.Errorf("--sequences %d, --prompt %d, --new %d: want 1, 1 and 2 or more", r.Sequences, r.Prompt, r.New)
		case r.Prompt+r.New > shape.Positions:
			return fmt.Errorf("--prompt and --new are %d tokens, and the model takes at most %d", r.Prompt+r.New, shape.Positions)
		}
		dtype, err := benchDtype(r.Dtype)
		if err != nil {
			return err
		}
		earlier, err := earlierResult[generation](against)
		if err != nil {
			return err
		}
		if err := r.run(shape, dtype); err != nil {
			return err
		}
		switch out := cmd.OutOrStdout(); {
		case asJSON:
			return benchJSON(out, &r)
		case row:
			r.row(out)
		default:
			r.print(out)
			if earlier != nil {
				compare(out, against, [][3]string{{"shape", earlier.Shape, r.Shape}, {"dtype", earlier.Dtype, r.Dtype},
					{"sequences", fmt.Sprint(earlier.Sequences), fmt.Sprint(r.Sequences)}, {"prompt", fmt.Sprint(earlier.Prompt), fmt.Sprint(r.Prompt)}, {"threads", fmt.Sprint(earlier.Threads), fmt.Sprint(r.Threads)}},
					[]compared{{"prefill", "tokens/s", earlier.Read, r.Read}, {"decoding", "tokens/s", earlier.Written, r.Written}, {"products", "GFLOP/s", earlier.Peak / 1e9, r.Peak / 1e9},
						{"memory reads", "GB/s", earlier.Bandwidth / 1e9, r.Bandwidth / 1e9}, {"memory", "GB", float64(earlier.RSS) / 1e9, float64(r.RSS) / 1e9}})
			}
		}
		return nil
	}
	return cmd
}

func (r *generation) run(shape benchShape, dtype checkpoint.Dtype) error {
	m, err := shape.random(r.Threads, dtype)
	if err != nil {
		return err
	}
	lib := kernel.Library()
	r.Library, r.Kernels, r.Threads = lib.Name+" "+lib.Version, kernel.ISA(), lib.Threads
	body, size := 0, 4
	if dtype == checkpoint.BF16 {
		size = 2
	}
	for _, l := range m.Linears {
		body += l.In * l.Out
	}
	r.Weights = body * size
	body -= shape.Hidden * shape.Vocab
	peak := kernel.Peak
	if dtype == checkpoint.BF16 {
		peak = kernel.PeakBF16
	}
	r.Peak, r.Bandwidth = peak(), kernel.Bandwidth()
	if _, err := r.answer(m, 0); err != nil { // warms up
		return err
	}
	steps, err := r.answer(m, 1)
	if err != nil {
		return err
	}
	r.Peak, r.Bandwidth = max(r.Peak, peak()), max(r.Bandwidth, kernel.Bandwidth())
	slices.Sort(steps)
	r.Step = steps[len(steps)/2]
	tokens := float64(r.Sequences * r.Prompt)
	r.Read, r.Written = tokens/r.Prefill*1e3, float64(r.Sequences)/r.Step*1e3
	r.ReadShare = 2 * float64(body) * r.Read / r.Peak
	r.Share = float64(r.Weights) / r.Bandwidth / r.Step * 1e3
	r.RSS = residentPeak()
	return nil
}

// answer reads prompts and writes answers, and returns how long each of the
// steps took that only wrote. The last step of reading writes the first token.
func (r *generation) answer(m *model.Model, seed uint64) (steps []float64, err error) {
	random := rand.New(rand.NewPCG(5, seed))
	s := m.NewSession()
	for range r.Sequences {
		prompt := make([]int32, r.Prompt)
		for i := range prompt {
			prompt[i] = int32(random.IntN(m.Config.VocabSize))
		}
		if _, err := s.Add(prompt, 1, model.Sampling{MaxTokens: r.New}); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	for read := 0; read < r.Sequences; {
		told := s.Step()
		for _, q := range told {
			if len(q.New()) == 1 {
				read++
			}
		}
	}
	r.Prefill = time.Since(began).Seconds() * 1e3
	for s.Len() > 0 {
		at := time.Now()
		s.Step()
		steps = append(steps, time.Since(at).Seconds()*1e3)
	}
	return steps, nil
}

func (r *generation) print(out io.Writer) {
	fmt.Fprintf(out, "shape       %s, %s; %d sequences, prompts of %d tokens, %d new ones\n", r.Shape, r.Dtype, r.Sequences, r.Prompt, r.New)
	fmt.Fprintf(out, "engine      %s, %s, %d threads; products %.1f GFLOP/s, memory reads %.1f GB/s\n", r.Library, r.Kernels, r.Threads, r.Peak/1e9, r.Bandwidth/1e9)
	fmt.Fprintf(out, "prefill     %.1f ms, %.1f tokens/s, %.1f %% of the limit (2·N·T)\n", r.Prefill, r.Read, 100*r.ReadShare)
	fmt.Fprintf(out, "decoding    %.1f ms a token of every sequence (median), %.1f tokens/s, %.1f %% of the limit (%.2f GB of weights read once)\n", r.Step, r.Written, 100*r.Share, float64(r.Weights)/1e9)
	fmt.Fprintf(out, "memory      %.2f GB at most\n", float64(r.RSS)/1e9)
}

// row writes the result as build.sh bench puts it into its table.
func (r *generation) row(out io.Writer) {
	fmt.Fprintf(out, "| %s | %s | %d x %d | %.1f | %.0f | %.0f %% | %.1f | %.1f | %.1f | %.0f %% | %.2f |\n", r.Shape, r.Dtype, r.Sequences, r.Prompt,
		r.Read, r.Peak/1e9, 100*r.ReadShare, r.Step, r.Written, r.Bandwidth/1e9, 100*r.Share, float64(r.RSS)/1e9)
}
