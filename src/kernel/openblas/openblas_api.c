#include "kernel/openblas/openblas_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLAS_ROW_MAJOR = 101, BLAS_PLAIN = 111, BLAS_TRANSPOSED = 112 };

typedef void (*blas_sgemm_fn)(int order, int trans_a, int trans_b, int32_t m, int32_t n, int32_t k, float alpha,
                              const float *a, int32_t lda, const float *b, int32_t ldb, float beta, float *c,
                              int32_t ldc);

static struct {
    blas_sgemm_fn sgemm;
    void (*set_num_threads)(int);
    void (*omp_set_num_threads)(int); /* of a build with OpenMP; NULL in others */
    char *(*get_config)(void);
    char *(*get_corename)(void);
    ins_isa_level level;
    bool loaded;
} blas;
static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

static bool blas_symbol(void *handle, const char *name, void *slot) {
    void *symbol = dlsym(handle, name);
    memcpy(slot, &symbol, sizeof(symbol)); /* an object pointer becomes a function pointer, as POSIX promises */
    return symbol != NULL;
}

/* An environment variable that is set for a while. What the user has set stays as it is. */
typedef struct blas_variable {
    const char *name;
    bool ours;
} blas_variable;

static blas_variable blas_set(const char *name, const char *value) {
    blas_variable variable = {name, value && !getenv(name)};
    if (variable.ours) variable.ours = setenv(name, value, 1) == 0;
    return variable;
}

static void blas_unset(const blas_variable *variable) {
    if (variable->ours) unsetenv(variable->name);
}

/* The library chooses its kernels while it loads, by a list of processors. One that it does not know gets old ones at
 * half the rate (0.3.21 takes Zen 4 and 5 for Haswell), so it is told. */
static const char *blas_core(ins_isa_level level) {
    return level >= INS_ISA_AVX512 ? "SkylakeX" : level >= INS_ISA_AVX2 ? "Haswell" : NULL;
}

/* Of a distribution's packages with and without threads; we need none, any will do. */
static const char *const blas_names[] = {"libopenblas.so.0", "libopenblasp.so.0", "libopenblaso.so.0"};

static void blas_load(void) {
    blas.level = ins_isa_detect();
    blas_variable core = blas_set("OPENBLAS_CORETYPE", blas_core(blas.level)),
                  threads = blas_set("OPENBLAS_NUM_THREADS", "1");
    void *handle = NULL;
    for (size_t i = 0; i < sizeof blas_names / sizeof blas_names[0] && !handle; i++)
        handle = dlopen(blas_names[i], RTLD_NOW | RTLD_LOCAL);
    blas_unset(&threads), blas_unset(&core);
    if (!handle) return;
    blas_symbol(handle, "omp_set_num_threads", &blas.omp_set_num_threads);
    blas.loaded = blas_symbol(handle, "cblas_sgemm", &blas.sgemm) &&
                  blas_symbol(handle, "openblas_set_num_threads", &blas.set_num_threads) &&
                  blas_symbol(handle, "openblas_get_config", &blas.get_config) &&
                  blas_symbol(handle, "openblas_get_corename", &blas.get_corename);
    if (blas.loaded) blas.set_num_threads(1); /* the handle stays open to the end */
}

bool ins_openblas_available(void) {
    return ins_isa_detect() >= INS_ISA_AVX2 && pthread_once(&blas_once, blas_load) == 0 && blas.loaded &&
           blas.level == ins_isa_detect();
}

/* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." */
void ins_openblas_version(char buf[64]) {
    char number[32] = "?";
    sscanf(blas.get_config(), "%*s %31s", number);
    snprintf(buf, 64, "%s %.24s", number, blas.get_corename());
}

void ins_openblas_sgemm(const ins_openblas_product *p, const float *a, const float *b, float *c) {
    if (blas.omp_set_num_threads) blas.omp_set_num_threads(1); /* of this thread */
    blas.sgemm(BLAS_ROW_MAJOR, p->trans_a ? BLAS_TRANSPOSED : BLAS_PLAIN, p->trans_b ? BLAS_TRANSPOSED : BLAS_PLAIN,
               p->m, p->n, p->k, 1, a, p->lda, b, p->ldb, p->add ? 1 : 0, c, p->ldc);
}
