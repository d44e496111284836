package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
)

// encode opens the data and turns it into batches of tokens; val is nil if
// there is nothing to evaluate on.
func encode(c *Config, enc *template.Encoder, reg *registry.Registry, progress dataset.Progress) (train, val *dataset.Loader, err error) {
	o, err := c.rows(progress)
	if err != nil {
		return nil, nil, err
	}
	rows, held, err := c.datasets(o)
	if err != nil {
		return nil, nil, err
	}
	b := dataset.Batching{Batch: c.PerDeviceTrainBatchSize, Accumulate: c.GradientAccumulationSteps, Shuffle: c.DatasetShuffle, Seed: c.DataSeed, ByLength: c.GroupByLength}
	if c.Packing {
		if b.Pack = c.PackingLength; b.Pack == 0 {
			b.Pack = enc.MaxLength
		}
	}
	if b.Cache, err = c.cacheFile(rows, enc, reg); err != nil {
		return nil, nil, err
	}
	if train, err = dataset.NewLoader(rows, enc, b); err != nil {
		return nil, nil, err
	}
	if held != nil {
		b := dataset.Batching{Batch: c.PerDeviceEvalBatchSize, Accumulate: 1}
		if b.Cache, err = c.cacheFile(held, enc, reg); err == nil {
			val, err = dataset.NewLoader(held, enc, b)
		}
		if err != nil {
			train.Close()
			return nil, nil, fmt.Errorf("evaluation data: %w", err)
		}
	}
	return train, val, nil
}

// encoder returns what writes conversations as tokens that a model takes.
func encoder(c *Config, conf *model.Config, tok *tokenizer.Tokenizer, tools api.AgentTemplate, reg *registry.Registry) (*template.Encoder, error) {
	length, err := c.maxLength(conf, tok)
	if err != nil {
		return nil, err
	}
	chat, err := c.chat(tok)
	if err != nil {
		return nil, err
	}
	if tools != nil && chat.WritesTools() {
		return nil, fmt.Errorf("--agent_template is given, and the model's own chat template writes tools itself; want one of them, or --template")
	}
	if name := chat.AgentTemplate; tools == nil && name != "" && reg.Has("agent_template", name) == nil { // the family's own
		if tools, err = reg.AgentTemplate(name); err != nil {
			return nil, err
		}
	}
	names := c.LossScale
	if chat.EmptyThought != "" && !c.DisableIgnoreEmptyThink && !strings.Contains(names, ignoreEmptyThink) {
		names += "+" + ignoreEmptyThink // what the template itself puts there
	}
	scale, err := LossScale(names, reg)
	if err != nil {
		return nil, err
	}
	return &template.Encoder{Chat: chat, Tokenizer: tok, Scale: scale, Tools: tools, System: c.System,
		MaxLength: length, Vocab: conf.VocabSize, Truncation: c.TruncationStrategy,
		MaskOnly: c.Compat == "ms-swift" && Binary(names)}, nil
}

// chat returns the chat template.
func (c *Config) chat(tok *tokenizer.Tokenizer) (*template.Chat, error) {
	switch {
	case c.TemplateBackend != "swift" && c.TemplateBackend != "jinja":
		return nil, fmt.Errorf("--template_backend is %q, want swift or jinja", c.TemplateBackend)
	case c.TemplateBackend == "jinja" && c.Template != "":
		return nil, fmt.Errorf("--template_backend jinja is the model's own chat template, and --template names another; want one of them")
	case c.TemplateBackend == "jinja" && c.UseChatTemplate:
		return template.Own(tok)
	}
	return template.Find(c.Template, c.UseChatTemplate, tok)
}

const ignoreEmptyThink = "ignore_empty_think"

// rows says how the files of rows are read.
func (c *Config) rows(progress dataset.Progress) (dataset.Options, error) {
	o := dataset.Options{Seed: c.DataSeed, Strict: c.Strict, Pretraining: !c.UseChatTemplate, Workers: c.DatasetNumProc,
		Lazy: c.Streaming, Exhaust: c.StoppingStrategy == "all_exhausted", Progress: progress}
	o.Task, o.Labels = rowsOf[c.TaskType], dataset.Labels{N: c.NumLabels, Problem: c.ProblemType}
	for _, text := range c.InterleaveProb {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return o, fmt.Errorf("--interleave_prob has %q, want numbers", text)
		}
		o.Mix = append(o.Mix, p)
	}
	if c.Columns != "" {
		if err := json.Unmarshal([]byte(c.Columns), &o.Columns); err != nil {
			return o, fmt.Errorf(`--columns is %q, want JSON such as {"question_text": "query"}`, c.Columns)
		}
	}
	return o, nil
}

// datasets opens the rows to train on and those to evaluate on, nil if there are
// none.
func (c *Config) datasets(o dataset.Options) (rows, held *dataset.Dataset, err error) {
	if rows, err = dataset.Open(c.Dataset, o); err != nil {
		return nil, nil, err
	}
	o.Mix, o.Lazy = nil, false
	switch {
	case len(c.ValDataset) > 0:
		held, err = dataset.Open(c.ValDataset, o)
	case c.SplitDatasetRatio > 0:
		rows, held, err = rows.Split(c.SplitDatasetRatio, c.DataSeed)
	}
	return rows, held, err
}

// cacheFile returns where the tokens of a dataset are kept: a name that is
// another one for other rows, settings, tokenizers, plugins or builds of swiftgo.
// It is "" where they are not.
func (c *Config) cacheFile(rows *dataset.Dataset, enc *template.Encoder, reg *registry.Registry) (string, error) {
	if !c.LoadFromCacheFile {
		return "", nil
	}
	all := sha256.New()
	print, err := rows.Fingerprint()
	if err != nil {
		return "", err
	}
	settings, err := json.Marshal([]any{print, enc.MaxLength, enc.Vocab, enc.Truncation, c.Template, c.UseChatTemplate, c.System,
		c.LossScale, c.DisableIgnoreEmptyThink, c.AgentTemplate, c.TemplateBackend, c.Compat, reg.Own(), reg.Used()})
	if err != nil {
		return "", err
	}
	all.Write(settings)
	files := []string{"/proc/self/exe", filepath.Join(c.Model, "tokenizer.json"), filepath.Join(c.Model, "tokenizer_config.json"), filepath.Join(c.Model, "chat_template.jinja")}
	if strings.HasSuffix(c.LossScale, ".json") {
		files = append(files, c.LossScale[strings.LastIndexByte(c.LossScale, '+')+1:])
	}
	for _, path := range files {
		f, err := os.Open(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.Copy(all, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	dir := filepath.Join(c.CacheDir, "tokens")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("--cache_dir: %w", err)
	}
	return filepath.Join(dir, hex.EncodeToString(all.Sum(nil))), nil
}
