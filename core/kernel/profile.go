package kernel

import (
	"sync/atomic"
	"time"
)

// Part is what time in this package is spent on.
type Part int

// The parts. What calls what is not counted twice: the products of CrossEntropy are MatMulPart.
const (
	MatMulPart    Part = iota // products by the library
	AttentionPart             // Attention and its backward pass
	LossPart                  // CrossEntropy without its products
	RowsPart                  // norms, rotations, SwiGLU, sums
	ConvertPart               // between types of numbers
	Parts                     // how many there are
)

// String names the part.
func (p Part) String() string {
	return [Parts]string{"matmul", "attention", "loss", "norm/rope/swiglu", "conversion"}[p]
}

var spent struct {
	parts [Parts]atomic.Int64 // nanoseconds
	all   atomic.Int64
}

// Spent is the time that each part has taken since the process began. What runs beside another call counts too, so the
// sum is the time that went by only where one goroutine calls this package.
func Spent() (parts [Parts]time.Duration) {
	for i := range parts {
		parts[i] = time.Duration(spent.parts[i].Load())
	}
	return parts
}

// span is a stretch of time that is spent on a part.
type span struct {
	part Part
	at   time.Time
	all  int64 // spent on all parts until then
}

func begin(p Part) span { return span{p, time.Now(), spent.all.Load()} }

// end counts the time since begin, without that of spans inside.
func (s span) end() {
	own := int64(time.Since(s.at)) - (spent.all.Load() - s.all)
	spent.parts[s.part].Add(own)
	spent.all.Add(own)
}
