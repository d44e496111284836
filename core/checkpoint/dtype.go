package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Dtype is the element type of a tensor on disk, spelled as safetensors spells it.
type Dtype string

const (
	BOOL   Dtype = "BOOL"
	U8     Dtype = "U8"
	I8     Dtype = "I8"
	F8E5M2 Dtype = "F8_E5M2"
	F8E4M3 Dtype = "F8_E4M3"
	I16    Dtype = "I16"
	U16    Dtype = "U16"
	F16    Dtype = "F16"
	BF16   Dtype = "BF16"
	I32    Dtype = "I32"
	U32    Dtype = "U32"
	F32    Dtype = "F32"
	F64    Dtype = "F64"
	I64    Dtype = "I64"
	U64    Dtype = "U64"
)

// dtypes are all that there are, in the order of the reference implementation, which writes tensors from the last
// dtype of this list to the first so that each begins at a multiple of its element size.
var dtypes = []Dtype{BOOL, U8, I8, F8E5M2, F8E4M3, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64}

// Size is the size of one element in bytes, 0 for a dtype that does not exist.
func (d Dtype) Size() int {
	switch d {
	case BOOL, U8, I8, F8E5M2, F8E4M3:
		return 1
	case I16, U16, F16, BF16:
		return 2
	case I32, U32, F32:
		return 4
	case F64, I64, U64:
		return 8
	}
	return 0
}

func (d Dtype) rank() int { return slices.Index(dtypes, d) }

// decode converts len(dst) elements of src to float32. F64 is rounded to nearest; a whole number that float32 cannot
// hold exactly is an error, as such tensors are ids or counters and not weights.
func (d Dtype) decode(dst []float32, src []byte) error {
	le := binary.LittleEndian
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = fromFloat16(le.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16)
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(src[8*i:])))
		}
	case BOOL, U8:
		for i := range dst {
			dst[i] = float32(src[i])
		}
	case I8:
		for i := range dst {
			dst[i] = float32(int8(src[i]))
		}
	case I16:
		for i := range dst {
			dst[i] = float32(int16(le.Uint16(src[2*i:])))
		}
	case U16:
		for i := range dst {
			dst[i] = float32(le.Uint16(src[2*i:]))
		}
	case I32, U32, I64, U64:
		return d.decodeWide(dst, src)
	default:
		return fmt.Errorf("dtype %s cannot be read as float32, want F32, F16, BF16, F64 or a whole-number type: "+
			"take the unquantized weights", d)
	}
	return nil
}

func (d Dtype) decodeWide(dst []float32, src []byte) error {
	const exact = 1 << 24 // float32 holds every whole number up to here
	le := binary.LittleEndian
	for i := range dst {
		var v int64
		switch d {
		case I32:
			v = int64(int32(le.Uint32(src[4*i:])))
		case U32:
			v = int64(le.Uint32(src[4*i:]))
		case I64:
			v = int64(le.Uint64(src[8*i:]))
		case U64:
			v = int64(min(le.Uint64(src[8*i:]), math.MaxInt64))
		}
		if v < -exact || v > exact {
			return fmt.Errorf("dtype %s holds the number %d, want at most 2^24, the largest that float32 holds exactly: "+
				"these are not weights; read them with ReadRaw", d, v)
		}
		dst[i] = float32(v)
	}
	return nil
}

// encode converts src to len(src) elements of dst, rounding to nearest even. What is too large for F16 or BF16 becomes
// an infinity, as in torch. d is F32, F16 or BF16.
func (d Dtype) encode(dst []byte, src []float32) {
	le := binary.LittleEndian
	switch d {
	case F32:
		for i, v := range src {
			le.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		for i, v := range src {
			le.PutUint16(dst[2*i:], toFloat16(v))
		}
	case BF16:
		for i, v := range src {
			le.PutUint16(dst[2*i:], toBfloat16(v))
		}
	}
}

func fromFloat16(h uint16) float32 {
	sign, exponent, mantissa := uint32(h&0x8000)<<16, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero or subnormal: mantissa·2⁻²⁴, exact in float32
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)/(1<<24)))
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}

func toFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000: // NaN: keep the payload, and keep it a NaN when the payload does not reach up here
		payload := uint16(bits>>13) & 0x3ff
		if payload == 0 {
			payload = 0x200
		}
		return sign | 0x7c00 | payload
	case bits >= 0x477ff000: // 65520 is half way to 2¹⁶ and rounds to infinity
		return sign | 0x7c00
	case bits < 0x38800000: // below 2⁻¹⁴: subnormal, a multiple of 2⁻²⁴
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(bits))*(1<<24)))
	}
	bits += 0xfff + bits>>13&1
	return sign | uint16((bits-(127-15)<<23)>>13)
}

func toBfloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 { // NaN: rounding could carry it over to infinity
		if bits>>16&0x7f == 0 {
			bits |= 0x400000
		}
		return uint16(bits >> 16)
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
