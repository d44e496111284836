package recipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/tokenizer"
)

// Merge folds the adapter of --adapters, made by the tuner of --tuner_type, into
// the model of --model, and writes the whole model that they are to dir, which
// must not be there: config.json, safetensors in --torch_dtype, the tokenizer.
func Merge(c Config, reg *registry.Registry, dir string) error {
	if len(c.Adapters) != 1 {
		return fmt.Errorf("--adapters names %d directories, want the one to merge", len(c.Adapters))
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already; name another directory, or remove it", dir)
	}
	tuner, err := reg.Tuner(c.TunerType)
	if err != nil {
		return err
	}
	if err := reg.CheckOwn(); err != nil {
		return err
	}
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return err
	}
	e, err := autograd.NewEngine(c.Threads)
	if err != nil {
		return err
	}
	m, err := model.Load(c.Model, e)
	if err != nil {
		return err
	}
	c.ResumeFromCheckpoint = ""
	t, err := tune(&c, m, tuner)
	if err != nil {
		return err
	}
	if err := t.merge(); err != nil {
		return err
	}
	return checkpoint.Save(filepath.Dir(dir), filepath.Base(dir), func(tmp string) error {
		if err := SaveModel(m, tmp, t.dtype, t.shard); err != nil {
			return err
		}
		return tok.Save(tmp)
	})
}

// merge makes the tuned model a whole one, without anything that the tuner has
// added or wrapped.
func (t *tuned) merge() error {
	added := func(p *api.Param) bool { return p.Added }
	if slices.ContainsFunc(t.m.Params, added) || slices.ContainsFunc(t.m.Linears, (*api.Linear).Wrapped) {
		m, ok := t.tuner.(api.Merger)
		if !ok {
			return fmt.Errorf("tuner %s cannot become part of the base model; want one that is an api.Merger", t.name)
		}
		if err := m.Merge(t.m.Model); err != nil {
			return err
		}
	}
	for _, l := range t.m.Linears {
		l.Unwrap()
	}
	t.m.Params = slices.DeleteFunc(t.m.Params, added)
	return nil
}
