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
)

const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
	masterWeights  = "master_weights.safetensors" // in float32, where the model is saved in less
)

// tuned is a model that a tuner has prepared.
type tuned struct {
	m      *model.Model
	tuner  api.Tuner
	name   string
	dtype  checkpoint.Dtype // of saved models
	shard  int64            // bytes in the largest file of one
	config *Config
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
		err = t.Prepare(m.Model)
	} else {
		err = out.load(from)
	}
	if err != nil {
		return nil, err
	}
	m.Settle()
	if len(m.Trainable()) == 0 {
		return nil, fmt.Errorf("tuner %s leaves nothing of the model to train", c.TunerType)
	}
	return out, nil
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
	name := c.TorchDtype
	if name == "" {
		name = m.Config.SavedDtype()
	}
	switch name {
	case "bfloat16":
		return checkpoint.BF16
	case "float16":
		return checkpoint.F16
	}
	return checkpoint.F32
}

// adapted reports whether a checkpoint holds an adapter beside the base model,
// and not a whole model: whether the tuner has a form of its own for it, or has
// added parameters, or trains but a part.
func (t *tuned) adapted() bool {
	if _, ok := t.tuner.(api.Saver); ok {
		return true
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
	if !t.adapted() {
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
	} else {
		for _, p := range t.m.Trainable() {
			a.Tensors[p.Name] = p.Value()
		}
		a.Config, _ = json.Marshal(map[string]any{"tuner_type": t.name, "base_model_name_or_path": t.m.Dir})
	}
	if err := checkpoint.WriteJSON(filepath.Join(dir, adapterConfig), a.Config); err != nil {
		return err
	}
	var ts []checkpoint.Tensor
	for name, x := range a.Tensors {
		ts = append(ts, checkpoint.Tensor{Name: name, Shape: x.Shape(), Data: x.Float32s(), Dtype: checkpoint.F32})
	}
	return checkpoint.WriteSafetensors(filepath.Join(dir, adapterWeights), ts, map[string]string{"format": "pt"})
}

// load puts back what save wrote.
func (t *tuned) load(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, adapterConfig)); err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return t.loadModel(dir)
	}
	a := &api.Adapter{Tensors: map[string]*tensor.Dense{}}
	if err := checkpoint.ReadJSON(filepath.Join(dir, adapterConfig), &a.Config); err != nil {
		return err
	}
	w, err := checkpoint.OpenFile(filepath.Join(dir, adapterWeights))
	if err != nil {
		return err
	}
	defer w.Close()
	for _, name := range w.Names() {
		data, shape, err := w.Read(name)
		if err != nil {
			return err
		}
		a.Tensors[name] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	if s, ok := t.tuner.(api.Saver); ok {
		if err := s.Load(t.m.Model, a); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return nil
	}
	if err := t.tuner.Prepare(t.m.Model); err != nil {
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

// loadModel takes the weights of a checkpoint that is a whole model.
func (t *tuned) loadModel(dir string) error {
	if _, ok := t.tuner.(api.Saver); ok {
		return fmt.Errorf("%s: no %s in it; want a checkpoint made with --tuner_type %s", dir, adapterConfig, t.name)
	}
	if err := t.tuner.Prepare(t.m.Model); err != nil {
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
			if text, err = withDtype(text, dtype); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return checkpoint.WriteSharded(dir, m.Tensors(dtype), shard)
}

// withDtype sets the dtype that config.json names to that of the weights.
func withDtype(text []byte, dtype checkpoint.Dtype) ([]byte, error) {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	name := map[checkpoint.Dtype]string{checkpoint.F32: "float32", checkpoint.BF16: "bfloat16", checkpoint.F16: "float16"}[dtype]
	key := "torch_dtype"
	if _, ok := config["dtype"]; ok {
		key = "dtype"
	}
	config[key], _ = json.Marshal(name)
	return json.MarshalIndent(config, "", "  ")
}
