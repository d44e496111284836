package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
)

// StateFile is the name of a State in a checkpoint.
const StateFile = "trainer_state.json"

// State is how far a run has come, in the shape of transformers' trainer_state.json (4.50 and later, which refuse
// other members). What else a trainer, callback or dataset needs to go on goes under a name of its own in
// StatefulCallbacks: transformers carries that through unread.
type State struct {
	BestGlobalStep      *int                       `json:"best_global_step"`      // nil: none yet
	BestMetric          *Float                     `json:"best_metric"`           // nil: none yet
	BestModelCheckpoint *string                    `json:"best_model_checkpoint"` // path; nil: none yet
	Epoch               Float                      `json:"epoch"`
	EvalSteps           int                        `json:"eval_steps"`
	GlobalStep          int                        `json:"global_step"` // optimizer steps done
	IsHyperParamSearch  bool                       `json:"is_hyper_param_search"`
	IsLocalProcessZero  bool                       `json:"is_local_process_zero"`
	IsWorldProcessZero  bool                       `json:"is_world_process_zero"`
	LogHistory          []Log                      `json:"log_history"`
	LoggingSteps        int                        `json:"logging_steps"`
	MaxSteps            int                        `json:"max_steps"`
	NumInputTokensSeen  int64                      `json:"num_input_tokens_seen"`
	NumTrainEpochs      int                        `json:"num_train_epochs"`
	SaveSteps           int                        `json:"save_steps"`
	StatefulCallbacks   map[string]json.RawMessage `json:"stateful_callbacks"`
	TotalFlos           Float                      `json:"total_flos"` // floating point operations so far
	TrainBatchSize      int                        `json:"train_batch_size"`
	TrialName           *string                    `json:"trial_name"`
	TrialParams         map[string]any             `json:"trial_params"`
}

// Float is a float64 that may be NaN or infinite. JSON knows no such numbers, and a diverged run must still be saved:
// they are written as null, and null is read as NaN.
type Float float64

func (f Float) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

func (f *Float) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*f = Float(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(f))
}

// Log is one line of logging.jsonl or entry of log_history: loss, learning_rate, epoch, step and so on. Floats that are
// NaN or infinite are written as null, also inside slices and maps of its values.
type Log map[string]any

func (l Log) MarshalJSON() ([]byte, error) { return json.Marshal(nulled(map[string]any(l))) }

// nulled returns v with the floats in it as Float.
func nulled(v any) any {
	switch v := v.(type) {
	case float64:
		return Float(v)
	case float32:
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
	case []float64:
		return each(v)
	case []float32:
		return each(v)
	case []any:
		return each(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = nulled(value)
		}
		return out
	}
	return v
}

func each[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = nulled(v)
	}
	return out
}

// WriteJSON writes v as transformers writes its files, indented by two. Path holds its old content or the new one. A
// float of v that may be NaN or infinite must be a Float or stand in a Log; others make it fail.
func WriteJSON(path string, v any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return replaceFile(path, int64(out.Len()), func(f *os.File) error {
		_, err := f.Write(out.Bytes())
		return err
	})
}

// ReadJSON reads the JSON of path into v. Members that v does not know are passed over.
func ReadJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	err = json.Unmarshal(text, v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		return fmt.Errorf("%s:%d: not JSON: %w", path, line, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
