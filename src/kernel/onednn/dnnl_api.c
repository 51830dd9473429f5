#include "kernel/onednn/dnnl_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define API_STR2(x) #x
#define API_STR(x)  API_STR2(x)

/* The functions used. X(name) */
#define API_COMMON(X)                                                                                                  \
    X(dnnl_engine_create)                                                                                              \
    X(dnnl_engine_destroy)                                                                                             \
    X(dnnl_stream_create)                                                                                              \
    X(dnnl_stream_destroy)                                                                                             \
    X(dnnl_stream_wait)                                                                                                \
    X(dnnl_memory_create)                                                                                              \
    X(dnnl_memory_destroy)                                                                                             \
    X(dnnl_memory_set_data_handle)                                                                                     \
    X(dnnl_memory_desc_get_size)                                                                                       \
    X(dnnl_post_ops_create)                                                                                            \
    X(dnnl_post_ops_destroy)                                                                                           \
    X(dnnl_post_ops_append_sum)                                                                                        \
    X(dnnl_primitive_attr_create)                                                                                      \
    X(dnnl_primitive_attr_destroy)                                                                                     \
    X(dnnl_primitive_attr_set_post_ops)                                                                                \
    X(dnnl_primitive_attr_set_scratchpad_mode)                                                                         \
    X(dnnl_primitive_desc_destroy)                                                                                     \
    X(dnnl_primitive_desc_query_md)                                                                                    \
    X(dnnl_primitive_create)                                                                                           \
    X(dnnl_primitive_destroy)                                                                                          \
    X(dnnl_primitive_execute)                                                                                          \
    X(dnnl_reorder_primitive_desc_create)                                                                              \
    X(dnnl_set_max_cpu_isa)                                                                                            \
    X(dnnl_sgemm)                                                                                                      \
    X(dnnl_version)
#if DNNL_VERSION_MAJOR >= 3
#define API_FUNCTIONS(X)                                                                                               \
    API_COMMON(X)                                                                                                      \
    X(dnnl_memory_desc_create_with_strides)                                                                            \
    X(dnnl_memory_desc_create_with_tag)                                                                                \
    X(dnnl_memory_desc_clone)                                                                                          \
    X(dnnl_memory_desc_destroy)                                                                                        \
    X(dnnl_matmul_primitive_desc_create)
typedef dnnl_memory_desc_t api_desc; /* opaque pointer */
#else
#define API_FUNCTIONS(X)                                                                                               \
    API_COMMON(X)                                                                                                      \
    X(dnnl_memory_desc_init_by_strides)                                                                                \
    X(dnnl_memory_desc_init_by_tag)                                                                                    \
    X(dnnl_matmul_desc_init)                                                                                           \
    X(dnnl_primitive_desc_create)
typedef dnnl_memory_desc_t api_desc; /* struct */
#endif

#define API_POINTER(name) __typeof__(name) *name;
static struct {
    API_FUNCTIONS(API_POINTER)
    void (*omp_set_num_threads)(int);
    ins_isa_level level; /* that it is held to */
    bool loaded;
} api;
static pthread_once_t api_once = PTHREAD_ONCE_INIT;

static bool api_symbol(void *handle, const char *name, void *slot) {
    void *symbol = dlsym(handle, name);
    memcpy(slot, &symbol, sizeof(symbol)); /* an object pointer becomes a function pointer, as POSIX promises */
    return symbol != NULL;
}

/* No more than our own kernels may use, so that a limit means the same for both. */
static bool api_limit(ins_isa_level level) {
    if (level >= INS_ISA_AMX) return true; /* no limit */
    dnnl_cpu_isa_t isa = level >= INS_ISA_AVX512_BF16 ? dnnl_cpu_isa_avx512_core_bf16
                         : level >= INS_ISA_AVX512    ? dnnl_cpu_isa_avx512_core
                                                      : dnnl_cpu_isa_avx2;
    return api.dnnl_set_max_cpu_isa(isa) == dnnl_success;
}

static void api_load(void) {
    void *handle = dlopen("libdnnl.so." API_STR(DNNL_VERSION_MAJOR), RTLD_NOW | RTLD_LOCAL);
    if (!handle) return;
    bool found = true;
#define API_FIND(name) found = found && api_symbol(handle, #name, &api.name);
    API_FUNCTIONS(API_FIND)
    /* OpenMP comes with the library; a build without it runs in the calling thread anyway. */
    api_symbol(handle, "omp_set_num_threads", &api.omp_set_num_threads);
    api.level = ins_isa_detect();
    api.loaded = found && api_limit(api.level); /* the handle stays open: threads keep using the library to the end */
}

bool ins_dnnl_available(void) {
    return pthread_once(&api_once, api_load) == 0 && api.loaded && api.level == ins_isa_detect();
}

void ins_dnnl_version(char buf[32]) {
    const dnnl_version_t *version = api.dnnl_version();
    snprintf(buf, 32, "%d.%d.%d", version->major, version->minor, version->patch);
}

bool ins_dnnl_open(ins_dnnl *out) {
    if (!ins_dnnl_available()) return false;
    if (api.omp_set_num_threads) api.omp_set_num_threads(1);
    if (api.dnnl_engine_create(&out->engine, dnnl_cpu, 0) != dnnl_success) return false;
    if (api.dnnl_stream_create(&out->stream, out->engine, dnnl_stream_default_flags) == dnnl_success) return true;
    api.dnnl_engine_destroy(out->engine);
    return false;
}

void ins_dnnl_close(ins_dnnl *dnnl) {
    api.dnnl_stream_destroy(dnnl->stream);
    api.dnnl_engine_destroy(dnnl->engine);
}

static bool api_desc_make(api_desc *desc, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride,
                          dnnl_data_type_t type) {
    const dnnl_dims_t dims = {rows, cols}, strides = {row_stride, col_stride};
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_success == api.dnnl_memory_desc_create_with_strides(desc, 2, dims, type, strides);
#else
    return dnnl_success == api.dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides);
#endif
}

/* Any layout: the primitive says which. */
static bool api_desc_any(api_desc *desc, int64_t rows, int64_t cols, dnnl_data_type_t type) {
    const dnnl_dims_t dims = {rows, cols};
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_success == api.dnnl_memory_desc_create_with_tag(desc, 2, dims, type, dnnl_format_tag_any);
#else
    return dnnl_success == api.dnnl_memory_desc_init_by_tag(desc, 2, dims, type, dnnl_format_tag_any);
#endif
}

static void api_desc_free(api_desc *desc) {
#if DNNL_VERSION_MAJOR >= 3
    if (*desc) api.dnnl_memory_desc_destroy(*desc);
#endif
    memset(desc, 0, sizeof *desc);
}

/* What the calls take: a handle in version 3, the struct's address in version 2. */
#if DNNL_VERSION_MAJOR >= 3
#define API_DESC(desc) (desc)
typedef const_dnnl_memory_desc_t api_desc_arg;
#else
#define API_DESC(desc) (&(desc))
typedef const dnnl_memory_desc_t *api_desc_arg;
#endif

static bool api_desc_copy(api_desc *desc, api_desc_arg from) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_success == api.dnnl_memory_desc_clone(desc, from);
#else
    *desc = *from;
    return true;
#endif
}

/* The four descriptors of a matmul. In version 3 they are handles; unmade ones are NULL and may be freed. */
typedef struct api_descs {
    api_desc src, weights, bias, dst;
} api_descs;

static void api_descs_free(api_descs *d) {
    api_desc *all[] = {&d->src, &d->weights, &d->bias, &d->dst};
    for (int i = 0; i < 4; i++) api_desc_free(all[i]);
}

static dnnl_data_type_t api_type(bool bf16) {
    return bf16 ? dnnl_bf16 : dnnl_f32;
}

static bool api_plain_weights(api_desc *desc, const ins_dnnl_shape *s) {
    return api_desc_make(desc, s->k, s->n, s->trans_b ? 1 : s->ldb, s->trans_b ? s->ldb : 1, api_type(s->bf16));
}

/* All but the weights. */
static bool api_descs_make(api_descs *d, const ins_dnnl_shape *s) {
    return api_desc_make(&d->src, s->m, s->k, s->trans_a ? 1 : s->lda, s->trans_a ? s->lda : 1, api_type(s->bf16)) &&
           api_desc_make(&d->dst, s->m, s->n, s->ldc, 1, api_type(s->bf16_out)) &&
           (!s->bias || api_desc_make(&d->bias, 1, s->n, s->n, 1, dnnl_f32));
}

static bool api_matmul_desc(const ins_dnnl *dnnl, const api_descs *d, bool bias, dnnl_primitive_attr_t attr,
                            dnnl_primitive_desc_t *out) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_success == api.dnnl_matmul_primitive_desc_create(out, dnnl->engine, d->src, d->weights,
                                                                 bias ? d->bias : NULL, d->dst, attr);
#else
    dnnl_matmul_desc_t desc;
    if (api.dnnl_matmul_desc_init(&desc, &d->src, &d->weights, bias ? &d->bias : NULL, &d->dst) != dnnl_success)
        return false;
    return dnnl_success == api.dnnl_primitive_desc_create(out, &desc, attr, dnnl->engine, NULL);
#endif
}

static bool api_attr_make(bool accumulate, dnnl_primitive_attr_t *out) {
    dnnl_post_ops_t ops = NULL;
    if (api.dnnl_primitive_attr_create(out) != dnnl_success) return false;
    bool ok = api.dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user) == dnnl_success;
    if (accumulate && ok) {
        ok = api.dnnl_post_ops_create(&ops) == dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
        ok = ok && api.dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef) == dnnl_success;
#else
        ok = ok && api.dnnl_post_ops_append_sum(ops, 1.0f) == dnnl_success;
#endif
        ok = ok && api.dnnl_primitive_attr_set_post_ops(*out, ops) == dnnl_success;
        if (ops) api.dnnl_post_ops_destroy(ops);
    }
    if (!ok) api.dnnl_primitive_attr_destroy(*out);
    return ok;
}

static bool api_memory_make(const ins_dnnl *dnnl, api_desc_arg desc, dnnl_memory_t *out) {
    return api.dnnl_memory_create(out, desc, dnnl->engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static bool api_matmul_finish(const ins_dnnl *dnnl, const api_descs *d, bool bias, dnnl_primitive_desc_t desc,
                              ins_dnnl_matmul *out) {
    api_desc_arg scratchpad = api.dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    out->scratchpad_bytes = scratchpad ? api.dnnl_memory_desc_get_size(scratchpad) : 0;
    return api.dnnl_primitive_create(&out->primitive, desc) == dnnl_success &&
           api_memory_make(dnnl, API_DESC(d->src), &out->src) &&
           api_memory_make(dnnl, API_DESC(d->weights), &out->weights) &&
           api_memory_make(dnnl, API_DESC(d->dst), &out->dst) &&
           (!bias || api_memory_make(dnnl, API_DESC(d->bias), &out->bias)) &&
           (!out->scratchpad_bytes || api_memory_make(dnnl, scratchpad, &out->scratchpad));
}

/* The primitive descriptor of a shape with d->weights as they are. */
static bool api_matmul_make(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, const api_descs *d,
                            dnnl_primitive_desc_t *out) {
    dnnl_primitive_attr_t attr = NULL;
    if (!api_attr_make(shape->accumulate, &attr)) return false;
    bool ok = api_matmul_desc(dnnl, d, shape->bias, attr, out);
    api.dnnl_primitive_attr_destroy(attr);
    return ok;
}

bool ins_dnnl_matmul_new(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, const ins_dnnl_pack *pack,
                         ins_dnnl_matmul *out) {
    api_descs descs = {0};
    dnnl_primitive_desc_t desc = NULL;
    memset(out, 0, sizeof(*out));
    bool ok = api_descs_make(&descs, shape) &&
              (pack ? api_desc_copy(&descs.weights, API_DESC(pack->layout)) : api_plain_weights(&descs.weights, shape));
    ok = ok && api_matmul_make(dnnl, shape, &descs, &desc) && api_matmul_finish(dnnl, &descs, shape->bias, desc, out);
    if (desc) api.dnnl_primitive_desc_destroy(desc);
    api_descs_free(&descs);
    if (!ok) ins_dnnl_matmul_free(out);
    return ok;
}

void ins_dnnl_matmul_free(ins_dnnl_matmul *matmul) {
    dnnl_memory_t memories[] = {matmul->src, matmul->weights, matmul->bias, matmul->dst, matmul->scratchpad};
    for (int i = 0; i < 5; i++)
        if (memories[i]) api.dnnl_memory_destroy(memories[i]);
    if (matmul->primitive) api.dnnl_primitive_destroy(matmul->primitive);
    memset(matmul, 0, sizeof(*matmul));
}

typedef struct api_arg {
    int arg;
    dnnl_memory_t memory; /* NULL = not an argument of this primitive */
    void *data;
} api_arg;

static bool api_execute(const ins_dnnl *dnnl, const_dnnl_primitive_t primitive, const api_arg *all, int n_all) {
    dnnl_exec_arg_t args[8];
    int n = 0;
    for (int i = 0; i < n_all; i++) {
        if (!all[i].memory) continue;
        if (api.dnnl_memory_set_data_handle(all[i].memory, all[i].data) != dnnl_success) return false;
        args[n++] = (dnnl_exec_arg_t){all[i].arg, all[i].memory};
    }
    return api.dnnl_primitive_execute(primitive, dnnl->stream, n, args) == dnnl_success &&
           api.dnnl_stream_wait(dnnl->stream) == dnnl_success;
}

bool ins_dnnl_matmul_run(const ins_dnnl *dnnl, const ins_dnnl_matmul *matmul, const void *src, const void *weights,
                         const void *bias, void *dst, void *scratchpad) {
    const api_arg all[] = {{DNNL_ARG_SRC, matmul->src, (void *)(uintptr_t)src},
                           {DNNL_ARG_WEIGHTS, matmul->weights, (void *)(uintptr_t)weights},
                           {DNNL_ARG_BIAS, matmul->bias, (void *)(uintptr_t)bias},
                           {DNNL_ARG_DST, matmul->dst, dst},
                           {DNNL_ARG_SCRATCHPAD, matmul->scratchpad, scratchpad}};
    return api_execute(dnnl, matmul->primitive, all, 5);
}

/* ---- weights in the library's own layout ---- */

static bool api_pack_layout(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, ins_dnnl_pack *out) {
    api_descs descs = {0};
    dnnl_primitive_desc_t desc = NULL;
    bool ok = api_descs_make(&descs, shape) &&
              api_desc_any(&descs.weights, shape->k, shape->n, api_type(shape->bf16)) &&
              api_matmul_make(dnnl, shape, &descs, &desc);
    api_desc_arg layout = ok ? api.dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0) : NULL;
    ok = layout && api_desc_copy(&out->layout, layout);
    if (ok) out->bytes = api.dnnl_memory_desc_get_size(API_DESC(out->layout));
    if (desc) api.dnnl_primitive_desc_destroy(desc);
    api_descs_free(&descs);
    return ok;
}

static bool api_pack_reorder(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, ins_dnnl_pack *out) {
    api_desc plain;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t desc = NULL;
    memset(&plain, 0, sizeof plain);
    if (!api_attr_make(false, &attr)) return false;
    bool ok = api_plain_weights(&plain, shape) &&
              api.dnnl_reorder_primitive_desc_create(&desc, API_DESC(plain), dnnl->engine, API_DESC(out->layout),
                                                     dnnl->engine, attr) == dnnl_success;
    api_desc_arg scratchpad = ok ? api.dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0) : NULL;
    out->scratchpad_bytes = scratchpad ? api.dnnl_memory_desc_get_size(scratchpad) : 0;
    ok = ok && api.dnnl_primitive_create(&out->reorder, desc) == dnnl_success &&
         api_memory_make(dnnl, API_DESC(plain), &out->plain) &&
         api_memory_make(dnnl, API_DESC(out->layout), &out->packed) &&
         (!out->scratchpad_bytes || api_memory_make(dnnl, scratchpad, &out->scratchpad));
    if (desc) api.dnnl_primitive_desc_destroy(desc);
    api.dnnl_primitive_attr_destroy(attr);
    api_desc_free(&plain);
    return ok;
}

bool ins_dnnl_pack_new(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, ins_dnnl_pack *out) {
    memset(out, 0, sizeof *out);
    if (api_pack_layout(dnnl, shape, out) && api_pack_reorder(dnnl, shape, out)) return true;
    ins_dnnl_pack_free(out);
    return false;
}

void ins_dnnl_pack_free(ins_dnnl_pack *pack) {
    dnnl_memory_t memories[] = {pack->plain, pack->packed, pack->scratchpad};
    for (int i = 0; i < 3; i++)
        if (memories[i]) api.dnnl_memory_destroy(memories[i]);
    if (pack->reorder) api.dnnl_primitive_destroy(pack->reorder);
    api_desc_free(&pack->layout);
    memset(pack, 0, sizeof *pack);
}

bool ins_dnnl_pack_run(const ins_dnnl *dnnl, const ins_dnnl_pack *pack, const void *plain, void *packed,
                       void *scratchpad) {
    const api_arg all[] = {{DNNL_ARG_FROM, pack->plain, (void *)(uintptr_t)plain},
                           {DNNL_ARG_TO, pack->packed, packed},
                           {DNNL_ARG_SCRATCHPAD, pack->scratchpad, scratchpad}};
    return api_execute(dnnl, pack->reorder, all, 3);
}

bool ins_dnnl_sgemm(const ins_dnnl_shape *shape, const float *a, const float *b, bool add, float *c) {
    return api.dnnl_sgemm(shape->trans_a ? 'T' : 'N', shape->trans_b ? 'T' : 'N', shape->m, shape->n, shape->k, 1, a,
                          shape->lda, b, shape->ldb, add ? 1 : 0, c, shape->ldc) == dnnl_success;
}
