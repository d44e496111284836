package builtin

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"swiftgo/api"
)

// groups is what the optimizers here have in common: learning rates of parts of
// the model, weight decay as transformers gives it, and a memory.
type groups struct {
	LRGroups  modules `json:"lr_groups"`  // PATTERN=RATE: the first that matches a parameter's name is its rate
	VitLR     float64 `json:"vit_lr"`     // of the vision part; 0 is the run's
	AlignerLR float64 `json:"aligner_lr"` // of what joins it to the language part; 0 is the run's
	DecayAll  bool    `json:"decay_all"`  // weight decay for biases and norms too

	memory
	ratios map[string]float64 // of groups that have a rate of their own to the run's, by name
}

// part is a parameter and what its group says of it.
type part struct {
	*api.Param
	decay float64 // weight decay
	ratio float64 // of its learning rate to the run's
}

// rateGroup is the parameters that have a learning rate of their own.
type rateGroup struct {
	flag, name string
	rate       float64
	has        func(p *api.Param) bool
	used       bool
}

// parts returns the parameters to train.
func (g *groups) parts(args *api.Args, m *api.Model) ([]part, error) {
	all, err := g.rateGroups()
	if err != nil {
		return nil, err
	}
	if len(all) > 0 && args.LearningRate <= 0 {
		return nil, errors.New("parts of the model have learning rates of their own, and the run's is 0; want one that they can follow, --learning_rate")
	}
	g.optimizer, g.ratios = cmp.Or(args.Name, "the optimizer"), map[string]float64{}
	var parts []part
	for _, p := range m.Trainable() {
		x := part{Param: p, ratio: 1}
		if g.DecayAll || p.Decays() {
			x.decay = args.WeightDecay
		}
		for _, r := range all {
			if r.has(p) {
				x.ratio, r.used = r.rate/args.LearningRate, true
				g.ratios[r.name] = x.ratio
				break
			}
		}
		parts = append(parts, x)
	}
	for _, r := range all {
		if !r.used {
			return nil, fmt.Errorf("%s is given, and no parameter that is trained belongs to it", r.flag)
		}
	}
	return parts, nil
}

func (g *groups) rateGroups() ([]*rateGroup, error) {
	var all []*rateGroup
	for _, text := range g.LRGroups {
		at := strings.LastIndexByte(text, '=')
		if at < 1 {
			return nil, fmt.Errorf("lr_groups has %q, want PATTERN=RATE, such as layers\\.0\\.=1e-5", text)
		}
		pattern, err := regexp.Compile(text[:at])
		if err != nil {
			return nil, fmt.Errorf("lr_groups has %q: %w", text, err)
		}
		rate, err := strconv.ParseFloat(text[at+1:], 64)
		if err != nil || !(rate >= 0) {
			return nil, fmt.Errorf("lr_groups has %q, want a rate from 0 up after the last =", text)
		}
		all = append(all, &rateGroup{flag: "lr_groups " + text, name: text[:at], rate: rate, has: func(p *api.Param) bool { return pattern.MatchString(p.Name) }})
	}
	for _, r := range []*rateGroup{
		{flag: "vit_lr", name: "vit", rate: g.VitLR, has: func(p *api.Param) bool { return p.Region == api.Vision }},
		{flag: "aligner_lr", name: "aligner", rate: g.AlignerLR, has: func(p *api.Param) bool { return p.Region == api.Aligner }},
	} {
		if !(r.rate >= 0) {
			return nil, fmt.Errorf("%s is %g, want 0 or more", r.flag, r.rate)
		}
		if r.rate > 0 {
			all = append(all, r)
		}
	}
	return all, nil
}

// Rates returns the rates of the groups that have their own.
func (g *groups) Rates(lr float64) map[string]float64 {
	rates := map[string]float64{}
	for name, ratio := range g.ratios {
		rates[name] = lr * ratio
	}
	return rates
}

// hidden reports whether p is a matrix inside the model: not the embedding, and
// not the output projection.
func hidden(p *api.Param) bool {
	return p.Shape().Dims() == 2 && p.Part != api.LMHead && !strings.Contains(p.Name, "embed_tokens") && !strings.Contains(p.Name, "lm_head")
}

// rows calls f on ranges that make up [0, n), on several goroutines where p
// lies on an engine.
func rows(p *api.Param, n int, f func(from, to int)) {
	if e, ok := p.Value().Engine().(api.Engine); ok {
		e.Rows(n, f)
		return
	}
	f(0, n)
}
