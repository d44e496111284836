package builtin

import (
	"fmt"

	"swiftgo/api"
)

// bone is block affine adaptation (Kang 2024): one block beside a weight matrix
// is added to it again and again along its inputs, so that the inputs can be
// summed before it. Its variant bat has a square block for each group of outputs
// and adds W·block + block. It saves and loads in the layout of PEFT.
type bone struct {
	targets
	Rank        int    `json:"rank"`         // inputs of a block
	InitWeights string `json:"init_weights"` // true: 0; false: at random; bat: the variant, 0

	seed   int64
	blocks []*boneBlock
	saved  []*api.Param
	layout layout
	loaded peftConfig // else nil
}

// boneBlock is what stands beside one linear: [rank, Out], or for bat
// [Out/rank, rank, rank].
type boneBlock struct {
	*api.Linear
	block *api.Param
}

func newBone(args *api.Args) (api.Tuner, error) {
	b := &bone{Rank: 64, InitWeights: "true", seed: args.Seed}
	b.TargetModules = modules{allLinear}
	if err := args.Decode(b); err != nil {
		return nil, err
	}
	if err := b.targets.check("bone"); err != nil {
		return nil, err
	}
	return b, b.check()
}

func (b *bone) check() error {
	if b.Rank < 1 {
		return fmt.Errorf("rank of bone is %d, want 1 or more", b.Rank)
	}
	switch b.InitWeights {
	case "true", "false", "bat":
		return nil
	}
	return fmt.Errorf("init_weights of bone is %q, want true, false or bat", b.InitWeights)
}

// Prepare puts a block beside every target. Unless it is to be random, it is 0,
// so that the model starts unchanged.
func (b *bone) Prepare(m *api.Model) error {
	linears, err := b.find(m)
	if err != nil {
		return err
	}
	return b.prepare(m, linears)
}

func (b *bone) prepare(m *api.Model, linears []*api.Linear) (err error) {
	if b.saved, err = b.targets.saved(m); err != nil {
		return err
	}
	m.Freeze()
	b.layout = layout{}
	b.layout.train(b.saved, nil)
	for _, l := range linears {
		if err := b.attach(m, l); err != nil {
			return err
		}
	}
	return nil
}

func (b *bone) attach(m *api.Model, l *api.Linear) error {
	shape := []int{b.Rank, l.Out}
	if b.InitWeights == "bat" {
		if l.In%b.Rank != 0 || l.Out%b.Rank != 0 {
			return fmt.Errorf("rank of bone is %d, and with init_weights bat it must divide the %d inputs and %d outputs of %s", b.Rank, l.In, l.Out, l.Name)
		}
		shape = []int{l.Out / b.Rank, b.Rank, b.Rank}
	}
	p := &boneBlock{l, m.AddParam(l.Name+".bone_block", 0, shape...)}
	belongs(l, p.block)
	b.layout[tensorOf(l, "bone_block")] = p.block
	if b.InitWeights == "false" {
		p.block.Set(func(w []float32) { kaiming(w, l.Out, b.seed, l.Name) })
	}
	l.Wrap(func(x *api.Var, next api.Forward) *api.Var {
		if b.InitWeights == "bat" {
			return next(x).Add(x.MatMulT(p.bat()))
		}
		return next(x).Add(folded(x, b.Rank).MatMul(p.block.Var))
	})
	b.blocks = append(b.blocks, p)
	return nil
}

// folded returns the sums of x [tokens, In] over its blocks, [tokens, rank]; the
// last block may be a part of one.
func folded(x *api.Var, rank int) *api.Var {
	tokens, in := x.Shape()[0], x.Shape()[1]
	if over := in % rank; over != 0 {
		x = api.Concat(1, x, api.Const(api.Full(0, tokens, rank-over)))
		in += rank - over
	}
	return x.Reshape(tokens, in/rank, rank).Sum(1)
}

// bat returns what is added to the weight, [Out, In].
func (p *boneBlock) bat() *api.Var {
	groups, rank := p.block.Shape()[0], p.block.Shape()[1]
	var rows []*api.Var
	for g := range groups {
		block := p.block.Slice(0, g, g+1).Reshape(rank, rank)
		w := p.Weight.Slice(0, g*rank, (g+1)*rank).Reshape(rank*p.In/rank, rank) // of each output and block of inputs
		rows = append(rows, w.MatMul(block).Reshape(rank, p.In/rank, rank).Add(block.Reshape(rank, 1, rank)).Reshape(rank, p.In))
	}
	return api.Concat(0, rows...)
}

// Merge adds the blocks to the weight.
func (b *bone) Merge(*api.Model) error {
	for _, p := range b.blocks {
		if err := mergeable(p.Linear); err != nil {
			return err
		}
		if b.InitWeights == "bat" {
			add(p.Linear, p.bat())
			continue
		}
		block := p.block.Data()
		p.Weight.Set(func(w []float32) {
			for o := range p.Out {
				for i := range p.In {
					w[o*p.In+i] += block[i%b.Rank*p.Out+o]
				}
			}
		})
	}
	return nil
}

// Save returns the blocks as PEFT saves them.
func (b *bone) Save(m *api.Model) (*api.Adapter, error) {
	c := b.loaded
	if c == nil {
		c = defaultBone()
		var linears []*api.Linear
		for _, p := range b.blocks {
			linears = append(linears, p.Linear)
		}
		c["r"], c["init_weights"] = b.Rank, startValue(b.InitWeights)
		c["target_modules"], c["modules_to_save"] = b.targets.config(linears, b.saved)
	}
	text, err := c.encode(m)
	return &api.Adapter{Config: text, Tensors: b.layout.tensors()}, err
}

// defaultBone returns what PEFT 0.14, the first with Bone, writes where nothing
// is said.
func defaultBone() peftConfig {
	return newPEFT("BONE", peftConfig{
		"bias": "none", "exclude_modules": nil, "init_weights": true, "layers_pattern": nil, "layers_to_transform": nil,
		"modules_to_save": nil, "r": 64, "target_modules": nil,
	})
}

// Load puts a block beside every linear that the adapter has one for.
func (b *bone) Load(m *api.Model, a *api.Adapter) error {
	c, err := readPEFT(a.Config, defaultBone())
	if err != nil {
		return err
	}
	var s struct {
		Rank        int     `json:"r"`
		InitWeights any     `json:"init_weights"`
		Bias        string  `json:"bias"`
		Saved       modules `json:"modules_to_save"`
	}
	if err := c.decode(&s); err != nil {
		return err
	}
	if s.Bias != "none" {
		return fmt.Errorf("adapter_config.json: bias is %q, want none: bone trains no biases here", s.Bias)
	}
	b.Rank, b.InitWeights, b.ModulesToSave, b.loaded = s.Rank, fmt.Sprint(s.InitWeights), s.Saved, c
	if err := b.check(); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	linears, err := c.linears(m, a, "bone_block")
	if err != nil {
		return err
	}
	if err := b.prepare(m, linears); err != nil {
		return err
	}
	return b.layout.fill(a.Tensors)
}
