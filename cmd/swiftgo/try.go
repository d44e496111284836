package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/dataset"
	"swiftgo/core/recipe"
	"swiftgo/core/registry"
	"swiftgo/core/template"
	"swiftgo/core/tokenizer"
	"swiftgo/core/trainer"
)

// longestLine is the most bytes of one JSON line.
const longestLine = 64 << 20

func pluginTryCommand(s *settings) *cobra.Command {
	var source string
	cmd := &cobra.Command{
		Use: "try KIND NAME", Short: "call one extension on JSON lines from standard input", Args: cobra.ExactArgs(2),
		Long: `Call one extension, built in or from a plugin, on JSON lines from standard input. For each
line there is one line of output: {"ok": …} or {"error": "…"}. Where a template understands
only some of a model's calls, {"ok": …, "warning": "…"} has those. Keys of a line that nobody
reads are listed in "unread".

  orm, prm        {"text": …, "truth": …, "messages": […], "row": {…}, "tokens": n, "truncated": b}
  loss            {"logits": [[[…]]], "labels": [[…]], "loss_scale": [[…]], "num_items_in_batch": n,
                  "rows": [{…}]}, a list of each for a sequence; labels are those of the tokens
                  themselves, so that logits[i] are for labels[i+1]. Or of an embedding
                  {"last_hidden_state": [[…]], "labels": […]}, or of a reranker
                  {"logits": [[…]], "labels": […]}
  metric          {"preds": [[…]], "labels": [[…]], "rows": [{…}]}, where preds[i] is for labels[i+1];
                  with --model the metric can decode them. Or of generated answers
                  {"prediction": …, "label": …}, or of an embedding {"embeddings": [[…]],
                  "labels": […]}, or of a reranker {"logits": […], "labels": […]}
  optimizer       {"w": [[…]], "grads": [[[…]], …], "lr": x}: the weight after each step
  loss_scale      {"query": …, "response": …}, or a row of a dataset, {"messages": […], "tools": […]}
  agent_template  {"method": "format_tools", "tools": […], "system": …, "user_message": {"content": …}}
                  {"method": "format_tool_calls", "tool_calls": [{"content": {"name": …, "arguments": {…}}}]}
                  {"method": "format_tool_responses", "assistant_content": …, "tool_messages":
                  [{"name": …, "tool_call_id": …, "content": …}], "template_meta": {"prompt": […], "chat_sep": […]}}
                  {"method": "get_toolcall", "response": …}
  callback        {"losses": […]}: a run of so many steps; of each the wishes, and what is added to
                  the log. Or {"metrics": […]}: the best metric after each save
  tuner           {}: what is trained of a small model

A conversation is written in --template with --agent_template, and the answer is its texts
with their weights, and with --model its tokens, labels and weights too. NAME may be several
loss scales, such as last_round+hermes, or a JSON file of keys or patterns.

With --watch DIR the plugin in that folder is built, and built and tried again on the same
lines whenever its source changes, until Ctrl-C. Every build is another plugin to Go, as
none ever leaves memory: start again after some hundred builds.`,
	}
	cmd.Flags().StringVar(&source, "watch", "", "folder of the plugin's source, to build and try again when it changes")
	defaults := recipe.Default()
	defaults.Template, defaults.AgentTemplate = "qwen2_5", "hermes"
	addFlags(cmd.Flags(), defaults, func(name string) bool { return ofPlugins(name) || slices.Contains(tryFlags, name) })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, own, err := s.load(cmd.Flags(), defaults)
		if err != nil {
			return err
		}
		if source != "" {
			return tryWatched(cmd.Context(), &c, own, source, args[0], args[1], os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		return try(cmd.Context(), &c, reg, args[0], args[1], os.Stdin, cmd.OutOrStdout())
	}
	return cmd
}

// tryFlags are the settings that decide how a conversation is written.
var tryFlags = []string{"model", "template", "agent_template", "use_chat_template", "system"}

// trial is an extension that is tried.
type trial struct {
	ctx  context.Context
	reg  *registry.Registry
	name string
	c    *recipe.Config
	tok  *tokenizer.Tokenizer // nil without --model
}

// partly is an answer beside which something was not understood.
type partly struct {
	value any
	err   error
}

// tries are the kinds that try can call, each on one line.
var tries = map[string]func(x *trial, line []byte) (any, error){
	"orm": tryORM, "prm": tryPRM, "loss": tryLoss, "metric": tryMetric, "optimizer": tryOptimizer, "loss_scale": tryLossScale,
	"agent_template": tryAgentTemplate, "callback": tryCallback, "tuner": tryTuner,
}

// read are the keys that there may be in a line for a kind. A row of a dataset,
// which may have any, begins with messages.
var read = map[string]string{
	"orm": "text tokens truncated truth messages row", "prm": "text tokens truncated truth messages row",
	"loss":   "logits labels loss_scale num_items_in_batch rows last_hidden_state",
	"metric": "preds labels rows prediction label embeddings logits", "optimizer": "w grads lr", "loss_scale": "method query response",
	"agent_template": "method tools prewrap system user_message tool_calls assistant_content tool_messages template_meta response",
	"callback":       "losses metrics", "tuner": "",
}

// unreadKeys returns the keys in a line that tell its kind nothing.
func unreadKeys(kind string, line []byte) []string {
	var keys map[string]json.RawMessage
	if json.Unmarshal(line, &keys) != nil || kind == "loss_scale" && keys["messages"] != nil {
		return nil
	}
	for _, known := range strings.Fields(read[kind]) {
		delete(keys, known)
	}
	return slices.Sorted(maps.Keys(keys))
}

// decode is the Decode of a batch: the model's, or one that shows the numbers.
func (x *trial) decode(ids []int32) string {
	if x.tok == nil {
		return fmt.Sprint(ids)
	}
	return x.tok.Decode(ids, false)
}

func kinds() []string {
	var all []string
	for k := range tries {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

// try calls an extension on each line of in and writes one line to out for it.
func try(ctx context.Context, c *recipe.Config, reg *registry.Registry, kind, name string, in io.Reader, out io.Writer) error {
	f, ok := tries[kind]
	if !ok {
		return fmt.Errorf("no kind %q; there are %s", kind, strings.Join(kinds(), ", "))
	}
	x := &trial{ctx: ctx, reg: reg, name: name, c: c}
	err := reg.Has(kind, name)
	if kind == "loss_scale" { // it may be several, or a file
		_, err = recipe.LossScale(name, reg)
	}
	if err == nil && c.Model != "" {
		x.tok, err = tokenizer.Load(c.Model)
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestLine)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var v any
		err := reg.Guard(func() (err error) {
			v, err = f(x, lines.Bytes())
			return err
		})
		answer := map[string]any{"ok": v}
		unread := unreadKeys(kind, lines.Bytes())
		if part, ok := v.(partly); ok {
			answer = map[string]any{"ok": part.value, "warning": part.err.Error()}
		} else if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if len(unread) > 0 {
			answer["unread"] = unread
		}
		if err := e.Encode(answer); err != nil {
			return fmt.Errorf("the answer of %s %s is no JSON: %w", kind, name, err)
		}
	}
	return lines.Err()
}

type completionLine struct {
	Text      string         `json:"text"`
	Tokens    int            `json:"tokens"`
	Truncated bool           `json:"truncated"`
	Truth     string         `json:"truth"`
	Messages  []api.Message  `json:"messages"`
	Row       map[string]any `json:"row"`
}

func completion(line []byte) ([]api.Completion, error) {
	var l completionLine
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	return []api.Completion{{Text: l.Text, Tokens: l.Tokens, Truncated: l.Truncated, Truth: l.Truth, Messages: l.Messages, Row: l.Row}}, nil
}

func tryORM(x *trial, line []byte) (any, error) {
	orm, err := x.reg.ORM(x.name)
	if err != nil {
		return nil, err
	}
	cs, err := completion(line)
	if err != nil {
		return nil, err
	}
	r, err := orm.Score(x.ctx, cs)
	if err != nil {
		return nil, err
	}
	return finite(r[0]), nil
}

// finite is a reward as JSON can have it.
func finite(reward float64) any {
	if reward != reward {
		return "NaN"
	}
	return reward
}

func tryPRM(x *trial, line []byte) (any, error) {
	prm, err := x.reg.PRM(x.name)
	if err != nil {
		return nil, err
	}
	cs, err := completion(line)
	if err != nil {
		return nil, err
	}
	r, err := prm.Score(x.ctx, cs)
	if err != nil {
		return nil, err
	}
	steps := make([]any, len(r[0]))
	for i, reward := range r[0] {
		steps[i] = finite(reward)
	}
	return steps, nil
}

// tryLoss answers with the loss, as the trainer would take it, and its gradient
// to the logits. Labels and weights are aligned with the tokens and shifted here.
func tryLoss(x *trial, line []byte) (any, error) {
	if b, states, err := judgedBatch(line); b != nil || err != nil {
		if err != nil {
			return nil, err
		}
		b.Decode = x.decode
		answer, _, err := computeLoss(x, b, states, "grad")
		return answer, err
	}
	var l struct {
		Logits [][][]float32    `json:"logits"`
		Labels [][]int32        `json:"labels"`
		Scale  [][]float32      `json:"loss_scale"`
		Items  float64          `json:"num_items_in_batch"`
		Rows   []map[string]any `json:"rows"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if len(l.Logits) == 0 || len(l.Logits) != len(l.Labels) || len(l.Logits[0]) == 0 {
		return nil, fmt.Errorf("%d sequences of logits and %d of labels, want as many, and some", len(l.Logits), len(l.Labels))
	}
	vocab := len(l.Logits[0][0])
	b := &api.Batch{Items: l.Items, Decode: x.decode}
	if b.Rows = l.Rows; b.Rows == nil {
		b.Rows = make([]map[string]any, len(l.Logits))
	}
	if len(b.Rows) != len(l.Logits) {
		return nil, fmt.Errorf("%d rows for %d sequences, want one for each", len(b.Rows), len(l.Logits))
	}
	var flat []float32
	for i, seq := range l.Logits {
		if len(l.Labels[i]) != len(seq) {
			return nil, fmt.Errorf("sequence %d has %d rows of logits and %d labels", i, len(seq), len(l.Labels[i]))
		}
		b.Starts = append(b.Starts, int32(len(b.Labels)))
		for t, row := range seq {
			if len(row) != vocab {
				return nil, fmt.Errorf("sequence %d: row %d of the logits has %d numbers, want %d", i, t, len(row), vocab)
			}
			flat = append(flat, row...)
			label, scale := int32(api.Ignore), float32(0)
			if t+1 < len(seq) {
				label = l.Labels[i][t+1]
				if l.Scale != nil {
					scale = l.Scale[i][t+1]
				}
			}
			if label != api.Ignore && (label < 0 || int(label) >= vocab) {
				return nil, fmt.Errorf("sequence %d: label %d is outside the vocabulary of %d", i, label, vocab)
			}
			b.IDs, b.Labels = append(b.IDs, max(0, l.Labels[i][t])), append(b.Labels, label)
			if l.Scale != nil {
				b.Scale = append(b.Scale, scale)
			}
		}
	}
	if b.Items == 0 {
		for _, label := range b.Labels {
			if label != api.Ignore {
				b.Items++
			}
		}
	}
	answer, v, err := computeLoss(x, b, tensor.New(tensor.WithShape(len(b.Labels), vocab), tensor.WithBacking(flat)), "dlogits")
	if err == nil && v.Shape().TotalSize() == len(b.Labels) {
		answer["per_token_loss"] = v.Data()
	}
	return answer, err
}

// computeLoss returns what the trainer makes of a loss of states, and its gradient,
// under that name, and the loss itself.
func computeLoss(x *trial, b *api.Batch, states *tensor.Dense, gradient string) (map[string]any, *api.Var, error) {
	loss, err := x.reg.Loss(x.name)
	if err != nil {
		return nil, nil, err
	}
	p := api.NewParam("states", states)
	v, err := loss.Compute(api.LogitsOutput(p.Var), b)
	if err != nil {
		return nil, nil, err
	}
	total, err := trainer.Reduce(v, b, b.Items)
	if err == nil {
		err = total.Backward()
	}
	if err != nil {
		return nil, nil, err
	}
	return map[string]any{"loss": total.Data()[0], gradient: p.Grad()}, v, nil
}

func tryMetric(x *trial, line []byte) (any, error) {
	if answer, err := metricOf(x, line); answer != nil || err != nil {
		return answer, err
	}
	var l struct {
		Preds  [][]int32        `json:"preds"`
		Labels [][]int32        `json:"labels"`
		Rows   []map[string]any `json:"rows"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if l.Rows == nil {
		l.Rows = make([]map[string]any, len(l.Preds))
	}
	metric, err := x.reg.Metric(x.name)
	if err != nil {
		return nil, err
	}
	if len(l.Preds) != len(l.Labels) || len(l.Preds) != len(l.Rows) {
		return nil, fmt.Errorf("%d sequences of predictions, %d of labels and %d rows, want as many of each", len(l.Preds), len(l.Labels), len(l.Rows))
	}
	for i, preds := range l.Preds {
		n := len(preds)
		if len(l.Labels[i]) != n || n == 0 {
			return nil, fmt.Errorf("sequence %d has %d predictions and %d labels", i, n, len(l.Labels[i]))
		}
		vocab := int(max(slices.Max(preds), slices.Max(l.Labels[i]))) + 1
		logits := api.Full(0, n, vocab)
		for t, p := range preds {
			if p < 0 {
				return nil, fmt.Errorf("sequence %d: prediction %d", i, p)
			}
			logits.Float32s()[t*vocab+int(p)] = 1
		}
		b := &api.Batch{Labels: append(slices.Clone(l.Labels[i][1:]), api.Ignore), Starts: []int32{0}, Rows: l.Rows[i : i+1], Decode: x.decode}
		for _, label := range l.Labels[i] {
			b.IDs = append(b.IDs, max(0, label))
		}
		if err := metric.Add(api.LogitsOutput(api.Const(logits)), b); err != nil {
			return nil, err
		}
	}
	return metric.Result()
}

// tryOptimizer answers with the weight after each step.
func tryOptimizer(x *trial, line []byte) (any, error) {
	var l struct {
		W     [][]float32   `json:"w"`
		Grads [][][]float32 `json:"grads"`
		LR    float64       `json:"lr"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if len(l.W) == 0 {
		return nil, fmt.Errorf("w is empty, want a matrix")
	}
	rows, cols := len(l.W), len(l.W[0])
	p := api.NewParam("layer.weight", tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(slices.Concat(l.W...))))
	o, schedule, err := x.reg.Optimizer(x.name, &api.Model{Params: []*api.Param{p}}, len(l.Grads))
	if err != nil {
		return nil, err
	}
	var after [][][]float32
	for i, g := range l.Grads {
		flat := slices.Concat(g...)
		if len(flat) != rows*cols {
			return nil, fmt.Errorf("gradient %d has %d numbers, want %d", i, len(flat), rows*cols)
		}
		p.ClearGrad()
		p.AddGrad(func(sum *tensor.Dense, _ bool) { copy(sum.Float32s(), flat) })
		lr := l.LR
		if lr == 0 && schedule != nil {
			lr = schedule(i)
		}
		if err := o.Step(lr); err != nil {
			return nil, err
		}
		var w [][]float32
		for r := range rows {
			w = append(w, slices.Clone(p.Data()[r*cols:(r+1)*cols]))
		}
		after = append(after, w)
	}
	return after, nil
}

func tryAgentTemplate(x *trial, line []byte) (any, error) {
	var l struct {
		Method    string            `json:"method"`
		Tools     []json.RawMessage `json:"tools"`
		Prewrap   *bool             `json:"prewrap"` // false: tools as they are, not in {"type": "function", …}
		System    *string           `json:"system"`
		User      api.Message       `json:"user_message"`
		Calls     []contentLine     `json:"tool_calls"`
		Assistant string            `json:"assistant_content"`
		Results   []resultLine      `json:"tool_messages"`
		Chat      struct {
			Prompt    []string `json:"prompt"`
			Separator []string `json:"chat_sep"`
		} `json:"template_meta"`
		Response string `json:"response"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	a, err := x.reg.AgentTemplate(x.name)
	if err != nil {
		return nil, err
	}
	switch l.Method {
	case "format_tools":
		p := &api.ToolPrompt{System: l.System, User: l.User.Content}
		for i, text := range l.Tools {
			t, err := dataset.ParseTool(text)
			if err != nil {
				return nil, fmt.Errorf("tool %d: %w", i, err)
			}
			if l.Prewrap != nil && !*l.Prewrap {
				t.JSON = text
			}
			p.Tools = append(p.Tools, t)
		}
		system, err := a.FormatTools(p)
		return map[string]any{"system": system, "user_content": p.User}, err
	case "format_tool_calls":
		var calls []api.ToolCall
		for i, c := range l.Calls {
			call, err := template.ParseToolCall(string(c))
			if err != nil {
				return nil, fmt.Errorf("call %d: %w", i, err)
			}
			calls = append(calls, call)
		}
		return a.FormatCalls(calls)
	case "format_tool_responses":
		r := &api.ToolResults{Assistant: l.Assistant, Chat: api.Chat{Prompt: l.Chat.Prompt, Separator: l.Chat.Separator}}
		for _, m := range l.Results {
			r.Results = append(r.Results, api.ToolResult{Name: m.Name, ID: m.ID, Content: m.Content})
		}
		prompt, err := a.FormatResults(r)
		return map[string]any{"assistant_content": r.Assistant, "prompt": prompt}, err
	case "get_toolcall":
		calls, err := a.ParseCalls(l.Response)
		if calls == nil {
			calls = []api.ToolCall{}
		}
		if err != nil {
			return partly{calls, err}, nil
		}
		return calls, nil
	}
	return nil, fmt.Errorf("method is %q, want format_tools, format_tool_calls, format_tool_responses or get_toolcall", l.Method)
}

// contentLine is the content of a tool_call message: text, or the object itself.
type contentLine string

func (c *contentLine) UnmarshalJSON(line []byte) error {
	var m struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	var text string
	if json.Unmarshal(m.Content, &text) != nil {
		text = string(m.Content)
	}
	*c = contentLine(text)
	return nil
}

type resultLine struct {
	Name    string `json:"name"`
	ID      string `json:"tool_call_id"`
	Content string `json:"content"`
}

func tryCallback(x *trial, line []byte) (any, error) {
	var l struct {
		Losses  []float64 `json:"losses"`
		Metrics []float64 `json:"metrics"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	c, err := x.reg.Callback(x.name)
	if err != nil {
		return nil, err
	}
	if l.Losses != nil {
		return hookSteps(c, l.Losses)
	}
	stops := []string{}
	for i := range l.Metrics {
		s := &api.State{Step: i + 1, MaxSteps: len(l.Metrics), HasEval: true, BestMetric: &l.Metrics[i]}
		if c.OnSave != nil {
			if err := c.OnSave(s); err != nil {
				return nil, err
			}
		}
		stops = append(stops, s.Stop)
	}
	return stops, nil
}

// wishes are what a callback wants after a step, and what it adds to the log.
type wishes struct {
	Stop      string             `json:"stop,omitempty"`
	StopEpoch bool               `json:"stop_epoch,omitempty"`
	Log       bool               `json:"log,omitempty"`
	Evaluate  bool               `json:"evaluate,omitempty"`
	Save      bool               `json:"save,omitempty"`
	Logs      map[string]float64 `json:"logs,omitempty"`
}

// hookSteps calls the hooks of a run with these losses that logs every step, up
// to where the callback ends it.
func hookSteps(c *api.Callback, losses []float64) (all []wishes, err error) {
	s := &api.State{MaxSteps: len(losses), Model: smallModel(), Logs: map[string]float64{}}
	call := func(hooks ...func(*api.State) error) {
		for _, f := range hooks {
			if f != nil && err == nil {
				err = f(s)
			}
		}
	}
	call(c.OnInitEnd, c.OnTrainBegin, c.OnEpochBegin)
	for i, loss := range losses {
		call(c.OnStepBegin)
		s.Loss = loss
		call(c.OnPreOptimizerStep, c.OnOptimizerStep)
		s.Step, s.Epoch = i+1, float64(i+1)/float64(len(losses))
		call(c.OnStepEnd, c.OnLog)
		all = append(all, wishes{s.Stop, s.StopEpoch, s.Log, s.Evaluate, s.Save, s.Logs})
		s.Log, s.Evaluate, s.Save, s.Logs = false, false, false, map[string]float64{}
		if err != nil || s.Stop != "" || s.StopEpoch {
			break
		}
	}
	call(c.OnEpochEnd, c.OnTrainEnd)
	return all, err
}

func tryTuner(x *trial, _ []byte) (any, error) {
	t, err := x.reg.Tuner(x.name)
	if err != nil {
		return nil, err
	}
	m := smallModel()
	if err := t.Prepare(m); err != nil {
		return nil, err
	}
	trained := map[string][]int{}
	for _, p := range m.Trainable() {
		trained[p.Name] = p.Shape()
	}
	return trained, nil
}

// smallModel has one layer of each part of a decoder.
func smallModel() *api.Model {
	m := &api.Model{Type: "llama", Layers: 1}
	for _, l := range []api.Linear{{Name: "q_proj", Part: api.AttnQuery, In: 8, Out: 8}, {Name: "k_proj", Part: api.AttnKey, In: 8, Out: 4},
		{Name: "v_proj", Part: api.AttnValue, In: 8, Out: 4}, {Name: "o_proj", Part: api.AttnOut, In: 8, Out: 8},
		{Name: "gate_proj", Part: api.MLPGate, In: 8, Out: 16}, {Name: "up_proj", Part: api.MLPUp, In: 8, Out: 16}, {Name: "down_proj", Part: api.MLPDown, In: 16, Out: 8}} {
		l.Weight = api.NewParam("model.layers.0."+l.Name+".weight", api.Full(0.1, l.Out, l.In))
		l.Name = "model.layers.0." + l.Name
		m.Params, m.Linears = append(m.Params, l.Weight), append(m.Linears, &l)
	}
	return m
}
