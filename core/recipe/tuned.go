package recipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/trainer"
)

const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
	masterWeights  = "master_weights.safetensors" // in float32, where the weights are saved in less
	tunerState     = "tuner.safetensors"          // what a tuner must know again, beside its adapter
)

// tuned is a model that a tuner has prepared.
type tuned struct {
	m      *model.Model
	tuner  api.Tuner
	name   string
	dtype  checkpoint.Dtype // of saved models
	shard  int64            // bytes in the largest file of one
	config *Config

	trained []*api.Param // as the tuner left them: a callback may freeze some for a while
	adapted bool         // see isAdapted
}

// tune lets the tuner prepare the model, as new, or as it was in the checkpoint
// to resume from or in the adapter to start from.
func tune(c *Config, m *model.Model, t api.Tuner) (*tuned, error) {
	shard, err := size(c.MaxShardSize)
	if err != nil {
		return nil, err
	}
	out := &tuned{m: m, tuner: t, name: c.TunerType, dtype: dtypeOf(c, m), shard: shard, config: c}
	from := c.ResumeFromCheckpoint
	if from == "" && len(c.Adapters) == 1 {
		from = c.Adapters[0]
	}
	if from == "" {
		err = out.prepare()
	} else {
		err = out.load(from)
	}
	if err != nil {
		return nil, err
	}
	m.Settle()
	out.trained, out.adapted = m.Trainable(), out.isAdapted()
	if len(out.trained) == 0 {
		return nil, fmt.Errorf("tuner %s leaves nothing of the model to train", c.TunerType)
	}
	return out, nil
}

// prepare lets the tuner prepare the model.
func (t *tuned) prepare() error {
	if err := t.tuner.Prepare(t.m.Model); err != nil {
		return err
	}
	t.trainHead()
	return nil
}

// computed is the type that frozen weights are computed with: float32 unless
// --torch_dtype asks for less.
func (c *Config) computed() checkpoint.Dtype {
	if c.TorchDtype == "bfloat16" {
		return checkpoint.BF16
	}
	return checkpoint.F32
}

func dtypeOf(c *Config, m *model.Model) checkpoint.Dtype {
	if c.TorchDtype != "" {
		return dtypeNamed(c.TorchDtype)
	}
	return dtypeNamed(m.Config.SavedDtype())
}

func dtypeNamed(name string) checkpoint.Dtype {
	switch name {
	case "bfloat16":
		return checkpoint.BF16
	case "float16":
		return checkpoint.F16
	}
	return checkpoint.F32
}

// hooks returns the callback of a tuner that has one.
func (t *tuned) hooks(steps int) ([]trainer.Callback, error) {
	h, ok := t.tuner.(api.Hooked)
	if !ok {
		return nil, nil
	}
	c, err := h.Callback(steps)
	if err != nil || c == nil {
		return nil, err
	}
	return []trainer.Callback{{Name: t.name, Callback: c}}, nil
}

// isAdapted reports whether a checkpoint holds an adapter beside the base model,
// and not a whole model: whether the tuner has a form of its own for it, or has
// added parameters, or trains but a part. The tuner full saves whole models
// whatever it has frozen.
func (t *tuned) isAdapted() bool {
	if _, ok := t.tuner.(api.Saver); ok {
		return true
	}
	if t.name == "full" {
		return false
	}
	for _, p := range t.m.Params {
		if p.Added || p.Frozen() {
			return true
		}
	}
	return false
}

// save writes the model's part of a checkpoint into dir.
func (t *tuned) save(dir string) error {
	if !t.adapted {
		if err := SaveModel(t.m, dir, t.dtype, t.shard); err != nil || t.dtype == checkpoint.F32 || t.config.SaveOnlyModel {
			return err
		}
		return checkpoint.WriteSafetensors(filepath.Join(dir, masterWeights), t.m.Tensors(checkpoint.F32), nil)
	}
	a := &api.Adapter{Tensors: map[string]*tensor.Dense{}}
	if s, ok := t.tuner.(api.Saver); ok {
		var err error
		if a, err = s.Save(t.m.Model); err != nil {
			return err
		}
		if err := t.addHead(a); err != nil {
			return err
		}
	} else {
		for _, p := range t.trained {
			a.Tensors[p.Name] = p.Value()
		}
		a.Config, _ = json.Marshal(map[string]any{"tuner_type": t.name, "base_model_name_or_path": t.m.Dir})
	}
	dtype := dtypeNamed(t.config.LoraDtype)
	if err := writeAdapter(dir, a, dtype); err != nil {
		return err
	}
	for folder, more := range a.More {
		if err := writeAdapter(filepath.Join(dir, folder), more, dtype); err != nil {
			return err
		}
	}
	if t.config.SaveOnlyModel {
		return nil
	}
	if dtype != checkpoint.F32 {
		if err := writeTensors(filepath.Join(dir, masterWeights), a.Tensors, checkpoint.F32); err != nil {
			return err
		}
	}
	if s, ok := t.tuner.(api.Stateful); ok {
		if state := s.State(); len(state) > 0 {
			return writeTensors(filepath.Join(dir, tunerState), state, checkpoint.F32)
		}
	}
	return nil
}

func writeAdapter(dir string, a *api.Adapter, dtype checkpoint.Dtype) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := checkpoint.WriteJSON(filepath.Join(dir, adapterConfig), a.Config); err != nil {
		return err
	}
	return writeTensors(filepath.Join(dir, adapterWeights), a.Tensors, dtype)
}

func writeTensors(path string, named map[string]*tensor.Dense, dtype checkpoint.Dtype) error {
	var ts []checkpoint.Tensor
	for name, x := range named {
		ts = append(ts, checkpoint.Tensor{Name: name, Shape: x.Shape(), Data: x.Float32s(), Dtype: dtype})
	}
	return checkpoint.WriteSafetensors(path, ts, map[string]string{"format": "pt"})
}

func readTensors(path string) (map[string]*tensor.Dense, error) {
	w, err := checkpoint.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	named := map[string]*tensor.Dense{}
	for _, name := range w.Names() {
		data, shape, err := w.Read(name)
		if err != nil {
			return nil, err
		}
		named[name] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	return named, nil
}

// restore gives the tuner what it must know again when the run resumes.
func (t *tuned) restore(dir string) error {
	s, ok := t.tuner.(api.Stateful)
	if !ok {
		return nil
	}
	state, err := readTensors(filepath.Join(dir, tunerState))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Restore(state)
}

// load puts back what save wrote.
func (t *tuned) load(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, adapterConfig)); err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return t.loadModel(dir)
	}
	a, err := readAdapter(dir)
	if err != nil {
		return err
	}
	if s, ok := t.tuner.(api.Saver); ok {
		return t.loadAdapter(s, a, dir)
	}
	if err := t.prepare(); err != nil {
		return err
	}
	for _, p := range t.m.Trainable() {
		x, ok := a.Tensors[p.Name]
		if !ok {
			return fmt.Errorf("%s: tensor %s is missing; was it made with --tuner_type %s?", filepath.Join(dir, adapterWeights), p.Name, t.name)
		}
		if err := p.Assign(x); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, adapterWeights), err)
		}
	}
	return nil
}

// readAdapter reads an adapter, with its weights in float32 where they are saved
// in less.
func readAdapter(dir string) (*api.Adapter, error) {
	a := &api.Adapter{}
	if err := checkpoint.ReadJSON(filepath.Join(dir, adapterConfig), &a.Config); err != nil {
		return nil, err
	}
	var err error
	a.Tensors, err = readTensors(filepath.Join(dir, masterWeights))
	if errors.Is(err, os.ErrNotExist) {
		a.Tensors, err = readTensors(filepath.Join(dir, adapterWeights))
	}
	return a, err
}

// loadModel takes the weights of a checkpoint that is a whole model.
func (t *tuned) loadModel(dir string) error {
	if _, ok := t.tuner.(api.Saver); ok {
		return fmt.Errorf("%s: no %s in it; want a checkpoint made with --tuner_type %s", dir, adapterConfig, t.name)
	}
	if err := t.prepare(); err != nil {
		return err
	}
	w, err := checkpoint.OpenFile(filepath.Join(dir, masterWeights))
	if errors.Is(err, os.ErrNotExist) {
		w, err = checkpoint.Open(dir)
	}
	if err != nil {
		return err
	}
	defer w.Close()
	for _, p := range t.m.Params {
		if p.Frozen() && p.Value().Dtype() != tensor.Float32 {
			continue // it is as in the base model, in the type that is computed with
		}
		data, shape, err := w.Read(p.Name)
		if err != nil {
			return err
		}
		if err := p.Assign(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// SaveModel writes m as a Hugging Face model: config.json and safetensors.
func SaveModel(m *model.Model, dir string, dtype checkpoint.Dtype, shard int64) error {
	for _, name := range []string{"config.json", "generation_config.json"} {
		text, err := os.ReadFile(filepath.Join(m.Dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if name == "config.json" {
			if text, err = configOf(m, text, dtype); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return checkpoint.WriteSharded(dir, m.Tensors(dtype), shard)
}

// configOf returns the config.json that the model came with, with the dtype of
// the weights, the layers that there are now, whether the output projection is
// the embedding, and what the classification head is.
func configOf(m *model.Model, text []byte, dtype checkpoint.Dtype) ([]byte, error) {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	key := "torch_dtype"
	if _, ok := config["dtype"]; ok {
		key = "dtype"
	}
	config[key], _ = json.Marshal(dtypeName(dtype))
	if _, ok := config["tie_word_embeddings"]; ok {
		config["tie_word_embeddings"], _ = json.Marshal(m.Config.Tied)
	}
	config["num_hidden_layers"], _ = json.Marshal(m.Layers)
	var kinds []string // of each layer's attention; they are all alike here
	if json.Unmarshal(config["layer_types"], &kinds) == nil && len(kinds) > 0 {
		for len(kinds) < m.Layers {
			kinds = append(kinds, kinds[0])
		}
		config["layer_types"], _ = json.Marshal(kinds)
	}
	if err := addHeadKeys(m, config); err != nil {
		return nil, err
	}
	return json.MarshalIndent(config, "", "  ")
}
