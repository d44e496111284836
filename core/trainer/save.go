package trainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
	"swiftgo/core/registry"
)

const optimizerFile = "optimizer.safetensors"

// save writes a checkpoint, whole or not at all, and removes old ones.
func (t *Trainer) save() error {
	s := &t.state
	name := checkpoint.Name(s.Step)
	dir := filepath.Join(t.OutputDir, name)
	best := s.BestCheckpoint
	if t.bestIsNew {
		s.BestCheckpoint = dir
	}
	err := checkpoint.Save(t.OutputDir, name, func(tmp string) error {
		if err := t.Save(tmp); err != nil {
			return err
		}
		if t.SaveOnlyModel {
			return nil
		}
		if err := t.saveOptimizer(tmp); err != nil {
			return err
		}
		return t.saveState(tmp)
	})
	if err != nil {
		s.BestCheckpoint = best
		return fmt.Errorf("checkpoint of step %d: %w", s.Step, err)
	}
	s.Checkpoint, t.bestIsNew = dir, false
	if t.Links { // before an old checkpoint goes that they lead to
		if err := checkpoint.Link(t.OutputDir, "last", name); err != nil {
			return err
		}
		if s.BestCheckpoint != "" {
			if err := checkpoint.Link(t.OutputDir, "best", filepath.Base(s.BestCheckpoint)); err != nil {
				return err
			}
		}
	}
	if _, err := checkpoint.Rotate(t.OutputDir, t.SaveTotalLimit, filepath.Base(s.BestCheckpoint), name); err != nil {
		return err
	}
	return t.call("OnSave", func(c Callback) hook { return c.OnSave })
}

// SaveSound saves a checkpoint of the last whole step after Run has failed, if
// there is not one already. It is an error if the weights are not those of a
// whole step.
func (t *Trainer) SaveSound() error {
	s := &t.state
	switch {
	case s.Step == 0:
		return errors.New("no step was done")
	case t.updating:
		return fmt.Errorf("the weights may be half updated, as the failure came after the optimizer's step %d had begun", s.Step+1)
	case s.Checkpoint == filepath.Join(t.OutputDir, checkpoint.Name(s.Step)):
		return nil
	}
	return t.save()
}

func (t *Trainer) saveOptimizer(dir string) error {
	o, ok := t.Optimizer.(api.Stateful)
	if !ok {
		return nil
	}
	state := o.State()
	var ts []checkpoint.Tensor
	for _, name := range slices.Sorted(maps.Keys(state)) {
		x := state[name]
		ts = append(ts, checkpoint.Tensor{Name: name, Shape: x.Shape(), Data: x.Float32s(), Dtype: checkpoint.F32})
	}
	return checkpoint.WriteSafetensors(filepath.Join(dir, optimizerFile), ts, nil)
}

// progress is what the trainer itself must know again, beside what transformers'
// state has room for.
type progress struct {
	Loss    float64 `json:"loss"` // sums since the last line of the log
	Steps   int     `json:"steps"`
	Right   int     `json:"right"`
	Counted int     `json:"counted"`
}

// own is the name of progress among the callbacks' states.
const own = "swiftgo"

func (t *Trainer) saveState(dir string) error {
	s := &t.state
	st := checkpoint.State{
		GlobalStep: s.Step, MaxSteps: s.MaxSteps, Epoch: checkpoint.Float(s.Epoch), LoggingSteps: t.LoggingSteps, EvalSteps: t.EvalEvery.Steps,
		SaveSteps: t.SaveEvery.Steps, IsLocalProcessZero: true, IsWorldProcessZero: true, StatefulCallbacks: map[string]json.RawMessage{},
	}
	if s.BestMetric != nil {
		best := checkpoint.Float(*s.BestMetric)
		st.BestMetric = &best
	}
	if s.BestCheckpoint != "" {
		st.BestModelCheckpoint = &s.BestCheckpoint
	}
	for _, line := range s.LogHistory {
		log := checkpoint.Log{}
		for k, v := range line {
			log[k] = v
		}
		st.LogHistory = append(st.LogHistory, log)
	}
	for _, c := range t.Callbacks {
		if c.Save != nil {
			text, err := c.Save()
			if errors.Is(err, registry.ErrDisabled) {
				continue
			} else if err != nil {
				return err
			}
			st.StatefulCallbacks[c.Name] = text
		}
	}
	var err error
	if st.StatefulCallbacks[own], err = json.Marshal(progress{t.sumLoss, t.sumSteps, t.right, t.counted}); err != nil {
		return err
	}
	return checkpoint.WriteJSON(filepath.Join(dir, checkpoint.StateFile), &st)
}

// Resume makes the run go on from a checkpoint of it: its step, the state of
// the optimizer and of the callbacks. The parameters are in place already.
func (t *Trainer) Resume(dir string) error {
	var st checkpoint.State
	if err := checkpoint.ReadJSON(filepath.Join(dir, checkpoint.StateFile), &st); err != nil {
		return fmt.Errorf("--resume_from_checkpoint %s: %w; want a checkpoint saved without --save_only_model", dir, err)
	}
	if st.GlobalStep >= t.Steps {
		return fmt.Errorf("--resume_from_checkpoint %s: it has done %d steps, and the run has %d; raise --max_steps or --num_train_epochs", dir, st.GlobalStep, t.Steps)
	}
	s := &t.state
	s.Step, s.Epoch = st.GlobalStep, float64(st.Epoch)
	if st.BestMetric != nil {
		best := float64(*st.BestMetric)
		s.BestMetric = &best
	}
	if st.BestModelCheckpoint != nil { // the run may have been moved, and old checkpoints removed
		best := filepath.Join(t.OutputDir, filepath.Base(*st.BestModelCheckpoint))
		if _, err := os.Stat(best); err != nil {
			slog.Warn("the best checkpoint so far is not there any more", "error", err)
		} else {
			s.BestCheckpoint = best
		}
	}
	for _, log := range st.LogHistory {
		line := map[string]float64{}
		for k, v := range log {
			if x, ok := v.(float64); ok {
				line[k] = x
			}
		}
		s.LogHistory = append(s.LogHistory, line)
	}
	if text, ok := st.StatefulCallbacks[own]; ok {
		var p progress
		if err := json.Unmarshal(text, &p); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, checkpoint.StateFile), err)
		}
		t.sumLoss, t.sumSteps, t.right, t.counted = p.Loss, p.Steps, p.Right, p.Counted
	}
	for _, c := range t.Callbacks {
		if text, ok := st.StatefulCallbacks[c.Name]; ok && c.Load != nil {
			if err := c.Load(text); err != nil {
				return err
			}
		}
	}
	return t.restoreOptimizer(dir)
}

func (t *Trainer) restoreOptimizer(dir string) error {
	o, ok := t.Optimizer.(api.Stateful)
	if !ok {
		return nil
	}
	w, err := checkpoint.OpenFile(filepath.Join(dir, optimizerFile))
	if err != nil {
		return fmt.Errorf("state of the optimizer: %w", err)
	}
	defer w.Close()
	state := map[string]*tensor.Dense{}
	for _, name := range w.Names() {
		data, shape, err := w.Read(name)
		if err != nil {
			return err
		}
		state[name] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	return o.Restore(state)
}

// names lists the keys of m.
func names(m map[string]float64) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
