package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	maxHeaderBytes = 100_000_000 // the limit of the reference implementation
	maxDimensions  = 64          // the limit of torch
)

// header is the checked header of one safetensors file: 8 bytes of length, little-endian, then that much JSON, then
// the data of the tensors one after the other.
type header struct {
	metadata map[string]string
	tensors  map[string]extent
}

// extent is where a tensor lies. begin and end are bytes from the start of the file.
type extent struct {
	dtype      Dtype
	shape      []int
	begin, end int64
}

// readHeader reads and checks the header of a file of size bytes. What it allocates is in proportion to bytes that
// are really there, whatever the header claims.
func readHeader(r io.ReaderAt, size int64) (header, error) {
	var start [8]byte
	if size < int64(len(start)) {
		return header{}, fmt.Errorf("it is %d bytes long, want at least the 8 bytes of the header length", size)
	}
	if _, err := r.ReadAt(start[:], 0); err != nil {
		return header{}, err
	}
	if string(start[:]) == "version " {
		return header{}, errors.New("it is a Git LFS pointer and not the weights: run git lfs pull where it came from")
	}
	length := binary.LittleEndian.Uint64(start[:])
	switch room := uint64(size) - 8; {
	case length == 0:
		return header{}, errors.New("the header length is 0, want at least 2")
	case length > maxHeaderBytes:
		return header{}, fmt.Errorf("the header length is %d, want at most %d", length, maxHeaderBytes)
	case length > room:
		return header{}, fmt.Errorf("the header length is %d, but only %d bytes follow", length, room)
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, 8); err != nil {
		return header{}, err
	}
	h, err := parseHeader(text)
	if err != nil {
		return header{}, err
	}
	return h, h.place(8+int64(length), size)
}

func parseHeader(text []byte) (header, error) {
	h := header{metadata: map[string]string{}, tensors: map[string]extent{}}
	if !utf8.Valid(text) {
		return h, errors.New("the header is not UTF-8")
	}
	if text[0] != '{' {
		return h, fmt.Errorf("the header begins with %q, want '{'", text[0])
	}
	dec := newDecoder(text)
	err := members(dec, func(name string) error {
		if name == "__metadata__" {
			return wrap(name, members(dec, func(key string) (err error) {
				h.metadata[key], err = str(dec)
				return wrap(key, err)
			}))
		}
		x, err := parseExtent(dec)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		h.tensors[name] = x
		return nil
	})
	if err != nil {
		return h, fmt.Errorf("the header: %w", err)
	}
	if rest := bytes.TrimLeft(text[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return h, fmt.Errorf("the header goes on with %q after its end", rest[:min(len(rest), 20)])
	}
	return h, nil
}

// parseExtent parses {"dtype":…,"shape":[…],"data_offsets":[begin,end]}; the offsets still count from the end of the
// header. Members of other names are passed over, as in the reference implementation.
func parseExtent(dec *json.Decoder) (extent, error) {
	var x extent
	var offsets []int
	err := members(dec, func(key string) (err error) {
		switch key {
		case "dtype":
			var s string
			s, err = str(dec)
			x.dtype = Dtype(s)
		case "shape":
			x.shape, err = sizes(dec, maxDimensions)
		case "data_offsets":
			offsets, err = sizes(dec, 2)
		default:
			err = dec.Decode(new(json.RawMessage))
		}
		return wrap(key, err)
	})
	switch {
	case err != nil:
		return x, err
	case x.dtype.Size() == 0:
		return x, fmt.Errorf("dtype %q is unknown, want one of %v", x.dtype, dtypes)
	case x.shape == nil:
		return x, errors.New("shape is missing")
	case len(offsets) != 2:
		return x, fmt.Errorf("data_offsets are %v, want [begin, end]", offsets)
	case offsets[0] > offsets[1]:
		return x, fmt.Errorf("data_offsets %v end before they begin", offsets)
	}
	x.begin, x.end = int64(offsets[0]), int64(offsets[1])
	want, err := byteSize(x.dtype, x.shape)
	if err != nil {
		return x, err
	}
	if got := x.end - x.begin; got != want {
		return x, fmt.Errorf("data_offsets %v hold %d bytes, but %s of shape %v takes %d", offsets, got, x.dtype, x.shape, want)
	}
	return x, nil
}

// place moves the extents behind the header, which ends at start, and checks that they fill the file up to size
// without gap or overlap.
func (h header) place(start, size int64) error {
	order := slices.SortedFunc(maps.Keys(h.tensors), func(a, b string) int {
		x, y := h.tensors[a], h.tensors[b]
		return cmp.Or(cmp.Compare(x.begin, y.begin), cmp.Compare(x.end, y.end))
	})
	room, end := size-start, int64(0)
	for _, name := range order {
		x := h.tensors[name]
		switch {
		case x.end > room:
			return fmt.Errorf("tensor %q: data_offsets [%d %d] reach past the end, there are %d bytes of data: the file was cut short",
				name, x.begin, x.end, room)
		case x.begin < end:
			return fmt.Errorf("tensor %q: data_offsets [%d %d] overlap another tensor's, which end at %d", name, x.begin, x.end, end)
		case x.begin > end:
			return fmt.Errorf("tensor %q: data_offsets [%d %d] leave a hole, want a begin of %d", name, x.begin, x.end, end)
		}
		end = x.end
		x.begin, x.end = x.begin+start, x.end+start
		h.tensors[name] = x
	}
	if end != room {
		return fmt.Errorf("%d bytes follow the last tensor, want none", room-end)
	}
	return nil
}

// byteSize is the size of a tensor in bytes, or an error when it is negative or no int64 holds it.
func byteSize(d Dtype, shape []int) (int64, error) {
	size := uint64(d.Size())
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
		high, low := bits.Mul64(size, uint64(n))
		if high != 0 || low>>63 != 0 {
			return 0, fmt.Errorf("shape %v is too large for any file", shape)
		}
		size = low
	}
	return int64(size), nil
}

func newDecoder(text []byte) *json.Decoder {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec
}

// members reads one JSON object, calling member after each key to read its value, and refuses a key met twice.
func members(dec *json.Decoder, member func(key string) error) error {
	if err := delimiter(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := str(dec)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	return delimiter(dec, '}')
}

// sizes reads an array of at most most whole numbers of 0 or more. It is never nil when the error is.
func sizes(dec *json.Decoder, most int) ([]int, error) {
	if err := delimiter(dec, '['); err != nil {
		return nil, err
	}
	list := []int{}
	for dec.More() {
		t, err := token(dec)
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		n, err := strconv.ParseUint(number.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%v is there, want whole numbers from 0 to 2^63-1", t)
		}
		if len(list) == most {
			return nil, fmt.Errorf("there are more than %d numbers", most)
		}
		list = append(list, int(n))
	}
	return list, delimiter(dec, ']')
}

func str(dec *json.Decoder) (string, error) {
	t, err := token(dec)
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%v is there, want a string", t)
	}
	return s, nil
}

func delimiter(dec *json.Decoder, want json.Delim) error {
	t, err := token(dec)
	if err == nil && t != want {
		err = fmt.Errorf("%v is there, want %v", t, want)
	}
	return err
}

func token(dec *json.Decoder) (json.Token, error) {
	t, err := dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("not JSON at byte %d: %w", dec.InputOffset(), err)
	}
	return t, err
}

// wrap names the member that err is about.
func wrap(key string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", key, err)
	}
	return err
}
