#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#define ISA "base"
#define TABLE kernels_base
#define LANES 4
#define TILE 2
#include "impl.h"
