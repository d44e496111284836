package main_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"swiftgo/core/builtin"
	"swiftgo/core/checkpoint"
)

// stories returns what TestStories trains: the pretrained model stories260K on
// the shortest rows of gsm8k, or, where they are not beside the repository, the
// small llama on rows made up.
func stories(t *testing.T) (model, dataset string) {
	t.Helper()
	const material = "../../../shared/material"
	model = filepath.Join(material, "models", "stories260K", "hf")
	rows, err := os.ReadFile(filepath.Join(material, "datasets", "gsm8k_train.jsonl"))
	if _, missing := os.Stat(model); err != nil || missing != nil {
		t.Log("without stories260K and gsm8k beside the repository, the models are smaller")
		return filepath.Join(models, "llama"), data(t, 24)
	}
	short := slices.SortedStableFunc(strings.Lines(string(rows)), func(a, b string) int { return len(a) - len(b) })
	return model, write(t, "gsm8k.jsonl", strings.Join(short[:24], ""))
}

// TestStories trains with every optimizer and every tuner: fifty steps lower the
// loss; a run that is killed in the middle and resumed computes what one does that
// was not, to the last bit; its checkpoint answers, and where it is an adapter, so
// does, with the same probabilities, the model that it is merged into. The
// callback lisa, noise on embeddings and grouped rows are in it once.
func TestStories(t *testing.T) {
	model, dataset := stories(t)
	adapter := filepath.Join(t.TempDir(), "adapter")
	must(t, sft("llama", dataset, adapter, "--model", model, "--max_steps", "1", "--use_dora")...)
	base := probabilities(t, dataset, "--model", model)
	cases := map[string]string{ // the rate and the flags
		"optimizer adamw":      "1e-3 --lisa_activated_layers 1 --lisa_step_interval 3 --neftune_noise_alpha 5 --group_by_length --per_device_train_batch_size 2",
		"optimizer multimodal": `1e-3 --lr_groups layers\.0\.=3e-3`, "optimizer sgd": "3e-2 --sgd.momentum 0.9 --sgd.nesterov true",
		"optimizer adamw_8bit": "1e-3", "optimizer adafactor": "1e-3", "optimizer lion": "1e-4", "optimizer muon": "1e-3",
		"optimizer muonclip": "1e-3 --muonclip.qk_clip_tau 0.1", "optimizer galore": "1e-3 --galore_rank 4 --galore_update_proj_gap 10",
		"optimizer apollo": "1e-3 --apollo.rank 4 --apollo.update_proj_gap 10", "optimizer lorap": "1e-3 --tuner_type lora --lorap_lr_ratio 8",
		"full bfloat16": "1e-3 --torch_dtype bfloat16", "full frozen bfloat16": "1e-3 --freeze_parameters_ratio 0.5 --torch_dtype bfloat16",
		"lora": "5e-3", "lora dora": "5e-3 --use_dora", "lora rslora": "5e-3 --use_rslora", "lora pissa": "2e-3 --init_weights pissa", "lora olora": "2e-3 --init_weights olora",
		"lora all": "2e-3 --use_dora --init_weights pissa_niter_4 --lora_bias all --modules_to_save all-norm --lora_dtype bfloat16",
		"lora_llm": "5e-3", "adalora": "5e-3 --adalora.init_r 6 --adalora.target_r 3 --adalora.tinit 5 --adalora.tfinal 10 --adalora.deltaT 5",
		"vera": "3e-2 --vera.rank 16", "bone": "2e-3 --bone.rank 16", "bone bat": "2e-3 --bone.rank 4 --init_weights bat",
		"llamapro": "3e-3 --llamapro.num_new_blocks 1", "ia3": "2e-2", "dummy": "5e-3 --adapters " + filepath.Join(adapter, "checkpoint-1"),
	}
	named := map[string]bool{}
	for name := range cases {
		named[name], named[strings.Fields(name)[0]] = true, true
	}
	for name := range builtin.Exports().Optimizers {
		if !named["optimizer "+name] {
			t.Errorf("no run with the optimizer %s", name)
		}
	}
	for name := range builtin.Exports().Tuners {
		if !named[name] {
			t.Errorf("no run with the tuner %s", name)
		}
	}
	for name, settings := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words, own := strings.Fields(name), strings.Fields(settings)
			tuner := words[0]
			if tuner == "optimizer" {
				tuner, own = "full", append(own, "--optimizer", words[1])
			}
			flags := append([]string{"--model", model, "--threads", "1", "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "1", "--torch_dtype", "float32", "--tuner_type", tuner,
				"--max_steps", "50", "--save_steps", "25", "--warmup_steps", "3", "--learning_rate"}, own...)
			dir := t.TempDir()
			whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
			must(t, sft("llama", dataset, whole, flags...)...)
			killed(t, cut, 25, 50, sft("llama", dataset, cut, flags...))
			if i := slices.Index(flags, "--adapters"); i > 0 { // the checkpoint has it
				flags = slices.Delete(flags, i, i+2)
			}
			must(t, sft("llama", dataset, cut, append(flags, "--resume_from_checkpoint", filepath.Join(cut, "checkpoint-25"))...)...)
			for _, key := range []string{"loss", "grad_norm", "learning_rate", "token_acc"} {
				want, got := logged(t, whole, key), logged(t, cut, key)
				if len(want) != 50 || !slices.Equal(got, want) {
					t.Errorf("%s\n%v of the run that was killed, want\n%v", key, got, want)
				}
			}
			last := filepath.Join(cut, "checkpoint-50")
			for _, file := range filesOf(t, last) {
				if strings.HasSuffix(file, ".safetensors") && !bytes.Equal(read(t, filepath.Join(last, file)), read(t, filepath.Join(whole, "checkpoint-50", file))) {
					t.Errorf("%s differs", file)
				}
			}
			if rate := map[string]string{"optimizer multimodal": `learning_rate_layers\.0\.`, "optimizer lorap": "learning_rate_lora_B"}[name]; rate != "" && len(logged(t, cut, rate)) != 50 {
				t.Errorf("the log has no %s", rate)
			}
			losses := logged(t, cut, "loss")
			began, ended := mean(t, losses[:5]), mean(t, losses[45:])
			if !(ended < began) {
				t.Errorf("the loss goes from %.3f to %.3f", began, ended)
			}
			if _, err := os.Stat(filepath.Join(last, "adapter_config.json")); err != nil {
				probabilities(t, dataset, "--model", last)
				t.Logf("loss %.3f to %.3f; resumed the same", began, ended)
				return
			}
			must(t, "export", "--adapters", last, "--merge_lora", "--torch_dtype", "float32", "--output_dir", filepath.Join(dir, "merged"), "--plugins_dir", plugins)
			one, two := probabilities(t, dataset, "--adapters", last), probabilities(t, dataset, "--model", filepath.Join(dir, "merged"))
			if d := apart(one, two); !(d < 1e-4) {
				t.Errorf("log probabilities of the merged model are up to %g from those of model and adapter", d)
			}
			if d := apart(base, one); !(d > 0.01) {
				t.Errorf("log probabilities with the adapter are only %g from those without; is the check blind?", d)
			}
			t.Logf("loss %.3f to %.3f; resumed the same; merged, %.1e apart", began, ended, apart(one, two))
		})
	}
}

func mean(t *testing.T, values []json.Number) (m float64) {
	t.Helper()
	for _, v := range values {
		x, err := v.Float64()
		if err != nil {
			t.Fatal(err)
		}
		m += x / float64(len(values))
	}
	return m
}

// probabilities returns the log probabilities, by answer, place and token, of the
// whole vocabulary in the first two tokens of the answers to four rows.
func probabilities(t *testing.T, dataset string, args ...string) (all []map[string]float64) {
	t.Helper()
	lines, _ := answers(t, append(args, "--val_dataset", dataset+"#4", "--max_new_tokens", "2", "--temperature", "1", "--top_logprobs", "600", "--max_batch_size", "1", "--torch_dtype", "float32", "--threads", "1")...)
	for _, a := range lines {
		for _, place := range a["logprobs"].(map[string]any)["content"].([]any) {
			by := map[string]float64{}
			for _, token := range place.(map[string]any)["top_logprobs"].([]any) {
				x := token.(map[string]any)
				key, _ := json.Marshal([]any{x["token"], x["bytes"]})
				by[string(key)] = x["logprob"].(float64)
			}
			all = append(all, by)
		}
	}
	if len(all) < 2 {
		t.Fatalf("%d places in %v", len(all), lines)
	}
	return all
}

// apart returns how far two lists of log probabilities are apart at most.
func apart(a, b []map[string]float64) (worst float64) {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	for i := range a {
		for token, x := range a[i] {
			y, ok := b[i][token]
			if !ok {
				return math.Inf(1)
			}
			worst = max(worst, math.Abs(x-y))
		}
	}
	return worst
}

// killed runs the binary and kills it when the checkpoint of a step is there. The
// checkpoint of the last step is removed, in case it was faster than the kill.
func killed(t *testing.T, dir string, step, last int, args []string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, checkpoint.Name(step))); err == nil {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal("no checkpoint after a minute")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	os.RemoveAll(filepath.Join(dir, checkpoint.Name(last)))
}
