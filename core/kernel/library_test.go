package kernel

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestLibraries runs the tests of this file that use the library on each of the three, in a process of its own.
func TestLibraries(t *testing.T) {
	for _, name := range []string{"onednn", "openblas", "gonum"} {
		t.Run(name, func(t *testing.T) {
			out := child(t, "TestMatMul", "SWIFTGO_BLAS="+name)
			if strings.Contains(out, "--- SKIP: TestMatMul ") {
				t.Skip("needs the library: ", out)
			}
		})
	}
}

func child(t *testing.T, test string, env ...string) string {
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^"+test)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return string(out)
}

func skipWithoutLibrary(t *testing.T) {
	if err := Open(2); err != nil {
		t.Skip("needs the library: ", err)
	}
	t.Logf("%+v", Library())
}

func TestMatMul(t *testing.T) {
	skipWithoutLibrary(t)
	defer func(was int) { smallProduct = was }(smallProduct)
	for _, smallProduct = range []int{smallProduct, 0} { // as they are, and all of them prepared
		testMatMul(t)
	}
}

func testMatMul(t *testing.T) {
	type dims struct{ m, n, k int }
	sizes := []dims{{1, 1, 1}, {1, 17, 5}, {17, 1, 5}, {3, 5, 1}, {29, 31, 37}, {64, 64, 64}, {1, 130, 96}, {130, 70, 8}, {8, 200, 131}}
	for _, s := range sizes {
		for flags := range 8 {
			transA, transB, acc := flags&1 != 0, flags&2 != 0, flags&4 != 0
			rowsA, lda, rowsB, ldb, ldc := s.m, s.k, s.k, s.n, s.n+3
			if transA {
				rowsA, lda = s.k, s.m
			}
			if transB {
				rowsB, ldb = s.n, s.k
			}
			lda, ldb = lda+2, ldb+1
			a, b, c := random(rowsA*lda, 1), other(rowsB*ldb, 1), random(s.m*ldc, 1)
			want := naiveMatMul(transA, transB, s.m, s.n, s.k, a, lda, b, ldb, acc, c, ldc)
			// The last row ends where its last element does.
			c = c[:len(c)-3]
			MatMul(transA, transB, s.m, s.n, s.k, a[:len(a)-2], lda, b[:len(b)-1], ldb, acc, c, ldc)
			near(t, fmt.Sprintf("%+v transA %v transB %v acc %v: c", s, transA, transB, acc), c, want[:len(c)], 1e-5)
		}
	}
}

func TestMatMulOfNothing(t *testing.T) {
	skipWithoutLibrary(t)
	c := []float32{1, 2, 9, 3, 4}
	MatMul(false, false, 2, 2, 0, nil, 0, nil, 2, true, c, 3)
	same(t, "c with acc", c, []float32{1, 2, 9, 3, 4})
	MatMul(false, false, 2, 2, 0, nil, 0, nil, 2, false, c, 3)
	same(t, "c", c, []float32{0, 0, 9, 0, 0})
	MatMul(false, true, 0, 5, 3, nil, 3, filled(15, 1), 3, false, nil, 5)
	MatMul(false, true, 5, 0, 3, filled(15, 1), 3, nil, 3, false, nil, 0)
}

func TestMatMulKeepsNaN(t *testing.T) {
	skipWithoutLibrary(t)
	a, b, c := filled(20*30, 1), filled(30*40, 1), make([]float32, 20*40)
	a[7*30+3] = float32(math.NaN())
	MatMul(false, false, 20, 40, 30, a, 30, b, 40, false, c, 40)
	for i, x := range c {
		if math.IsNaN(float64(x)) != (i/40 == 7) {
			t.Fatalf("c[%d,%d] is %g", i/40, i%40, x)
		}
	}
}

func TestMatMulFromManyGoroutines(t *testing.T) {
	skipWithoutLibrary(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m := 20 + i
			a, b, c := random(m*30, 1), other(30*25, 1), make([]float32, m*25)
			for range 20 {
				MatMul(false, false, m, 25, 30, a, 30, b, 25, false, c, 25)
			}
			near(t, "c", c, naiveMatMul(false, false, m, 25, 30, a, 30, b, 25, false, c, 25), 1e-5)
		})
	}
	wg.Wait()
}

// TestMatMulManyShapes fills the cache of prepared products more than once.
func TestMatMulManyShapes(t *testing.T) {
	skipWithoutLibrary(t)
	if Library().Name != "oneDNN" || testing.Short() {
		t.Skip("needs oneDNN, which alone prepares products")
	}
	defer func(was int) { smallProduct = was }(smallProduct)
	smallProduct = 0
	a, c := filled(1<<10, 1), make([]float32, 1)
	for i := range maxProducts + 100 {
		MatMul(false, false, 1, 1, 2, a, 2, a, 1+i%512, i >= 512, c, 1+i/512)
	}
	c[0] = 0
	MatMul(false, false, 1, 1, 2, a, 2, a, 1, false, c, 1)
	if c[0] != 2 {
		t.Errorf("c is %g, want 2", c[0])
	}
}

func TestMatMulRefusesShapes(t *testing.T) {
	x := make([]float32, 12)
	panics(t, "kernel: MatMul: a is stored as [3,4] with 5 between rows, but has 12 elements", func() {
		MatMul(false, false, 3, 1, 4, x, 5, x, 1, false, x, 1)
	})
	panics(t, "kernel: MatMul: b is stored as [4,3] with 2 between rows, but has 12 elements", func() {
		MatMul(false, false, 3, 3, 4, x, 4, x, 2, false, x, 3)
	})
	panics(t, "kernel: MatMul: c is stored as [4,4] with 4 between rows, but has 12 elements", func() {
		MatMul(true, false, 4, 4, 3, x, 4, x, 4, false, x, 4)
	})
}

func TestOpenRefusesNames(t *testing.T) {
	_, err := openLibrary("mkl", 1)
	if want := `SWIFTGO_BLAS is "mkl", want onednn, openblas or gonum`; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// TestOpenTakesISA sees that SWIFTGO_ISA chooses the row kernels, in a process of its own.
func TestOpenTakesISA(t *testing.T) {
	switch isa := os.Getenv("SWIFTGO_ISA"); isa {
	case "":
		child(t, t.Name(), "SWIFTGO_ISA=base")
		child(t, t.Name(), "SWIFTGO_ISA=sse9")
	case "sse9":
		want := `SWIFTGO_ISA: instruction set "sse9" is not known or this CPU has it not`
		if err := Open(1); err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	default:
		if err := Open(1); err != nil || ISA() != isa {
			t.Errorf("kernels of %s, %v; want %s", ISA(), err, isa)
		}
	}
}

func TestLibraryNotesKernelBelowCPU(t *testing.T) {
	if os.Getenv("SWIFTGO_BLAS") != "openblas" {
		out := child(t, t.Name(), "SWIFTGO_BLAS=openblas", "OPENBLAS_CORETYPE=Nehalem")
		if strings.Contains(out, "--- SKIP") {
			t.Skip("needs the library, and a CPU with AVX2: ", out)
		}
		return
	}
	skipWithoutLibrary(t)
	if os.Getenv("OPENBLAS_CORETYPE") != "Nehalem" || ISA() == "base" {
		t.Skip("needs a CPU with AVX2, which has better kernels than the one asked for")
	}
	if note := Library().Note; !strings.Contains(note, "OPENBLAS_CORETYPE=Nehalem") {
		t.Errorf("note is %q, want it to name OPENBLAS_CORETYPE=Nehalem", note)
	}
}
