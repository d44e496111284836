package checkpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unicode/utf8"
)

// DefaultShardBytes is the max_shard_size of transformers, 5 GB.
const DefaultShardBytes = 5_000_000_000

// Tensor is a tensor to write: either Data, for the dtypes F32, F16 and BF16, or Raw, the little-endian bytes of any
// dtype. Neither is changed or kept.
type Tensor struct {
	Name  string
	Shape []int
	Dtype Dtype
	Data  []float32
	Raw   []byte
}

// WriteSafetensors writes the file that the reference implementation would: tensors by dtype, the largest element
// first, then by name. With metadata {"format": "pt"} transformers reads it; nil writes none. Path holds its old
// content or all of the new one, never less. It needs no memory in proportion to the tensors.
func WriteSafetensors(path string, tensors []Tensor, metadata map[string]string) error {
	for i := range tensors {
		if err := tensors[i].check(); err != nil {
			return fmt.Errorf("write %s: tensor %q: %w", path, tensors[i].Name, err)
		}
	}
	order := slices.Clone(tensors)
	slices.SortFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.Dtype.rank(), a.Dtype.rank()), cmp.Compare(a.Name, b.Name))
	})
	header, err := formatHeader(order, metadata)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	size := 8 + int64(len(header))
	for i := range order {
		size += order[i].bytes()
	}
	return replaceFile(path, size, func(f *os.File) error {
		w := bufio.NewWriter(f)
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
			return err
		}
		if _, err := w.Write(header); err != nil {
			return err
		}
		buf := make([]byte, pieceBytes)
		for i := range order {
			if err := order[i].write(w, buf); err != nil {
				return err
			}
		}
		return w.Flush()
	})
}

// WriteSharded writes a model into dir, which holds no model yet: model.safetensors when it fits into maxShardBytes,
// otherwise model-00001-of-0000N.safetensors and so on with their index. Tensors go to shards in the order given, as
// in transformers; one that is larger than maxShardBytes has a shard to itself.
func WriteSharded(dir string, tensors []Tensor, maxShardBytes int64) error {
	if maxShardBytes < 1 {
		return fmt.Errorf("the largest size of a shard is %d bytes, want 1 or more (usually %d)", maxShardBytes, int64(DefaultShardBytes))
	}
	metadata := map[string]string{"format": "pt"}
	shards := split(tensors, maxShardBytes)
	if len(shards) <= 1 {
		return WriteSafetensors(filepath.Join(dir, ModelFile), tensors, metadata)
	}
	var index struct {
		Metadata struct {
			TotalSize int64 `json:"total_size"` // bytes of all tensors, without headers
		} `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}
	index.WeightMap = make(map[string]string, len(tensors))
	for i, shard := range shards {
		file := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		for _, t := range shard {
			if other, ok := index.WeightMap[t.Name]; ok {
				return fmt.Errorf("tensor %q is there twice, want it in only one of %s and %s", t.Name, other, file)
			}
			index.WeightMap[t.Name] = file
			index.Metadata.TotalSize += t.bytes()
		}
		if err := WriteSafetensors(filepath.Join(dir, file), shard, metadata); err != nil {
			return err
		}
	}
	return WriteJSON(filepath.Join(dir, IndexFile), index)
}

func split(tensors []Tensor, maxShardBytes int64) [][]Tensor {
	var shards [][]Tensor
	var current []Tensor
	var size int64
	for _, t := range tensors {
		n := t.bytes()
		if n > maxShardBytes {
			shards = append(shards, []Tensor{t})
			continue
		}
		if size+n > maxShardBytes {
			shards = append(shards, current)
			current, size = nil, 0
		}
		current, size = append(current, t), size+n
	}
	if len(current) > 0 {
		shards = append(shards, current)
	}
	return shards
}

// bytes is the size of the tensor on disk.
func (t *Tensor) bytes() int64 { return int64(len(t.Raw)) + int64(len(t.Data))*int64(t.Dtype.Size()) }

func (t *Tensor) check() error {
	want, err := byteSize(t.Dtype, t.Shape)
	switch {
	case t.Name == "" || t.Name == "__metadata__" || !utf8.ValidString(t.Name):
		return errors.New("the name is empty, reserved or not UTF-8, want another")
	case t.Dtype.Size() == 0:
		return fmt.Errorf("dtype %q is unknown, want one of %v", t.Dtype, dtypes)
	case err != nil:
		return err
	case len(t.Shape) > maxDimensions:
		return fmt.Errorf("the shape has %d dimensions, want at most %d", len(t.Shape), maxDimensions)
	case t.Data != nil && t.Raw != nil:
		return errors.New("both Data and Raw are given, want one of them")
	case t.Data != nil && t.Dtype != F32 && t.Dtype != F16 && t.Dtype != BF16:
		return fmt.Errorf("Data cannot be written as %s, want F32, F16 or BF16, or Raw bytes", t.Dtype)
	case t.bytes() != want:
		return fmt.Errorf("%d values and %d raw bytes are given, but %s of shape %v takes %d bytes", len(t.Data), len(t.Raw), t.Dtype, t.Shape, want)
	}
	return nil
}

// write streams the data through buf.
func (t *Tensor) write(w io.Writer, buf []byte) error {
	if _, err := w.Write(t.Raw); err != nil {
		return err
	}
	size := t.Dtype.Size()
	for piece := range slices.Chunk(t.Data, len(buf)/size) {
		t.Dtype.encode(buf, piece)
		if _, err := w.Write(buf[:len(piece)*size]); err != nil {
			return err
		}
	}
	return nil
}

// formatHeader writes the JSON as the reference implementation does, byte for byte: no spaces inside, and behind it
// as many as make the data begin at a multiple of 8. Metadata of several keys, which there come in any order, are sorted.
func formatHeader(order []Tensor, metadata map[string]string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	if len(metadata) > 0 {
		out.WriteString(`"__metadata__":`)
		if err := compactJSON(&out, metadata); err != nil {
			return nil, err
		}
	}
	var begin int64
	seen := make(map[string]bool, len(order))
	for i := range order {
		t := &order[i]
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor %q is there twice, want every name once", t.Name)
		}
		seen[t.Name] = true
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		if err := compactJSON(&out, t.Name); err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, `:{"dtype":"%s","shape":[`, t.Dtype)
		for j, n := range t.Shape {
			if j > 0 {
				out.WriteByte(',')
			}
			out.WriteString(strconv.Itoa(n))
		}
		end := begin + t.bytes()
		fmt.Fprintf(&out, `],"data_offsets":[%d,%d]}`, begin, end)
		begin = end
	}
	out.WriteByte('}')
	for out.Len()%8 != 0 {
		out.WriteByte(' ')
	}
	if out.Len() > maxHeaderBytes {
		return nil, fmt.Errorf("the header of %d tensors takes %d bytes, want at most %d", len(order), out.Len(), maxHeaderBytes)
	}
	return out.Bytes(), nil
}

// compactJSON writes v on one line without the newline and without the escapes for HTML.
func compactJSON(out *bytes.Buffer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if err == nil {
		out.Truncate(out.Len() - 1)
	}
	return err
}
