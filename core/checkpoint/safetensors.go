package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unicode/utf8"
)

// File names of a model directory, as transformers and PEFT know them.
const (
	ModelFile   = "model.safetensors"
	IndexFile   = "model.safetensors.index.json"
	AdapterFile = "adapter_model.safetensors"
)

// Weights are the tensors of one safetensors file or of all the shards of a model, checked but not yet read. The
// reading methods may be called from several goroutines at once.
type Weights struct {
	tensors  map[string]stored
	files    []*os.File
	metadata map[string]string

	mu   sync.Mutex
	maps map[*os.File][]byte // files that are mapped
}

// stored is a tensor in a file.
type stored struct {
	extent
	file *os.File
}

// Open opens the weights of a model directory: model.safetensors, or else the shards that
// model.safetensors.index.json names.
func Open(dir string) (*Weights, error) {
	w, err := OpenFile(filepath.Join(dir, ModelFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return w, err
	}
	index := filepath.Join(dir, IndexFile)
	text, err := os.ReadFile(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noModel(dir)
	}
	if err != nil {
		return nil, err
	}
	place, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	return openShards(dir, place)
}

// OpenFile opens one safetensors file, such as adapter_model.safetensors or optimizer.safetensors.
func OpenFile(path string) (*Weights, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file (%v), want a safetensors file", path, info.Mode().Type())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	h, err := readHeader(file, info.Size())
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s is not a whole safetensors file: %w (copy or download it again)", path, err)
	}
	w := &Weights{tensors: make(map[string]stored, len(h.tensors)), files: []*os.File{file}, metadata: h.metadata}
	for name, x := range h.tensors {
		w.tensors[name] = stored{x, file}
	}
	return w, nil
}

// openShards opens the shards of dir that place, from tensor to file name, speaks of. A tensor of a shard that place
// leaves out is not part of the model.
func openShards(dir string, place map[string]string) (*Weights, error) {
	w := &Weights{tensors: make(map[string]stored, len(place)), metadata: map[string]string{}}
	index := filepath.Join(dir, IndexFile)
	shards := map[string]*Weights{}
	for _, name := range slices.Sorted(maps.Keys(place)) {
		file := place[name]
		shard, ok := shards[file]
		if !ok {
			var err error
			if shard, err = OpenFile(filepath.Join(dir, file)); err != nil {
				w.Close()
				return nil, fmt.Errorf("a shard named in %s: %w", index, err)
			}
			shards[file] = shard
			w.files = append(w.files, shard.files...)
			maps.Copy(w.metadata, shard.metadata)
		}
		t, ok := shard.tensors[name]
		if !ok {
			w.Close()
			return nil, fmt.Errorf("%s says that tensor %q is in %s, but it is not there: "+
				"index and shards are not of one model, copy or download them again", index, name, file)
		}
		w.tensors[name] = t
	}
	return w, nil
}

// parseIndex returns the weight_map of an index: from tensor to the file name of its shard.
func parseIndex(text []byte) (map[string]string, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	dec := newDecoder(text)
	var place map[string]string
	err := members(dec, func(key string) error {
		if key != "weight_map" {
			return dec.Decode(new(json.RawMessage))
		}
		place = map[string]string{}
		return wrap(key, members(dec, func(name string) error {
			file, err := str(dec)
			if err != nil {
				return wrap(name, err)
			}
			// Only a plain file name stays inside the directory of the model.
			if file != filepath.Base(file) || !filepath.IsLocal(file) || filepath.Ext(file) != ".safetensors" {
				return fmt.Errorf("tensor %q is said to be in %q, want the plain name of a .safetensors file beside the index", name, file)
			}
			place[name] = file
			return nil
		}))
	})
	if err == nil && len(place) == 0 {
		err = errors.New("weight_map is missing or empty, want an object from tensor to file name")
	}
	return place, err
}

// noModel says why dir holds no model that can be read, by what is there instead.
func noModel(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	for _, other := range []struct{ file, hint string }{
		{AdapterFile, "it holds an adapter: name its base model here and the adapter with --adapters"},
		{"pytorch_model.bin", "pytorch_model.bin is a pickle, which is not read: save it again with save_pretrained(safe_serialization=True)"},
		{"pytorch_model.bin.index.json", "pytorch_model-*.bin are pickles, which are not read: save them again with save_pretrained(safe_serialization=True)"},
	} {
		if _, err := os.Stat(filepath.Join(dir, other.file)); err == nil {
			return fmt.Errorf("%s has no %s or %s: %s: %w", dir, ModelFile, IndexFile, other.hint, fs.ErrNotExist)
		}
	}
	return fmt.Errorf("%s has no %s or %s, want the directory of a model: %w", dir, ModelFile, IndexFile, fs.ErrNotExist)
}

// Names returns the names of all tensors, sorted.
func (w *Weights) Names() []string { return slices.Sorted(maps.Keys(w.tensors)) }

// Metadata returns what the files say about themselves, usually {"format": "pt"}.
func (w *Weights) Metadata() map[string]string { return maps.Clone(w.metadata) }

// Info returns dtype and shape of a tensor on disk, and whether it is there. A scalar has the shape [].
func (w *Weights) Info(name string) (dtype Dtype, shape []int, ok bool) {
	t, ok := w.tensors[name]
	return t.dtype, slices.Clone(t.shape), ok
}

// Read returns a tensor as float32, row by row, and its shape.
func (w *Weights) Read(name string) ([]float32, []int, error) {
	t, ok := w.tensors[name]
	if !ok {
		return nil, nil, w.missing(name)
	}
	data := make([]float32, t.len())
	if err := t.read(name, data); err != nil {
		return nil, nil, err
	}
	return data, slices.Clone(t.shape), nil
}

// ReadInto is Read into dst, whose length must be the number of elements.
func (w *Weights) ReadInto(name string, dst []float32) error {
	t, ok := w.tensors[name]
	if !ok {
		return w.missing(name)
	}
	if len(dst) != t.len() {
		return fmt.Errorf("%s: tensor %q has %d elements (shape %v), want %d", t.file.Name(), name, t.len(), t.shape, len(dst))
	}
	return t.read(name, dst)
}

// ReadRaw returns the bytes of a tensor as they are on disk, little-endian: for counters, random states and the like.
func (w *Weights) ReadRaw(name string) ([]byte, error) {
	t, ok := w.tensors[name]
	if !ok {
		return nil, w.missing(name)
	}
	raw := make([]byte, t.end-t.begin)
	return raw, t.readAt(name, raw, t.begin)
}

// Close closes the files. Nothing can be read afterwards.
func (w *Weights) Close() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (w *Weights) missing(name string) error {
	where := "the model"
	if len(w.files) > 0 {
		where = w.files[0].Name()
	}
	return fmt.Errorf("%s has no tensor %q, only %d others", where, name, len(w.tensors))
}

func (t stored) len() int { return int(t.end-t.begin) / t.dtype.Size() }

// read converts piece by piece, so that the bytes of the file are never all in memory beside the floats.
func (t stored) read(name string, dst []float32) error {
	size := t.dtype.Size()
	buf := make([]byte, min(pieceBytes, len(dst)*size))
	for at := t.begin; len(dst) > 0; {
		n := min(len(buf)/size, len(dst))
		if err := t.readAt(name, buf[:n*size], at); err != nil {
			return err
		}
		if err := t.dtype.decode(dst[:n], buf); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", t.file.Name(), name, err)
		}
		dst, at = dst[n:], at+int64(n*size)
	}
	return nil
}

// pieceBytes is how much of a tensor is converted at a time, a multiple of every element size.
const pieceBytes = 1 << 20

func (t stored) readAt(name string, buf []byte, at int64) error {
	_, err := t.file.ReadAt(buf, at)
	if err == io.EOF {
		err = errors.New("the file was cut short while it was open")
	}
	if err != nil {
		return fmt.Errorf("%s: tensor %q: %w", t.file.Name(), name, reason(err))
	}
	return nil
}
