package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"swiftgo/core/builtin"
)

// TestResumeOptimizers kills a run with each optimizer in the middle and goes on
// from its checkpoint: the losses and the weights are those of a run that was
// never killed. The callback lisa, noise on embeddings and grouped rows are in it
// once.
func TestResumeOptimizers(t *testing.T) {
	dataset := data(t, 30)
	full := map[string]string{
		"adamw": "--lisa_activated_layers 1 --lisa_step_interval 3 --neftune_noise_alpha 5 --group_by_length", "multimodal": `--lr_groups layers\.0\.=1e-3`,
		"sgd": "--sgd.momentum 0.9 --sgd.nesterov true", "adamw_8bit": "", "adafactor": "", "lion": "", "muon": "", "muonclip": "--muonclip.qk_clip_tau 0.1",
		"galore": "--galore_rank 4 --galore_update_proj_gap 3", "apollo": "--apollo.rank 4 --apollo.update_proj_gap 3", "lorap": "--lorap_lr_ratio 8",
	}
	for name := range builtin.Exports().Optimizers {
		settings, ok := full[name]
		if !ok {
			t.Errorf("no run with %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			tuner, file := "full", "model.safetensors"
			if name == "lorap" {
				tuner, file = "lora", "adapter_model.safetensors"
			}
			flags := append([]string{"--optimizer", name, "--tuner_type", tuner, "--torch_dtype", "float32", "--max_steps", "8", "--save_steps", "4", "--learning_rate", "1e-3"}, strings.Fields(settings)...)
			whole, cut := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "cut")
			must(t, sft("llama", dataset, whole, flags...)...)
			killed(t, cut, 4, 8, sft("llama", dataset, cut, flags...))
			must(t, sft("llama", dataset, cut, append(flags, "--resume_from_checkpoint", filepath.Join(cut, "checkpoint-4"))...)...)
			losses, again := logged(t, whole, "loss"), logged(t, cut, "loss")
			if len(losses) != 8 || !slices.Equal(losses, again) {
				t.Errorf("losses\n%v of the run that was killed, want\n%v", again, losses)
			}
			if rate := map[string]string{"multimodal": `learning_rate_layers\.0\.`, "lorap": "learning_rate_lora_B"}[name]; rate != "" && len(logged(t, cut, rate)) != 8 {
				t.Errorf("the log has no %s", rate)
			}
			first, _ := losses[0].Float64()
			if last, _ := losses[7].Float64(); !(last < first) {
				t.Errorf("the loss goes from %v to %v", first, last)
			}
			a, errA := os.ReadFile(filepath.Join(whole, "checkpoint-8", file))
			b, errB := os.ReadFile(filepath.Join(cut, "checkpoint-8", file))
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs: %v %v", file, errA, errB)
			}
		})
	}
}

// TestGracefulExit sends a run SIGUSR1: it saves, ends, and says so; perf_log has
// added its values to the log.
func TestGracefulExit(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(binary, sft("qwen2", data(t, 30), out, "--max_steps", "100000", "--callbacks", "perf_log", "graceful_exit")...)
	var text bytes.Buffer
	cmd.Stdout = &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(filepath.Join(out, "logging.jsonl")); err == nil && info.Size() > 0 {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(text.String(), "graceful_exit: user defined signal 1") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if saved, _ := filepath.Glob(filepath.Join(out, "checkpoint-*")); len(saved) != 1 {
		t.Errorf("checkpoints %v, want one", saved)
	}
	if len(logged(t, out, "MFU")) == 0 || len(logged(t, out, "TFLOP/s")) == 0 {
		t.Error("the log has neither MFU nor TFLOP/s")
	}
}
