#include "table.h"
#include <string.h>

const kernel_table *kernels = &kernels_base;

int choose_isa(const char *name) {
	const kernel_table *usable[3];
	int n = 0;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		usable[n++] = &kernels_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) usable[n++] = &kernels_avx2;
#endif
	usable[n++] = &kernels_base;
	for (int i = 0; i < n; i++)
		if (!*name || !strcmp(usable[i]->isa, name)) {
			kernels = usable[i];
			return 1;
		}
	return 0;
}
