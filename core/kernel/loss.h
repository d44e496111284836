// Cross entropy over blocks of the vocabulary: attention, with a token's hidden state for query and the rows of the
// output projection for keys and values. Included by impl.h.

// One block of nb words from v0. l [n,nb] are its logits and become exp(l-m). m is the running maximum of each token, s
// the running sum of exp, tl the label's logit, best (or NULL) the word of the maximum, acc [n,h] (or NULL) the running
// sum of exp · weights, of which this rescales what was there; the caller adds l times the block's weights.
static void loss_block(long n, long nb, long v0, const int32_t *label, float *l, float *m, float *s, float *tl, int32_t *best, long h, float *acc) {
	for (long i = 0; i < n; i++, l += nb) {
		if (label[i] >= v0 && label[i] < v0 + nb) tl[i] = l[label[i] - v0];
		vf vm = all(m[i]), vs = {};
		long j = 0;
		for (; j + LANES <= nb; j += LANES) vm = larger(LD(l + j), vm);
		float mx = max_lanes(vm);
		for (; j < nb; j++) mx = l[j] > mx ? l[j] : mx;
		if (mx > m[i]) {
			float c = exp_one(m[i] - mx);
			if (acc) for (j = 0; j < h; j++) acc[i * h + j] *= c;
			s[i] *= c;
			m[i] = mx;
			if (best) {
				for (j = 0; l[j] != mx; j++) {}
				best[i] = v0 + j;
			}
		}
		for (j = 0; j + LANES <= nb; j += LANES) {
			vf e = exp_all(LD(l + j) - mx);
			vs += e;
			ST(l + j, e);
		}
		float sum = 0;
		for (; j < nb; j++) sum += l[j] = exp_one(l[j] - mx);
		s[i] += sum + sum_lanes(vs);
	}
}

// loss = log of the sum of exp - the label's logit; acc (or NULL) becomes its gradient to the hidden state; e [n,h] are
// the label's weights.
static void loss_end(long n, long h, const float *e, const float *m, const float *s, const float *tl, float *loss, float *lse, float *acc) {
	for (long i = 0; i < n; i++) {
		float log_s = logf(s[i]), r = 1.f / s[i];
		lse[i] = m[i] + log_s;
		loss[i] = (m[i] - tl[i]) + log_s;
		if (!acc) continue;
		for (long j = 0; j < h; j++) acc[i * h + j] = acc[i * h + j] * r - e[i * h + j];
	}
}

// l [n,nb], logits of the block from v0, become the gradient of the sum of dloss · loss to them.
static void loss_weight(long n, long nb, long v0, const int32_t *label, const float *lse, const float *dloss, float *l) {
	for (long i = 0; i < n; i++, l += nb) {
		float z = lse[i], d = dloss[i];
		long j = 0;
		for (; j + LANES <= nb; j += LANES) ST(l + j, exp_all(LD(l + j) - z) * d);
		for (; j < nb; j++) l[j] = exp_one(l[j] - z) * d;
		if (label[i] >= v0 && label[i] < v0 + nb) l[label[i] - v0] -= d;
	}
}
