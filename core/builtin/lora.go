package builtin

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// lora is low-rank adaptation (Hu et al. 2021): the base model is frozen, and
// beside a weight matrix two thin ones are trained, whose product is added to
// it. It saves and loads in the layout of PEFT.
type lora struct {
	Rank          int     `json:"rank"`
	Alpha         float64 `json:"alpha"` // the product is scaled by alpha/rank
	Dropout       float64 `json:"dropout"`
	TargetModules modules `json:"target_modules"` // all-linear, or the ends of names
	UseRSLora     bool    `json:"use_rslora"`     // scale by alpha/√rank (Kalajdzievski 2023)

	seed  int64
	pairs []pair
	peft  *peftConfig // that was loaded, else nil
}

// pair is the two matrices beside one linear.
type pair struct {
	*api.Linear
	a, b *api.Param // [rank, In] and [Out, rank]
}

// allLinear names all linears but the output projection.
const allLinear = "all-linear"

// modules is a list of names of linears. In JSON it may be a list, or a text
// with commas.
type modules []string

// UnmarshalJSON reads either form.
func (m *modules) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return err
		}
		list = strings.Split(s, ",")
	}
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	*m = list
	return nil
}

func newLora(args *api.Args) (api.Tuner, error) {
	l := &lora{Rank: 8, Alpha: 32, Dropout: 0.05, TargetModules: modules{allLinear}, seed: args.Seed}
	if err := args.Decode(l); err != nil {
		return nil, err
	}
	return l, l.check()
}

func (l *lora) check() error {
	switch {
	case l.Rank < 1:
		return fmt.Errorf("rank of lora is %d, want 1 or more", l.Rank)
	case math.IsNaN(l.Alpha) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("alpha of lora is %g, want a number", l.Alpha)
	case !(l.Dropout >= 0 && l.Dropout < 1):
		return fmt.Errorf("dropout of lora is %g, want 0 or more and less than 1", l.Dropout)
	case len(l.TargetModules) == 0:
		return fmt.Errorf("target_modules of lora is empty, want %s or names of linear layers such as q_proj", allLinear)
	case len(l.TargetModules) > 1 && slices.Contains(l.TargetModules, allLinear):
		return fmt.Errorf("target_modules of lora is %s, want %s or names, not both", strings.Join(l.TargetModules, ", "), allLinear)
	}
	return nil
}

// Prepare puts a pair beside every target. The second matrix of a pair is 0, so
// that the model starts unchanged.
func (l *lora) Prepare(m *api.Model) error {
	m.Freeze()
	unused := map[string]bool{}
	for _, name := range l.TargetModules {
		unused[name] = true
	}
	for _, linear := range m.Linears {
		if name, ok := l.target(linear); ok {
			l.attach(m, linear)
			delete(unused, name)
		}
	}
	for _, name := range l.TargetModules {
		if unused[name] {
			return fmt.Errorf("target_modules of lora: the model has no linear layer %s; it has %s", name, strings.Join(ends(m.Linears), ", "))
		}
	}
	return nil
}

// target returns which of the target modules names the linear.
func (l *lora) target(linear *api.Linear) (string, bool) {
	if l.TargetModules[0] == allLinear {
		return allLinear, linear.Part != api.LMHead
	}
	for _, name := range l.TargetModules {
		if named(linear, name) {
			return name, true
		}
	}
	return "", false
}

// named reports whether name is the linear's, or the end of it, as in PEFT.
func named(l *api.Linear, name string) bool {
	return l.Name == name || strings.HasSuffix(l.Name, "."+name)
}

// attach adds a pair beside a linear: next(x) + dropout(x)·Aᵀ·Bᵀ·scale.
func (l *lora) attach(m *api.Model, linear *api.Linear) {
	p := pair{linear, m.AddParam(linear.Name+".lora_A.weight", 0, l.Rank, linear.In), m.AddParam(linear.Name+".lora_B.weight", 0, linear.Out, l.Rank)}
	for _, x := range []*api.Param{p.a, p.b} {
		x.Part, x.Layer, x.Region = linear.Part, linear.Layer, linear.Weight.Region
	}
	p.a.Set(func(w []float32) { kaiming(w, linear.In, l.seed, linear.Name) })
	scale := l.scale()
	linear.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		low := m.Dropout(x, l.Dropout).MatMulT(p.a.Var).Scale(scale)
		return next(x).Add(low.MatMulT(p.b.Var))
	})
	l.pairs = append(l.pairs, p)
}

func (l *lora) scale() float64 {
	if l.UseRSLora {
		return l.Alpha / math.Sqrt(float64(l.Rank))
	}
	return l.Alpha / float64(l.Rank)
}

// kaiming fills w with numbers between -1/√in and 1/√in, as PEFT does with
// kaiming_uniform_(a=√5). They depend on the seed and the name alone, and so
// not on what else is trained.
func kaiming(w []float32, in int, seed int64, name string) {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
	bound := 1 / math.Sqrt(float64(in))
	for i := range w {
		w[i] = float32(bound * (2*r.Float64() - 1))
	}
}

// ends returns the last elements of the linears' names, sorted.
func ends(linears []*api.Linear) []string {
	var names []string
	for _, l := range linears {
		names = append(names, l.Name[strings.LastIndex(l.Name, ".")+1:])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Save returns the adapter as PEFT saves it.
func (l *lora) Save(m *api.Model) (*api.Adapter, error) {
	c := l.peft
	if c == nil {
		c = l.config()
	}
	c.BaseModel = m.Dir
	config, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("adapter_config.json: %w", err)
	}
	a := &api.Adapter{Config: config, Tensors: map[string]*tensor.Dense{}}
	for _, p := range l.pairs {
		a.Tensors[peftName(p.Linear, "lora_A")] = p.a.Value()
		a.Tensors[peftName(p.Linear, "lora_B")] = p.b.Value()
	}
	return a, nil
}

func peftName(l *api.Linear, which string) string {
	return "base_model.model." + l.Name + "." + which + ".weight"
}

// Load puts a pair beside every linear that the adapter has one for. Rank,
// alpha and the rest come from the adapter and not from the settings.
func (l *lora) Load(m *api.Model, a *api.Adapter) error {
	c, err := readPEFT(a.Config)
	if err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	l.Rank, l.Alpha, l.Dropout, l.UseRSLora, l.peft = c.Rank, c.Alpha, c.Dropout, c.UseRSLora, c
	if err := l.check(); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	m.Freeze()
	for _, linear := range m.Linears {
		if a.Tensors[peftName(linear, "lora_A")] != nil || c.names(linear) {
			l.attach(m, linear)
		}
	}
	if len(l.pairs) == 0 {
		return fmt.Errorf("the adapter has nothing for this model: none of its %d tensors belongs to one of the model's linear layers %s", len(a.Tensors), strings.Join(ends(m.Linears), ", "))
	}
	for _, p := range l.pairs {
		for which, param := range map[string]*api.Param{"lora_A": p.a, "lora_B": p.b} {
			name := peftName(p.Linear, which)
			t, ok := a.Tensors[name]
			if !ok {
				return fmt.Errorf("the adapter has no tensor %s", name)
			}
			if err := param.Assign(t); err != nil {
				return fmt.Errorf("tensor %s of the adapter does not fit: %w", name, err)
			}
		}
	}
	if n := 2 * len(l.pairs); len(a.Tensors) > n {
		return fmt.Errorf("the adapter has %d tensors that this model has no place for; is it for another model?", len(a.Tensors)-n)
	}
	return nil
}
