#include "kernel/onednn/onednn_thread.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

typedef struct onednn_entry {
    ins_dnnl_shape shape;
    int64_t packed_m; /* of a matmul; -1: the entry is a packing */
    ins_dnnl_matmul matmul;
    ins_dnnl_pack pack;
    bool refused;
    struct onednn_entry *next;
} onednn_entry;

static pthread_key_t onednn_key;
static bool onednn_key_made;
static pthread_once_t onednn_once = PTHREAD_ONCE_INIT;

static void onednn_thread_free(void *arg) {
    onednn_thread *thread = arg;
    while (thread->entries) {
        onednn_entry *entry = thread->entries;
        thread->entries = entry->next;
        if (!entry->refused && entry->packed_m >= 0) ins_dnnl_matmul_free(&entry->matmul);
        if (!entry->refused && entry->packed_m < 0) ins_dnnl_pack_free(&entry->pack);
        ins_free(entry);
    }
    ins_free(thread->scratchpad.data);
    ins_free(thread->packed.data);
    ins_dnnl_close(&thread->dnnl);
    ins_free(thread);
}

static void onednn_key_make(void) {
    onednn_key_made = pthread_key_create(&onednn_key, onednn_thread_free) == 0;
}

onednn_thread *onednn_thread_get(void) {
    if (pthread_once(&onednn_once, onednn_key_make) || !onednn_key_made) return NULL;
    onednn_thread *thread = pthread_getspecific(onednn_key);
    if (thread) return thread;
    thread = ins_calloc(1, sizeof(*thread));
    if (!thread) return NULL;
    if (!ins_dnnl_open(&thread->dnnl)) {
        ins_free(thread);
        return NULL;
    }
    if (pthread_setspecific(onednn_key, thread) == 0) return thread;
    onednn_thread_free(thread);
    return NULL;
}

bool onednn_reserve(onednn_buffer *buffer, size_t bytes) {
    if (bytes <= buffer->bytes) return true;
    void *larger = ins_aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!larger) return false;
    ins_free(buffer->data);
    buffer->data = larger, buffer->bytes = bytes;
    return true;
}

ins_dnnl_shape onednn_shape(const ins_gemm_args *args) {
    return (ins_dnnl_shape){.m = args->m,
                            .n = args->n,
                            .k = args->k,
                            .lda = args->lda,
                            .ldb = args->ldb,
                            .ldc = args->ldc,
                            .trans_a = args->trans_a,
                            .trans_b = args->trans_b,
                            .accumulate = args->accumulate,
                            .bias = args->bias != NULL,
                            .bf16 = args->dtype_a == INS_DTYPE_BF16,
                            .bf16_out = args->dtype_c == INS_DTYPE_BF16};
}

static bool onednn_same(const ins_dnnl_shape *x, const ins_dnnl_shape *y) {
    return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
           x->trans_a == y->trans_a && x->trans_b == y->trans_b && x->accumulate == y->accumulate &&
           x->bias == y->bias && x->bf16 == y->bf16 && x->bf16_out == y->bf16_out;
}

/* A new entry, or the one that is there; NULL without memory. */
static onednn_entry *onednn_entry_get(onednn_thread *thread, const ins_dnnl_shape *shape, int64_t packed_m,
                                      bool *is_new) {
    *is_new = false;
    for (onednn_entry *entry = thread->entries; entry; entry = entry->next)
        if (entry->packed_m == packed_m && onednn_same(&entry->shape, shape)) return entry;
    onednn_entry *entry = ins_calloc(1, sizeof(*entry));
    if (!entry) return NULL;
    entry->shape = *shape, entry->packed_m = packed_m;
    entry->next = thread->entries, thread->entries = entry;
    *is_new = true;
    return entry;
}

const ins_dnnl_pack *onednn_pack(onednn_thread *thread, const ins_dnnl_shape *shape) {
    bool is_new;
    onednn_entry *entry = onednn_entry_get(thread, shape, -1, &is_new);
    if (!entry) return NULL;
    if (is_new) entry->refused = !ins_dnnl_pack_new(&thread->dnnl, shape, &entry->pack);
    return !entry->refused && onednn_reserve(&thread->scratchpad, entry->pack.scratchpad_bytes) ? &entry->pack : NULL;
}

const ins_dnnl_matmul *onednn_matmul(onednn_thread *thread, const ins_dnnl_shape *shape, int64_t packed_m) {
    bool is_new;
    onednn_entry *entry = onednn_entry_get(thread, shape, packed_m, &is_new);
    if (!entry) return NULL;
    if (is_new) {
        const ins_dnnl_pack *pack = NULL;
        ins_dnnl_shape whole = *shape;
        whole.m = packed_m;
        if (packed_m) pack = onednn_pack(thread, &whole);
        entry->refused = (packed_m && !pack) || !ins_dnnl_matmul_new(&thread->dnnl, shape, pack, &entry->matmul);
    }
    return !entry->refused && onednn_reserve(&thread->scratchpad, entry->matmul.scratchpad_bytes) ? &entry->matmul
                                                                                                  : NULL;
}

/* bf16 products are emulated, slowly, where the processor lacks them. */
bool onednn_takes(const ins_gemm_args *args) {
    if (args->k <= 0 || args->dtype_b != args->dtype_a) return false;
    if (args->dtype_a == INS_DTYPE_BF16) {
        if (ins_isa_detect() < INS_ISA_AVX512_BF16) return false;
        return (args->dtype_c == INS_DTYPE_BF16 || args->dtype_c == INS_DTYPE_F32) && ins_dnnl_available();
    }
    return args->dtype_a == INS_DTYPE_F32 && args->dtype_c == INS_DTYPE_F32 && ins_dnnl_available();
}
