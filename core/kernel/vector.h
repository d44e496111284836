// Vectors of LANES floats, and the functions on them that all kernels share. The including file says LANES.
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define LD(p) (*(const vf *)(p))
#define ST(p, x) (*(vf *)(p) = (x))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

// The first k of a vector's lanes, in memory; the others are read as 0.
INLINE vf load_some(const float *p, long k) { vf v = {}; memcpy(&v, p, k * 4); return v; }
INLINE void store_some(float *p, vf v, long k) { memcpy(p, &v, k * 4); }

INLINE vf all(float x) { vf z = {}; return z + x; }
INLINE vf pick(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
INLINE vf larger(vf a, vf b) { return pick(a > b, a, b); }  // b where a is NaN

// A loop with sqrtf in it stays scalar: no pragma takes the setting of errno from it.
INLINE vf sqrt_all(vf a) {
#if LANES == 16
	return (vf)_mm512_sqrt_ps((__m512)a);
#elif LANES == 8
	return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined(__x86_64__)
	return (vf)_mm_sqrt_ps((__m128)a);
#else
	for (int i = 0; i < LANES; i++) a[i] = sqrtf(a[i]);
	return a;
#endif
}

INLINE float sum_lanes(vf a) {
	float s[LANES];
	ST(s, a);
	UNROLL for (int w = LANES / 2; w; w /= 2) UNROLL for (int i = 0; i < w; i++) s[i] += s[i + w];
	return s[0];
}

INLINE float max_lanes(vf a) {
	float s[LANES];
	ST(s, a);
	UNROLL for (int w = LANES / 2; w; w /= 2) UNROLL for (int i = 0; i < w; i++) s[i] = s[i] > s[i + w] ? s[i] : s[i + w];
	return s[0];
}

// exp_all is e^x, wrong in the last bit or two; 0 below -87.7, e^88 above 88, NaN for NaN: compares and masks let it
// through, where fmin, fmax and finite-math-only would not. x = n ln 2 + r, |r| <= ln 2 / 2, Cephes' polynomial in r.
INLINE vf exp_all(vf x) {
	x = pick(x < -88.f, all(-88.f), x);
	x = pick(x > 88.f, all(88.f), x);
	vf t = x * 1.44269504f;
	vi n = __builtin_convertvector(t + pick(t < 0.f, all(-.5f), all(.5f)), vi);
	vf f = __builtin_convertvector(n, vf);
	vf r = x - f * 0.693359375f + f * 2.12194440e-4f;  // ln 2 in two parts
	vf p = all(1.9875691500e-4f);
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.f;
	return p * (vf)((n + 127) << 23);
}

INLINE float exp_one(float x) { return exp_all(all(x))[0]; }

INLINE float dot(long n, const float *a, const float *b) {
	vf s0 = {}, s1 = {}, s2 = {}, s3 = {};
	long j = 0;
	for (; j + 4 * LANES <= n; j += 4 * LANES) {
		s0 += LD(a + j) * LD(b + j);
		s1 += LD(a + j + LANES) * LD(b + j + LANES);
		s2 += LD(a + j + 2 * LANES) * LD(b + j + 2 * LANES);
		s3 += LD(a + j + 3 * LANES) * LD(b + j + 3 * LANES);
	}
	for (; j + LANES <= n; j += LANES) s0 += LD(a + j) * LD(b + j);
	float s = sum_lanes((s0 + s1) + (s2 + s3));
	for (; j < n; j++) s += a[j] * b[j];
	return s;
}
