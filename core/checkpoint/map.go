package checkpoint

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MapF32 returns a tensor of dtype F32 where it lies in its file, which is read as the elements are. Writing to them
// changes this process's copy alone. The memory stays mapped as long as the process lives, whatever becomes of w and of
// the file's name; a file that is written over in place, and not replaced, changes under the reader. ok is false where
// the tensor cannot be used in place: it is of another dtype, begins at an odd address, or the machine is big-endian.
func (w *Weights) MapF32(name string) (data []float32, shape []int, ok bool) {
	return mapped[float32](w, name, F32)
}

// MapBF16 is MapF32 for tensors of dtype BF16.
func (w *Weights) MapBF16(name string) (data []uint16, shape []int, ok bool) {
	return mapped[uint16](w, name, BF16)
}

func mapped[T any](w *Weights, name string, d Dtype) ([]T, []int, bool) {
	t, there := w.tensors[name]
	if !there || t.dtype != d || t.len() == 0 || !littleEndian() {
		return nil, nil, false
	}
	file, err := w.mapping(t.file)
	if err != nil || int64(len(file)) < t.end {
		return nil, nil, false
	}
	begin := unsafe.Pointer(&file[t.begin])
	if uintptr(begin)%unsafe.Sizeof(*new(T)) != 0 {
		return nil, nil, false
	}
	return unsafe.Slice((*T)(begin), t.len()), append([]int(nil), t.shape...), true
}

// mapping maps a file, once.
func (w *Weights) mapping(file *os.File) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, ok := w.maps[file]; ok {
		return m, nil
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	m, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	if w.maps == nil {
		w.maps = map[*os.File][]byte{}
	}
	w.maps[file] = m
	return m, nil
}

func littleEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}

// ReadBF16 returns a tensor in bfloat16, rounded to nearest where it is stored in more, and its shape.
func (w *Weights) ReadBF16(name string) ([]uint16, []int, error) {
	t, ok := w.tensors[name]
	if !ok {
		return nil, nil, w.missing(name)
	}
	data := make([]uint16, t.len())
	size := t.dtype.Size()
	raw, wide := make([]byte, pieceBytes), make([]float32, pieceBytes/size)
	for i := 0; i < len(data); {
		piece := wide[:min(len(wide), len(data)-i)]
		buf := raw[:len(piece)*size]
		if err := t.readAt(name, buf, t.begin+int64(i*size)); err != nil {
			return nil, nil, err
		}
		if err := t.dtype.decode(piece, buf); err != nil {
			return nil, nil, fmt.Errorf("%s: tensor %q: %w", t.file.Name(), name, err)
		}
		for j, x := range piece {
			data[i+j] = toBfloat16(x)
		}
		i += len(piece)
	}
	return data, append([]int(nil), t.shape...), nil
}
