package builtin

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"swiftgo/api"
	"swiftgo/api/apitest"
)

// judging are the losses and metrics that want batches which the kit has not:
// of documents and queries, or with generated answers. dft is none of them, but
// its gradient is not that of its value. They have tests of their own.
var judging = []string{"dft", "cosine_similarity", "contrastive", "online_contrastive", "infonce", "pointwise_reranker", "listwise_reranker", "seq_cls", "paired", "reranker", "nlg"}

// TestConformance takes every other built-in extension through the kit, but for
// the agent templates, which TestAgentsConform does, and the tuners, which
// TestTuners does.
func TestConformance(t *testing.T) {
	e := Exports()
	for _, name := range judging {
		delete(e.Losses, name)
		delete(e.Metrics, name)
	}
	kind(t, e.Losses, apitest.Loss)
	kind(t, e.LossScales, apitest.LossScale)
	kind(t, e.Metrics, apitest.Metric)
	for _, name := range []string{"muon", "muonclip"} { // whose steps have one size: too small for the bowl in the kit's number of them
		t.Run(name, func(t *testing.T) {
			apitest.Optimizer(t, e.Optimizers[name], apitest.With(map[string]any{"lr_groups": []string{"matrix=0.04"}}))
		})
		delete(e.Optimizers, name)
	}
	kind(t, e.Optimizers, apitest.Optimizer)
	for name, settings := range map[string]map[string]any{
		"sgd": {"momentum": 0.5, "nesterov": true}, "adafactor": {"beta1": 0.9, "scale_parameter": true}, "adamw_8bit": {"min_8bit_size": 1, "block_size": 4},
		"galore": {"rank": 2, "update_proj_gap": 2}, "apollo": {"rank": 2, "update_proj_gap": 4},
	} {
		t.Run(name+" with settings", func(t *testing.T) { apitest.Optimizer(t, e.Optimizers[name], apitest.With(settings)) })
	}
	kind(t, e.Callbacks, apitest.Callback)
	kind(t, e.ORMs, apitest.ORM)
	url := judgeServer(t, func(string) (int, string) { return http.StatusOK, "**Reward: 0.5**" })
	for name, construct := range e.PRMs {
		t.Run(name, func(t *testing.T) { apitest.PRM(t, construct, apitest.With(map[string]any{"url": url})) })
	}
}

// needed are the settings that extensions cannot do without.
var needed = map[string]map[string]any{"cosine": {"max_len": 30}, "soft_overlong": {"max_length": 30, "cache_length": 20}}

func kind[T any](t *testing.T, exports map[string]T, check func(testing.TB, T, ...apitest.Option)) {
	t.Helper()
	if len(exports) == 0 {
		t.Errorf("no built-in %T", *new(T))
	}
	for name, construct := range exports {
		t.Run(name, func(t *testing.T) { check(t, construct, apitest.With(needed[name])) })
	}
}

// vectors reads a file of the folder testdata, which ms-swift's own code made, or
// PyTorch.
func vectors(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func own(name string, settings map[string]any) *api.Args {
	return &api.Args{Name: name, Own: settings, Seed: 42, LearningRate: 1e-2}
}

func TestStrategies(t *testing.T) {
	for name, want := range map[string]func(s api.Segment) bool{
		"default":    func(s api.Segment) bool { return s.Role == api.Response || s.Role == api.Suffix },
		"last_round": func(s api.Segment) bool { return (s.Role == api.Response || s.Role == api.Suffix) && s.LastRound },
		"all":        func(api.Segment) bool { return true },
	} {
		scale, err := Exports().LossScales[name](own(name, nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := scale.(api.Strategy); !ok {
			t.Errorf("%s is not a Strategy", name)
		}
		for _, role := range []api.Role{api.System, api.User, api.Response, api.Suffix} {
			for _, last := range []bool{false, true} {
				s := api.Segment{Text: "text", Role: role, LastRound: last}
				pieces := scale.Weigh(s)
				if len(pieces) != 1 || (pieces[0].Weight == 1) != want(s) || pieces[0].Weight != 0 && pieces[0].Weight != 1 {
					t.Errorf("%s of %+v is %v", name, s, pieces)
				}
			}
		}
	}
}

func TestCrossEntropy(t *testing.T) {
	loss, err := newCrossEntropy(own("cross_entropy", nil))
	if err != nil {
		t.Fatal(err)
	}
	logits := api.NewParam("logits", api.Full(0, 2, 4)) // all of four tokens alike
	v, err := loss.Compute(api.LogitsOutput(logits.Var), &api.Batch{Labels: []int32{1, api.Ignore}})
	if err != nil {
		t.Fatal(err)
	}
	const log4 = 1.3862944
	if got := v.Data(); got[0] != log4 || got[1] != 0 {
		t.Errorf("cross entropy of even odds is %v, want %v and 0", got, log4)
	}
}
