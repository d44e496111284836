package builtin

import (
	"testing"

	"swiftgo/api"
)

func TestPerfLog(t *testing.T) {
	weight := api.NewParam("a.weight", api.Full(0, 30, 20))
	frozen := api.NewParam("b.weight", api.Full(0, 10, 20))
	frozen.Freeze()
	m := &api.Model{Params: []*api.Param{weight, frozen}, Linears: []*api.Linear{{In: 20, Out: 30, Weight: weight}, {In: 20, Out: 10, Weight: frozen}}}
	m.AddParam("lora", 0, 4, 20)
	c, err := newPerfLog(own("perf_log", map[string]any{"device_tflops": 0.5}))
	if err != nil {
		t.Fatal(err)
	}
	s := &api.State{Model: m, Logs: map[string]float64{"tokens/s": 1e7}}
	if err := c.OnInitEnd(s); err != nil {
		t.Fatal(err)
	}
	if err := c.OnLog(s); err != nil {
		t.Fatal(err)
	}
	if want := 1e7 * (6*600 + 4*200 + 6*80) / 1e12; s.Logs["TFLOP/s"] != want || s.Logs["MFU"] != want/0.5 {
		t.Errorf("the log has %v, want %g TFLOP/s and the MFU %g", s.Logs, want, want/0.5)
	}
	s.Logs = map[string]float64{"eval_loss": 1}
	if c.OnLog(s); len(s.Logs) != 1 {
		t.Errorf("a line of an evaluation has become %v", s.Logs)
	}
	if _, err := newPerfLog(own("perf_log", map[string]any{"device_tflops": -1})); err == nil {
		t.Error("device_tflops -1 is no error")
	}
}
