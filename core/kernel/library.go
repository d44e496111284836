package kernel

// #cgo CFLAGS: -O3 -Wno-psabi
// #cgo LDFLAGS: -ldl -lm
// #include <stdlib.h>
// #include "blas.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Info describes the library that matrix products run on.
type Info struct {
	Name    string // oneDNN, OpenBLAS or gonum
	Version string // of the library, with the name of its kernel for OpenBLAS; empty for gonum
	Threads int
	BF16    string // the CPU's instructions for products of bfloat16 numbers, amx or avx512_bf16, if the library uses them
	Note    string // why products are slower than they could be and what to do; empty if they are not
}

// String names the library in one line.
func (i Info) String() string {
	return fmt.Sprintf("%s, %d threads", strings.TrimSpace(i.Name+" "+i.Version), i.Threads)
}

// library is an opened library: what it is, and its product.
type library struct {
	Info
	// matMulBF16 is MatMulWeight of bfloat16 numbers; nil where the CPU or the library has no instructions for them.
	matMulBF16 func(trans bool, m, n, k int, a, w []uint16, acc bool, c []float32)
	matMul     func(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int)
}

var opened struct {
	once sync.Once
	lib  *library
	pool *Pool
	err  error
}

// Open opens the best library of the machine (oneDNN, else OpenBLAS, else pure Go) and starts the default pool, both
// with the given number of threads; 0 means one a CPU. The first call decides, and later ones return its result.
// Whatever needs the library or the pool before it was opened opens it with 0.
//
// The environment variable SWIFTGO_BLAS names one library: onednn, openblas or gonum. Open returns an error if it names
// no library, or one that is not installed. SWIFTGO_ISA names the instruction set of the row kernels in the same way:
// avx512, avx2 or base.
func Open(threads int) error {
	opened.once.Do(func() {
		if threads <= 0 {
			threads = runtime.GOMAXPROCS(0)
		}
		if isa := os.Getenv("SWIFTGO_ISA"); isa != "" {
			if opened.err = SetISA(isa); opened.err != nil {
				opened.err = fmt.Errorf("SWIFTGO_ISA: %w", opened.err)
				return
			}
		}
		opened.lib, opened.err = openLibrary(os.Getenv("SWIFTGO_BLAS"), threads)
		opened.pool = NewPool(threads)
	})
	return opened.err
}

// Library says which library matrix products run on.
func Library() Info { return current().Info }

// DefaultPool is the pool with as many goroutines as the library has threads.
func DefaultPool() *Pool {
	current()
	return opened.pool
}

func current() *library {
	if err := Open(0); err != nil {
		panic(err)
	}
	return opened.lib
}

// MatMul is C[m,n] = op(A)[m,k] · op(B)[k,n], or C += with acc. op is the transpose where the flag says so: A is then
// stored [k,m], B [n,k]. lda, ldb and ldc are the distances between rows as stored. C may not overlap A or B.
// Any goroutine may call it; the library runs one product at a time, on its own threads.
func MatMul(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
	checkMatrix("a", transA, m, k, a, lda)
	checkMatrix("b", transB, k, n, b, ldb)
	checkMatrix("c", false, m, n, c, ldc)
	if m == 0 || n == 0 {
		return
	}
	defer begin(MatMulPart).end()
	if k == 0 {
		for i := 0; i < m && !acc; i++ {
			clear(c[i*ldc:][:n])
		}
		return
	}
	current().matMul(transA, transB, m, n, k, a, lda, b, ldb, acc, c, ldc)
}

func checkMatrix(name string, trans bool, rows, cols int, x []float32, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	if rows < 0 || cols < 0 || ld < cols || rows > 0 && cols > 0 && len(x) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("kernel: MatMul: %s is stored as [%d,%d] with %d between rows, but has %d elements", name, rows, cols, ld, len(x)))
	}
}

func openLibrary(name string, threads int) (*library, error) {
	switch name {
	case "onednn":
		return openOneDNN(threads)
	case "openblas":
		return openOpenBLAS(threads)
	case "gonum":
		return pureGo(), nil
	case "":
		lib, err := openOneDNN(threads)
		if err == nil {
			return lib, nil
		}
		lib, err2 := openOpenBLAS(threads)
		if err2 == nil {
			return lib, nil
		}
		lib = pureGo()
		lib.Note = fmt.Sprintf("matrix products run in pure Go, some 40 times slower than in a library: %v; %v", err, err2)
		return lib, nil
	}
	return nil, fmt.Errorf("SWIFTGO_BLAS is %q, want onednn, openblas or gonum", name)
}

// openFirst opens the first of the files that can be opened.
func openFirst(files []string, install string, open func(path *C.char) *C.char) error {
	var tried []error
	for _, f := range files {
		path := C.CString(f)
		msg := open(path)
		C.free(unsafe.Pointer(path))
		if msg == nil {
			return nil
		}
		tried = append(tried, errors.New(C.GoString(msg)))
	}
	return fmt.Errorf("%w (install the package %s)", tried[len(tried)-1], install)
}

// maxProducts bounds the cache of prepared products: ragged token counts make many shapes.
const maxProducts = 4096

// smallProduct is the number of multiplications up to which a product is not prepared: that takes longer than a few
// such products, and with sequences of many lengths hardly one comes twice.
var smallProduct = 1 << 25

type productKey struct {
	bf16                   bool
	transA, transB, acc    bool
	m, n, k, lda, ldb, ldc int
}

func openOneDNN(threads int) (*library, error) {
	err := openFirst(oneDNNFiles(), "libdnnl3 or libdnnl2", func(path *C.char) *C.char {
		return C.onednn_open(path, C.int(threads))
	})
	if err != nil {
		return nil, fmt.Errorf("oneDNN: %w", err)
	}
	var major, minor, patch C.int
	C.onednn_version(&major, &minor, &patch)
	lib := &library{Info: Info{Name: "oneDNN", Version: fmt.Sprintf("%d.%d.%d", major, minor, patch), Threads: threads}}
	var mu sync.Mutex
	products := map[productKey]*C.product{}
	run := func(key productKey, a, b, c unsafe.Pointer) {
		p := products[key]
		if p == nil {
			if len(products) == maxProducts {
				for _, old := range products {
					C.product_free(old)
				}
				clear(products)
			}
			dtype := C.int(C.DTYPE_F32)
			if key.bf16 {
				dtype = C.DTYPE_BF16
			}
			p = C.product_new(dtype, dtype, C.DTYPE_F32, cbool(key.transA), cbool(key.transB),
				C.long(key.m), C.long(key.n), C.long(key.k), C.long(key.lda), C.long(key.ldb), C.long(key.ldc), cbool(key.acc))
			if p == nil {
				panic(fmt.Sprintf("kernel: oneDNN %s refused the product [%d,%d]·[%d,%d]", lib.Version, key.m, key.k, key.k, key.n))
			}
			products[key] = p
		}
		if C.product_run(p, a, b, c) != 0 {
			panic(fmt.Sprintf("kernel: oneDNN %s failed in the product [%d,%d]·[%d,%d]", lib.Version, key.m, key.k, key.k, key.n))
		}
	}
	lib.matMul = func(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
		if n == 1 && ldc > 1 || m == 1 && transA && lda > 1 { // oneDNN 3.7 overlooks the stride of these vectors
			goMatMul(transA, transB, m, n, k, a, lda, b, ldb, acc, c, ldc)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if m*n*k <= smallProduct {
			if C.onednn_small(cbool(transA), cbool(transB), C.long(m), C.long(n), C.long(k), cfloat(a), C.long(lda), cfloat(b), C.long(ldb), cbool(acc), cfloat(c), C.long(ldc)) != 0 {
				panic(fmt.Sprintf("kernel: oneDNN %s failed in the small product [%d,%d]·[%d,%d]", lib.Version, m, k, k, n))
			}
			return
		}
		run(productKey{false, transA, transB, acc, m, n, k, lda, ldb, ldc}, unsafe.Pointer(&a[0]), unsafe.Pointer(&b[0]), unsafe.Pointer(&c[0]))
	}
	if lib.BF16 = C.GoString(C.bf16_instructions()); lib.BF16 != "" {
		lib.matMulBF16 = func(trans bool, m, n, k int, a, w []uint16, acc bool, c []float32) {
			mu.Lock()
			defer mu.Unlock()
			ldw := n
			if trans {
				ldw = k
			}
			run(productKey{true, false, trans, acc, m, n, k, k, ldw, n}, unsafe.Pointer(&a[0]), unsafe.Pointer(&w[0]), unsafe.Pointer(&c[0]))
		}
	}
	return lib, nil
}

// oneDNNFiles are the names to try: Debian keeps the minor version of oneDNN 3 in the soname, so that one is looked up.
func oneDNNFiles() []string {
	dirs := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	dirs = append(dirs, "/usr/local/lib", "/usr/lib/"+triplet, "/usr/lib64", "/usr/lib")
	files := []string{"libdnnl.so.3"}
	for _, d := range dirs {
		found, _ := filepath.Glob(filepath.Join(d, "libdnnl.so.3*"))
		slices.Reverse(found) // newest first
		files = append(files, found...)
	}
	return append(files, "libdnnl.so.2")
}

func openOpenBLAS(threads int) (*library, error) {
	err := openFirst([]string{"libopenblas.so.0"}, "libopenblas0", func(path *C.char) *C.char {
		return C.openblas_open(path, C.int(threads))
	})
	if err != nil {
		return nil, fmt.Errorf("OpenBLAS: %w", err)
	}
	core := C.GoString(C.openblas_core())
	version := core
	if f := strings.Fields(C.GoString(C.openblas_config())); len(f) > 1 {
		version = f[1] + " " + core
	}
	lib := &library{Info: Info{Name: "OpenBLAS", Version: version, Threads: threads}}
	if v := os.Getenv("OPENBLAS_CORETYPE"); v != "" && belowCPU(core) {
		lib.Note = fmt.Sprintf("OPENBLAS_CORETYPE=%s makes OpenBLAS use kernels below what this CPU can do (%s): unset it", v, ISA())
	}
	var mu sync.Mutex
	lib.matMul = func(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
		mu.Lock()
		defer mu.Unlock()
		C.openblas_product(cbool(transA), cbool(transB), C.long(m), C.long(n), C.long(k),
			cfloat(a), C.long(lda), cfloat(b), C.long(ldb), cbool(acc), cfloat(c), C.long(ldc))
	}
	return lib, nil
}

// belowCPU tells whether an OpenBLAS kernel is for a narrower instruction set than the row kernels run on.
func belowCPU(core string) bool {
	avx512 := []string{"SkylakeX", "Cooperlake", "SapphireRapids"}
	avx2 := []string{"Haswell", "Zen", "Excavator"}
	switch ISA() {
	case "avx512":
		return !slices.Contains(avx512, core)
	case "avx2":
		return !slices.Contains(avx512, core) && !slices.Contains(avx2, core)
	}
	return false
}

func pureGo() *library {
	return &library{Info: Info{Name: "gonum", Threads: runtime.GOMAXPROCS(0)}, matMul: goMatMul}
}

// goMatMul is gonum's product, which divides large ones among GOMAXPROCS goroutines by itself.
func goMatMul(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
	op := map[bool]blas.Transpose{false: blas.NoTrans, true: blas.Trans}
	var beta float32
	if acc {
		beta = 1
	}
	gonum.Implementation{}.Sgemm(op[transA], op[transB], m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
}

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func cfloat(x []float32) *C.float { return (*C.float)(unsafe.SliceData(x)) }
