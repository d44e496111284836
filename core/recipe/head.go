package recipe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

// headed are the tasks of models with a classification head.
var headed = []string{seqCls, reranker}

// completeHead fills in what the head of the task is, from the checkpoint where
// that has one, and refuses what it cannot be.
func (c *Config) completeHead() error {
	if !slices.Contains(headed, c.TaskType) {
		if c.NumLabels != 0 || c.ProblemType != "" {
			return fmt.Errorf("--num_labels and --problem_type are for --task_type seq_cls, and the task is %s", c.TaskType)
		}
		return nil
	}
	if c.TaskType == reranker {
		if c.NumLabels > 1 || c.ProblemType != "" {
			return fmt.Errorf("--num_labels is %d and --problem_type %q; a reranker has one score a document, so want neither", c.NumLabels, c.ProblemType)
		}
		c.NumLabels = 1
		return nil
	}
	conf, err := configAt(c.Model)
	if err != nil {
		return err
	}
	if h := conf.Classes; h != nil {
		c.NumLabels, c.ProblemType = cmp.Or(c.NumLabels, h.N), cmp.Or(c.ProblemType, h.Problem)
	}
	if c.NumLabels == 0 {
		return fmt.Errorf("--num_labels is missing: how many classes there are for --task_type seq_cls, or numbers; %s has no classification head that says it", c.Model)
	}
	if err := conf.Classify(c.NumLabels, c.ProblemType); err != nil {
		return fmt.Errorf("--num_labels and --problem_type for %s: %w", c.Model, err)
	}
	if c.ProblemType = conf.Classes.Problem; c.ProblemType == model.SingleLabel && c.NumLabels < 2 {
		return fmt.Errorf("--problem_type %s wants --num_labels of 2 or more: of one class there is nothing to learn", c.ProblemType)
	}
	return nil
}

// configAt reads the configuration of the model in dir, of which nothing is known
// where there is none.
func configAt(dir string) (*model.Config, error) {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); errors.Is(err, fs.ErrNotExist) {
		return &model.Config{}, nil
	}
	return model.LoadConfig(dir)
}

// modelConfig reads the model's configuration, with the head of the task.
func (c *Config) modelConfig() (*model.Config, error) {
	conf, err := model.LoadConfig(c.Model)
	if err != nil || !slices.Contains(headed, c.TaskType) {
		return conf, err
	}
	if err := conf.Classify(c.NumLabels, c.ProblemType); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Model, err)
	}
	return conf, nil
}

// writes refuses a model that does not write.
func writes(conf *model.Config) error {
	if conf.Classes != nil {
		return errors.New("the model has a classification head and writes nothing: want a language model here; infer --val_dataset has it judge texts, and sample --prm_model answers")
	}
	return nil
}

// scores refuses a model that does not judge texts.
func scores(conf *model.Config) error {
	if conf.Classes == nil {
		return errors.New("it has no classification head; want a checkpoint of --task_type seq_cls or reranker")
	}
	return nil
}

// takeHead takes over from a checkpoint that its model has a head, and of what.
func (c *Config) takeHead(s *saved) {
	if s.TaskType != nil && slices.Contains(headed, *s.TaskType) {
		c.TaskType, c.NumLabels, c.ProblemType = *s.TaskType, s.NumLabels, s.ProblemType
	}
}

// readHead fills in what the adapter in dir, PEFT's of the task type SEQ_CLS, says
// of its head where there is no args.json.
func (s *saved) readHead(dir string) error {
	w, err := checkpoint.OpenFile(filepath.Join(dir, adapterWeights))
	if err != nil {
		return err
	}
	defer w.Close()
	if _, shape, ok := w.Info(headTensor); ok && len(shape) == 2 {
		task := seqCls
		s.TaskType, s.NumLabels = &task, shape[0]
	}
	return nil
}

// headTensor is the head in an adapter, as PEFT has it for its task type SEQ_CLS,
// which trains the head whole: the tuner does not know of it.
const headTensor = "base_model.model.score.weight"

// headModules are what PEFT has in modules_to_save for it.
var headModules = []string{"classifier", "score"}

// trainHead trains the classification head beside what the tuner trains. The tuner
// full has its own say.
func (t *tuned) trainHead() {
	if p := t.m.Score(); p != nil && t.name != "full" {
		p.Unfreeze()
	}
}

// addHead adds the head to an adapter that is saved.
func (t *tuned) addHead(a *api.Adapter) error {
	p := t.m.Score()
	if p == nil {
		return nil
	}
	a.Tensors[headTensor] = p.Value()
	for _, more := range a.More {
		if err := t.addHead(more); err != nil {
			return err
		}
	}
	return editConfig(a, func(config map[string]any, modules []any) []any {
		config["task_type"] = "SEQ_CLS"
		return append(modules, "score")
	})
}

// loadAdapter lets a tuner that saves adapters load one, apart from the head in it.
func (t *tuned) loadAdapter(s api.Saver, a *api.Adapter, dir string) error {
	p, x := t.m.Score(), a.Tensors[headTensor]
	switch {
	case p == nil && x != nil:
		return fmt.Errorf("%s: the adapter has a classification head, and the model %s is used without one; want --task_type seq_cls", dir, t.m.Dir)
	case p != nil && x == nil && t.m.Config.Classes.New:
		return fmt.Errorf("%s: the adapter has no classification head, and neither has the model %s; want an adapter of --task_type seq_cls, or one merged into the model first", dir, t.m.Dir)
	case p != nil:
		own := api.Adapter{Config: a.Config, Tensors: map[string]*tensor.Dense{}}
		for name, t := range a.Tensors {
			if name != headTensor {
				own.Tensors[name] = t
			}
		}
		a = &own
		if err := editConfig(a, func(_ map[string]any, modules []any) []any { return modules }); err != nil {
			return err
		}
	}
	if err := s.Load(t.m.Model, a); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	t.trainHead()
	if x == nil {
		return nil
	}
	if err := p.Assign(x); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// editConfig changes adapter_config.json: f is given its keys, and what there is
// in modules_to_save beside the head, and returns what there is to be.
func editConfig(a *api.Adapter, f func(config map[string]any, modules []any) []any) error {
	var config map[string]any
	if err := json.Unmarshal(a.Config, &config); err != nil {
		return fmt.Errorf("%s: %w", adapterConfig, err)
	}
	modules, _ := config["modules_to_save"].([]any)
	modules = slices.DeleteFunc(slices.Clone(modules), func(m any) bool { name, _ := m.(string); return slices.Contains(headModules, name) })
	config["modules_to_save"] = nil
	if modules = f(config, modules); len(modules) > 0 {
		config["modules_to_save"] = modules
	}
	var err error
	a.Config, err = json.Marshal(config)
	return err
}

// addHeadKeys adds to config.json what it says of the head. Where the model has no
// token to fill up sequences with, and its tokenizer has, it is that: transformers
// asks for one to find the end of a sequence.
func addHeadKeys(m *model.Model, config map[string]json.RawMessage) error {
	h := m.Config.Classes
	if h == nil {
		return nil
	}
	for key, value := range h.Keys(m.Type) {
		config[key], _ = json.Marshal(value) // texts and numbers cannot fail
	}
	if text, ok := config["pad_token_id"]; ok && string(text) != "null" {
		return nil
	}
	tok, err := tokenizer.Load(m.Dir)
	if err == nil && tok.PAD >= 0 {
		config["pad_token_id"], err = json.Marshal(tok.PAD)
	}
	return err
}
