package recipe

import (
	"fmt"

	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// encode opens the data and turns it into batches of tokens; val is nil if
// there is nothing to evaluate on.
func encode(c *Config, conf *model.Config, tok *tokenizer.Tokenizer, ext *extensions, reg *registry.Registry) (train, val *dataset.Loader, err error) {
	chat, err := template.Find(c.Template, c.UseChatTemplate, tok)
	if err != nil {
		return nil, nil, err
	}
	if name := chat.AgentTemplate; ext.tools == nil && name != "" && reg.Has("agent_template", name) == nil { // the family's own
		if ext.tools, err = reg.AgentTemplate(name); err != nil {
			return nil, nil, err
		}
	}
	length, err := c.maxLength(conf, tok)
	if err != nil {
		return nil, nil, err
	}
	enc := &template.Encoder{Chat: chat, Tokenizer: tok, Scale: ext.scale, Tools: ext.tools, System: c.System,
		MaxLength: length, Vocab: conf.VocabSize, Truncation: c.TruncationStrategy}
	rows, err := dataset.Open(c.Dataset, dataset.Options{Seed: c.DataSeed, Strict: c.Strict, Pretraining: !c.UseChatTemplate})
	if err != nil {
		return nil, nil, err
	}
	var held *dataset.Dataset
	switch {
	case len(c.ValDataset) > 0:
		if held, err = dataset.Open(c.ValDataset, dataset.Options{Seed: c.DataSeed, Strict: c.Strict, Pretraining: !c.UseChatTemplate}); err != nil {
			return nil, nil, err
		}
	case c.SplitDatasetRatio > 0:
		if rows, held, err = rows.Split(c.SplitDatasetRatio, c.DataSeed); err != nil {
			return nil, nil, err
		}
	}
	if train, err = dataset.NewLoader(rows, enc, dataset.Batching{Batch: c.PerDeviceTrainBatchSize, Accumulate: c.GradientAccumulationSteps, Shuffle: c.DatasetShuffle, Seed: c.DataSeed, Strict: c.Strict}); err != nil {
		return nil, nil, err
	}
	if held != nil {
		if val, err = dataset.NewLoader(held, enc, dataset.Batching{Batch: c.PerDeviceEvalBatchSize, Accumulate: 1, Strict: c.Strict}); err != nil {
			return nil, nil, fmt.Errorf("evaluation data: %w", err)
		}
	}
	return train, val, nil
}
