// The kernels, for the instruction set that the including file chose. Sums go along vectors of LANES and are added up
// in a fixed order; loops without a sum are left to the compiler.
#include "table.h"
#include "vector.h"
#include "attention.h"
#include "loss.h"

// y may be a or b.
static void add(long n, const float *a, const float *b, float *y) { for (long i = 0; i < n; i++) y[i] = a[i] + b[i]; }
static void axpy(long n, float s, const float *x, float *y) { for (long i = 0; i < n; i++) y[i] += s * x[i]; }
static void scale(long n, float s, float *x) { for (long i = 0; i < n; i++) x[i] *= s; }

// Element i is dropped where a hash of lo + i and hi is below the limit.
static void dropout(long n, uint32_t lo, uint32_t hi, uint32_t limit, float s, int acc, const float *restrict x, float *restrict y) {
	for (long i = 0; i < n; i++) {
		uint32_t h = lo + (uint32_t)i;
		h = (h ^ h >> 16) * 0x21f0aaad;
		h = (h ^ h >> 15) * 0x735a2d97;
		h = (h ^ h >> 15) ^ hi;
		h = (h ^ h >> 16) * 0x21f0aaad;
		h = (h ^ h >> 15) * 0x735a2d97;
		h = h ^ h >> 15;
		float d = x[i] * (h < limit ? 0.f : s);
		y[i] = acc ? y[i] + d : d;
	}
}

static void sum_squares(long n, const float *x, double *sum) {
	typedef double vd __attribute__((vector_size(4 * LANES)));
	typedef float half __attribute__((vector_size(2 * LANES), aligned(4), may_alias));
	vd s0 = {}, s1 = {};
	long i = 0;
	for (; i + LANES <= n; i += LANES) {
		vd a = __builtin_convertvector(*(const half *)(x + i), vd), b = __builtin_convertvector(*(const half *)(x + i + LANES / 2), vd);
		s0 += a * a;
		s1 += b * b;
	}
	double s = 0;
	s0 += s1;
	for (int e = 0; e < LANES / 2; e++) s += s0[e];
	for (; i < n; i++) s += (double)x[i] * x[i];
	*sum = s;
}

static void mul_rows(long n, long d, const float *x, const float *v, float *y) {
	for (long i = 0; i < n; i++, x += d, y += d)
		for (long j = 0; j < d; j++) y[j] = x[j] * v[j];
}

static void add_rows(long n, long d, const float *v, float *y) {
	for (long i = 0; i < n; i++, y += d)
		for (long j = 0; j < d; j++) y[j] += v[j];
}

// y[d] += the sum of the rows of x.
static void sum_rows(long n, long d, const float *x, long ldx, float *y) {
	for (long i = 0; i < n; i++, x += ldx)
		for (long j = 0; j < d; j++) y[j] += x[j];
}

typedef uint32_t bits __attribute__((may_alias));  // of a float
INLINE uint32_t as_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
INLINE float as_float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

#include "few.h"

static void from_bf16(long n, const uint16_t *restrict x, float *restrict y) {
	bits *restrict u = (bits *)y;
	for (long i = 0; i < n; i++) u[i] = (uint32_t)x[i] << 16;
}

// To the nearest, ties to even; a NaN stays one.
static void to_bf16(long n, const float *restrict x, uint16_t *restrict y) {
	const bits *restrict u = (const bits *)x;
	for (long i = 0; i < n; i++) {
		uint32_t a = u[i], r = (a + 0x7fff + ((a >> 16) & 1)) >> 16, q = a >> 16 | 0x40;
		y[i] = (a & 0x7fffffff) > 0x7f800000 ? q : r;
	}
}

static void from_f16(long n, const uint16_t *restrict x, float *restrict y) {
	bits *restrict u = (bits *)y;
	for (long i = 0; i < n; i++) {
		uint32_t h = x[i], sign = (h & 0x8000) << 16, a = (h & 0x7fff) << 13;
		uint32_t finite = as_bits(as_float(a) * 0x1p112f);  // moves the bias of the exponent; subnormal numbers become normal
		uint32_t special = a | 0x7f800000;                  // infinity and NaN
		u[i] = sign | ((h & 0x7c00) == 0x7c00 ? special : finite);
	}
}

// To the nearest, ties to even; too large becomes infinity, a NaN stays one.
INLINE vi half_bits(vf x) {
	vi u = (vi)x, a = u & 0x7fffffff;
	vi normal = (a - (112 << 23) + 0xfff + ((a >> 13) & 1)) >> 13;
	// The last bit of 0.5 is 2^-24, as that of a subnormal half: the sum is rounded right.
	vi subnormal = (vi)((vf)a + 0.5f) - (vi)all(0.5f), zero = {};
	vi r = (vi)pick(a < 0x38800000, (vf)subnormal, (vf)normal);
	r = (vi)pick(a >= 0x477ff000, (vf)(zero + 0x7c00), (vf)r);
	r = (vi)pick(a > 0x7f800000, (vf)(zero + 0x7e00), (vf)r);
	return r | ((u >> 16) & 0x8000);
}

static void to_f16(long n, const float *restrict x, uint16_t *restrict y) {
	typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
	long i = 0;
	for (; i + LANES <= n; i += LANES) *(halves *)(y + i) = __builtin_convertvector(half_bits(LD(x + i)), halves);
	for (; i < n; i++) y[i] = half_bits(all(x[i]))[0];
}

// c: gradient scale, 1 - lr wd, beta1, 1 - beta1, beta2, 1 - beta2, lr / correction1, 1 / sqrt(correction2), eps.
static void adamw(long n, float *restrict p, const float *restrict g, float *restrict m, float *restrict v, const float *c) {
	float gs = c[0], decay = c[1], b1 = c[2], a1 = c[3], b2 = c[4], a2 = c[5], lr = c[6], rc2 = c[7], eps = c[8];
	long i = 0;
	for (; i + LANES <= n; i += LANES) {
		vf d = LD(g + i) * gs, mi = b1 * LD(m + i) + a1 * d, vi = b2 * LD(v + i) + a2 * d * d;
		ST(m + i, mi);
		ST(v + i, vi);
		ST(p + i, LD(p + i) * decay - lr * mi / (sqrt_all(vi) * rc2 + eps));
	}
	for (; i < n; i++) {
		float d = g[i] * gs;
		m[i] = b1 * m[i] + a1 * d;
		v[i] = b2 * v[i] + a2 * d * d;
		p[i] = p[i] * decay - lr * m[i] / (sqrtf(v[i]) * rc2 + eps);
	}
}

static void rmsnorm(long n, long h, const float *x, const float *w, float eps, float *y, float *rstd) {
	for (long i = 0; i < n; i++, x += h, y += h) {
		float r = rstd[i] = 1.f / sqrtf(dot(h, x, x) / h + eps);
		for (long j = 0; j < h; j++) y[j] = x[j] * r * w[j];
	}
}

// dw may be NULL; it is added to.
static void rmsnorm_backward(long n, long h, const float *x, const float *w, const float *rstd, const float *dy, int acc, float *dx, float *dw) {
	for (long i = 0; i < n; i++, x += h, dy += h, dx += h) {
		float r = rstd[i], s = 0;
		vf vs = {};
		long j = 0;
		for (; j + LANES <= h; j += LANES) vs += LD(dy + j) * LD(w + j) * LD(x + j);
		for (; j < h; j++) s += dy[j] * w[j] * x[j];
		s = (s + sum_lanes(vs)) * r * r * r / h;
		if (acc) for (j = 0; j < h; j++) dx[j] += dy[j] * w[j] * r - x[j] * s;
		else for (j = 0; j < h; j++) dx[j] = dy[j] * w[j] * r - x[j] * s;
		if (dw) for (j = 0; j < h; j++) dw[j] += dy[j] * x[j] * r;
	}
}

// cs has a row for each position: hd/2 cosines, then hd/2 sines.
static void rope(long n, long heads, long hd, float *x, long ldx, const float *cs, const int32_t *pos, float sign) {
	long half = hd / 2;
	for (long i = 0; i < n; i++, x += ldx) {
		const float *c = cs + pos[i] * hd, *s = c + half;
		for (long k = 0; k < heads; k++) {
			float *a = x + k * hd, *b = a + half;
			long j = 0;
			for (; j + LANES <= half; j += LANES) {
				vf u = LD(a + j), v = LD(b + j), co = LD(c + j), si = LD(s + j) * sign;
				ST(a + j, u * co - v * si);
				ST(b + j, v * co + u * si);
			}
			for (; j < half; j++) {
				float u = a[j], v = b[j], si = s[j] * sign;
				a[j] = u * c[j] - v * si;
				b[j] = v * c[j] + u * si;
			}
		}
	}
}

INLINE vf sigmoid(vf x) { return 1.f / (1.f + exp_all(-x)); }

static void swiglu(long n, const float *g, const float *u, float *y) {
	long i = 0;
	for (; i + LANES <= n; i += LANES) { vf x = LD(g + i); ST(y + i, x * sigmoid(x) * LD(u + i)); }
	if (i < n) { vf x = load_some(g + i, n - i); store_some(y + i, x * sigmoid(x) * load_some(u + i, n - i), n - i); }
}

INLINE vf dsilu(vf x, vf s) { return s + x * s * (1.f - s); }

static void swiglu_backward(long n, const float *g, const float *u, const float *dy, float *dg, float *du) {
	long i = 0;
	for (; i + LANES <= n; i += LANES) {
		vf x = LD(g + i), y = LD(u + i), d = LD(dy + i), s = sigmoid(x);
		ST(dg + i, d * y * dsilu(x, s));
		ST(du + i, d * x * s);
	}
	if (i < n) {
		long k = n - i;
		vf x = load_some(g + i, k), y = load_some(u + i, k), d = load_some(dy + i, k), s = sigmoid(x);
		store_some(dg + i, d * y * dsilu(x, s), k);
		store_some(du + i, d * x * s, k);
	}
}

#define ENTRY(name, params, args) name,
const kernel_table TABLE = {KERNELS(ENTRY) ISA};
