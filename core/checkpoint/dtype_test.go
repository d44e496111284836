package checkpoint

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
)

// half is a 16-bit format; value is its definition, written with powers of two instead of bit patterns.
type half struct {
	dtype                      Dtype
	exponentBits, mantissaBits int
}

var halves = []half{
	{dtype: F16, exponentBits: 5, mantissaBits: 10},
	{dtype: BF16, exponentBits: 8, mantissaBits: 7},
}

func (h half) value(pattern uint16) float64 {
	mantissa := int(pattern) & (1<<h.mantissaBits - 1)
	exponent := int(pattern) >> h.mantissaBits & (1<<h.exponentBits - 1)
	bias := 1<<(h.exponentBits-1) - 1
	var v float64
	switch {
	case exponent == 1<<h.exponentBits-1 && mantissa != 0:
		return math.NaN()
	case exponent == 1<<h.exponentBits-1:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(float64(mantissa), 1-bias-h.mantissaBits)
	default:
		v = math.Ldexp(float64(mantissa+1<<h.mantissaBits), exponent-bias-h.mantissaBits)
	}
	if pattern>>15 == 1 {
		v = -v
	}
	return v
}

func TestEveryHalfPattern(t *testing.T) {
	for _, h := range halves {
		t.Run(string(h.dtype), func(t *testing.T) {
			for p := range 1 << 16 {
				src := binary.LittleEndian.AppendUint16(nil, uint16(p))
				var f [1]float32
				if err := h.dtype.decode(f[:], src); err != nil {
					t.Fatal(err)
				}
				want := h.value(uint16(p))
				if got := float64(f[0]); got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != math.Signbit(want) && !math.IsNaN(want) {
					t.Fatalf("%04x is %v, want %v", p, got, want)
				}
				back := make([]byte, 2)
				h.dtype.encode(back, f[:])
				if got := binary.LittleEndian.Uint16(back); got != uint16(p) {
					t.Fatalf("%04x came back as %04x", p, got)
				}
			}
		})
	}
}

// A NaN stays one and keeps its sign, even where its payload lies in bits that are cut off or would carry over.
func TestHalfNaN(t *testing.T) {
	for _, h := range halves {
		for _, bits := range []uint32{0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7fc00000} {
			raw := make([]byte, 2)
			h.dtype.encode(raw, []float32{math.Float32frombits(bits)})
			p := binary.LittleEndian.Uint16(raw)
			if !math.IsNaN(h.value(p)) || uint32(p>>15) != bits>>31 {
				t.Errorf("%s: the NaN %08x became %04x", h.dtype, bits, p)
			}
		}
	}
}

// TestHalfRounding looks for the nearest of all values, the even one of two as near, instead of rounding bits.
func TestHalfRounding(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, h := range halves {
		t.Run(string(h.dtype), func(t *testing.T) {
			infinity := (1<<h.exponentBits - 1) << h.mantissaBits
			finite := make([]float64, infinity+1) // by pattern, which is by size; the last stands where infinity begins
			for p := range infinity {
				finite[p] = h.value(uint16(p))
			}
			finite[infinity] = 2*finite[infinity-1] - finite[infinity-2]
			nearest := func(v float64) uint16 {
				above := sort.SearchFloat64s(finite, v)
				if above > infinity {
					return uint16(infinity)
				}
				if above == 0 || finite[above] == v {
					return uint16(above)
				}
				down, up := v-finite[above-1], finite[above]-v
				if down < up || down == up && (above-1)%2 == 0 {
					above--
				}
				return uint16(above)
			}
			check := func(f float32) {
				t.Helper()
				if f != f || math.IsInf(float64(f), 0) {
					return
				}
				want := nearest(math.Abs(float64(f)))
				if math.Signbit(float64(f)) {
					want |= 0x8000
				}
				got := make([]byte, 2)
				h.dtype.encode(got, []float32{f})
				if g := binary.LittleEndian.Uint16(got); g != want {
					t.Fatalf("%v (%08x) became %04x, want %04x", f, math.Float32bits(f), g, want)
				}
			}
			for range 200_000 {
				check(math.Float32frombits(random.Uint32()))
				check(float32(math.Ldexp(random.Float64()-0.5, random.IntN(60)-40)))
			}
			for p := 1; p < infinity; p++ { // half way between neighbours, and one step to either side
				middle := float32((finite[p-1] + finite[p]) / 2)
				check(middle)
				check(math.Nextafter32(middle, 0))
				check(-math.Nextafter32(middle, math.MaxFloat32))
			}
			check(math.MaxFloat32)
		})
	}
}

func TestDecodeWholeNumbers(t *testing.T) {
	tests := []struct {
		dtype Dtype
		raw   []byte
		want  float32
		err   string
	}{
		{BOOL, []byte{1}, 1, ""},
		{U8, []byte{255}, 255, ""},
		{I8, []byte{255}, -1, ""},
		{I16, []byte{0, 0x80}, -32768, ""},
		{U16, []byte{0, 0x80}, 32768, ""},
		{I32, []byte{0xff, 0xff, 0xff, 0xff}, -1, ""},
		{U32, []byte{0, 0, 0, 1}, 1 << 24, ""},
		{I64, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -2, ""},
		{U64, []byte{7, 0, 0, 0, 0, 0, 0, 0}, 7, ""},
		{I32, []byte{1, 0, 0, 1}, 0, "I32 holds the number 16777217"},
		{U32, []byte{0xff, 0xff, 0xff, 0xff}, 0, "U32 holds the number 4294967295"},
		{I64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, 0, "I64 holds the number -9223372036854775808"},
		{U64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, 0, "U64 holds the number 9223372036854775807"},
		{F8E4M3, []byte{0}, 0, "dtype F8_E4M3 cannot be read as float32"},
	}
	for _, test := range tests {
		var got [1]float32
		err := test.dtype.decode(got[:], test.raw)
		if test.err == "" && (err != nil || got[0] != test.want) {
			t.Errorf("%s % x: got %v, %v, want %v", test.dtype, test.raw, got[0], err, test.want)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s % x: error %v, want %q in it", test.dtype, test.raw, err, test.err)
		}
	}
}
