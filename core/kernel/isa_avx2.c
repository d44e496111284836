#if defined(__x86_64__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#pragma GCC target("avx2,fma")
#define ISA "avx2"
#define TABLE kernels_avx2
#define LANES 8
#define TILE 2
#include "impl.h"
#endif
