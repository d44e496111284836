package recipe

import (
	"fmt"
	"slices"
	"strings"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

// What --task_type says that the model learns.
const (
	causalLM           = "causal_lm"           // to write
	embedding          = "embedding"           // to give a text a vector, near to those of its kind
	generativeReranker = "generative_reranker" // to say yes or no of a document
	reranker           = "reranker"            // to give a document a score
	seqCls             = "seq_cls"             // to give a text a class, or a number
)

var tasks = []string{causalLM, embedding, generativeReranker, reranker, seqCls}

// tasksOf are the built-in losses and metrics that are for some tasks. Those of
// plugins are for any.
var tasksOf = map[string][]string{
	"loss cross_entropy": {causalLM}, "loss dft": {causalLM}, "loss channel": {causalLM},
	"loss cosine_similarity": {embedding}, "loss contrastive": {embedding}, "loss online_contrastive": {embedding}, "loss infonce": {embedding},
	"loss pointwise_reranker": {generativeReranker, reranker}, "loss listwise_reranker": {generativeReranker, reranker}, "loss seq_cls": {seqCls},
	"metric ppl": {causalLM}, "metric nlg": {causalLM}, "metric acc": {causalLM, seqCls},
	"metric infonce": {embedding}, "metric paired": {embedding}, "metric reranker": {generativeReranker, reranker},
}

// completeTask fills in the loss and the metric that the task, or another
// setting, asks for. The default loss, cross_entropy, is of no other task.
func (c *Config) completeTask() {
	byDefault := c.LossType == "cross_entropy"
	metric := ""
	switch {
	case c.TaskType == embedding:
		if byDefault {
			c.LossType = "infonce"
		}
		if metric = "paired"; c.LossType == "infonce" {
			metric = "infonce"
		}
	case c.TaskType == generativeReranker || c.TaskType == reranker:
		if byDefault {
			c.LossType = "pointwise_reranker"
		}
		metric = "reranker"
	case c.TaskType == seqCls:
		if byDefault {
			c.LossType = "seq_cls"
		}
		if c.ProblemType == model.SingleLabel {
			metric = "acc"
		}
	case c.PredictWithGenerate:
		metric = "nlg"
	}
	if c.EvalMetric == "" && (len(c.ValDataset) > 0 || c.SplitDatasetRatio > 0) {
		c.EvalMetric = metric
	}
	switch {
	case byDefault && c.EnableChannelLoss:
		c.LossType = "channel"
	case byDefault && c.EnableDFTLoss:
		c.LossType = "dft"
	}
	if c.LossType == "channel" && !slices.Contains(c.Callbacks, "channel") {
		c.Callbacks = append(slices.Clone(c.Callbacks), "channel")
	}
}

// checkTask refuses what does not belong to the task.
func (c *Config) checkTask() error {
	switch {
	case !slices.Contains(tasks, c.TaskType):
		return fmt.Errorf("--task_type is %q, want %s", c.TaskType, strings.Join(tasks, ", "))
	case c.TaskType == seqCls && c.LossType != "seq_cls":
		return fmt.Errorf("--loss_type %s: the loss of --task_type seq_cls follows from --problem_type, here %s, as in ms-swift, and cannot be another; leave it out", c.LossType, c.ProblemType)
	case c.TaskType == seqCls && c.EvalMetric == "acc" && c.ProblemType != model.SingleLabel:
		return fmt.Errorf("--eval_metric acc counts classes that are right, and --problem_type is %s; want %s, or no metric but the loss", c.ProblemType, model.SingleLabel)
	}
	for _, chosen := range []struct{ flag, kind, name string }{{"loss_type", "loss", c.LossType}, {"eval_metric", "metric", c.EvalMetric}} {
		if tasks, ok := tasksOf[chosen.kind+" "+chosen.name]; ok && !slices.Contains(tasks, c.TaskType) {
			return fmt.Errorf("--%s %s is for --task_type %s, and the task is %s", chosen.flag, chosen.name, strings.Join(tasks, " or "), c.TaskType)
		}
	}
	switch {
	case c.EnableChannelLoss && c.LossType != "channel", c.EnableDFTLoss && c.LossType != "dft" && c.LossType != "channel":
		return fmt.Errorf("--loss_type %s goes with neither --enable_dft_loss nor --enable_channel_loss, which are losses of their own", c.LossType)
	case c.LabelSmoothing > 0 && c.LossType != "cross_entropy":
		return fmt.Errorf("--label_smoothing_factor is of --loss_type cross_entropy, and the loss is %s", c.LossType)
	case c.EvalMetric == "nlg" && !c.PredictWithGenerate:
		return fmt.Errorf("--eval_metric nlg compares answers that the model generates; want --predict_with_generate")
	case c.TaskType == causalLM:
		return nil
	case c.PredictWithGenerate:
		return fmt.Errorf("--predict_with_generate is for --task_type causal_lm; %s writes nothing", c.TaskType)
	case c.Packing || c.Streaming || c.TruncationStrategy == "split":
		return fmt.Errorf("--task_type %s goes with neither --packing, --streaming nor --truncation_strategy split: the texts of a row stay together and whole", c.TaskType)
	}
	return nil
}

// rowsOf says what the task makes of a row.
var rowsOf = map[string]dataset.Task{causalLM: dataset.Answer, embedding: dataset.Embedding, generativeReranker: dataset.Reranking,
	reranker: dataset.Reranking, seqCls: dataset.Classification}

// output returns what makes of the model's output what the task looks at; nil is
// the output itself.
func (c *Config) output(m *model.Model, tok *tokenizer.Tokenizer) (func(*api.Output) *api.Output, error) {
	switch c.TaskType {
	case embedding:
		return model.Normalized, nil
	case reranker, seqCls:
		return m.Classified, nil
	case generativeReranker:
		yes, err := c.token(tok, "generative_reranker_positive_token", c.PositiveToken)
		if err != nil {
			return nil, err
		}
		no, err := c.token(tok, "generative_reranker_negative_token", c.NegativeToken)
		if err != nil {
			return nil, err
		}
		return func(out *api.Output) *api.Output { return m.Judged(out, yes, no) }, nil
	}
	return nil, nil
}

func (c *Config) token(tok *tokenizer.Tokenizer, flag, token string) (int32, error) {
	id, ok := tok.ID(token)
	if !ok {
		return 0, fmt.Errorf("--%s is %q, which is no token of the model", flag, token)
	}
	return id, nil
}
