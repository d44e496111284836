// What swiftgo needs of oneDNN and OpenBLAS, found with dlsym. No header of either is needed at build time: in oneDNN 2
// descriptors are plain structs, kept here as opaque buffers that only the library fills; in oneDNN 3 they are handles.
#ifndef SWIFTGO_BLAS_H
#define SWIFTGO_BLAS_H
#include <stdint.h>

// bf16_instructions names what the CPU multiplies bfloat16 numbers with, or is empty.
const char *bf16_instructions(void);

enum { DTYPE_BF16 = 2, DTYPE_F32 = 3 };  // dnnl_data_type_t

// Both return NULL or what went wrong. Call one of them, once.
const char *onednn_open(const char *path, int threads);
const char *openblas_open(const char *path, int threads);

void onednn_version(int *major, int *minor, int *patch);
const char *openblas_config(void);
const char *openblas_core(void);

// Row-major C[m,n] (+)= op(A) op(B).
void openblas_product(int ta, int tb, long m, long n, long k, const float *a, long lda, const float *b, long ldb, int acc,
                      float *c, long ldc);

// Row-major C[m,n] (+)= op(A) op(B) by oneDNN without preparing it. 0 is success.
int onednn_small(int ta, int tb, long m, long n, long k, const float *a, long lda, const float *b, long ldb, int acc, float *c,
                 long ldc);

// A prepared product of oneDNN. All products share one scratch buffer: one call at a time.
typedef struct product product;
product *product_new(int dta, int dtb, int dtc, int ta, int tb, long m, long n, long k, long lda, long ldb, long ldc, int acc);
int product_run(product *p, const void *a, const void *b, void *c);
void product_free(product *p);
#endif
