package recipe

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"swiftgo/api"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

// TestJudge compares the rewards of a checkpoint with what its head says of the
// conversations as they are written by hand.
func TestJudge(t *testing.T) {
	c, reg := setup(t, "qwen2", "lora", nil)
	c.TaskType, c.NumLabels = seqCls, 1
	m, dir := withHead(t, c), t.TempDir()
	if err := SaveModel(m, dir, checkpoint.F32, 1<<30); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	o := SampleOptions{ORM: dir, PRM: dir + "/"}
	judges, load, err := o.judges(c, reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	var cs []api.Completion
	var want []float64
	for i := range 2*judgedTogether + 3 {
		answer := strings.Repeat(string(rune('a'+i%26)), 1+i)
		x := api.Completion{Messages: []api.Message{{Role: "system", Content: "be brief"}, {Role: "user", Content: "say it"}}, Text: answer}
		text := "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nsay it<|im_end|>\n<|im_start|>assistant\n" + answer + "<|im_end|>\n"
		if i == 5 {
			x.Text = strings.Repeat("long ", 60)
			cs, want = append(cs, x), append(want, math.NaN())
			continue
		}
		ids := tok.Encode(text, false)
		hidden := m.Forward(ids, []int32{0}).Hidden().Data()[(len(ids)-1)*m.Config.HiddenSize:]
		sum := 0.0
		for k, h := range hidden {
			sum += float64(h) * float64(m.Score().Data()[k])
		}
		cs, want = append(cs, x), append(want, sum)
	}
	orm, err := judges.ORM.Score(context.Background(), cs)
	if err != nil {
		t.Fatal(err)
	}
	prm, err := judges.PRM.Score(context.Background(), cs)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range want {
		if math.IsNaN(x) {
			if !math.IsNaN(orm[i]) || !math.IsNaN(prm[i][0]) {
				t.Errorf("an answer that is too long has the rewards %g and %g", orm[i], prm[i][0])
			}
			continue
		}
		if math.Abs(orm[i]-x) > 1e-5 || len(prm[i]) != 1 || math.Abs(prm[i][0]-x) > 1e-5 {
			t.Errorf("answer %d has the rewards %g and %v, want %g", i, orm[i], prm[i], x)
		}
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, err := judges.ORM.Score(stopped, cs); err == nil {
		t.Error("it judges though nobody waits")
	}
}

// TestJudgeRefuses names directories that hold no reward model.
func TestJudgeRefuses(t *testing.T) {
	c, reg := setup(t, "qwen2", "lora", nil)
	many := t.TempDir()
	c.TaskType, c.NumLabels = seqCls, 3
	if err := SaveModel(withHead(t, c), many, checkpoint.F32, 1<<30); err != nil {
		t.Fatal(err)
	}
	if conf, err := model.LoadConfig(many); err != nil || conf.Classes.N != 3 {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		many: "has num_labels 3; want a reward model, whose head has 1", filepath.Join(models, "llama"): "it has no classification head",
		filepath.Join(models, "llama", "lora_adapter"): "says which model the adapter is for", t.TempDir(): "no config.json", "nowhere": "may also be the directory of a reward model",
	} {
		o := SampleOptions{PRM: dir}
		if _, _, err := o.judges(c, reg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}
