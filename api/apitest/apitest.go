// Package apitest tells the author of an extension whether it does what the
// contract in package api asks. There is one function for each kind, and one
// call is a plugin's whole test:
//
//	func TestFocal(t *testing.T) { apitest.Loss(t, newFocal) }
//
// It checks only what every extension of a kind must do: that its loss is the
// right one, say, is for the plugin's own tests to show.
package apitest

import (
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"

	"swiftgo/api"
)

// Option changes what the constructor is told.
type Option func(*api.Args)

// With gives the extension settings of its own, as JSON values.
func With(own map[string]any) Option {
	return func(a *api.Args) { a.Own = own }
}

// arguments returns what a constructor is told.
func arguments(options []Option) *api.Args {
	a := &api.Args{LearningRate: 0.02, Seed: 42, Name: "extension", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, o := range options {
		o(a)
	}
	return a
}

// misspelt returns arguments with a setting that no extension has.
func misspelt() *api.Args {
	return arguments([]Option{With(map[string]any{"gama": 1})})
}

// wantsError reports an error that a constructor did not return.
func wantsError(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Errorf(`the setting "gama", which the extension does not have, is no error; read the settings with args.Decode`)
	}
}

// construct returns a new extension, and checks that it is made anew and
// refuses a setting that it does not have.
func construct[T any](t testing.TB, new func(*api.Args) (T, error), options []Option) func() T {
	t.Helper()
	_, err := new(misspelt())
	wantsError(t, err)
	return func() T {
		t.Helper()
		x, err := new(arguments(options))
		if err != nil {
			t.Fatalf("construct: %v", err)
		}
		return x
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// normal returns n numbers drawn from the normal distribution.
func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// sameBits reports whether two slices are equal bit for bit.
func sameBits(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}

// near reports whether two slices are equal but for rounding.
func near(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if d := math.Abs(float64(a[i]) - float64(b[i])); !(d <= 1e-4*max(1, math.Abs(float64(a[i])))) {
			return false
		}
	}
	return true
}
