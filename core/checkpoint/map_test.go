package checkpoint

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestMap compares tensors used in place with those that are read, and sees that writing to them leaves the file alone.
func TestMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), ModelFile)
	data := []float32{1, -2.5, 3e-9, float32(math.Inf(1)), 1.00390625, 7}
	write := func(ts ...Tensor) *Weights {
		t.Helper()
		if err := WriteSafetensors(path, ts, nil); err != nil {
			t.Fatal(err)
		}
		w, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		return w
	}
	w := write(Tensor{Name: "wide", Shape: []int{2, 3}, Data: data, Dtype: F32}, Tensor{Name: "half", Shape: []int{6}, Data: data, Dtype: BF16})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, shape, ok := w.MapF32("wide")
	if !ok || !slices.Equal(got, data) || !slices.Equal(shape, []int{2, 3}) {
		t.Fatalf("in place: %v of shape %v, %v; want %v", got, shape, ok, data)
	}
	half, _, ok := w.MapBF16("half")
	read, _, err := w.ReadBF16("half")
	if !ok || err != nil || !slices.Equal(half, read) {
		t.Fatalf("bfloat16 in place: %v, %v; read %v, %v", half, ok, read, err)
	}
	rounded, _, err := w.ReadBF16("wide")
	if err != nil || !slices.Equal(rounded, half) {
		t.Errorf("float32 read as bfloat16: %v, %v, want %v", rounded, err, half)
	}
	for _, name := range []string{"half", "none"} {
		if _, _, ok := w.MapF32(name); ok {
			t.Errorf("%s can be used as float32 in place", name)
		}
	}
	if _, _, ok := w.MapBF16("wide"); ok {
		t.Error("a float32 tensor can be used as bfloat16 in place")
	}
	got[0] = 9
	w.Close()
	if got[0] != 9 || got[1] != -2.5 {
		t.Errorf("after closing the file: %v", got[:2])
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(after, before) {
		t.Errorf("writing to the tensor has changed the file (%v)", err)
	}
	write(Tensor{Name: "wide", Shape: []int{1}, Data: data[:1], Dtype: F32}) // takes the file's name
	if got[5] != 7 {
		t.Error("a file that takes the name changes the tensor")
	}
	if _, _, err := w.ReadBF16("none"); err == nil {
		t.Error("a tensor that is not there is read")
	}
}
