package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// file makes a safetensors file of a header and data; length is that of the header unless it is given.
func file(header string, data int, length ...uint64) []byte {
	n := uint64(len(header))
	if len(length) > 0 {
		n = length[0]
	}
	out := binary.LittleEndian.AppendUint64(nil, n)
	out = append(out, header...)
	return append(out, make([]byte, data)...)
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error is %q, want %q in it", err, p)
		}
	}
}

const small = `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`

var malformed = []struct {
	name    string
	content []byte
	want    string
}{
	{"empty", nil, "it is 0 bytes long"},
	{"short", []byte{1, 2, 3}, "it is 3 bytes long"},
	{"header length 0", file("", 8), "header length is 0"},
	{"header length beyond the file", file(small, 8, 1000), "header length is 1000, but only 62 bytes follow"},
	{"header length beyond the limit", file(small, 8, 100_000_001), "want at most 100000000"},
	{"header length of all ones", file(small, 8, math.MaxUint64), "want at most 100000000"},
	{"git lfs pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"},
	{"not UTF-8", file("{\"a\xff\":1}", 0), "not UTF-8"},
	{"not an object", file("[1,2,3]", 0), "begins with '['"},
	{"space before", file(" {}", 0), "begins with ' '"},
	{"not JSON", file(`{"a":{"dtype" "F32"}}`, 0), `tensor "a": dtype: not JSON at byte 14`},
	{"JSON cut off", file(small[:20], 0), "unexpected EOF"},
	{"text behind the JSON", file(small+"{}", 8), `goes on with "{}"`},
	{"twice the same tensor", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `"a" is there twice`},
	{"twice the same member", file(`{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), `tensor "a": "dtype" is there twice`},
	{"metadata of numbers", file(`{"__metadata__":{"step":1}}`, 0), "__metadata__: step: 1 is there, want a string"},
	{"metadata is no object", file(`{"__metadata__":"pt"}`, 0), "__metadata__: pt is there, want {"},
	{"tensor is no object", file(`{"a":7}`, 0), `tensor "a": 7 is there, want {`},
	{"unknown dtype", file(`{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}`, 8), `tensor "a": dtype "F31" is unknown, want one of [BOOL`},
	{"no dtype", file(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), `tensor "a": dtype "" is unknown`},
	{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), `tensor "a": shape is missing`},
	{"no offsets", file(`{"a":{"dtype":"F32","shape":[2]}}`, 8), `tensor "a": data_offsets are [], want [begin, end]`},
	{"one offset", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}`, 8), "data_offsets are [8]"},
	{"three offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}}`, 8), "data_offsets: there are more than 2 numbers"},
	{"negative size", file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), `tensor "a": shape: -2 is there, want whole numbers from 0`},
	{"broken size", file(`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8), "shape: 2.0 is there"},
	{"null size", file(`{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,8]}}`, 8), "shape: <nil> is there"},
	{"size beyond int64", file(`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}`, 8), "shape: 9223372036854775808 is there"},
	{"65 dimensions", file(`{"a":{"dtype":"F32","shape":[1`+strings.Repeat(",1", 64)+`],"data_offsets":[0,4]}}`, 4), "more than 64 numbers"},
	{"product overflows", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), `tensor "a": shape [4294967296 4294967296] is too large`},
	{"product overflows by item size", file(`{"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,0]}}`, 0), "is too large"},
	{"offsets reversed", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), `tensor "a": data_offsets [8 0] end before they begin`},
	{"size is not the product", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), `tensor "a": data_offsets [0 8] hold 8 bytes, but F32 of shape [3] takes 12`},
	{"cut short", file(small, 7), `tensor "a": data_offsets [0 8] reach past the end, there are 7 bytes`},
	{"data behind", file(small, 9), "1 bytes follow the last tensor"},
	{"data without tensor", file("{}", 4), "4 bytes follow the last tensor"},
	{"overlap", file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6), `tensor "b": data_offsets [2 6] overlap`},
	{"same place", file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), `overlap another tensor's, which end at 4`},
	{"hole", file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}`, 9), `tensor "b": data_offsets [5 9] leave a hole, want a begin of 4`},
	{"hole at the start", file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6), "leave a hole, want a begin of 0"},
}

func TestOpenMalformed(t *testing.T) {
	dir := t.TempDir()
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, dir, "x.safetensors", test.content)
			w, err := OpenFile(path)
			if w != nil {
				t.Error("weights came with the error")
			}
			wantError(t, err, path, test.want)
		})
	}
	t.Run("directory", func(t *testing.T) {
		_, err := OpenFile(dir)
		wantError(t, err, dir, "is not a file")
	})
	t.Run("absent", func(t *testing.T) {
		if _, err := OpenFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error is %v, want fs.ErrNotExist", err)
		}
	})
}

// What is odd but right is read: members of a tensor that are not known, empty tensors, scalars, any order.
func TestOpenOdd(t *testing.T) {
	header := `{ "scalar" : {"data_offsets":[4,5], "shape":[], "dtype":"I8", "strides":[{"x":[1]}]}, "none":{"dtype":"F64","shape":[0,7],"data_offsets":[4,4]}, "a\u0020b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]} }` + " \t\r\n"
	content := file(header, 0)
	content = append(content, 0, 0, 0xc0, 0x3f, 0xfd)
	w, err := OpenFile(write(t, t.TempDir(), "x.safetensors", content))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got, want := w.Names(), []string{"a b", "none", "scalar"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for name, want := range map[string]struct {
		data  []float32
		shape []int
		dtype Dtype
	}{
		"a b": {[]float32{1.5}, []int{1}, F32}, "none": {nil, []int{0, 7}, F64}, "scalar": {[]float32{-3}, []int{}, I8},
	} {
		data, shape, err := w.Read(name)
		dtype, _, ok := w.Info(name)
		if err != nil || !slices.Equal(data, want.data) || !slices.Equal(shape, want.shape) || !ok || dtype != want.dtype {
			t.Errorf("%s: %v %v %v %v, want %v", name, data, shape, dtype, err, want)
		}
	}
	_, _, err = w.Read("b")
	wantError(t, err, "x.safetensors", `no tensor "b"`)
	wantError(t, w.ReadInto("a b", make([]float32, 2)), `tensor "a b" has 1 elements (shape [1]), want 2`)
}

// A file that shrinks after it was opened is an error and not a crash.
func TestReadShrunk(t *testing.T) {
	path := write(t, t.TempDir(), "x.safetensors", file(small, 8))
	w, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := os.Truncate(path, int64(8+len(small)+4)); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Read("a")
	wantError(t, err, path, `tensor "a"`, "cut short while it was open")
}

func TestOpenIndex(t *testing.T) {
	tensor := func(name string) []byte {
		return file(fmt.Sprintf(`{"%s":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, name), 4)
	}
	tests := []struct{ name, index, want string }{
		{"whole", `{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, ""},
		{"part of it", `{"weight_map":{"b":"2.safetensors"}}`, ""},
		{"missing shard", `{"weight_map":{"a":"1.safetensors","c":"3.safetensors"}}`, "3.safetensors"},
		{"tensor elsewhere", `{"weight_map":{"a":"2.safetensors"}}`, `says that tensor "a" is in 2.safetensors, but it is not there`},
		{"broken shard", `{"weight_map":{"a":"bad.safetensors"}}`, "header length is 0"},
		{"path upwards", `{"weight_map":{"a":"../1.safetensors"}}`, `tensor "a" is said to be in "../1.safetensors", want the plain name`},
		{"absolute path", `{"weight_map":{"a":"/etc/1.safetensors"}}`, "want the plain name"},
		{"path downwards", `{"weight_map":{"a":"sub/1.safetensors"}}`, "want the plain name"},
		{"other file", `{"weight_map":{"a":"config.json"}}`, "want the plain name of a .safetensors file"},
		{"empty name", `{"weight_map":{"a":""}}`, "want the plain name"},
		{"dots", `{"weight_map":{"a":".."}}`, "want the plain name"},
		{"number", `{"weight_map":{"a":1}}`, "weight_map: a: 1 is there, want a string"},
		{"tensor twice", `{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}`, `"a" is there twice`},
		{"no map", `{"metadata":{}}`, "weight_map is missing or empty"},
		{"empty map", `{"weight_map":{}}`, "weight_map is missing or empty"},
		{"not JSON", `{"weight_map":`, "not JSON"},
		{"empty", ``, "not JSON"},
		{"not UTF-8", "{\"\xff\":1}", "not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "1.safetensors", tensor("a"))
			write(t, dir, "2.safetensors", tensor("b"))
			write(t, dir, "bad.safetensors", make([]byte, 20))
			write(t, dir, IndexFile, []byte(test.index))
			w, err := Open(dir)
			if test.want != "" {
				wantError(t, err, filepath.Join(dir, IndexFile), test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if _, _, err := w.Read("b"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenNoModel(t *testing.T) {
	for other, want := range map[string]string{
		"":                             "want the directory of a model",
		AdapterFile:                    "--adapters",
		"pytorch_model.bin":            "safe_serialization=True",
		"pytorch_model.bin.index.json": "safe_serialization=True",
	} {
		dir := t.TempDir()
		if other != "" {
			write(t, dir, other, nil)
		}
		_, err := Open(dir)
		wantError(t, err, dir, "has no model.safetensors", want)
	}
	_, err := Open(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
}

// allocated is what f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestLyingHeaderAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, test := range malformed {
		path := write(t, dir, "x.safetensors", test.content)
		if n := allocated(func() { OpenFile(path) }); n > 100_000 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", test.name, n, len(test.content))
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, test := range malformed {
		f.Add(test.content)
	}
	f.Add(file(small, 8))
	f.Add(file(`{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"b":{"dtype":"I64","shape":[0],"data_offsets":[2,2]}}   `, 2))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(dir, fmt.Sprint(os.Getpid(), ".safetensors"))
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		used := allocated(func() {
			w, err := OpenFile(path)
			if err != nil {
				return
			}
			defer w.Close()
			for _, name := range w.Names() {
				raw, err := w.ReadRaw(name)
				if err != nil {
					t.Errorf("%q of a file that was opened cannot be read: %v", name, err)
				}
				if data, shape, err := w.Read(name); err == nil && len(data) != product(shape) {
					t.Errorf("%q has %d values (%d bytes), shape %v", name, len(data), len(raw), shape)
				}
			}
		})
		if limit := uint64(200_000 + 1000*len(content)); used > limit {
			t.Errorf("%d bytes were allocated for a file of %d", used, len(content))
		}
		if _, err := parseIndex(content); err == nil && !bytes.Contains(content, []byte("weight_map")) {
			t.Error("an index without weight_map was read")
		}
	})
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// TestRealFiles reads files that other programs wrote and compares every value with a reading of its own.
func TestRealFiles(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared")
	var paths []string
	for _, pattern := range []string{"vectors/models/*/*.safetensors", "vectors/models/*/lora_adapter/*.safetensors", "material/models/stories260K/hf/*.safetensors"} {
		found, _ := filepath.Glob(filepath.Join(shared, filepath.FromSlash(pattern)))
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		t.Skip("needs the shared models beside the repository, at ", shared)
	}
	for _, path := range paths {
		w, err := OpenFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var tensors []Tensor
		total := 0
		for _, name := range w.Names() {
			data, shape, err := w.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			if dtype, _, _ := w.Info(name); dtype != F32 || len(data) != product(shape) {
				t.Fatalf("%s: %s is %s with %d values of shape %v", path, name, dtype, len(data), shape)
			}
			raw := make([]byte, 0, 4*len(data))
			for _, v := range data {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
			if !bytes.Contains(content, raw) {
				t.Errorf("%s: the values of %s are not in the file", path, name)
			}
			total += len(raw)
			tensors = append(tensors, Tensor{Name: name, Shape: shape, Dtype: F32, Data: data})
		}
		if header := int(binary.LittleEndian.Uint64(content)); total+header+8 != len(content) {
			t.Errorf("%s: %d bytes of tensors and %d of header, want %d in all", path, total, header, len(content))
		}
		if strings.Contains(path, "stories260K") { // its writer lays out files as the reference implementation does
			again := filepath.Join(t.TempDir(), "again.safetensors")
			if err := WriteSafetensors(again, tensors, w.Metadata()); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(again); !bytes.Equal(got, content) {
				t.Errorf("%s written again differs", path)
			}
		}
		w.Close()
	}
}
