#if defined(__x86_64__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#define ISA "avx512"
#define TABLE kernels_avx512
#define LANES 16
#define TILE 4
#include "impl.h"
#endif
