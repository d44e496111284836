package main_test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
	"swiftgo/loader"
)

// The tests run the real binary with the real plugins, both built here with one
// set of flags.
var binary, plugins string

// models are small random decoders; core/model/testdata/README.md describes them.
const models = "../../core/model/testdata"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "swiftgo")
	if err == nil {
		binary, plugins = filepath.Join(dir, "swiftgo"), filepath.Join(dir, "plugins")
		err = build(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		os.Setenv("SWIFTGO_CACHE_DIR", filepath.Join(dir, "cache"))
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string) error {
	commands := [][]string{{"-o", binary, "."}}
	sources, err := filepath.Glob("../../contrib/*")
	if err != nil {
		return err
	}
	for _, s := range sources {
		commands = append(commands, []string{"-buildmode=plugin", "-o", filepath.Join(plugins, filepath.Base(s)+".so"), "./" + s})
	}
	for _, args := range commands {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	}
	return nil
}

// swiftgo runs the binary and returns what it printed.
func swiftgo(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// must runs the binary, which must succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := swiftgo(args...)
	if err != nil {
		t.Fatalf("swiftgo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// data writes a dataset of n conversations and returns its path.
func data(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"messages": [{"role": "user", "content": "say %d"}, {"role": "assistant", "content": "it is %d"}]}`+"\n", i, i*i)
	}
	return write(t, "train.jsonl", b.String())
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// sft returns the flags of a small run on the model of a family.
func sft(family, dataset, out string, more ...string) []string {
	return append([]string{"sft", "--model", filepath.Join(models, family), "--dataset", dataset, "--output_dir", out, "--add_version", "false",
		"--plugins_dir", plugins, "--logging_steps", "1", "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2"}, more...)
}

// logged returns the values under key in a run's log, one for each line that has it.
func logged(t *testing.T, dir, key string) []json.Number {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "logging.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var values []json.Number
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if x, ok := line[key].(json.Number); ok {
			values = append(values, x)
		}
	}
	return values
}

// TestFivePlugins trains with a loss, an optimizer, a tuner and a metric of
// plugins at once, for each tuner, and sees them in args.json.
func TestFivePlugins(t *testing.T) {
	for _, tuner := range []string{"ia3", "lora", "full"} {
		t.Run(tuner, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			must(t, sft("qwen2", data(t, 40), out, "--optimizer", "custom", "--loss_type", "focal", "--focal.gamma", "1.5", "--loss_scale", "last_answer",
				"--tuner_type", tuner, "--callbacks", "early_stop", "patience", "--eval_metric", "exact", "--split_dataset_ratio", "0.1",
				"--max_steps", "6", "--eval_steps", "3", "--save_steps", "3", "--learning_rate", "1e-2")...)
			var args struct {
				Plugins []struct{ Kind, Name, File, SHA256 string }
				Own     map[string]map[string]any
			}
			if err := checkpoint.ReadJSON(filepath.Join(out, "args.json"), &args); err != nil {
				t.Fatal(err)
			}
			from := map[string]string{}
			for _, p := range args.Plugins {
				if p.File != "" && len(p.SHA256) != 64 {
					t.Errorf("%s %s of %s has sha256 %q", p.Kind, p.Name, p.File, p.SHA256)
				}
				from[p.Kind+" "+p.Name] = filepath.Base(p.File)
			}
			want := map[string]string{"loss focal": "focal.so", "optimizer custom": "custom.so", "loss_scale last_answer": "lastanswer.so", "metric exact": "exact.so", "callback patience": "patience.so"}
			if tuner == "ia3" {
				want["tuner ia3"] = "ia3.so"
			}
			for what, file := range want {
				if from[what] != file {
					t.Errorf("%s is from %q, want %q", what, from[what], file)
				}
			}
			losses, evals := logged(t, out, "loss"), logged(t, out, "eval_exact_acc")
			if len(losses) != 6 || len(evals) != 2 {
				t.Errorf("%d losses and %d metrics in the log, want 6 and 2", len(losses), len(evals))
			}
			for _, name := range []string{"images/train_loss.png", "runs", "checkpoint-3/trainer_state.json", "checkpoint-6/optimizer.safetensors", "checkpoint-6/args.json", "checkpoint-6/tokenizer.json"} {
				if _, err := os.Stat(filepath.Join(out, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestResumeWithoutPlugin sees the missing plugin named.
func TestResumeWithoutPlugin(t *testing.T) {
	out, dataset := filepath.Join(t.TempDir(), "out"), data(t, 8)
	must(t, sft("qwen2", dataset, out, "--max_steps", "1", "--optimizer", "custom")...)
	args := sft("qwen2", dataset, out, "--max_steps", "2", "--optimizer", "custom", "--resume_from_checkpoint", filepath.Join(out, "checkpoint-1"))
	args[slices.Index(args, "--plugins_dir")+1] = t.TempDir()
	if text, err := swiftgo(args...); err == nil || !strings.Contains(text, "the run used optimizer custom of plugins/custom.so (sha256 ") {
		t.Errorf("%v\n%s", err, text)
	}
}

// peftConfig are the keys that PEFT writes for a LoraConfig.
var peftConfig = []string{"alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode", "init_lora_weights",
	"layer_replication", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout", "megatron_config", "megatron_core",
	"modules_to_save", "peft_type", "r", "rank_pattern", "revision", "target_modules", "task_type", "use_dora", "use_rslora"}

func TestPEFTLayout(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	adapter := filepath.Join(models, "qwen3", "lora_adapter")
	must(t, sft("qwen3", data(t, 8), out, "--max_steps", "1", "--lora_rank", "4", "--lora_alpha", "16")...)
	shapes := func(dir string) map[string]string {
		w, err := checkpoint.OpenFile(filepath.Join(dir, "adapter_model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		all := map[string]string{}
		for _, name := range w.Names() {
			dtype, shape, _ := w.Info(name)
			all[name] = fmt.Sprint(dtype, shape)
		}
		return all
	}
	if got, want := shapes(filepath.Join(out, "checkpoint-1")), shapes(adapter); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("tensors\n%v, want\n%v", got, want)
	}
	var config map[string]any
	if err := checkpoint.ReadJSON(filepath.Join(out, "checkpoint-1", "adapter_config.json"), &config); err != nil {
		t.Fatal(err)
	}
	if keys := slices.Sorted(maps.Keys(config)); !slices.Equal(keys, peftConfig) {
		t.Errorf("adapter_config.json has the keys\n%v, want\n%v", keys, peftConfig)
	}
	if config["peft_type"] != "LORA" || config["r"] != 4.0 || config["lora_alpha"] != 16.0 {
		t.Errorf("adapter_config.json is %v", config)
	}
}

// TestAdapters goes on training an adapter that is in PEFT's layout.
func TestAdapters(t *testing.T) {
	for _, family := range []string{"llama", "llama31", "qwen2", "qwen3"} {
		out := filepath.Join(t.TempDir(), "out")
		must(t, sft(family, data(t, 8), out, "--max_steps", "1", "--adapters", filepath.Join(models, family, "lora_adapter"))...)
		var config struct{ R int }
		if err := checkpoint.ReadJSON(filepath.Join(out, "checkpoint-1", "adapter_config.json"), &config); err != nil || config.R != 4 {
			t.Errorf("%s: rank %d, %v; want the adapter's own, 4", family, config.R, err)
		}
	}
}

// TestFullCheckpoint trains on from a checkpoint of a full run, as a model.
func TestFullCheckpoint(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	must(t, sft("qwen2", data(t, 8), out, "--max_steps", "1", "--tuner_type", "full", "--max_shard_size", "100KB", "--torch_dtype", "bfloat16")...)
	if _, err := os.Stat(filepath.Join(out, "checkpoint-1", "model.safetensors.index.json")); err != nil {
		t.Error(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	args := sft("qwen2", data(t, 8), again, "--max_steps", "1")
	args[slices.Index(args, "--model")+1] = filepath.Join(out, "checkpoint-1")
	must(t, args...)
}

func TestPretraining(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	args := sft("llama", write(t, "text.jsonl", strings.Repeat(`{"messages": [{"role": "assistant", "content": "once upon a time"}]}`+"\n", 8)), out, "--max_steps", "2")
	args[0] = "pt"
	must(t, args...)
}

func TestConfigFile(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	config := write(t, "run.yaml", fmt.Sprintf("model: %s\ndataset: [%s]\nplugins_dir: %s\nloss_type: focal\nfocal:\n  gamma: 3\nmax_steps: 5\nadd_version: false\n",
		filepath.Join(models, "qwen2"), data(t, 8), plugins))
	cmd := exec.Command(binary, "sft", "--config", config, "--max_steps", "1", "--output_dir", out)
	cmd.Env = append(os.Environ(), "SWIFTGO_LEARNING_RATE=0.5", "SWIFTGO_MAX_STEPS=7")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var args struct {
		LearningRate float64 `json:"learning_rate"`
		MaxSteps     int     `json:"max_steps"`
		LossType     string  `json:"loss_type"`
		Own          map[string]map[string]any
	}
	if err := checkpoint.ReadJSON(filepath.Join(out, "args.json"), &args); err != nil {
		t.Fatal(err)
	}
	if args.LearningRate != 0.5 || args.MaxSteps != 1 || args.LossType != "focal" || args.Own["focal"]["gamma"] != 3.0 {
		t.Errorf("settings %+v, want learning_rate of the environment, max_steps of the flag, loss_type and gamma of the file", args)
	}
}

// TestBadInput sees that what is wrong is said before the work, and that
// nothing is left behind.
func TestBadInput(t *testing.T) {
	good := data(t, 8)
	broken := func(change func(dir string) error) string {
		dir := filepath.Join(t.TempDir(), "model")
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(models, "qwen2"))); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	rewrite := func(name string, change func(string) string) string {
		return broken(func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name), []byte(change(string(text))), 0o666)
		})
	}
	file := write(t, "a file", "")
	for _, c := range []struct {
		name string
		args []string // over those of a good run
		want string
	}{
		{"no model", []string{"--model", "/nowhere"}, "/nowhere: no config.json"},
		{"config.json is no JSON", []string{"--model", rewrite("config.json", func(string) string { return "{" })}, "config.json"},
		{"unknown model_type", []string{"--model", rewrite("config.json", func(s string) string { return strings.Replace(s, `"qwen2"`, `"gpt9"`, 1) })}, `model_type is "gpt9", want one of llama, mistral, qwen2, qwen3`},
		{"no tokenizer.json", []string{"--model", broken(func(dir string) error { return os.Remove(filepath.Join(dir, "tokenizer.json")) })}, "tokenizer.json"},
		{"tokenizer.json is no JSON", []string{"--model", rewrite("tokenizer.json", func(s string) string { return s[:len(s)/2] })}, "tokenizer.json"},
		{"no weights", []string{"--model", broken(func(dir string) error { return os.Remove(filepath.Join(dir, "model.safetensors")) })}, "safetensors"},
		{"weights cut short", []string{"--model", rewrite("model.safetensors", func(s string) string { return s[:len(s)-100] })}, "model.safetensors"},
		{"absurd header", []string{"--model", rewrite("model.safetensors", func(s string) string { return "\xff\xff\xff\xff\xff\xff\xff\x7f" + s[8:] })}, "header"},
		{"missing tensor", []string{"--model", rewrite("config.json", func(s string) string {
			return strings.Replace(s, `"num_hidden_layers": 3`, `"num_hidden_layers": 4`, 1)
		})}, "tensor model.layers.3.input_layernorm.weight is missing"},
		{"wrong shape", []string{"--model", rewrite("config.json", func(s string) string {
			return strings.Replace(s, `"intermediate_size": 128`, `"intermediate_size": 129`, 1)
		})}, "config.json wants [129 56]"},
		{"no dataset", []string{"--dataset", "/nowhere.jsonl"}, "/nowhere.jsonl"},
		{"empty dataset", []string{"--dataset", write(t, "empty.jsonl", "")}, "empty.jsonl"},
		{"row is no JSON", []string{"--strict", "--dataset", write(t, "bad.jsonl", `{"query": "a", "response": "b"}`+"\n{oops\n")}, "bad.jsonl:2"},
		{"row lacks a role", []string{"--strict", "--dataset", write(t, "role.jsonl", `{"messages": [{"content": "a"}]}`+"\n")}, "role.jsonl:1"},
		{"max_length smaller than every row", []string{"--max_length", "5"}, "max_length"},
		{"max_length larger than the model's", []string{"--max_length", "9999"}, "--max_length is 9999, and the model takes at most 256 tokens"},
		{"output_dir is a file", []string{"--output_dir", filepath.Join(file, "out")}, "a file"},
		{"no plugins_dir", []string{"--plugins_dir", "/nowhere"}, "/nowhere"},
		{"unknown flag", []string{"--learning_rat", "1"}, "unknown flag: --learning_rat; did you mean --learning_rate?"},
		{"unknown loss", []string{"--loss_type", "focl"}, "did you mean focal?"},
		{"unknown optimizer", []string{"--optimizer", "adam"}, `no optimizer "adam"`},
		{"unknown tuner", []string{"--tuner_type", "lore"}, `no tuner "lore"`},
		{"unknown callback", []string{"--callbacks", "x"}, `no callback "x"`},
		{"unknown loss scale", []string{"--loss_scale", "default+x"}, `no loss_scale "x"`},
		{"unknown metric", []string{"--eval_metric", "x", "--split_dataset_ratio", "0.5"}, `no metric "x"`},
		{"unknown setting", []string{"--loss_type", "focal", "--focal.gama", "2"}, `unknown field "gama"; there are gamma`},
		{"setting of what is not used", []string{"--focal.gamma", "2"}, "focal"},
		{"wrong setting", []string{"--loss_type", "focal", "--focal.gamma", "0.5"}, "gamma is 0.5, want 1 or more"},
		{"metric without evaluation", []string{"--eval_metric", "exact"}, "--eval_metric exact wants evaluation data"},
		{"early_stop without evaluation", []string{"--callbacks", "early_stop"}, "early_stop wants evaluation data"},
		{"wrong schedule", []string{"--lr_scheduler_type", "cosin"}, `--lr_scheduler_type is "cosin", want constant`},
		{"wrong setting of the schedule", []string{"--lr_scheduler_kwargs", `{"cycles": 2}`}, `unknown field "cycles"; want JSON such as {"num_cycles": 2}; there are num_cycles`},
		{"early_stop_interval without evaluation", []string{"--early_stop_interval", "2"}, "early_stop wants evaluation data"},
		{"lisa without full", []string{"--lisa_activated_layers", "1"}, "lisa is for --tuner_type full"},
		{"a rate of what is not there", []string{"--vit_lr", "1e-5"}, "vit_lr is given, and no parameter that is trained belongs to it"},
		{"both warm-ups", []string{"--warmup_steps", "3", "--warmup_ratio", "0.1"}, "--warmup_ratio and --warmup_steps"},
		{"loss that becomes NaN", []string{"--learning_rate", "1e30", "--max_grad_norm", "0", "--tuner_type", "full", "--max_steps", "9"}, "the loss is"},
		{"nothing to resume from", []string{"--resume_from_checkpoint", "/nowhere/checkpoint-1"}, "/nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			text, err := swiftgo(append(sft("qwen2", good, out, "--max_steps", "2"), c.args...)...)
			if err == nil || !strings.Contains(text, c.want) {
				t.Errorf("%v\n%swant an error with %q", err, text, c.want)
			}
			if strings.Contains(text, "goroutine ") || strings.Contains(text, "panic") {
				t.Errorf("a panic reached the user:\n%s", text)
			}
			if _, err := os.Stat(out); err == nil && c.name != "loss that becomes NaN" {
				t.Errorf("%s is left behind", out)
			}
		})
	}
}

// TestOneDirectory sees that a second run in the directory of the first is
// refused while the first runs, and that the first saves when it is interrupted.
func TestOneDirectory(t *testing.T) {
	out, dataset := filepath.Join(t.TempDir(), "out"), data(t, 30)
	first := exec.Command(binary, sft("qwen2", dataset, out, "--max_steps", "100000")...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer first.Process.Kill()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(filepath.Join(out, "logging.jsonl")); err == nil && info.Size() > 0 {
			break
		}
	}
	if text, err := swiftgo(sft("qwen2", dataset, out, "--max_steps", "1")...); err == nil || !strings.Contains(text, "in use by") {
		t.Errorf("a second run in the directory: %v\n%s", err, text)
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := first.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("an interrupted run ended with %v, want exit status 130", err)
	}
	saved, err := checkpoint.List(out)
	if err != nil || len(saved) == 0 {
		t.Errorf("an interrupted run left no checkpoint: %v", err)
	}
}

// TestPluginsHoldNoCore sees that a plugin carries no package of the house.
func TestPluginsHoldNoCore(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(plugins, "*.so"))
	if err != nil || len(files) < 9 {
		t.Fatalf("%d plugins, %v; want one of each of nine kinds", len(files), err)
	}
	for _, path := range files {
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := f.DynamicSymbols()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		api := false
		for _, s := range symbols {
			api = api || strings.HasPrefix(s.Name, "swiftgo/api.")
			if strings.HasPrefix(s.Name, "swiftgo/core") || strings.HasPrefix(s.Name, "swiftgo/loader") || strings.Contains(s.Name, "pkghashbytes.swiftgo/core") {
				t.Errorf("%s has %s", filepath.Base(path), s.Name)
			}
		}
		if !api {
			t.Errorf("%s has no symbol of swiftgo/api; is the check blind?", filepath.Base(path))
		}
	}
}

// TestFingerprint pins what plugin.Open compares of package api: every plugin
// built so far is refused when it changes, by as little as a line that moves.
// SWIFTGO_RECORD_API=1 records it anew, which is a decision.
func TestFingerprint(t *testing.T) {
	const golden = "../../api/testdata/fingerprint.txt"
	f, err := loader.Inspect(filepath.Join(plugins, "focal.so"))
	if err != nil {
		t.Fatal(err)
	}
	toolchain := fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	got := fmt.Sprintf("api %s %s %s\n", api.Version, toolchain, f.Packages["swiftgo/api"])
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SWIFTGO_RECORD_API") != "" && got != string(want) {
		if strings.HasPrefix(string(want), "api "+api.Version+" "+toolchain+" ") {
			t.Fatalf("package api has changed and api.Version is still %s; raise it and say in CHANGELOG.md what plugins have to do", api.Version)
		}
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		want = []byte(got)
	}
	if !strings.Contains(string(want), " "+toolchain+" ") {
		t.Skipf("needs the toolchain of the recorded fingerprint %s, this is %s", want, toolchain)
	}
	if got != string(want) {
		t.Errorf("fingerprint of package api\n%swant\n%sall plugins built so far are refused; if that is meant, raise api.Version, say so in CHANGELOG.md and record it with SWIFTGO_RECORD_API=1", got, want)
	}
	changes, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil || !strings.Contains(string(changes), "`api` "+api.Version) {
		t.Errorf("CHANGELOG.md does not name package `api` %s, %v", api.Version, err)
	}
}

// TestEarlierPlugin loads a plugin that was built from the commit before this
// one, if package api and what it imports are the same there.
func TestEarlierPlugin(t *testing.T) {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", args...).CombinedOutput()
		return string(out), err
	}
	if _, err := git("rev-parse", "--verify", "HEAD~1"); err != nil {
		t.Skip("needs a checkout with the commit before this one")
	}
	if out, err := git("diff", "--quiet", "HEAD~1", "--", "../../api/*.go", ":!../../api/*_test.go"); err != nil {
		t.Skip("needs package api as it was in the commit before: ", out)
	}
	tree := filepath.Join(t.TempDir(), "earlier")
	if out, err := git("worktree", "add", "--detach", tree, "HEAD~1"); err != nil {
		t.Skip("needs git worktrees: ", out)
	}
	defer git("worktree", "remove", "--force", tree)
	dir := t.TempDir()
	c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=plugin", "-o", filepath.Join(dir, "focal.so"), "./contrib/focal")
	c.Dir = tree
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, "plugin", "check", dir)
}

func TestPluginList(t *testing.T) {
	text := must(t, "plugin", "list", plugins)
	for _, want := range []string{"focal.so", "loss focal", "optimizer custom", "tuner ia3", "metric exact", "orm boxed_math", "prm remote", "agent_template hermes_example", "callback patience", "loss_scale last_answer"} {
		if !strings.Contains(text, want) {
			t.Errorf("the list lacks %q:\n%s", want, text)
		}
	}
	var all []map[string]any
	if err := json.Unmarshal([]byte(must(t, "plugin", "list", "--json", plugins)), &all); err != nil || len(all) < 9 {
		t.Errorf("%d plugins in JSON, %v", len(all), err)
	}
}

// TestPluginNew begins a plugin of each kind in this module, tests it, builds
// it, and tries it.
func TestPluginNew(t *testing.T) {
	lines := map[string]string{
		"loss": `{"logits": [[[1, 2, 3], [3, 2, 1]]], "labels": [[-100, 2]]}`, "loss_scale": `{"query": "q", "response": "r"}`,
		"metric": `{"preds": [[1, 2, 3]], "labels": [[-100, 1, 2]]}`, "optimizer": `{"w": [[1, 2]], "grads": [[[0.5, -0.5]]], "lr": 0.1}`,
		"callback": `{"metrics": [3, 2, 1]}`, "agent_template": `{"method": "get_toolcall", "response": "<call>{\"name\": \"a\", \"arguments\": {\"x\": 1}}</call>"}`,
		"tuner": `{}`, "orm": `{"text": "4", "truth": " 4"}`, "prm": `{"text": "a\nb"}`,
	}
	want := map[string]string{
		"loss": `"loss":0.40760598`, "loss_scale": `{"segments":["r"],"weights":[1]}`, "metric": `"my_metric":1`, "optimizer": `[[[0.95,2.05]]]`,
		"callback": `["","",""]`, "agent_template": `[{"name":"a","arguments":"{\"x\": 1}"}]`, "tuner": `"model.layers.0.v_proj.my_tuner":[4]`, "orm": `{"ok":1}`, "prm": `{"ok":[1,1]}`,
	}
	work := "testdata/new" // out of the way of ./...
	os.RemoveAll(work)     // of a test that was killed
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	tests := exec.Command("go", "test")
	built := t.TempDir()
	for kind, line := range lines {
		name := "my_" + kind
		cmd := exec.Command(binary, "plugin", "new", kind, name)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		dir := filepath.Join(work, strings.ReplaceAll(name, "_", ""))
		_, guide, _ := strings.Cut(string(read(t, "../../docs/authors.md")), "\n## "+kind+"\n")
		guide, _, _ = strings.Cut(guide, "\n## ")
		if readme := string(read(t, filepath.Join(dir, "README.md"))); len(guide) < 200 || !strings.Contains(readme, guide) {
			t.Errorf("the README of a %s has not what docs/authors.md says of the kind:\n%s", kind, readme)
		}
		tests.Args = append(tests.Args, "./"+dir)
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=plugin", "-o", filepath.Join(built, name+".so"), "./"+dir)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		try := exec.Command(binary, "plugin", "try", kind, name, "--plugins_dir", built)
		try.Stdin = strings.NewReader(line)
		out, err := try.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want[kind]) {
			t.Errorf("try %s: %v\n%swant %s", kind, err, out, want[kind])
		}
	}
	if out, err := tests.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if text, err := swiftgo("plugin", "new", "los", "x"); err == nil || !strings.Contains(text, `no kind "los"`) {
		t.Errorf("a kind that is not there: %v\n%s", err, text)
	}
}

func TestHelp(t *testing.T) {
	text := must(t, "sft", "--help")
	for _, flag := range []string{"--model", "--loss_type", "--lora_rank", "--resume_from_checkpoint"} {
		if !strings.Contains(text, flag) {
			t.Errorf("the help lacks %s", flag)
		}
	}
	if !regexp.MustCompile(`matrix products`).MatchString(must(t, "env")) {
		t.Error("env does not say what multiplies")
	}
	if text, err := swiftgo("plugin", "new", "loss"); err == nil || !strings.Contains(text, "want swiftgo plugin new KIND NAME, and swiftgo plugin new --help") {
		t.Errorf("no name: %v\n%s", err, text)
	}
	if text, err := swiftgo("plugin", "new", "--odd"); err == nil || !strings.Contains(text, "swiftgo plugin new --help lists") {
		t.Errorf("an odd flag: %v\n%s", err, text)
	}
}
