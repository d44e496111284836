// The kernels in C. impl.h is compiled once for each instruction set; table.c chooses one at start.
// n, h, t and the like are numbers of rows, columns, tokens; ld is the distance between rows.
#ifndef SWIFTGO_TABLE_H
#define SWIFTGO_TABLE_H
#include <stdint.h>

// X(name, parameters, arguments)
#define KERNELS(X) \
	X(add, (long n, const float *a, const float *b, float *y), (n, a, b, y)) \
	X(axpy, (long n, float s, const float *x, float *y), (n, s, x, y)) \
	X(scale, (long n, float s, float *x), (n, s, x)) \
	X(dropout, (long n, uint32_t lo, uint32_t hi, uint32_t limit, float s, int acc, const float *x, float *y), (n, lo, hi, limit, s, acc, x, y)) \
	X(sum_squares, (long n, const float *x, double *sum), (n, x, sum)) \
	X(mul_rows, (long n, long d, const float *x, const float *v, float *y), (n, d, x, v, y)) \
	X(add_rows, (long n, long d, const float *v, float *y), (n, d, v, y)) \
	X(sum_rows, (long n, long d, const float *x, long ldx, float *y), (n, d, x, ldx, y)) \
	X(from_bf16, (long n, const uint16_t *x, float *y), (n, x, y)) \
	X(to_bf16, (long n, const float *x, uint16_t *y), (n, x, y)) \
	X(from_f16, (long n, const uint16_t *x, float *y), (n, x, y)) \
	X(to_f16, (long n, const float *x, uint16_t *y), (n, x, y)) \
	X(adamw, (long n, float *p, const float *g, float *m, float *v, const float *c), (n, p, g, m, v, c)) \
	X(rmsnorm, (long n, long h, const float *x, const float *w, float eps, float *y, float *rstd), (n, h, x, w, eps, y, rstd)) \
	X(rmsnorm_backward, (long n, long h, const float *x, const float *w, const float *rstd, const float *dy, int acc, float *dx, float *dw), (n, h, x, w, rstd, dy, acc, dx, dw)) \
	X(few_rows, (long m, long n, long k, const float *a, const float *w, int acc, float *c, long ldc), (m, n, k, a, w, acc, c, ldc)) \
	X(few_rows_bf16, (long m, long n, long k, const float *a, const uint16_t *w, int acc, float *c, long ldc), (m, n, k, a, w, acc, c, ldc)) \
	X(rope, (long n, long heads, long hd, float *x, long ldx, const float *cs, const int32_t *pos, float sign), (n, heads, hd, x, ldx, cs, pos, sign)) \
	X(swiglu, (long n, const float *g, const float *u, float *y), (n, g, u, y)) \
	X(swiglu_backward, (long n, const float *g, const float *u, const float *dy, float *dg, float *du), (n, g, u, dy, dg, du)) \
	X(loss_block, (long n, long nb, long v0, const int32_t *label, float *l, float *m, float *s, float *tl, int32_t *best, long h, float *acc), (n, nb, v0, label, l, m, s, tl, best, h, acc)) \
	X(loss_end, (long n, long h, const float *e, const float *m, const float *s, const float *tl, float *loss, float *lse, float *acc), (n, h, e, m, s, tl, loss, lse, acc)) \
	X(loss_weight, (long n, long nb, long v0, const int32_t *label, const float *lse, const float *dloss, float *l), (n, nb, v0, label, lse, dloss, l)) \
	X(pack_rows, (long t, long d, long dp, float s, const float *x, long ldx, float *y), (t, d, dp, s, x, ldx, y)) \
	X(pack_columns, (long t, long d, const float *x, long ldx, float *y), (t, d, x, ldx, y)) \
	X(attention, (long i0, long nq, long hd, long hp, const float *q, long ldq, const float *kt, const float *v, float *o, long ldo, float *lse, float *tmp), (i0, nq, hd, hp, q, ldq, kt, v, o, ldo, lse, tmp)) \
	X(attention_backward, (long t, long hd, long hp, const float *q, const float *o, const float *dy, long ld, const float *kt, const float *vt, const float *k, const float *lse, float *dq, float *dk, float *dv, float *tmp), (t, hd, hp, q, o, dy, ld, kt, vt, k, lse, dq, dk, dv, tmp)) \
	X(attention_merge, (long t, long hd, long hp, long group, long stride, const float *x, float *y, long ldy), (t, hd, hp, group, stride, x, y, ldy)) \
	X(attention_one, (long t, long hd, const float *q, const float *k, const float *v, long ld, float *o, float *tmp), (t, hd, q, k, v, ld, o, tmp))

#define FIELD(name, params, args) void(*name) params;
typedef struct { KERNELS(FIELD) const char *isa; } kernel_table;
#undef FIELD
extern const kernel_table kernels_avx512, kernels_avx2, kernels_base;
extern const kernel_table *kernels;

// choose_isa takes the named table, or the best with ""; false if there is none of that name or this CPU cannot run it.
int choose_isa(const char *name);

#define WRAP(name, params, args) static inline void k_##name params { kernels->name args; }
KERNELS(WRAP)
#undef WRAP
#endif
