package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/builtin"
	"swiftgo/core/checkpoint"
	"swiftgo/core/kernel"
	"swiftgo/core/model"
	"swiftgo/core/recipe"
	"swiftgo/core/registry"
	"swiftgo/core/report"
	"swiftgo/core/trainer"
)

// benchShape is a model and a batch to train it on. The model's numbers are
// named as in config.json.
type benchShape struct {
	Type      string  `json:"model_type"`
	Hidden    int     `json:"hidden_size"`
	Inter     int     `json:"intermediate_size"`
	Layers    int     `json:"num_hidden_layers"`
	Heads     int     `json:"num_attention_heads"`
	KVHeads   int     `json:"num_key_value_heads"`
	Vocab     int     `json:"vocab_size"`
	Positions int     `json:"max_position_embeddings"`
	Eps       float64 `json:"rms_norm_eps"`
	Theta     float64 `json:"rope_theta"`
	Tied      bool    `json:"tie_word_embeddings"`

	tuner      string
	batch, seq int
}

var benchShapes = map[string]benchShape{
	"qwen2.5-0.5b-lora": {"qwen2", 896, 4864, 24, 14, 2, 151936, 32768, 1e-6, 1e6, true, "lora", 1, 512},
	"gpt2-full":         {"llama", 768, 2048, 12, 12, 12, 50304, 2048, 1e-5, 1e4, true, "full", 4, 64},
	"stories15m-full":   {"llama", 288, 768, 6, 6, 6, 32000, 2048, 1e-5, 1e4, true, "full", 4, 256},
	"stories260k-lora":  {"llama", 64, 172, 5, 8, 4, 512, 2048, 1e-5, 1e4, true, "lora", 4, 128},
}

// random returns a model of the shape with random weights.
func (s benchShape) random(threads int, dtype checkpoint.Dtype) (*model.Model, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	conf, err := model.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	e, err := autograd.NewEngine(threads)
	if err != nil {
		return nil, err
	}
	return model.Random("", conf, e, 1, dtype)
}

// benchResult is what was measured. Times are in milliseconds, rates in
// floating-point operations or tokens a second, memory in bytes.
type benchResult struct {
	Shape       string             `json:"shape"`
	Dtype       string             `json:"dtype"`
	Batch       int                `json:"batch"`
	Seq         int                `json:"seq"`
	Ragged      bool               `json:"ragged,omitempty"`
	Library     string             `json:"library"`
	Kernels     string             `json:"kernels"`
	Threads     int                `json:"threads"`
	Dropout     float64            `json:"lora_dropout,omitempty"`
	Params      int                `json:"parameters"`
	Trained     int                `json:"trained"`
	Multiplied  int                `json:"multiplied"` // N: parameters in matrix products
	Steps       []float64          `json:"steps_ms"`
	Median      float64            `json:"median_ms"`
	CPU         float64            `json:"cpu_ms"` // of a step, on all cores
	Tokens      float64            `json:"tokens_per_s"`
	PeakBefore  float64            `json:"peak_before"`
	PeakAfter   float64            `json:"peak_after"`
	Formula     string             `json:"formula"`
	Share       float64            `json:"share"`
	RSS         int64              `json:"peak_rss"`
	Predicted   int64              `json:"predicted_memory"`
	RSSGrowth   int64              `json:"rss_growth"` // over the measured steps
	Heap        uint64             `json:"heap_per_step"`
	GC          float64            `json:"gc_share"`
	FinalLoss   float64            `json:"final_loss"`
	Parts       map[string]float64 `json:"parts_ms"` // of a mean step
	Checkpoints bool               `json:"gradient_checkpointing,omitempty"`
}

// bench is one measurement.
type bench struct {
	shape          benchShape
	name           string
	config         recipe.Config
	dtype          checkpoint.Dtype // of the weights that are not trained
	warmup, steps  int
	ragged         bool
	trainer        *trainer.Trainer
	began, updated time.Time
	result         benchResult

	optimizer time.Duration
	parts     [kernel.Parts]time.Duration
	cpu       time.Duration
	mem       runtime.MemStats
	gc        float64
	rss       int64
}

func benchTrainCommand() *cobra.Command {
	b := bench{config: recipe.Default(), warmup: 2, steps: 5}
	b.config.LoraDropout = 0
	var asJSON, profile, row bool
	var against string
	names := slices.Sorted(maps.Keys(benchShapes))
	cmd := &cobra.Command{
		Use: "train [SHAPE]", Short: "measure training steps and compare them with what the machine can do", Args: cobra.MaximumNArgs(1), ValidArgs: names,
		Long: fmt.Sprintf(`Train a model with random weights, of the shape named, and compare the time of a step with
what its matrix products alone would take at the library's best rate, measured before and
after in the same process. With N parameters in matrix products and T tokens a LoRA step has
4·N·T floating-point operations to do, one of full fine-tuning 6·N·T.

Shapes: %s.`, strings.Join(names, ", ")),
	}
	f := cmd.Flags()
	f.IntVar(&b.shape.seq, "seq", 0, "tokens of a sequence (default: the shape's)")
	f.IntVar(&b.shape.batch, "batch", 0, "sequences in a step (default: the shape's)")
	f.IntVar(&b.steps, "steps", b.steps, "steps that are measured")
	f.IntVar(&b.warmup, "warmup", b.warmup, "steps before them")
	f.BoolVar(&b.ragged, "ragged", false, "give every step sequences of other lengths, from half of --seq to all of it")
	f.IntVar(&b.config.Threads, "threads", 0, "threads to compute with (default: all cores)")
	f.Float64Var(&b.config.LoraDropout, "lora_dropout", 0, "dropout before LoRA")
	f.StringVar(&b.config.TorchDtype, "torch_dtype", "float32", "type of the weights that are not trained: float32 or bfloat16")
	f.BoolVar(&b.config.GradientCheckpointing, "gradient_checkpointing", false, "compute layers again in the backward pass")
	f.BoolVar(&asJSON, "json", false, "write the result as JSON")
	f.BoolVar(&profile, "profile", false, "write what a step's time is spent on")
	f.StringVar(&against, "compare", "", "file of an earlier --json to compare with")
	f.BoolVar(&row, "row", false, "write the result as a row of the table in BENCHMARKS.md")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b.name = "qwen2.5-0.5b-lora"
		if len(args) > 0 {
			b.name = args[0]
		}
		shape, ok := benchShapes[b.name]
		if !ok {
			return fmt.Errorf("shape %s is not known, want one of %s", b.name, strings.Join(names, ", "))
		}
		if b.shape.seq > 0 {
			shape.seq = b.shape.seq
		}
		if b.shape.batch > 0 {
			shape.batch = b.shape.batch
		}
		if b.shape = shape; b.steps < 1 || b.warmup < 0 {
			return fmt.Errorf("--steps %d and --warmup %d, want 1 or more and 0 or more", b.steps, b.warmup)
		}
		var err error
		if b.dtype, err = benchDtype(b.config.TorchDtype); err != nil {
			return err
		}
		earlier, err := earlierResult[benchResult](against)
		if err != nil {
			return err
		}
		if err := b.run(); err != nil {
			return err
		}
		switch out := cmd.OutOrStdout(); {
		case asJSON:
			return benchJSON(out, &b.result)
		case row:
			b.result.row(out)
		default:
			b.result.print(out, profile)
			if earlier != nil {
				b.result.compare(out, against, earlier)
			}
		}
		return nil
	}
	return cmd
}

// run trains and fills in the result.
func (b *bench) run() error {
	if b.shape.seq > b.shape.Positions {
		return fmt.Errorf("--seq is %d, and the model takes at most %d tokens", b.shape.seq, b.shape.Positions)
	}
	m, err := b.shape.random(b.config.Threads, b.dtype)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "swiftgo-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := b.prepare(m, dir); err != nil {
		return err
	}
	debug.FreeOSMemory() // what making the weights left behind
	r := &b.result
	peak := kernel.Peak
	if b.dtype == checkpoint.BF16 {
		peak = kernel.PeakBF16
	}
	r.PeakBefore = peak()
	if err := b.trainer.Run(context.Background()); err != nil {
		return err
	}
	r.PeakAfter = peak()
	b.conclude(m)
	return b.trainer.Report.Close(nil)
}

// prepare tunes the model and makes the trainer.
func (b *bench) prepare(m *model.Model, dir string) error {
	c := &b.config
	c.TunerType, c.LearningRate = b.shape.tuner, 1e-4
	reg := registry.New(c.Args(), nil)
	for name, values := range c.OwnDefaults() {
		reg.Defaults(name, values)
	}
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		return err
	}
	tuner, err := reg.Tuner(c.TunerType)
	if err != nil {
		return err
	}
	if err := tuner.Prepare(m.Model); err != nil {
		return err
	}
	m.Settle()
	m.Checkpointing = c.GradientCheckpointing
	steps := b.warmup + b.steps
	optimizer, _, err := reg.Optimizer(c.Optimizer, m.Model, steps)
	if err != nil {
		return err
	}
	loss, err := reg.Loss(c.LossType)
	if err != nil {
		return err
	}
	rep, err := report.Open(dir, report.Options{MaxSteps: steps})
	if err != nil {
		return err
	}
	b.trainer = &trainer.Trainer{
		Model: m, Loss: loss, LossName: c.LossType, Optimizer: optimizer, Schedule: api.Constant(c.LearningRate, 0), Train: b, Report: rep,
		Save:    func(string) error { return nil },
		Options: trainer.Options{Seed: c.Seed, Steps: steps, MaxGradNorm: c.MaxGradNorm, OutputDir: dir, BestMetric: "loss"},
	}
	b.trainer.Callbacks = []trainer.Callback{{Name: "bench", Callback: &api.Callback{
		OnStepBegin: func(s *api.State) error {
			if s.Step == b.warmup {
				b.start()
			}
			b.began = time.Now()
			return nil
		},
		OnPreOptimizerStep: func(*api.State) error { b.updated = time.Now(); return nil },
		OnOptimizerStep: func(s *api.State) error {
			if s.Step >= b.warmup {
				b.optimizer += time.Since(b.updated)
			}
			return nil
		},
		OnStepEnd: func(s *api.State) error {
			if s.Step > b.warmup {
				b.result.Steps = append(b.result.Steps, time.Since(b.began).Seconds()*1e3)
			}
			if s.Step == steps {
				b.stop(s.Loss)
			}
			return nil
		},
	}}}
	return nil
}

// StepsPerEpoch says that the data never ends.
func (b *bench) StepsPerEpoch() int { return b.warmup + b.steps }

// Sources says where the rows of a step stand.
func (b *bench) Sources(_, index int) ([]string, error) {
	return []string{fmt.Sprintf("random step %d", index)}, nil
}

// Step returns random sequences.
func (b *bench) Step(_, index int) ([]*api.Batch, error) {
	r := rand.New(rand.NewPCG(3, uint64(index)))
	batch := &api.Batch{}
	for range b.shape.batch {
		batch.Starts = append(batch.Starts, int32(len(batch.IDs)))
		n := b.shape.seq
		if b.ragged {
			n -= r.IntN(n/2 + 1)
		}
		for range n {
			batch.IDs = append(batch.IDs, int32(r.IntN(b.shape.Vocab)))
			batch.Labels = append(batch.Labels, int32(r.IntN(b.shape.Vocab)))
		}
	}
	if index >= b.warmup {
		b.result.Tokens += float64(len(batch.IDs))
	}
	return []*api.Batch{batch}, nil
}

// start notes where everything stands before the first step that counts.
func (b *bench) start() {
	b.parts, b.rss = kernel.Spent(), residentNow()
	runtime.GC() // counted when it ends
	b.gc, b.cpu = gcSeconds(), cpuTime()
	runtime.ReadMemStats(&b.mem)
}

// stop takes the differences after the last one.
func (b *bench) stop(loss float64) {
	r, n := &b.result, float64(b.steps)
	r.FinalLoss = loss
	r.CPU = (cpuTime() - b.cpu).Seconds() * 1e3 / n
	r.GC = (gcSeconds() - b.gc) / (cpuTime() - b.cpu).Seconds()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	r.Heap = (mem.TotalAlloc - b.mem.TotalAlloc) / uint64(b.steps)
	r.RSSGrowth = residentNow() - b.rss
	r.Parts = map[string]float64{"optimizer": b.optimizer.Seconds() * 1e3 / n}
	other := -r.Parts["optimizer"]
	for _, ms := range r.Steps {
		other += ms / n
	}
	for i, t := range kernel.Spent() {
		ms := (t - b.parts[i]).Seconds() * 1e3 / n
		r.Parts[kernel.Part(i).String()] = ms
		other -= ms
	}
	r.Parts["other"] = other
}

// conclude computes what follows from what was measured.
func (b *bench) conclude(m *model.Model) {
	r, lib := &b.result, kernel.Library()
	r.Shape, r.Dtype, r.Batch, r.Seq, r.Ragged = b.name, b.config.TorchDtype, b.shape.batch, b.shape.seq, b.ragged
	r.Checkpoints, r.Dropout = b.config.GradientCheckpointing, b.config.LoraDropout
	r.Library, r.Kernels, r.Threads = lib.Name+" "+lib.Version, kernel.ISA(), lib.Threads
	for _, p := range m.Params {
		r.Params += p.Shape().TotalSize()
		if !p.Frozen() {
			r.Trained += p.Shape().TotalSize()
		}
	}
	for _, l := range m.Linears {
		r.Multiplied += l.In * l.Out
	}
	passes := 6.0
	if r.Formula = "6·N·T"; b.shape.tuner == "lora" {
		passes, r.Formula = 4, "4·N·T"
	}
	sorted := slices.Sorted(slices.Values(r.Steps))
	r.Median = sorted[len(sorted)/2]
	perStep := r.Tokens / float64(len(sorted))
	r.Tokens = perStep / r.Median * 1e3
	r.Share = passes * float64(r.Multiplied) * r.Tokens / max(r.PeakBefore, r.PeakAfter)
	r.RSS, r.Predicted = residentPeak(), m.Memory(b.shape.batch*b.shape.seq, b.shape.seq)
}

func (r *benchResult) print(out io.Writer, profile bool) {
	fmt.Fprintf(out, "shape       %s, %d x %d tokens, %s; %.4g M parameters, %.4g M trained, N = %.4g M in matrix products\n",
		r.Shape, r.Batch, r.Seq, r.Dtype, float64(r.Params)/1e6, float64(r.Trained)/1e6, float64(r.Multiplied)/1e6)
	fmt.Fprintf(out, "engine      %s, %s, %d threads\n", r.Library, r.Kernels, r.Threads)
	fmt.Fprintf(out, "products    %.1f GFLOP/s before, %.1f after\n", r.PeakBefore/1e9, r.PeakAfter/1e9)
	fmt.Fprintf(out, "step        %.1f ms (median of %d, %.1f to %.1f), %.1f ms of CPU time\n", r.Median, len(r.Steps), slices.Min(r.Steps), slices.Max(r.Steps), r.CPU)
	fmt.Fprintf(out, "speed       %.1f tokens/s, %.1f %% of the limit (%s over the larger rate)\n", r.Tokens, 100*r.Share, r.Formula)
	fmt.Fprintf(out, "memory      %.2f GB at most, %.2f GB predicted; %+.1f MB over the measured steps\n", float64(r.RSS)/1e9, float64(r.Predicted)/1e9, float64(r.RSSGrowth)/1e6)
	fmt.Fprintf(out, "go          %.0f KB allocated a step, %.2f %% of the CPU time in its garbage collector\n", float64(r.Heap)/1e3, 100*r.GC)
	if !profile {
		return
	}
	mean := 0.0
	for _, ms := range r.Parts {
		mean += ms
	}
	names := slices.SortedFunc(maps.Keys(r.Parts), func(a, b string) int { return int(r.Parts[b]*1e3) - int(r.Parts[a]*1e3) })
	for _, name := range names {
		fmt.Fprintf(out, "  %-18s %9.1f ms  %5.1f %%\n", name, r.Parts[name], 100*r.Parts[name]/mean)
	}
}

// compare writes what has changed since an earlier result.
func (r *benchResult) compare(out io.Writer, path string, earlier *benchResult) {
	numbers := []compared{{"speed", "tokens/s", earlier.Tokens, r.Tokens}, {"step", "ms", earlier.Median, r.Median}, {"CPU time", "ms", earlier.CPU, r.CPU},
		{"products", "GFLOP/s", max(earlier.PeakBefore, earlier.PeakAfter) / 1e9, max(r.PeakBefore, r.PeakAfter) / 1e9}, {"of the limit", "%", 100 * earlier.Share, 100 * r.Share},
		{"memory", "GB", float64(earlier.RSS) / 1e9, float64(r.RSS) / 1e9}, {"heap of a step", "KB", float64(earlier.Heap) / 1e3, float64(r.Heap) / 1e3}}
	for _, name := range slices.Sorted(maps.Keys(r.Parts)) {
		numbers = append(numbers, compared{name, "ms", earlier.Parts[name], r.Parts[name]})
	}
	compare(out, path, [][3]string{{"shape", earlier.Shape, r.Shape}, {"dtype", earlier.Dtype, r.Dtype}, {"batch", fmt.Sprint(earlier.Batch), fmt.Sprint(r.Batch)},
		{"seq", fmt.Sprint(earlier.Seq), fmt.Sprint(r.Seq)}, {"threads", fmt.Sprint(earlier.Threads), fmt.Sprint(r.Threads)},
		{"library", earlier.Library, r.Library}, {"kernels", earlier.Kernels, r.Kernels},
		{"gradient_checkpointing", fmt.Sprint(earlier.Checkpoints), fmt.Sprint(r.Checkpoints)}}, numbers)
}

// row writes the result as build.sh bench puts it into its table.
func (r *benchResult) row(out io.Writer) {
	how := r.Dtype
	if r.Checkpoints {
		how += ", checkpointing"
	}
	if r.Ragged {
		how += ", ragged"
	}
	if r.Dropout > 0 {
		how += ", dropout"
	}
	if r.Threads != runtime.NumCPU() {
		how += fmt.Sprintf(", --threads %d", r.Threads)
	}
	fmt.Fprintf(out, "| %s | %d x %d | %s | %.1f | %.0f | %.0f | %.0f | %.0f %% | %.2f | %.2f | %+.1f | %.0f | %.2f %% |\n", r.Shape, r.Batch, r.Seq, how, r.Tokens, r.Median, r.CPU,
		max(r.PeakBefore, r.PeakAfter)/1e9, 100*r.Share, float64(r.RSS)/1e9, float64(r.Predicted)/1e9, float64(r.RSSGrowth)/1e6, float64(r.Heap)/1e3, 100*r.GC)
}

// cpuTime is the time that the process has computed, on all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// gcSeconds is the CPU time that the garbage collector has taken.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

func residentPeak() int64 { return status("VmHWM:") }
func residentNow() int64  { return status("VmRSS:") }

// status is a number of bytes that the kernel tells of this process.
func status(key string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			var kb int64
			fmt.Sscan(rest, &kb)
			return kb << 10
		}
	}
	return 0
}
