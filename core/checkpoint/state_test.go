package checkpoint

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// written is a trainer_state.json as transformers writes it: sorted keys, two spaces, a newline at the end.
const written = `{
  "best_global_step": 20,
  "best_metric": 0.5,
  "best_model_checkpoint": "out/<v0>/checkpoint-20",
  "epoch": 1.25,
  "eval_steps": 10,
  "global_step": 25,
  "is_hyper_param_search": false,
  "is_local_process_zero": true,
  "is_world_process_zero": true,
  "log_history": [
    {
      "epoch": 0.05,
      "grad_norm": null,
      "loss": 2.3125,
      "step": 1
    }
  ],
  "logging_steps": 5,
  "max_steps": 40,
  "num_input_tokens_seen": 123456,
  "num_train_epochs": 2,
  "save_steps": 10,
  "stateful_callbacks": {
    "TrainerControl": {
      "args": {
        "should_save": true
      }
    }
  },
  "total_flos": 1230000000000,
  "train_batch_size": 1,
  "trial_name": null,
  "trial_params": null
}
`

func TestStateRoundTrip(t *testing.T) {
	path := write(t, t.TempDir(), StateFile, []byte(written))
	var s State
	if err := ReadJSON(path, &s); err != nil {
		t.Fatal(err)
	}
	if s.GlobalStep != 25 || *s.BestMetric != 0.5 || *s.BestGlobalStep != 20 || s.Epoch != 1.25 || s.LogHistory[0]["loss"] != 2.3125 {
		t.Errorf("read %+v", s)
	}
	if err := WriteJSON(path, s); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != written {
		t.Errorf("wrote %s, want %s", got, written)
	}
	var again State
	if err := ReadJSON(path, &again); err != nil || !reflect.DeepEqual(s, again) {
		t.Errorf("%+v came back as %+v, %v", s, again, err)
	}
}

// A run whose numbers are no numbers any more is saved all the same.
func TestStateNotFinite(t *testing.T) {
	nan, infinite := math.NaN(), math.Inf(1)
	metric := Float(nan)
	s := State{Epoch: 2, BestMetric: &metric, TotalFlos: Float(infinite), LogHistory: []Log{{
		"loss": nan, "grad_norm": infinite, "lr": float32(0.1), "f32": float32(math.Inf(-1)), "step": 3, "name": "a",
		"list": []float64{1, nan}, "list32": []float32{float32(nan)}, "any": []any{nan, map[string]any{"x": -infinite}}, "float": Float(nan),
	}}}
	path := filepath.Join(t.TempDir(), StateFile)
	if err := WriteJSON(path, &s); err != nil {
		t.Fatal(err)
	}
	var got State
	if err := ReadJSON(path, &got); err != nil {
		t.Fatal(err)
	}
	if got.BestMetric != nil || !math.IsNaN(float64(got.TotalFlos)) || got.Epoch != 2 {
		t.Errorf("read %+v, want no best metric and a NaN", got)
	}
	want := Log{"loss": nil, "grad_norm": nil, "lr": 0.1, "f32": nil, "step": 3.0, "name": "a", "list": []any{1.0, nil}, "list32": []any{nil},
		"any": []any{nil, map[string]any{"x": nil}}, "float": nil}
	if !reflect.DeepEqual(got.LogHistory[0], want) {
		t.Errorf("the log is %v, want %v", got.LogHistory[0], want)
	}
	if s.LogHistory[0]["list"].([]float64)[0] != 1 || s.LogHistory[0]["step"] != 3 {
		t.Error("writing changed the log")
	}
	if line, err := json.Marshal(Log{"loss": nan}); err != nil || string(line) != `{"loss":null}` {
		t.Errorf("a line is %s, %v", line, err)
	}
}

func TestReadJSONErrors(t *testing.T) {
	dir := t.TempDir()
	var s State
	path := write(t, dir, "a.json", []byte("{\n  \"epoch\": 1,\n  \"global_step\" 3\n}"))
	wantError(t, ReadJSON(path, &s), path+":3: not JSON")
	write(t, dir, "a.json", []byte(`{"global_step": "three"}`))
	wantError(t, ReadJSON(path, &s), path, "global_step")
	write(t, dir, "a.json", []byte(`{"global_step": 3}{}`))
	wantError(t, ReadJSON(path, &s), path+":1: not JSON")
	write(t, dir, "a.json", nil)
	wantError(t, ReadJSON(path, &s), path+":1: not JSON")
	wantError(t, ReadJSON(filepath.Join(dir, "b.json"), &s), "b.json")
	wantError(t, WriteJSON(path, map[string]any{"x": math.NaN()}), path, "NaN")
}
