package kernel

// #include <stdlib.h>
// #include "table.h"
// static const char *isa(void) { return kernels->isa; }
import "C"

import (
	"fmt"
	"unsafe"
)

func init() {
	if err := SetISA(""); err != nil {
		panic(err)
	}
}

// ISA is the instruction set that the row kernels run on: avx512, avx2 or base.
func ISA() string { return C.GoString(C.isa()) }

// SetISA makes the row kernels run on another instruction set, or on the best of the CPU with "". It is for tests, and
// no kernel may be running.
func SetISA(name string) error {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	if C.choose_isa(s) == 0 {
		return fmt.Errorf("instruction set %q is not known or this CPU has it not", name)
	}
	return nil
}
