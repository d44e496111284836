// Products with few rows, where reading the weight takes the time. Included by impl.h.

// LANES elements of a weight, of bfloat16 numbers if half.
INLINE vf weight(const int half, const void *w, long i) {
	typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
	if (!half) return LD((const float *)w + i);
	return (vf)(__builtin_convertvector(*(const halves *)((const uint16_t *)w + i), vi) << 16);
}

INLINE float weight_one(const int half, const void *w, long i) {
	return half ? as_float((uint32_t)((const uint16_t *)w)[i] << 16) : ((const float *)w)[i];
}

// c[na, nw] (+)= a[na,k] · w[nw,k]ᵀ. Every element is added up in the same order, whatever na and nw are.
INLINE void dots(const int half, const int na, const int nw, long k, const float *a, const void *w, int acc, float *c, long ldc) {
	vf s[4][4] = {};
	long j = 0;
	for (; j + LANES <= k; j += LANES) {
		vf x[4];
		UNROLL for (int e = 0; e < na; e++) x[e] = LD(a + e * k + j);
		UNROLL for (int f = 0; f < nw; f++) {
			vf y = weight(half, w, f * k + j);
			UNROLL for (int e = 0; e < na; e++) s[e][f] += x[e] * y;
		}
	}
	UNROLL for (int e = 0; e < na; e++) UNROLL for (int f = 0; f < nw; f++) {
		float sum = sum_lanes(s[e][f]);
		for (long i = j; i < k; i++) sum += a[e * k + i] * weight_one(half, w, f * k + i);
		c[e * ldc + f] = acc ? c[e * ldc + f] + sum : sum;
	}
}

// A weight's rows are read from memory once, for all rows of a.
INLINE void some_dots(const int half, const int nw, long m, long k, const float *a, const void *w, int acc, float *c, long ldc) {
	long i = 0;
	for (; i + 4 <= m; i += 4) dots(half, 4, nw, k, a + i * k, w, acc, c + i * ldc, ldc);
	for (; i < m; i++) dots(half, 1, nw, k, a + i * k, w, acc, c + i * ldc, ldc);
}

INLINE void all_dots(const int half, long m, long n, long k, const float *a, const void *w, int acc, float *c, long ldc) {
	const long row = k * (half ? 2 : 4);
	const char *p = w;
	long r = 0;
	for (; r + 2 <= n; r += 2, p += 2 * row) some_dots(half, 2, m, k, a, p, acc, c + r, ldc);
	if (r < n) some_dots(half, 1, m, k, a, p, acc, c + r, ldc);
}

static void few_rows(long m, long n, long k, const float *a, const float *w, int acc, float *c, long ldc) { all_dots(0, m, n, k, a, w, acc, c, ldc); }
static void few_rows_bf16(long m, long n, long k, const float *a, const uint16_t *w, int acc, float *c, long ldc) { all_dots(1, m, n, k, a, w, acc, c, ldc); }
