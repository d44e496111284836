// Products with few rows, where reading the weight takes the time. Included by impl.h.

// LANES elements of a weight, of bfloat16 numbers if half. gcc 12 makes five instructions of a conversion of vectors where
// there is one.
INLINE vf weight(const int half, const void *w, long i) {
	if (!half) return LD((const float *)w + i);
	const uint16_t *h = (const uint16_t *)w + i;
#if LANES == 16
	return (vf)((vi)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)h)) << 16);
#elif LANES == 8
	return (vf)((vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)h)) << 16);
#else
	typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
	return (vf)(__builtin_convertvector(*(const halves *)h, vi) << 16);
#endif
}

INLINE float weight_one(const int half, const void *w, long i) {
	return half ? as_float((uint32_t)((const uint16_t *)w)[i] << 16) : ((const float *)w)[i];
}

// c[na, nw] (+)= a[na,k] · w[nw,k]ᵀ. Every element is added up in the same order, whatever na and nw are. The rows of w that
// follow are asked for meanwhile: they are too short for the CPU to find out by itself.
INLINE void dots(const int half, const int na, const int nw, long k, const float *a, const void *w, int acc, float *c, long ldc) {
	const long size = half ? 2 : 4, line = 64;
	const char *next = (const char *)w + nw * k * size;
	vf s[4][4] = {};
	long j = 0;
	for (; j + LANES <= k; j += LANES) {
		vf x[4];
		UNROLL for (long i = 0; i < nw * LANES * size; i += line) __builtin_prefetch(next + j * nw * size + i);
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

// nw rows of a weight, read from memory once, with all rows of a. As many sums as there are vectors to keep them in.
INLINE void some_dots(const int half, const int nw, long m, long k, const float *a, const void *w, int acc, float *c, long ldc) {
	const long row = k * (half ? 2 : 4);
	long i = 0;
	for (; i + 4 <= m; i += 4)
		UNROLL for (int f = 0; f < nw; f += 2) dots(half, 4, nw < 2 ? 1 : 2, k, a + i * k, (const char *)w + f * row, acc, c + i * ldc + f, ldc);
	if (m - i == 3) dots(half, 3, nw, k, a + i * k, w, acc, c + i * ldc, ldc);
	else if (m - i == 2) dots(half, 2, nw, k, a + i * k, w, acc, c + i * ldc, ldc);
	else if (m - i == 1) dots(half, 1, nw, k, a + i * k, w, acc, c + i * ldc, ldc);
}

INLINE void all_dots(const int half, long m, long n, long k, const float *a, const void *w, int acc, float *c, long ldc) {
	const long row = k * (half ? 2 : 4);
	const char *p = w;
	long r = 0;
	for (; r + 4 <= n; r += 4, p += 4 * row) some_dots(half, 4, m, k, a, p, acc, c + r, ldc);
	for (; r < n; r++, p += row) some_dots(half, 1, m, k, a, p, acc, c + r, ldc);
}

static void few_rows(long m, long n, long k, const float *a, const float *w, int acc, float *c, long ldc) { all_dots(0, m, n, k, a, w, acc, c, ldc); }
static void few_rows_bf16(long m, long n, long k, const float *a, const uint16_t *w, int acc, float *c, long ldc) { all_dots(1, m, n, k, a, w, acc, c, ldc); }
