package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"swiftgo/api"
	"swiftgo/core/autograd"
	"swiftgo/core/checkpoint"
	"swiftgo/core/model"
	"swiftgo/core/tokenizer"
)

var families = []string{"llama", "llama31", "qwen2", "qwen3"}

// reference is what plain PyTorch computed for a model of testdata, as
// testdata/README says.
type reference struct {
	InputIDs  [][]int32   `json:"input_ids"`
	Labels    [][]int32   `json:"labels"`
	LossScale [][]float32 `json:"loss_scale"`
	Loss      float64     `json:"loss"`
	Weighted  float64     `json:"loss_weighted"`
	Grads     map[string]struct {
		Norm   float64   `json:"norm"`
		First8 []float64 `json:"first8"`
	} `json:"grads"`
	Greedy struct {
		Prompt []int32 `json:"prompt"`
		New    []int32 `json:"new"`
	} `json:"greedy"`
}

func load(t *testing.T, family string) (*model.Model, *reference, string) {
	t.Helper()
	dir := filepath.Join("testdata", family)
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dir, e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ref reference
	if err := json.Unmarshal(text, &ref); err != nil {
		t.Fatal(err)
	}
	return m, &ref, dir
}

// batch lays the reference's sequences end to end, with shifted labels.
func (r *reference) batch() *api.Batch {
	b := &api.Batch{}
	for i, ids := range r.InputIDs {
		b.Starts = append(b.Starts, int32(len(b.IDs)))
		b.IDs = append(b.IDs, ids...)
		b.Labels = append(append(b.Labels, r.Labels[i][1:]...), api.Ignore)
		b.Scale = append(append(b.Scale, r.LossScale[i][1:]...), 0)
		for _, label := range r.Labels[i] {
			if label != api.Ignore {
				b.Items++
			}
		}
	}
	return b
}

func TestLogits(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref, dir := load(t, family)
			w, err := checkpoint.OpenFile(filepath.Join(dir, "logits.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			want, _, err := w.Read("logits")
			if err != nil {
				t.Fatal(err)
			}
			b := ref.batch()
			out := m.Forward(b.IDs, b.Starts)
			worst := 0.0
			for i, x := range out.Logits().Data() {
				worst = max(worst, math.Abs(float64(x-want[i])))
			}
			if !(worst < 1e-4) {
				t.Errorf("logits differ by %g, want less than 1e-4", worst)
			}
		})
	}
}

func TestLossAndGradients(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			m, ref, _ := load(t, family)
			b := ref.batch()
			weigh := func(scale func(i int) float32) *api.Var {
				w := make([]float32, len(b.Labels))
				for i := range w {
					w[i] = scale(i) / float32(b.Items)
				}
				ce := m.Forward(b.IDs, b.Starts).CrossEntropy(b.Labels)
				return ce.Mul(api.Const(tensor.New(tensor.WithShape(len(w)), tensor.WithBacking(w)))).Sum()
			}
			weighted := weigh(func(i int) float32 { return b.Scale[i] })
			near(t, "weighted loss", float64(weighted.Data()[0]), ref.Weighted, 1e-5)
			loss := weigh(func(int) float32 { return 1 })
			near(t, "loss", float64(loss.Data()[0]), ref.Loss, 1e-5)
			if err := loss.Backward(); err != nil {
				t.Fatal(err)
			}
			if len(m.Params) != len(ref.Grads) {
				t.Errorf("%d parameters, want %d", len(m.Params), len(ref.Grads))
			}
			for _, p := range m.Params {
				want, ok := ref.Grads[p.Name]
				if !ok {
					t.Errorf("parameter %s is not in the reference", p.Name)
					continue
				}
				near(t, "gradient norm of "+p.Name, math.Sqrt(m.Engine.SumSquares(p.GradTensor()))/want.Norm, 1, 1e-3)
				for i, x := range want.First8 {
					near(t, "gradient of "+p.Name, float64(p.Grad()[i]), x, 1e-3*want.Norm)
				}
			}
		})
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.8g, want %.8g within %g", what, got, want, tolerance)
	}
}

func TestGreedy(t *testing.T) {
	for _, family := range families {
		m, ref, _ := load(t, family)
		got := m.Generate([][]int32{ref.Greedy.Prompt, ref.Greedy.Prompt[:3]}, len(ref.Greedy.New), nil)
		if !slices.Equal(got[0], ref.Greedy.New) {
			t.Errorf("%s: greedy continuation %v, want %v", family, got[0], ref.Greedy.New)
		}
	}
}

// TestStories continues the beginning of a text as llama2.c does, whose author
// published this greedy continuation of the pretrained model stories260K.
func TestStories(t *testing.T) {
	material := filepath.Join("..", "..", "..", "shared", "material", "models", "stories260K")
	text, err := os.ReadFile(filepath.Join(material, "golden_greedy.json"))
	if err != nil {
		t.Skip("needs the shared model stories260K beside the repository: ", err)
	}
	var golden struct {
		Prompt []int32 `json:"prompt_ids"`
		IDs    []int32 `json:"ids"`
		Text   string  `json:"text"`
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	e, err := autograd.NewEngine(0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(filepath.Join(material, "hf"), e)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Generate([][]int32{golden.Prompt}, len(golden.IDs)-len(golden.Prompt), nil)
	if !slices.Equal(append(slices.Clone(golden.Prompt), got[0]...), golden.IDs) {
		t.Errorf("greedy ids\n%v, want\n%v", got[0], golden.IDs)
	}
	tok, err := tokenizer.Load(filepath.Join(material, "hf"))
	if err != nil {
		t.Fatal(err)
	}
	if said := tok.Decode(got[0], true); said != golden.Text {
		t.Errorf("greedy text\n%q, want\n%q", said, golden.Text)
	}
}

// TestGenerateIsForward sees that continuing token by token, with the keys and
// values kept, is what the whole text would say, for prompts of several lengths
// together.
func TestGenerateIsForward(t *testing.T) {
	for _, family := range families {
		m, ref, _ := load(t, family)
		prompts := [][]int32{ref.InputIDs[0][:9], {}, ref.InputIDs[1][:1], ref.InputIDs[2][:20]}
		got := m.Generate(prompts, 12, []int32{-1})
		for i, p := range prompts {
			text := slices.Clone(p)
			for k, token := range got[i] {
				m.Engine.Reset()
				best := m.Forward(text, []int32{0}).Argmax()
				if token != best[len(best)-1] {
					t.Errorf("%s: token %d after prompt %d is %d, the whole text says %d", family, k, i, token, best[len(best)-1])
				}
				text = append(text, token)
			}
			if want := 12; len(got[i]) != want && len(p) > 0 {
				t.Errorf("%s: %d tokens after prompt %d, want %d", family, len(got[i]), i, want)
			}
		}
	}
}

// TestMistral loads the llama of testdata as a mistral: the layer is the same.
func TestMistral(t *testing.T) {
	llama, ref, dir := load(t, "llama")
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"model_type": "llama"`), []byte(`"model_type": "mistral", "sliding_window": 40`), 1)
	if err := os.WriteFile(filepath.Join(copied, "config.json"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(copied, llama.Engine)
	if err != nil {
		t.Fatal(err)
	}
	if m.Config.MaxLength() != 40 {
		t.Errorf("longest sequence %d, want the window's 40", m.Config.MaxLength())
	}
	b := ref.batch()
	want := slices.Clone(llama.Forward(b.IDs, b.Starts).Logits().Data())
	if got := m.Forward(b.IDs, b.Starts).Logits().Data(); !slices.Equal(got, want) {
		t.Error("the logits differ from those of the llama")
	}
}

// TestDtypes loads the weights as they come in F16, BF16 and in shards.
func TestDtypes(t *testing.T) {
	m, ref, dir := load(t, "qwen2")
	b := ref.batch()
	want := slices.Clone(m.Forward(b.IDs, b.Starts).Logits().Data())
	for dtype, tolerance := range map[checkpoint.Dtype]float64{checkpoint.F32: 5e-6, checkpoint.F16: 0.02, checkpoint.BF16: 0.15} {
		to := t.TempDir()
		if err := checkpoint.WriteSharded(to, m.Tensors(dtype), 50_000); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, "config.json"), text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := model.Load(to, m.Engine)
		if err != nil {
			t.Fatal(err)
		}
		m.Engine.Reset()
		for i, x := range again.Forward(b.IDs, b.Starts).Logits().Data() {
			if math.Abs(float64(x-want[i])) > tolerance {
				t.Fatalf("%s: logit %d is %g, want %g within %g", dtype, i, x, want[i], tolerance)
			}
		}
	}
}

// TestNEFTune compares the noise on embeddings in training with its formula, and
// sees none outside it.
func TestNEFTune(t *testing.T) {
	m, ref, _ := load(t, "qwen2")
	b := ref.batch()
	plain := slices.Clone(m.Forward(b.IDs, b.Starts).Hidden().Data())
	m.NEFTune = 5
	if got := m.Forward(b.IDs, b.Starts).Hidden().Data(); !slices.Equal(got, plain) {
		t.Error("noise outside training")
	}
	m.Training = true
	noisy := func(seed uint64) []float32 {
		m.Engine.Reset()
		m.Rand = rand.New(rand.NewPCG(seed, 0))
		return slices.Clone(m.Forward(b.IDs, b.Starts).Hidden().Data())
	}
	first := noisy(1)
	if slices.Equal(first, plain) || !slices.Equal(first, noisy(1)) || slices.Equal(first, noisy(2)) {
		t.Error("the noise does not follow from the model's random numbers")
	}
	most, mean := m.NoiseOf(b.IDs, b.Starts)
	for i, start := range b.Starts {
		end := len(b.IDs)
		if i+1 < len(b.Starts) {
			end = int(b.Starts[i+1])
		}
		size := float64((end - int(start)) * m.Config.HiddenSize)
		if want := 5 / math.Sqrt(size); most[i] > want*(1+1e-6) || most[i] < 0.99*want || math.Abs(mean[i]) > 4*want/math.Sqrt(3*size) {
			t.Errorf("the noise of sequence %d is %g at most and %g in the mean, want %g and 0", i, most[i], mean[i], want)
		}
	}
}

// TestCopyLayer sees that a copy whose output projections are 0 changes nothing,
// cached keys and values included, and that all that follows is named anew.
func TestCopyLayer(t *testing.T) {
	for _, family := range families {
		m, ref, _ := load(t, family)
		b := ref.batch()
		want := slices.Clone(m.Forward(b.IDs, b.Starts).Logits().Data())
		before := len(m.Params)
		for _, layer := range []int{m.Layers - 1, 0} { // now 0, its copy, 1 …, and the copy of the last
			if err := m.CopyLayer(layer); err != nil {
				t.Fatal(err)
			}
		}
		fresh := []int{1, m.Layers - 1}
		for _, l := range m.Linears {
			if slices.Contains(fresh, l.Layer) && (l.Part == api.AttnOut || l.Part == api.MLPDown) {
				l.Weight.Set(func(w []float32) { clear(w) })
				if l.Bias != nil {
					l.Bias.Set(func(w []float32) { clear(w) })
				}
			}
		}
		for i, x := range m.Forward(b.IDs, b.Starts).Logits().Data() {
			if x != want[i] {
				t.Fatalf("%s: logit %d is %g, want %g", family, i, x, want[i])
			}
		}
		if got := m.Generate([][]int32{ref.Greedy.Prompt}, len(ref.Greedy.New), nil)[0]; !slices.Equal(got, ref.Greedy.New) {
			t.Errorf("%s: continuation %v, want %v", family, got, ref.Greedy.New)
		}
		each := 0 // parameters of a layer
		for _, p := range m.Params {
			if p.Layer == 0 {
				each++
			}
		}
		if len(m.Params) != before+2*each || m.Config.Layers != m.Layers {
			t.Errorf("%s: %d parameters in %d layers, want %d", family, len(m.Params), m.Config.Layers, before+2*each)
		}
		seen, last := map[string]bool{}, -1
		for _, p := range m.Params {
			if seen[p.Name] {
				t.Errorf("%s: %s is there twice", family, p.Name)
			}
			seen[p.Name] = true
			if p.Layer >= 0 {
				if p.Layer < last || !strings.HasPrefix(p.Name, fmt.Sprintf("model.layers.%d.", p.Layer)) {
					t.Errorf("%s: %s of layer %d comes after layer %d", family, p.Name, p.Layer, last)
				}
				last = p.Layer
			}
		}
		for _, l := range m.Linears {
			if l.Part != api.LMHead && l.Weight.Name != l.Name+".weight" {
				t.Errorf("%s: %s has the weight %s", family, l.Name, l.Weight.Name)
			}
		}
		if err := m.CopyLayer(m.Layers); err == nil {
			t.Errorf("%s: a layer that is not there is copied", family)
		}
	}
}
