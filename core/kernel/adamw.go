package kernel

// #include "table.h"
import "C"

import "math"

// AdamW are the numbers of one step of the AdamW optimizer, as torch.optim.AdamW has them.
type AdamW struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	Correction1, Correction2           float64 // 1 - β₁ᵗ and 1 - β₂ᵗ in step t = 1, 2, …
	GradScale                          float64 // gradients are multiplied by it first
}

// Update moves a parameter w with gradient g one step; m and v are its moments:
// w *= 1 - LR·WeightDecay, m = β₁m + (1-β₁)g, v = β₂v + (1-β₂)g², w -= LR · (m/c₁) / (√(v/c₂) + Eps).
func (a AdamW) Update(p *Pool, w, g, m, v []float32) {
	checkLen("AdamW", "g", g, len(w))
	checkLen("AdamW", "m", m, len(w))
	checkLen("AdamW", "v", v, len(w))
	c := []float32{float32(a.GradScale), float32(1 - a.LR*a.WeightDecay), float32(a.Beta1), float32(1 - a.Beta1),
		float32(a.Beta2), float32(1 - a.Beta2), float32(a.LR / a.Correction1), float32(1 / math.Sqrt(a.Correction2)), float32(a.Eps)}
	if len(w) <= pieceSize { // as most of an adapter's are: no closure for each
		adamw(c, w, g, m, v)
		return
	}
	p.flat(len(w), func(i, j int) { adamw(c, w[i:j], g[i:], m[i:], v[i:]) })
}

func adamw(c, w, g, m, v []float32) {
	C.k_adamw(C.long(len(w)), cfloat(w), cfloat(g), cfloat(m), cfloat(v), cfloat(c))
}
