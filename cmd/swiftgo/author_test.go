package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// authored is a plugin of an author who has nothing of swiftgo but its binary: the
// math reward that ms-swift's documents begin with, a judge over HTTP, a loss with
// a column of the dataset, a metric of texts, and a callback.
const authored = `package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"gorgonia.org/tensor"
	"swiftgo/api"
)

var (
	ORMs      = api.ORMs{"seed": func(*api.Args) (api.ORM, error) { return api.ORMFunc(boxes), nil }}
	PRMs      = api.PRMs{"rater": newRater}
	Losses    = api.Losses{"column": func(*api.Args) (api.Loss, error) { return api.LossFunc(column), nil }}
	Metrics   = api.Metrics{"texts": func(*api.Args) (api.Metric, error) { return texts{}, nil }}
	Callbacks = api.Callbacks{"second": newSecond}
)

func boxes(_ context.Context, cs []api.Completion) ([]float64, error) {
	rewards := make([]float64, len(cs))
	for i, c := range cs {
		want, _ := new(big.Rat).SetString(fmt.Sprint(c.Row["solution"]))
		_, box, _ := strings.Cut(c.Text, "\\boxed{")
		box, _, _ = strings.Cut(box, "}")
		if got, ok := new(big.Rat).SetString(box); ok && got.Cmp(want) == 0 {
			rewards[i] = 1
		}
	}
	return rewards, nil
}

type rater struct {
	URL string ` + "`json:\"url\"`" + `
}

func newRater(args *api.Args) (api.PRM, error) {
	r := &rater{}
	return r, args.Decode(r)
}

func (r *rater) Score(ctx context.Context, cs []api.Completion) ([][]float64, error) {
	rewards := make([][]float64, len(cs))
	for i, c := range cs {
		for _, step := range api.Steps(c.Text) {
			body, err := json.Marshal(map[string]any{"model": "rater", "messages": []api.Message{{Role: "user", Content: c.Messages[0].Content + ": " + step}}})
			if err != nil {
				return nil, err
			}
			req, err := http.NewRequestWithContext(ctx, "POST", r.URL+"/chat/completions", bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return nil, fmt.Errorf("completion %d: %w", i, err)
			}
			var answer struct{ Choices []struct{ Message api.Message } }
			err = json.NewDecoder(resp.Body).Decode(&answer)
			resp.Body.Close()
			if err != nil || len(answer.Choices) == 0 {
				return nil, fmt.Errorf("completion %d: %s has no answer: %v", i, resp.Status, err)
			}
			reward := 0.0
			fmt.Sscan(answer.Choices[0].Message.Content, &reward)
			rewards[i] = append(rewards[i], reward)
		}
	}
	return rewards, nil
}

func column(out *api.Output, b *api.Batch) (*api.Var, error) {
	w := make([]float32, len(b.Labels))
	for i := range b.Starts {
		x, _ := b.Rows[i]["weight"].(float64)
		from, to := b.Sequence(i)
		for t := from; t < to; t++ {
			w[t] = float32(x)
		}
	}
	return out.CrossEntropy(b.Labels).Mul(api.Const(tensor.New(tensor.WithShape(len(w)), tensor.WithBacking(w)))), nil
}

type texts map[string]float64

func (m texts) Add(out *api.Output, b *api.Batch) error {
	for i := range b.Starts {
		m["sequences"]++
		if said, ok := b.Rows[i]["response"].(string); ok {
			m["said"] += float64(len(said))
		} else {
			m["decoded"] += float64(len(b.Decode(out.Argmax())))
		}
	}
	return nil
}

func (m texts) Result() (map[string]float64, error) { return m, nil }

func newSecond(*api.Args) (*api.Callback, error) {
	return &api.Callback{
		OnStepEnd: func(s *api.State) error {
			s.Logs["twice"] = 2 * s.Loss
			if s.Save = s.Step == 1; s.Step == 2 {
				s.Stop = "enough"
			}
			return nil
		},
	}, nil
}

func main() {}
`

// TestAuthor builds that plugin out of the tree, tries it on single lines, and
// samples with both of its reward models.
func TestAuthor(t *testing.T) {
	root := tree{"author/author.go": authored}.write(t)
	out := filepath.Join(root, "out")
	if text, err := in(root, offline, binary, "plugin", "build", "author", "-o", out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	model, _ := filepath.Abs("../../core/model/testdata/qwen2")
	const logits = `{"logits": [[[1, 2], [0, 0]], [[2, 1], [0, 0]]], "labels": [[-100, 1], [-100, 1]]`
	for _, c := range []struct{ kind, name, line, want string }{
		{"loss", "column", logits + `, "rows": [{"weight": 2}, {"weight": 0.5}]}`, `"loss":0.6415`}, // (2·ln(1+1/e) + 0.5·ln(1+e)) / 2
		{"loss", "column", logits + `, "rows": [{}]}`, `{"error":"1 rows for 2 sequences, want one for each"}`},
		{"loss", "column", logits + `, "weight": 2, "rows": [{}, {}]}`, `"loss":0`},
		{"loss", "column", logits + `, "weight": 2, "rows": [{}, {}]}`, `"unread":["weight"]}`},
		{"metric", "texts", `{"prediction": "four", "label": "5"}`, `{"ok":{"said":4,"sequences":1}}`},
		{"metric", "texts", `{"preds": [[97, 98]], "labels": [[-100, 98]]}`, `{"ok":{"decoded":2,"sequences":1}}`},
		{"metric", "texts", `{"preds": [[1, 2], [1, 2]], "labels": [[-100, 1], [-100, 2]], "rows": [{"response": "abc"}, {"response": ""}]}`, `{"ok":{"said":3,"sequences":2}}`},
		{"callback", "second", `{"losses": [3, 2, 1]}`, `{"ok":[{"save":true,"logs":{"twice":6}},{"stop":"enough","logs":{"twice":4}}]}`},
		{"orm", "seed", `{"text": "\\boxed{8/2}", "row": {"solution": 4}}`, `{"ok":1}`},
	} {
		cmd := exec.Command(binary, "plugin", "try", c.kind, c.name, "--plugins_dir", out, "--model", model)
		cmd.Stdin = strings.NewReader(c.line)
		if text, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(text), c.want) {
			t.Errorf("%s %s %s: %v\n%swant %s", c.kind, c.name, c.line, err, text, c.want)
		}
	}

	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c struct {
			Model    string
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || len(c.Messages) != 1 {
			t.Errorf("asked %v, %v", c, err)
			return
		}
		says := []string{`Step 1: I guess.\nStep 2: \\boxed{4}`, `Step 1: I add.\nStep 2: \\boxed{8/2}`, `Step 1: I add.\nStep 2: \\boxed{5}`}
		if c.Model == "rater" {
			says = []string{"0.9"}
			if c.Messages[0].Content == "2+2?: Step 1: I guess." {
				says[0] = "0.1"
			}
		}
		var choices []string
		for i, text := range says {
			choices = append(choices, fmt.Sprintf(`{"index": %d, "message": {"role": "assistant", "content": "%s"}}`, i, text))
		}
		fmt.Fprintf(w, `{"choices": [%s]}`, strings.Join(choices, ","))
	}))
	defer s.Close()
	questions := write(t, "q.jsonl", `{"messages": [{"role": "user", "content": "2+2?"}], "solution": 4}`+"\n")
	must(t, "sample", "--plugins_dir", out, "--sampler_engine", "client", "--base_url", s.URL, "--model", "m", "--dataset", questions, "--num_return_sequences", "3",
		"--orm_model", "seed", "--prm_model", "rater", "--rater.url", s.URL, "--prm_threshold", "0.5", "--output_dir", root, "--output_file", "best.jsonl")
	var row struct {
		Messages []struct{ Content string }
		Rejected string `json:"rejected_response"`
		Solution float64
	}
	text := read(t, filepath.Join(root, "best.jsonl"))
	if err := json.Unmarshal(text, &row); err != nil || len(row.Messages) != 2 || row.Messages[1].Content != "Step 1: I add.\nStep 2: \\boxed{8/2}" ||
		row.Rejected != "Step 1: I add.\nStep 2: \\boxed{5}" || row.Solution != 4 {
		t.Errorf("kept %s, %v; want what is right and was not guessed", text, err)
	}
}
