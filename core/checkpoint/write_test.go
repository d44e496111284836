package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The bytes below are written down from the description of the format, and the first three are those that the tests of
// the reference implementation (safetensors/src/tensor.rs) expect.
func TestWriteGolden(t *testing.T) {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	sixFloats := []byte{
		0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40,
		0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40, 0, 0, 0xa0, 0x40,
	}
	six := []float32{0, 1, 2, 3, 4, 5}
	tests := []struct {
		name     string
		tensors  []Tensor
		metadata map[string]string
		want     []byte
	}{
		{"empty", nil, nil, join([]byte{8, 0, 0, 0, 0, 0, 0, 0}, []byte("{}      "))},
		{"metadata only", nil, map[string]string{"framework": "pt"},
			join([]byte{40, 0, 0, 0, 0, 0, 0, 0}, []byte(`{"__metadata__":{"framework":"pt"}}     `))},
		{"padded", []Tensor{{Name: "attn0", Shape: []int{1, 1, 2, 3}, Dtype: F32, Data: six}}, nil, join(
			[]byte{72, 0, 0, 0, 0, 0, 0, 0},
			[]byte(`{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       `),
			sixFloats)},
		{"by element size, then by name", []Tensor{
			{Name: "z", Shape: []int{2}, Dtype: F16, Data: []float32{1, -2}},
			{Name: "b", Shape: []int{1}, Dtype: F32, Data: []float32{0.5}},
			{Name: "step", Shape: []int{}, Dtype: I64, Raw: []byte{7, 0, 0, 0, 0, 0, 0, 0}},
			{Name: "m", Shape: []int{1, 1}, Dtype: BF16, Data: []float32{-1}},
			{Name: "a", Shape: []int{0, 3}, Dtype: F32},
			{Name: "mask", Shape: []int{3}, Dtype: U8, Raw: []byte{9, 8, 7}},
		}, map[string]string{"format": "pt"}, join(
			[]byte{0x70, 1, 0, 0, 0, 0, 0, 0}, // 368
			[]byte(`{"__metadata__":{"format":"pt"},`),
			[]byte(`"step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},`),
			[]byte(`"a":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},`),
			[]byte(`"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},`),
			[]byte(`"m":{"dtype":"BF16","shape":[1,1],"data_offsets":[12,14]},`),
			[]byte(`"z":{"dtype":"F16","shape":[2],"data_offsets":[14,18]},`),
			[]byte(`"mask":{"dtype":"U8","shape":[3],"data_offsets":[18,21]}}  `),
			[]byte{7, 0, 0, 0, 0, 0, 0, 0},
			[]byte{0, 0, 0, 0x3f},
			[]byte{0x80, 0xbf},
			[]byte{0, 0x3c, 0, 0xc0},
			[]byte{9, 8, 7})},
		{"quotes and other signs", []Tensor{{Name: "<é\"\\\n>", Shape: []int{1}, Dtype: U8, Raw: []byte{1}}}, nil, join(
			[]byte{64, 0, 0, 0, 0, 0, 0, 0},
			[]byte(`{"<é\"\\\n>":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}  `),
			[]byte{1})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.safetensors")
			if err := WriteSafetensors(path, test.tensors, test.metadata); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, test.want) {
				t.Errorf("wrote\n%q, want\n%q (%v)", got, test.want, err)
			}
			wantNames(t, dir, "x.safetensors")
			w, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			w.Close()
		})
	}
}

func TestRoundTrip(t *testing.T) {
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1.5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
		math.Float32frombits(0xff812345), math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.Float32frombits(0x007fffff),
		math.MaxFloat32, -math.MaxFloat32, 0x1p-24, 0x1p-14, 65504, 3.1415927}
	long := make([]float32, pieceBytes/2+3) // several pieces in every dtype, the last of odd length
	for i := range long {
		long[i] = special[i%len(special)] + float32(i%7)
	}
	var tensors []Tensor
	for _, d := range []Dtype{F32, F16, BF16} {
		tensors = append(tensors,
			Tensor{Name: "special." + string(d), Shape: []int{len(special)}, Dtype: d, Data: special},
			Tensor{Name: "long." + string(d), Shape: []int{len(long), 1}, Dtype: d, Data: long})
	}
	for i, d := range dtypes {
		raw := make([]byte, 3*d.Size())
		for j := range raw {
			raw[j] = byte(31*i + 7*j)
		}
		tensors = append(tensors, Tensor{Name: "raw." + string(d), Shape: []int{3}, Dtype: d, Raw: raw})
	}
	doubles := binary.LittleEndian.AppendUint64(nil, math.Float64bits(-1e300))
	doubles = binary.LittleEndian.AppendUint64(doubles, math.Float64bits(0.1))
	tensors = append(tensors, Tensor{Name: "doubles", Shape: []int{2}, Dtype: F64, Raw: doubles})

	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := WriteSafetensors(path, tensors, map[string]string{"format": "pt", "b": "\u2028"}); err != nil {
		t.Fatal(err)
	}
	w, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got := fmt.Sprint(w.Metadata()); got != fmt.Sprint(map[string]string{"b": "\u2028", "format": "pt"}) {
		t.Errorf("metadata is %q", got)
	}
	for _, want := range tensors {
		dtype, shape, ok := w.Info(want.Name)
		if !ok || dtype != want.Dtype || !slices.Equal(shape, want.Shape) {
			t.Errorf("%s is %s %v, want %s %v", want.Name, dtype, shape, want.Dtype, want.Shape)
		}
		raw, err := w.ReadRaw(want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if want.Raw != nil {
			if !bytes.Equal(raw, want.Raw) {
				t.Errorf("%s is % x, want % x", want.Name, raw, want.Raw)
			}
			continue
		}
		got := make([]float32, len(want.Data))
		if err := w.ReadInto(want.Name, got); err != nil {
			t.Fatal(err)
		}
		for i, v := range want.Data {
			switch want.Dtype { // whose own rounding TestHalfRounding checks
			case F16:
				v = fromFloat16(toFloat16(v))
			case BF16:
				v = math.Float32frombits(uint32(toBfloat16(v)) << 16)
			}
			if math.Float32bits(got[i]) != math.Float32bits(v) {
				t.Fatalf("%s[%d] is %v (%08x), want %v (%08x)", want.Name, i, got[i], math.Float32bits(got[i]), v, math.Float32bits(v))
			}
		}
	}
	if got, _, err := w.Read("doubles"); err != nil || !math.IsInf(float64(got[0]), -1) || got[1] != 0.1 {
		t.Errorf("doubles are %v, %v", got, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := []float32{1}
	tests := []struct {
		name    string
		tensors []Tensor
		want    string
	}{
		{"same name", []Tensor{{Name: "a", Dtype: F32, Data: one}, {Name: "a", Dtype: F16, Data: one}}, `tensor "a" is there twice`},
		{"no name", []Tensor{{Dtype: F32, Data: one}}, "the name is empty"},
		{"reserved name", []Tensor{{Name: "__metadata__", Dtype: F32, Data: one}}, "reserved"},
		{"name not UTF-8", []Tensor{{Name: "\xff", Dtype: F32, Data: one}}, "not UTF-8"},
		{"unknown dtype", []Tensor{{Name: "a", Dtype: "float32", Data: one}}, `dtype "float32" is unknown`},
		{"wrong shape", []Tensor{{Name: "a", Shape: []int{2}, Dtype: F32, Data: one}}, "1 values and 0 raw bytes are given, but F32 of shape [2] takes 8 bytes"},
		{"negative shape", []Tensor{{Name: "a", Shape: []int{-1, -1}, Dtype: F32, Data: one}}, "negative"},
		{"wrong raw", []Tensor{{Name: "a", Shape: []int{2}, Dtype: I64, Raw: make([]byte, 8)}}, "takes 16 bytes"},
		{"floats as I64", []Tensor{{Name: "a", Dtype: I64, Data: one}}, "cannot be written as I64"},
		{"both", []Tensor{{Name: "a", Dtype: F32, Data: one, Raw: make([]byte, 4)}}, "both Data and Raw"},
		{"dimensions", []Tensor{{Name: "a", Shape: slices.Repeat([]int{1}, 65), Dtype: F32, Data: one}}, "65 dimensions"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, dir, "x.safetensors", []byte("old"))
			wantError(t, WriteSafetensors(path, test.tensors, nil), path, test.want)
			if got, _ := os.ReadFile(path); string(got) != "old" {
				t.Errorf("the old file became %q", got)
			}
			wantNames(t, dir, "x.safetensors")
		})
	}
}

// The sizes and what becomes of them are those of the description of split_state_dict_into_shards_factory in
// huggingface_hub, which transformers saves with.
func TestWriteSharded(t *testing.T) {
	tests := []struct {
		sizes []int
		most  int64
		want  string
	}{
		{[]int{6, 6, 2, 6, 2, 2}, 10, "6 6+2 6+2+2"},
		{[]int{6, 4, 1}, 10, "6+4 1"},
		{[]int{3, 20, 4, 9}, 10, "20 3+4 9"}, // one beyond the limit has its own shard, and the shard begun goes on
		{[]int{3, 4}, 10, "3+4"},
		{[]int{30}, 10, "30"},
	}
	for _, test := range tests {
		dir := t.TempDir()
		var tensors []Tensor
		total := 0
		for i, n := range test.sizes {
			tensors = append(tensors, Tensor{Name: fmt.Sprintf("layer.%d", i), Shape: []int{n}, Dtype: U8, Raw: bytes.Repeat([]byte{byte(i)}, n)})
			total += n
		}
		if err := WriteSharded(dir, tensors, test.most); err != nil {
			t.Fatal(err)
		}
		shards := strings.Fields(test.want)
		var got []string
		for i := range shards {
			path := filepath.Join(dir, ModelFile)
			if len(shards) > 1 {
				path = filepath.Join(dir, fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards)))
			}
			w, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var sizes []string
			for _, name := range w.Names() {
				_, shape, _ := w.Info(name)
				sizes = append(sizes, fmt.Sprint(shape[0]))
			}
			if w.Metadata()["format"] != "pt" {
				t.Errorf("%s has metadata %v", path, w.Metadata())
			}
			got = append(got, strings.Join(sizes, "+"))
			w.Close()
		}
		if g := strings.Join(got, " "); g != test.want {
			t.Errorf("%v became %s, want %s", test.sizes, g, test.want)
		}
		w, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tensors {
			if raw, err := w.ReadRaw(want.Name); err != nil || !bytes.Equal(raw, want.Raw) {
				t.Errorf("%s is %v, %v, want %v", want.Name, raw, err, want.Raw)
			}
		}
		w.Close()
		if len(shards) > 1 {
			text, _ := os.ReadFile(filepath.Join(dir, IndexFile))
			begin := fmt.Sprintf("{\n  \"metadata\": {\n    \"total_size\": %d\n  },\n  \"weight_map\": {\n    \"layer.0\": \"model-0000", total)
			if !strings.HasPrefix(string(text), begin) {
				t.Errorf("the index is %s, want it to begin with %s", text, begin)
			}
		}
	}
	twice := []Tensor{{Name: "a", Dtype: U8, Raw: []byte{1}}, {Name: "a", Dtype: U8, Raw: []byte{1}}}
	wantError(t, WriteSharded(t.TempDir(), twice, 1), `tensor "a" is there twice`)
	wantError(t, WriteSharded(t.TempDir(), nil, 0), "want 1 or more")
}

// Writing takes the same memory for a large tensor as for a small one.
func TestWriteStreams(t *testing.T) {
	data := make([]float32, 16<<20)
	path := filepath.Join(t.TempDir(), "x.safetensors")
	used := allocated(func() {
		if err := WriteSafetensors(path, []Tensor{{Name: "a", Shape: []int{len(data)}, Dtype: BF16, Data: data}}, nil); err != nil {
			t.Fatal(err)
		}
	})
	if used > 3*pieceBytes {
		t.Errorf("%d bytes were allocated to write %d", used, 2*len(data))
	}
}

// wantNames checks that dir holds these names and no other, such as a temporary file.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
