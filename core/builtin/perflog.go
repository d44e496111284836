package builtin

import (
	"fmt"
	"time"

	"swiftgo/api"
)

// perfLog adds to the log how fast the model computes, and what share that is of
// the speed at which its matrices are multiplied where nothing else is done.
type perfLog struct {
	TFLOPS float64 `json:"device_tflops"` // of the machine; 0 is measured

}

func newPerfLog(args *api.Args) (*api.Callback, error) {
	p := &perfLog{}
	if err := args.Decode(p); err != nil {
		return nil, err
	}
	if !(p.TFLOPS >= 0) {
		return nil, fmt.Errorf("device_tflops is %g, want 0 or more", p.TFLOPS)
	}
	return &api.Callback{OnInitEnd: p.onInitEnd, OnLog: p.onLog}, nil
}

func (p *perfLog) onInitEnd(s *api.State) error {
	if p.TFLOPS == 0 && len(s.Model.Params) > 0 {
		if e, ok := s.Model.Params[0].Value().Engine().(api.Engine); ok {
			p.TFLOPS = fastest(e) / 1e12
		}
	}
	return nil
}

// fastest returns the operations a second of the best of several products of
// large matrices.
func fastest(e api.Engine) float64 {
	const n, times = 1024, 5
	a, b, c := api.Full(1, n, n), api.Full(1, n, n), api.Full(0, n, n)
	best := time.Duration(0)
	for range times {
		began := time.Now()
		e.Gemm(false, true, a, b, c, false)
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
	}
	return 2 * n * n * n / best.Seconds()
}

// onLog adds TFLOP/s, and MFU, the share, to a line of training.
func (p *perfLog) onLog(s *api.State) error {
	tokens, ok := s.Logs["tokens/s"]
	if !ok {
		return nil
	}
	speed := tokens * operations(s.Model) / 1e12
	s.Logs["TFLOP/s"] = speed
	if p.TFLOPS > 0 {
		s.Logs["MFU"] = speed / p.TFLOPS
	}
	return nil
}

// operations returns how many multiplications and additions a token takes in
// training: two for each weight on the way there, two for the gradient of what
// went in, and two for that of a weight that is trained. Those of the attention,
// which depend on the lengths of the sequences, are not among them.
func operations(m *api.Model) float64 {
	sum := 0
	for _, l := range m.Linears {
		sum += 4 * l.In * l.Out
		if !l.Weight.Frozen() {
			sum += 2 * l.In * l.Out
		}
	}
	for _, p := range m.Params {
		if p.Added && p.Shape().Dims() == 2 {
			sum += 6 * p.Shape().TotalSize()
		}
	}
	return float64(sum)
}
