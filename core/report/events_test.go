package report

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// crcBitwise is CRC-32C by its definition, a bit at a time.
func crcBitwise(data []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range data {
		crc ^= uint32(b)
		for range 8 {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0x82f63b78
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

func TestMaskedCRC(t *testing.T) {
	// The CRC-32C test patterns of RFC 3720, B.4.
	ascending := make([]byte, 32)
	for i := range ascending {
		ascending[i] = byte(i)
	}
	for _, c := range []struct {
		data []byte
		crc  uint32
	}{
		{make([]byte, 32), 0x8a9136aa},
		{slices.Repeat([]byte{0xff}, 32), 0x62a8ab43},
		{ascending, 0x46dd794e},
		{[]byte("123456789"), 0xe3069283},
	} {
		if got := crcBitwise(c.data); got != c.crc {
			t.Fatalf("the test's own CRC of %x is %#x, want %#x", c.data, got, c.crc)
		}
		// Unmask as the format says: take the constant off, rotate back.
		rotated := maskedCRC(c.data) - 0xa282ead8
		if got := rotated>>17 | rotated<<15; got != c.crc {
			t.Errorf("CRC of %x is %#x, want %#x", c.data, got, c.crc)
		}
	}
	// The length field of every event file of TensorFlow's first record: 24 bytes.
	if got := record(make([]byte, 24))[:12]; fmt.Sprintf("%x", got) != "1800000000000000a37f4b22" {
		t.Errorf("header of a record of 24 bytes is %x", got)
	}
}

// event is what the reader below finds in an Event message.
type event struct {
	wall    float64
	step    int64
	version string
	status  uint64 // of a SessionLog
	scalars map[string]float32
}

// field is one field of a message: number, wire type and content.
type field struct {
	number, wire int
	value        uint64 // of varint, fixed64 and fixed32
	bytes        []byte
}

// fields reads a message of protocol buffers, from its description.
func fields(t *testing.T, b []byte) []field {
	t.Helper()
	uvarint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			t.Fatalf("bad varint at %x", b)
		}
		b = b[n:]
		return v
	}
	var all []field
	for len(b) > 0 {
		key := uvarint()
		f := field{number: int(key >> 3), wire: int(key & 7)}
		switch f.wire {
		case 0:
			f.value = uvarint()
		case 1:
			f.value, b = binary.LittleEndian.Uint64(b), b[8:]
		case 2:
			n := uvarint()
			f.bytes, b = b[:n], b[n:]
		case 5:
			f.value, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
		default:
			t.Fatalf("wire type %d", f.wire)
		}
		all = append(all, f)
	}
	return all
}

func readEvents(t *testing.T, path string) []event {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(data, masked []byte) {
		crc := crcBitwise(data)
		if want := (crc>>15 | crc<<17) + 0xa282ead8; binary.LittleEndian.Uint32(masked) != want {
			t.Fatalf("checksum %x of %x", masked, data)
		}
	}
	var all []event
	for len(b) > 0 {
		check(b[:8], b[8:12])
		n := binary.LittleEndian.Uint64(b)
		data := b[12 : 12+n]
		check(data, b[12+n:])
		b = b[16+n:]
		var e event
		for _, f := range fields(t, data) {
			switch [2]int{f.number, f.wire} {
			case [2]int{1, 1}:
				e.wall = math.Float64frombits(f.value)
			case [2]int{2, 0}:
				e.step = int64(f.value)
			case [2]int{3, 2}:
				e.version = string(f.bytes)
			case [2]int{5, 2}:
				e.scalars = map[string]float32{}
				for _, value := range fields(t, f.bytes) {
					var tag string
					var number uint64
					for _, part := range fields(t, value.bytes) {
						switch [2]int{part.number, part.wire} {
						case [2]int{1, 2}:
							tag = string(part.bytes)
						case [2]int{2, 5}:
							number = part.value
						default:
							t.Fatalf("a value has field %d of wire type %d", part.number, part.wire)
						}
					}
					e.scalars[tag] = math.Float32frombits(uint32(number))
				}
			case [2]int{7, 2}:
				e.status = fields(t, f.bytes)[0].value
			default:
				t.Fatalf("an event has field %d of wire type %d", f.number, f.wire)
			}
		}
		all = append(all, e)
	}
	return all
}

func TestEvents(t *testing.T) {
	dir := t.TempDir()
	began := float64(time.Now().Unix())
	r := open(t, dir, Options{MaxSteps: 9, TensorBoard: true})
	r.Log(3, map[string]float64{"loss": 1.5, "grad_norm": 0.1, "tokens/s": 20})
	r.Log(3, map[string]float64{"eval_loss": 2, "eval_rouge-l": 0.25, "epoch": 1})
	host, _ := os.Hostname()
	files := func() []string {
		paths, _ := filepath.Glob(filepath.Join(dir, "runs", fmt.Sprintf("events.out.tfevents.[0-9]*.%s.%d.[0-9]", host, os.Getpid())))
		return paths
	}
	if len(files()) != 1 {
		t.Fatalf("event files %q", files())
	}
	// Read before Close: nothing may wait in a buffer.
	got := readEvents(t, files()[0])
	if len(got) != 3 || got[0].version != "brain.Event:2" || got[0].step != 0 || got[0].scalars != nil {
		t.Fatalf("events %+v", got)
	}
	if got := fmt.Sprint(got[1].step, got[1].scalars); got != "3 map[train/grad_norm:0.1 train/loss:1.5 train/tokens/s:20]" {
		t.Errorf("the first log is %s", got)
	}
	if got := fmt.Sprint(got[2].step, got[2].scalars); got != "3 map[eval/loss:2 eval/rouge-l:0.25 train/epoch:1]" {
		t.Errorf("the second log is %s", got)
	}
	for _, e := range got {
		if e.wall < began || e.wall > began+3600 || e.status != 0 {
			t.Errorf("event %+v, run at %v", e, began)
		}
	}
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}

	// Resumed at 2, TensorBoard is told to forget step 3.
	earlier := files()
	r = open(t, dir, Options{MaxSteps: 9, StartStep: 2, TensorBoard: true})
	r.Close(nil)
	for _, path := range files() {
		if slices.Contains(earlier, path) {
			continue
		}
		if got := readEvents(t, path); len(got) != 2 || got[0].version == "" || got[1].status != 1 || got[1].step != 3 {
			t.Errorf("events of the resumed run: %+v", got)
		}
	}
	if len(files()) != 2 {
		t.Errorf("event files %q", files())
	}
}
