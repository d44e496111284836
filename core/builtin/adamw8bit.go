package builtin

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// adamW8bit is AdamW whose averages take a byte each (Dettmers et al. 2022), as
// bitsandbytes keeps them: in blocks, a number as the nearest of 256, times the
// largest of its block. A small parameter keeps whole numbers.
type adamW8bit struct {
	adam
	groups
	BlockSize int `json:"block_size"`
	MinSize   int `json:"min_8bit_size"` // of a parameter that is kept in bytes

	whole  []*moments
	params []*bytesOf
}

// bytesOf is one parameter and its averages in bytes.
type bytesOf struct {
	part
	avg, avgSq       []uint8
	most, mostSquare *tensor.Dense // of the blocks
	steps            *float32
}

// largestBlock is the numbers of a block that are worked on at a time.
const largestBlock = 2048

func newAdamW8bit(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	o := &adamW8bit{adam: defaultAdam(), BlockSize: 256, MinSize: 4096}
	if err := args.Decode(o); err != nil {
		return nil, nil, err
	}
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	if o.BlockSize < 1 || o.BlockSize > largestBlock {
		return nil, nil, fmt.Errorf("block_size is %d, want 1 to %d", o.BlockSize, largestBlock)
	}
	parts, err := o.parts(args, m)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		n := len(p.Data())
		if n < o.MinSize {
			o.whole = append(o.whole, newMoments(&o.memory, p))
			continue
		}
		blocks := (n + o.BlockSize - 1) / o.BlockSize
		x := &bytesOf{part: p, avg: make([]uint8, n), avgSq: make([]uint8, n), steps: o.keepCount(p.Param, "step"),
			most: o.keep(p.Param, "absmax1", blocks), mostSquare: o.keep(p.Param, "absmax2", blocks)}
		for i := range n {
			x.avg[i] = signed.nearest(0)
		}
		o.params = append(o.params, x)
	}
	return o, nil, nil
}

// Step does as adamw, but rounds the averages afterwards.
func (o *adamW8bit) Step(lr float64) error {
	for _, s := range o.whole {
		s.step(&o.adam, lr)
	}
	for _, p := range o.params {
		p.Update(func(w, g []float32) {
			*p.steps++
			rows(p.Param, p.most.Shape()[0], func(from, to int) {
				var avgs, avgSqs [largestBlock]float32
				for k := from; k < to; k++ {
					o.block(p, lr*p.ratio, k, w, g, avgs[:], avgSqs[:])
				}
			})
		})
	}
	return nil
}

// block is the step of the k-th block. The averages are whole numbers for as long
// as it takes.
func (o *adamW8bit) block(p *bytesOf, lr float64, k int, w, g, avgs, avgSqs []float32) {
	from, to := k*o.BlockSize, min((k+1)*o.BlockSize, len(w))
	w, g, codes, squares := w[from:to], g[from:to], p.avg[from:to], p.avgSq[from:to]
	most, mostSquare := &p.most.Float32s()[k], &p.mostSquare.Float32s()[k]
	var highest, highestSquare float32
	beta1, beta2 := float32(o.Beta1), float32(o.Beta2)
	t := float64(*p.steps)
	root := math.Sqrt(1 - math.Pow(o.Beta2, t))
	size, epsilon := float32(lr*root/(1-math.Pow(o.Beta1, t))), float32(root*o.Epsilon)
	keep := float32(1 - lr*p.decay)
	for i, x := range g {
		m := beta1*signed.values[codes[i]]**most + (1-beta1)*x
		v := beta2*unsigned.values[squares[i]]**mostSquare + (1-beta2)*x*x
		avgs[i], avgSqs[i] = m, v
		highest, highestSquare = max(highest, m, -m), max(highestSquare, v)
		w[i] = keep * (w[i] - size*(m/(float32(math.Sqrt(float64(v)))+epsilon)))
	}
	*most, *mostSquare = highest, highestSquare
	for i := range g {
		codes[i], squares[i] = signed.of(avgs[i], highest), unsigned.of(avgSqs[i], highestSquare)
	}
}

// codebook is the 256 numbers that a byte can stand for, in order.
type codebook struct {
	values [256]float32
	middle [256]float32 // between one and the next; after the last there is none

	first [1 << (32 - tail)]uint8 // the lowest code for numbers that begin with these bits
}

// tail is the last bits of a number, which say little of its code.
const tail = 18

// signed and unsigned are numbers of dynamic precision: from -1 and from 0 to 1,
// in seven decades that each have twice as many as the one below.
var signed, unsigned = newCodebook(true), newCodebook(false)

func newCodebook(negative bool) *codebook {
	all := []float64{0, 1}
	for decade := range 7 {
		n := 1 << decade // numbers, evenly from a tenth to one
		if !negative {
			n *= 2
		}
		scale := math.Pow(10, float64(decade-6))
		for i := range n {
			x := scale * (0.1 + 0.9*(float64(i)+0.5)/float64(n))
			if all = append(all, x); negative {
				all = append(all, -x)
			}
		}
	}
	slices.Sort(all)
	c := &codebook{}
	for i, x := range all {
		if c.values[i] = float32(x); i > 0 {
			c.middle[i-1] = (c.values[i-1] + c.values[i]) / 2
		}
	}
	c.middle[255] = float32(math.Inf(1))
	for head := range c.first {
		low, high := math.Float32frombits(uint32(head)<<tail), math.Float32frombits(uint32(head+1)<<tail-1)
		lowest := min(low, high)
		for c.first[head] < 255 && lowest > c.middle[c.first[head]] {
			c.first[head]++
		}
	}
	return c
}

// of returns the code of x in a block whose largest number is most. A sign is
// kept: what is not 0 does not become the code of the other sign.
func (c *codebook) of(x, most float32) uint8 {
	if most == 0 {
		return c.nearest(0)
	}
	k := c.nearest(x / most)
	switch {
	case x > 0 && c.values[k] < 0:
		k++
	case x < 0 && c.values[k] >= 0 && k > 0:
		k--
	}
	return k
}

// nearest returns the code whose number is the nearest to x.
func (c *codebook) nearest(x float32) uint8 {
	k := c.first[math.Float32bits(x)>>tail]
	for x > c.middle[k] {
		k++
	}
	return k
}

// State returns the averages too, three bytes to a number, which a float32 holds
// exactly.
func (o *adamW8bit) State() map[string]*tensor.Dense {
	state := o.memory.State()
	for name, codes := range o.codes() {
		t := api.Full(0, (len(codes)+2)/3)
		for i, c := range codes {
			t.Float32s()[i/3] += float32(int(c) << (8 * (i % 3)))
		}
		state[name] = t
	}
	return state
}

// Restore takes over what State returned.
func (o *adamW8bit) Restore(state map[string]*tensor.Dense) error {
	rest := maps.Clone(state)
	for name, codes := range o.codes() {
		t, ok := state[name]
		if want := (len(codes) + 2) / 3; !ok || t.Shape().TotalSize() != want {
			return fmt.Errorf("the state of %s has no tensor %s of %d numbers; was it saved with other trained parameters or another optimizer?", o.optimizer, name, want)
		}
		delete(rest, name)
	}
	if err := o.memory.Restore(rest); err != nil {
		return err
	}
	for name, codes := range o.codes() {
		for i := range codes {
			codes[i] = uint8(int(state[name].Float32s()[i/3]) >> (8 * (i % 3)))
		}
	}
	return nil
}

func (o *adamW8bit) codes() map[string][]uint8 {
	all := map[string][]uint8{}
	for _, p := range o.params {
		all[p.Name+".state1"], all[p.Name+".state2"] = p.avg, p.avgSq
	}
	return all
}
