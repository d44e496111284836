package builtin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"swiftgo/api"
)

// dummy adds nothing of its own: it goes on with what an adapter has, by the
// tuner of the adapter's method.
type dummy struct {
	args *api.Args
	method
}

// method is a tuner whose adapters say what they are.
type method interface {
	api.Tuner
	api.Saver
	api.Merger
}

// methods are the constructors of those tuners by what their adapters say.
var methods = map[string]func(*api.Args) (api.Tuner, error){
	"LORA": newLora, "ADALORA": newAdaLora, "VERA": newVera, "BONE": newBone, "LLAMAPRO": newLlamaPro,
}

func newDummy(args *api.Args) (api.Tuner, error) { return &dummy{args: args}, args.Decode(&none{}) }

// Prepare is an error: without an adapter there is nothing to train.
func (d *dummy) Prepare(*api.Model) error {
	return errors.New("the tuner dummy trains what an adapter has, and there is none; give --adapters, or choose --tuner_type full")
}

// Load has the adapter's own tuner load it.
func (d *dummy) Load(m *api.Model, a *api.Adapter) error {
	var c struct {
		PeftType  string `json:"peft_type"`
		SwiftType string `json:"swift_type"`
	}
	if err := json.Unmarshal(a.Config, &c); err != nil {
		return fmt.Errorf("adapter_config.json: %w", err)
	}
	construct, ok := methods[cmp.Or(c.PeftType, c.SwiftType)]
	if !ok {
		return fmt.Errorf("adapter_config.json: peft_type is %q, want one of %s; for another choose the --tuner_type that made it", c.PeftType, strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	}
	args := *d.args
	args.Own = nil
	t, err := construct(&args)
	if err != nil {
		return err
	}
	d.method = t.(method)
	return d.method.Load(m, a)
}

// Callback is that of the adapter's own tuner.
func (d *dummy) Callback(steps int) (*api.Callback, error) {
	if t, ok := d.method.(api.Hooked); ok {
		return t.Callback(steps)
	}
	return nil, nil
}

// Penalty is that of the adapter's own tuner.
func (d *dummy) Penalty() (*api.Var, error) {
	if t, ok := d.method.(api.Regularizer); ok {
		return t.Penalty()
	}
	return nil, nil
}

// State is that of the adapter's own tuner.
func (d *dummy) State() map[string]*tensor.Dense {
	if t, ok := d.method.(api.Stateful); ok {
		return t.State()
	}
	return nil
}

// Restore gives it back.
func (d *dummy) Restore(state map[string]*tensor.Dense) error {
	if t, ok := d.method.(api.Stateful); ok {
		return t.Restore(state)
	}
	return nil
}
