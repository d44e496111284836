// Attention on blocks of 64 queries and 64 keys. Inputs are packed first: rows of hp floats, hd of them used and the
// others 0; a sequence has its length rounded up to 16 rows. Rows past its end hold anything, and only results that nobody
// reads depend on them. Included by impl.h.

enum { BLOCK = 64, PAD = 16 };

INLINE long round_up(long n, long to) { return (n + to - 1) / to * to; }
INLINE long least(long a, long b) { return a < b ? a : b; }

// C[4, nv vectors] (+)= A B. Element (i,k) of A is at a[i*sm + k*sk].
INLINE void tile(const int nv, long kk, const float *a, long sm, long sk, const float *b, long ldb, float *c, long ldc, int acc) {
	vf z = {}, s[4][TILE];
	UNROLL for (int e = 0; e < 4; e++) UNROLL for (int f = 0; f < nv; f++) s[e][f] = acc ? LD(c + e * ldc + LANES * f) : z;
	for (long k = 0; k < kk; k++) {
		const float *p = a + k * sk, *w = b + k * ldb;
		vf r[TILE];
		UNROLL for (int f = 0; f < nv; f++) r[f] = LD(w + LANES * f);
		UNROLL for (int e = 0; e < 4; e++) UNROLL for (int f = 0; f < nv; f++) s[e][f] += r[f] * p[e * sm];
	}
	UNROLL for (int e = 0; e < 4; e++) UNROLL for (int f = 0; f < nv; f++) ST(c + e * ldc + LANES * f, s[e][f]);
}

// C[m,n] (+)= A B, for m a multiple of 4 and n of PAD.
static void multiply(long m, long n, long kk, const float *a, long sm, long sk, const float *b, long ldb, float *c, long ldc, int acc) {
	for (long j = 0; j < n;) {
		long left = (n - j) / LANES;
		int nv = left >= TILE ? TILE : left >= 2 ? 2 : 1;
		for (long i = 0; i < m; i += 4) {
			const float *p = a + i * sm;
			float *y = c + i * ldc + j;
			if (nv == TILE) tile(TILE, kk, p, sm, sk, b + j, ldb, y, ldc, acc);
			else if (nv == 2) tile(2, kk, p, sm, sk, b + j, ldb, y, ldc, acc);
			else tile(1, kk, p, sm, sk, b + j, ldb, y, ldc, acc);
		}
		j += nv * LANES;
	}
}

// y [t rounded up, dp] = s · x [t,d]. The rows from t on keep what they had.
static void pack_rows(long t, long d, long dp, float s, const float *x, long ldx, float *y) {
	for (long i = 0; i < t; i++, x += ldx, y += dp) {
		for (long j = 0; j < d; j++) y[j] = x[j] * s;
		for (long j = d; j < dp; j++) y[j] = 0;
	}
}

// x [t,d] in blocks of 64 rows, each transposed to [d, rows rounded up]: with t between the rows of the whole transpose,
// most often a power of two, they would fall into the same lines of the cache.
static void pack_columns(long t, long d, const float *x, long ldx, float *y) {
	for (long b = 0; b < t; b += BLOCK, x += BLOCK * ldx) {
		long n = least(BLOCK, t - b), w = round_up(n, PAD);
		for (long i = 0; i < w; i += PAD)
			for (long j = 0; j < d; j++)
				for (long e = i; e < i + PAD; e++) y[j * w + e] = e < n ? x[e * ldx + j] : 0;
		y += d * w;
	}
}

// nq queries from i0 of a sequence, for one head. q, o: at query i0; kt, v: packed, at the start of the sequence.
// tmp: BLOCK * (hd + BLOCK + hp) floats.
static void attention(long i0, long nq, long hd, long hp, const float *q, long ldq, const float *kt, const float *v, float *o, long ldo, float *lse, float *tmp) {
	float *qs = tmp, *p = qs + BLOCK * hd, *acc = p + BLOCK * BLOCK, m[BLOCK], s[BLOCK], sc = 1.f / sqrtf(hd);
	long mq = round_up(nq, 4);
	for (long i = 0; i < nq; i++)
		for (long j = 0; j < hd; j++) qs[i * hd + j] = q[i * ldq + j] * sc;
	memset(acc, 0, mq * hp * 4);
	for (long i = 0; i < nq; i++) m[i] = -INFINITY, s[i] = 0;
	for (long j0 = 0; j0 <= i0; j0 += BLOCK) {
		long nk = j0 < i0 ? BLOCK : nq, w = round_up(nk, PAD);
		multiply(mq, w, hd, qs, hd, 1, kt + j0 * hd, w, p, BLOCK, 0);
		for (long i = 0; i < nq; i++) {
			float *r = p + i * BLOCK;
			if (j0 == i0) for (long j = i + 1; j < w; j++) r[j] = -INFINITY;
			vf vm = LD(r), vs = {};
			for (long j = LANES; j < w; j += LANES) vm = larger(LD(r + j), vm);
			float mx = max_lanes(vm);
			if (mx > m[i]) {
				float c = exp_one(m[i] - mx);
				for (long j = 0; j < hp; j++) acc[i * hp + j] *= c;
				s[i] *= c;
				m[i] = mx;
			}
			mx = m[i];
			for (long j = 0; j < w; j += LANES) {
				vf e = exp_all(LD(r + j) - mx);
				vs += e;
				ST(r + j, e);
			}
			s[i] += sum_lanes(vs);
		}
		multiply(mq, hp, nk, p, BLOCK, 1, v + j0 * hp, hp, acc, hp, 1);
	}
	for (long i = 0; i < nq; i++) {
		float r = 1.f / s[i];
		for (long j = 0; j < hd; j++) o[i * ldo + j] = acc[i * hp + j] * r;
		lse[i] = m[i] + logf(s[i]);
	}
}

// A whole sequence of t tokens, for one head. q, o, dy, dq: as the caller has them, ld between rows; kt, vt, k: packed;
// dk, dv: packed, written. tmp: 2 * BLOCK * BLOCK + (t rounded up) * (3 * hp + 1) floats.
static void attention_backward(long t, long hd, long hp, const float *q, const float *o, const float *dy, long ld, const float *kt, const float *vt, const float *k, const float *lse, float *dq, float *dk, float *dv, float *tmp) {
	long tp = round_up(t, PAD);
	float *p = tmp, *ds = p + BLOCK * BLOCK, *qs = ds + BLOCK * BLOCK, *dyp = qs + tp * hp, *acc = dyp + tp * hp, *dd = acc + tp * hp;
	float sc = 1.f / sqrtf(hd);
	pack_rows(t, hd, hp, sc, q, ld, qs);
	pack_rows(t, hd, hp, 1, dy, ld, dyp);
	for (long i = 0; i < t; i++) dd[i] = dot(hd, o + i * ld, dy + i * ld);
	memset(acc, 0, tp * hp * 4);
	memset(dk, 0, tp * hp * 4);
	memset(dv, 0, tp * hp * 4);
	for (long j0 = 0; j0 < t; j0 += BLOCK) {
		long nk = least(BLOCK, t - j0), w = round_up(nk, PAD);
		for (long i0 = j0; i0 < t; i0 += BLOCK) {
			long nq = least(BLOCK, t - i0), mq = round_up(nq, 4);
			multiply(mq, w, hd, qs + i0 * hp, hp, 1, kt + j0 * hd, w, p, BLOCK, 0);
			multiply(mq, w, hd, dyp + i0 * hp, hp, 1, vt + j0 * hd, w, ds, BLOCK, 0);
			for (long i = 0; i < nq; i++) {
				float *r = p + i * BLOCK, *g = ds + i * BLOCK, l = lse[i0 + i], d = dd[i0 + i];
				for (long j = 0; j < w; j += LANES) {
					vf e = exp_all(LD(r + j) - l);
					ST(r + j, e);
					ST(g + j, e * (LD(g + j) - d));
				}
				if (j0 == i0) for (long j = i + 1; j < w; j++) r[j] = g[j] = 0;
			}
			multiply(w, hp, nq, p, 1, BLOCK, dyp + i0 * hp, hp, dv + j0 * hp, hp, 1);
			multiply(w, hp, nq, ds, 1, BLOCK, qs + i0 * hp, hp, dk + j0 * hp, hp, 1);
			multiply(mq, hp, nk, ds, BLOCK, 1, k + j0 * hp, hp, acc + i0 * hp, hp, 1);
		}
	}
	for (long i = 0; i < t; i++)
		for (long j = 0; j < hd; j++) dq[i * ld + j] = acc[i * hp + j] * sc;
}

// y [t,hd] = the sum over the heads of a group of x [t,hp], stride apart.
static void attention_merge(long t, long hd, long hp, long group, long stride, const float *x, float *y, long ldy) {
	for (long i = 0; i < t; i++, x += hp, y += ldy) {
		memcpy(y, x, hd * 4);
		for (long g = 1; g < group; g++)
			for (long j = 0; j < hd; j++) y[j] += x[g * stride + j];
	}
}

// One query of one head that sees t keys. tmp: t floats.
static void attention_one(long t, long hd, const float *q, const float *k, const float *v, long ld, float *o, float *tmp) {
	float sc = 1.f / sqrtf(hd), mx = -INFINITY, s = 0;
	for (long i = 0; i < t; i++) {
		tmp[i] = dot(hd, q, k + i * ld) * sc;
		mx = tmp[i] > mx ? tmp[i] : mx;
	}
	memset(o, 0, hd * 4);
	for (long i = 0; i < t; i += LANES) {
		long n = least(LANES, t - i);
		vf e = exp_all(load_some(tmp + i, n) - mx);
		store_some(tmp + i, e, n);
	}
	for (long i = 0; i < t; i++) {
		s += tmp[i];
		for (long j = 0; j < hd; j++) o[j] += tmp[i] * v[i * ld + j];
	}
	s = 1.f / s;
	for (long j = 0; j < hd; j++) o[j] *= s;
}
