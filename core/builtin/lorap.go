package builtin

import (
	"fmt"
	"log/slog"
	"strings"

	"swiftgo/api"
)

// loraPlus is LoRA+ (Hayou et al. 2024), as PEFT groups its parameters: AdamW,
// in which the second matrix of each pair of LoRA, and what is a vector, learns
// faster than the first.
type loraPlus struct {
	adamW
	LRRatio float64 `json:"lr_ratio"` // of lora_B's learning rate to the run's
}

func newLoraPlus(args *api.Args, m *api.Model, _ int) (api.Optimizer, api.Schedule, error) {
	l := &loraPlus{adamW: adamW{adam: defaultAdam()}, LRRatio: 16}
	if err := args.Decode(l); err != nil {
		return nil, nil, err
	}
	if !(l.LRRatio > 0) {
		return nil, nil, fmt.Errorf("lr_ratio is %g, want more than 0", l.LRRatio)
	}
	if err := l.prepare(args, m); err != nil {
		return nil, nil, err
	}
	pairs := false
	for _, s := range l.moments {
		second := strings.Contains(s.Name, "lora_B")
		if pairs = pairs || second; second || s.Shape().Dims() == 1 {
			s.ratio *= l.LRRatio
		}
	}
	if l.ratios["lora_B"] = l.LRRatio; !pairs && args.Log != nil {
		args.Log.Warn("there is no lora_B among the trained parameters, which LoRA+ is for", slog.String("optimizer", args.Name))
	}
	return l, nil, nil
}
