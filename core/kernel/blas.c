#include "blas.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static char message[512];

// find sets *f to the address of a symbol; false, with a message, where the library has none.
static int find(void *lib, void *f, const char *name) {
	if ((*(void **)f = dlsym(lib, name))) return 1;
	snprintf(message, sizeof message, "it has no symbol %s", name);
	return 0;
}

static void *open_library(const char *path, int threads) {
	char n[16];
	snprintf(n, sizeof n, "%d", threads);
	setenv("OMP_NUM_THREADS", n, 1);  // omp_set_num_threads would hold for one OS thread only
	setenv("OPENBLAS_NUM_THREADS", n, 1);
	// Idle threads of the library must not spin on the cores that Go's want. The user's own setting wins.
	setenv("OMP_WAIT_POLICY", "passive", 0);
	setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) snprintf(message, sizeof message, "%s", dlerror());
	return lib;
}

const char *bf16_instructions(void) {
#if defined(__x86_64__)
	__builtin_cpu_init();
	unsigned a, b, c, d;
	__cpuid_count(7, 0, a, b, c, d);
	if (__builtin_cpu_supports("avx512bf16")) return d >> 22 & 1 ? "amx" : "avx512_bf16";
#endif
	return "";
}

// OpenBLAS.

static void (*cblas_sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
static void (*set_num_threads)(int);
static char *(*get_config)(void), *(*get_corename)(void);

const char *openblas_open(const char *path, int threads) {
	void *lib = open_library(path, threads);
	if (!lib) return message;
	if (!find(lib, &cblas_sgemm, "cblas_sgemm") || !find(lib, &set_num_threads, "openblas_set_num_threads") ||
	    !find(lib, &get_config, "openblas_get_config") || !find(lib, &get_corename, "openblas_get_corename"))
		return message;
	set_num_threads(threads);
	return NULL;
}

const char *openblas_config(void) { return get_config(); }
const char *openblas_core(void) { return get_corename(); }

void openblas_product(int ta, int tb, long m, long n, long k, const float *a, long lda, const float *b, long ldb, int acc,
                      float *c, long ldc) {
	enum { row_major = 101, no_trans = 111, trans = 112 };
	cblas_sgemm(row_major, ta ? trans : no_trans, tb ? trans : no_trans, m, n, k, 1, a, lda, b, ldb, acc ? 1 : 0, c, ldc);
}

// oneDNN. Its handles are pointers; status 0 is success.

typedef void *H;
typedef struct { _Alignas(64) char b[1024]; } md2;     // room for dnnl_memory_desc_t of version 2 (696 bytes)
typedef struct { _Alignas(64) char b[8192]; } opdesc2; // room for dnnl_matmul_desc_t of version 2 (2800 bytes)
typedef struct { int arg; H mem; } exec_arg;
typedef struct { int major, minor, patch; } version;

static const version *(*get_version)(void);
static int (*engine_create)(H *, int, size_t), (*stream_create)(H *, H, unsigned), (*stream_wait)(H);
static int (*md2_strides)(void *, int, const int64_t *, int, const int64_t *);
static int (*matmul2_init)(void *, const void *, const void *, const void *, const void *);
static int (*pd2_create)(H *, const void *, H, H, H);
static int (*post2_sum)(H, float);
static int (*md3_strides)(H *, int, const int64_t *, int, const int64_t *), (*md3_destroy)(H);
static int (*pd3_create)(H *, H, H, H, H, H, H);
static int (*post3_sum)(H, float, int32_t, int);
static size_t (*md_size)(const void *);
static int (*prim_create)(H *, H), (*prim_destroy)(H), (*pd_destroy)(H), (*prim_exec)(H, H, int, const exec_arg *);
static int (*attr_create)(H *), (*attr_scratchpad)(H, int), (*attr_post)(H, H), (*post_create)(H *);
static const void *(*pd_query_md)(H, int, int);
static int (*mem_create)(H *, const void *, H, void *), (*mem_set)(H, void *), (*mem_destroy)(H);
static H engine, stream, attr_plain, attr_acc;
static int (*sgemm)(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t, float, float *, int64_t);
static void *scratch;
static size_t scratch_size;

const char *onednn_open(const char *path, int threads) {
	void *lib = open_library(path, threads);
	if (!lib) return message;
	struct { void *f; const char *name; } any[] = {
		{&get_version, "dnnl_version"},
		{&engine_create, "dnnl_engine_create"},
		{&stream_create, "dnnl_stream_create"},
		{&stream_wait, "dnnl_stream_wait"},
		{&md_size, "dnnl_memory_desc_get_size"},
		{&prim_create, "dnnl_primitive_create"},
		{&prim_destroy, "dnnl_primitive_destroy"},
		{&prim_exec, "dnnl_primitive_execute"},
		{&pd_destroy, "dnnl_primitive_desc_destroy"},
		{&pd_query_md, "dnnl_primitive_desc_query_md"},
		{&attr_create, "dnnl_primitive_attr_create"},
		{&attr_scratchpad, "dnnl_primitive_attr_set_scratchpad_mode"},
		{&attr_post, "dnnl_primitive_attr_set_post_ops"},
		{&post_create, "dnnl_post_ops_create"},
		{&mem_create, "dnnl_memory_create"},
		{&mem_set, "dnnl_memory_set_data_handle"},
		{&mem_destroy, "dnnl_memory_destroy"},
		{&sgemm, "dnnl_sgemm"},
	}, two[] = {
		{&md2_strides, "dnnl_memory_desc_init_by_strides"},
		{&matmul2_init, "dnnl_matmul_desc_init"},
		{&pd2_create, "dnnl_primitive_desc_create"},
		{&post2_sum, "dnnl_post_ops_append_sum"},
	}, three[] = {
		{&md3_strides, "dnnl_memory_desc_create_with_strides"},
		{&md3_destroy, "dnnl_memory_desc_destroy"},
		{&pd3_create, "dnnl_matmul_primitive_desc_create"},
		{&post3_sum, "dnnl_post_ops_append_sum"},
	};
	for (size_t i = 0; i < sizeof any / sizeof *any; i++)
		if (!find(lib, any[i].f, any[i].name)) return message;
	int major = get_version()->major;
	if (major != 2 && major != 3) {
		snprintf(message, sizeof message, "it is version %d, want 2 or 3", major);
		return message;
	}
	for (size_t i = 0; i < sizeof two / sizeof *two; i++)
		if (major == 2 && !find(lib, two[i].f, two[i].name)) return message;
	for (size_t i = 0; i < sizeof three / sizeof *three; i++)
		if (major == 3 && !find(lib, three[i].f, three[i].name)) return message;

	enum { cpu = 1, in_order = 1, scratchpad_user = 1, undef = 0 };
	H post;
	// Scratch memory is ours, so any thread may run a primitive.
	if (engine_create(&engine, cpu, 0) || stream_create(&stream, engine, in_order) || attr_create(&attr_plain) ||
	    attr_scratchpad(attr_plain, scratchpad_user) || attr_create(&attr_acc) ||
	    attr_scratchpad(attr_acc, scratchpad_user) || post_create(&post) ||
	    (major == 2 ? post2_sum(post, 1) : post3_sum(post, 1, 0, undef)) || attr_post(attr_acc, post))
		return "it could not make an engine for the CPU";
	return NULL;
}

void onednn_version(int *major, int *minor, int *patch) {
	const version *v = get_version();
	*major = v->major, *minor = v->minor, *patch = v->patch;
}

int onednn_small(int ta, int tb, long m, long n, long k, const float *a, long lda, const float *b, long ldb, int acc, float *c, long ldc) {
	return sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, acc ? 1 : 0, c, ldc);
}

struct product { H pd, prim, a, b, c, s; size_t scratch; };

// matrix describes a matrix: in store for version 2, as a new handle for version 3.
static void *matrix(md2 *store, int dtype, int trans, long rows, long cols, long ld) {
	int64_t dims[2] = {rows, cols}, strides[2] = {trans ? 1 : ld, trans ? ld : 1};
	if (md2_strides) return md2_strides(store, 2, dims, dtype, strides) ? NULL : store;
	H h;
	return md3_strides(&h, 2, dims, dtype, strides) ? NULL : h;
}

static int prepare(product *p, void *a, void *b, void *c, int acc) {
	H attr = acc ? attr_acc : attr_plain;
	if (!a || !b || !c) return 1;
	if (matmul2_init) {
		opdesc2 d;
		if (matmul2_init(&d, a, b, NULL, c) || pd2_create(&p->pd, &d, attr, engine, NULL)) return 1;
	} else if (pd3_create(&p->pd, engine, a, b, NULL, c, attr)) return 1;
	if (prim_create(&p->prim, p->pd)) return 1;
	enum { query_scratchpad_md = 136 };
	const void *s = pd_query_md(p->pd, query_scratchpad_md, 0);
	p->scratch = s ? md_size(s) : 0;
	return mem_create(&p->a, a, engine, NULL) || mem_create(&p->b, b, engine, NULL) || mem_create(&p->c, c, engine, NULL) ||
	       (p->scratch && mem_create(&p->s, s, engine, NULL));
}

product *product_new(int dta, int dtb, int dtc, int ta, int tb, long m, long n, long k, long lda, long ldb, long ldc, int acc) {
	md2 sa, sb, sc;
	void *a = matrix(&sa, dta, ta, m, k, lda), *b = matrix(&sb, dtb, tb, k, n, ldb), *c = matrix(&sc, dtc, 0, m, n, ldc);
	product *p = calloc(1, sizeof *p);
	if (p && prepare(p, a, b, c, acc)) {
		product_free(p);
		p = NULL;
	}
	if (md3_destroy) {
		if (a) md3_destroy(a);
		if (b) md3_destroy(b);
		if (c) md3_destroy(c);
	}
	return p;
}

int product_run(product *p, const void *a, const void *b, void *c) {
	enum { arg_src = 1, arg_dst = 17, arg_weights = 33, arg_scratchpad = 80 };
	if (p->scratch > scratch_size) {
		free(scratch);
		scratch_size = (p->scratch + 4095) & ~(size_t)4095;
		if (!(scratch = aligned_alloc(4096, scratch_size))) {
			scratch_size = 0;
			return 1;
		}
	}
	if (mem_set(p->a, (void *)a) || mem_set(p->b, (void *)b) || mem_set(p->c, c) || (p->s && mem_set(p->s, scratch))) return 1;
	exec_arg args[4] = {{arg_src, p->a}, {arg_weights, p->b}, {arg_dst, p->c}, {arg_scratchpad, p->s}};
	return prim_exec(p->prim, stream, p->s ? 4 : 3, args) || stream_wait(stream);
}

void product_free(product *p) {
	H mems[4] = {p->a, p->b, p->c, p->s};
	for (int i = 0; i < 4; i++)
		if (mems[i]) mem_destroy(mems[i]);
	if (p->prim) prim_destroy(p->prim);
	if (p->pd) pd_destroy(p->pd);
	free(p);
}
