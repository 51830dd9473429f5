/* Front of the elementwise loops: checks and simplification of strides; the loops are in cpu/loop_elementwise.c. */
#include "kernel/elementwise.h"

#include <string.h>

#include "kernel/loop_impl.h"

const ins_impl_head *const ins_loop_impls[] = {INS_LOOP_LIST(ins_cpu_loops), NULL};

const ins_loop_impl *ins_loop_pick(ins_dtype dtype) {
    return ins_impl_pick(ins_loop_impls, dtype);
}

static const char *const binary_names[INS_BINARY_COUNT] = {
#define BINARY_NAME(code, name) [INS_BINARY_##code] = name,
    INS_BINARY_MAP(BINARY_NAME)
#undef BINARY_NAME
};

const char *ins_binary_name(ins_binary op) {
    return (unsigned)op < INS_BINARY_COUNT ? binary_names[op] : "unknown";
}

/* Drop dimensions of size 1 and merge neighbours that both operands walk through evenly. Returns the new n_dims (>= 1)
 * and the number of elements. Either stride array may be the dense output's. */
static int elementwise_merge(int n_dims, int64_t *dims, int64_t *first, int64_t *second, int64_t *count) {
    int n = 0;
    *count = 1;
    for (int d = 0; d < n_dims; d++) {
        *count *= dims[d];
        if (dims[d] == 1) continue;
        if (n > 0 && first[n - 1] == first[d] * dims[d] && second[n - 1] == second[d] * dims[d]) {
            dims[n - 1] *= dims[d], first[n - 1] = first[d], second[n - 1] = second[d];
            continue;
        }
        dims[n] = dims[d], first[n] = first[d], second[n] = second[d];
        n++;
    }
    if (n > 0) return n;
    dims[0] = 1, first[0] = second[0] = 1;
    return 1;
}

ins_status ins_binary_apply(const ins_binary_args *args, ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl = ins_loop_pick(args->dtype);
    if (!impl) return ins_impl_none("binary", args->dtype, err);
    if (args->n_dims < 0 || args->n_dims > INS_MAX_DIMS || (unsigned)args->op >= INS_BINARY_COUNT)
        return INS_FAIL(err, INS_BUG, "binary op %d over %d dimensions", (int)args->op, args->n_dims);
    ins_binary_args simple = *args;
    int64_t count;
    simple.n_dims = elementwise_merge(args->n_dims, simple.dims, simple.stride_x, simple.stride_y, &count);
    if (count > 0) impl->binary(&simple, pool);
    return INS_OK;
}

static ins_status elementwise_flat(ins_binary op, ins_dtype dtype, int64_t n, const void *x, const void *y, void *out,
                                   ins_pool *pool, ins_error *err) {
    ins_binary_args args = {.op = op,
                            .dtype = dtype,
                            .n_dims = 1,
                            .dims = {n},
                            .x = x,
                            .y = y,
                            .stride_x = {1},
                            .stride_y = {1},
                            .out = out};
    return ins_binary_apply(&args, pool, err);
}

ins_status ins_add_arrays(ins_dtype dtype, int64_t n, const void *x, const void *y, void *out, ins_pool *pool,
                          ins_error *err) {
    return elementwise_flat(INS_BINARY_ADD, dtype, n, x, y, out, pool, err);
}

ins_status ins_mul_arrays(ins_dtype dtype, int64_t n, const void *x, const void *y, void *out, ins_pool *pool,
                          ins_error *err) {
    return elementwise_flat(INS_BINARY_MUL, dtype, n, x, y, out, pool, err);
}

ins_status ins_axpy_array(ins_dtype dtype, int64_t n, double alpha, const void *x, void *y, ins_pool *pool,
                          ins_error *err) {
    const ins_loop_impl *impl = ins_loop_pick(dtype);
    if (!impl) return ins_impl_none("axpy", dtype, err);
    if (n > 0) impl->axpy(dtype, n, alpha, x, y, pool);
    return INS_OK;
}

ins_status ins_affine_array(ins_dtype dtype, int64_t n, double alpha, double beta, const void *x, void *y,
                            ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl = ins_loop_pick(dtype);
    if (!impl) return ins_impl_none("affine", dtype, err);
    if (n > 0) impl->affine(dtype, n, alpha, beta, x, y, pool);
    return INS_OK;
}

ins_status ins_bias_add(const ins_bias_args *args, ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl = ins_loop_pick(args->dtype);
    if (!impl) return ins_impl_none("bias_add", args->dtype, err);
    if (args->rows > 0 && args->cols > 0) impl->bias_add(args, pool);
    return INS_OK;
}

size_t ins_column_sum_scratch(const ins_column_sum_args *args) {
    if (args->rows <= 0) return 0;
    size_t chunks = (size_t)ins_ceil_div(args->rows, ins_sum_chunk_rows(args->rows));
    return chunks * (size_t)args->cols * ins_acc_size(args->dtype);
}

ins_status ins_column_sum(const ins_column_sum_args *args, ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl = ins_loop_pick(args->dtype);
    if (!impl) return ins_impl_none("column_sum", args->dtype, err);
    if (args->cols > 0) impl->column_sum(args, pool);
    return INS_OK;
}

/* ---- fill, copy, strided copy: by element size, no arithmetic ---------------------------------------------------- */

#define COPY_CHUNK ((int64_t)256 << 10) /* bytes of a task */

typedef struct copy_job {
    size_t bytes;
    const char *x;
    char *y;
    char pattern[64]; /* fill */
} copy_job;

static void copy_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const copy_job *job = arg;
    int64_t at = task * COPY_CHUNK, n = ins_min_i64(COPY_CHUNK, (int64_t)job->bytes - at);
    memcpy(job->y + at, job->x + at, (size_t)n);
}

void ins_copy_bytes(size_t bytes, const void *x, void *y, ins_pool *pool) {
    copy_job job = {.bytes = bytes, .x = x, .y = y};
    ins_pool_run(pool, ins_ceil_div((int64_t)bytes, COPY_CHUNK), copy_task, &job);
}

static void fill_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const copy_job *job = arg;
    int64_t at = task * COPY_CHUNK, n = ins_min_i64(COPY_CHUNK, (int64_t)job->bytes - at);
    for (; n >= 64; n -= 64, at += 64) memcpy(job->y + at, job->pattern, 64);
    memcpy(job->y + at, job->pattern, (size_t)n);
}

ins_status ins_fill_array(ins_dtype dtype, int64_t n, double value, void *y, ins_pool *pool, ins_error *err) {
    copy_job job = {.y = y};
    size_t size = ins_dtype_size(dtype);
    INS_TRY(ins_cast_array(INS_DTYPE_F64, dtype, 1, &value, job.pattern, NULL, err));
    for (size_t at = size; at < 64; at += size) memcpy(job.pattern + at, job.pattern, size);
    job.bytes = (size_t)ins_max_i64(0, n) * size;
    ins_pool_run(pool, ins_ceil_div((int64_t)job.bytes, COPY_CHUNK), fill_task, &job);
    return INS_OK;
}

typedef struct strided_job {
    const ins_strided_args *args;
    size_t size;
    int64_t inner, rows, chunk;
} strided_job;

static void strided_row(const strided_job *job, const char *src, char *dst) {
    const ins_strided_args *args = job->args;
    int64_t step_src = args->stride_src[args->n_dims - 1], step_dst = args->stride_dst[args->n_dims - 1];
    if (step_src == 1 && step_dst == 1) {
        memcpy(dst, src, (size_t)job->inner * job->size);
        return;
    }
    int64_t jump_src = step_src * (int64_t)job->size, jump_dst = step_dst * (int64_t)job->size;
    switch (job->size) {
    case 4:
        for (int64_t i = 0; i < job->inner; i++) memcpy(dst + i * jump_dst, src + i * jump_src, 4);
        break;
    case 8:
        for (int64_t i = 0; i < job->inner; i++) memcpy(dst + i * jump_dst, src + i * jump_src, 8);
        break;
    case 2:
        for (int64_t i = 0; i < job->inner; i++) memcpy(dst + i * jump_dst, src + i * jump_src, 2);
        break;
    default:
        for (int64_t i = 0; i < job->inner; i++) dst[i * jump_dst] = src[i * jump_src];
    }
}

static void strided_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const strided_job *job = arg;
    const ins_strided_args *args = job->args;
    int64_t end = ins_min_i64(job->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) {
        int64_t at_src = 0, at_dst = 0, rest = r;
        for (int d = args->n_dims - 2; d >= 0; d--) {
            int64_t index = rest % args->dims[d];
            at_src += index * args->stride_src[d], at_dst += index * args->stride_dst[d];
            rest /= args->dims[d];
        }
        strided_row(job, (const char *)args->src + at_src * (int64_t)job->size,
                    (char *)args->dst + at_dst * (int64_t)job->size);
    }
}

ins_status ins_strided_copy(const ins_strided_args *args, ins_pool *pool, ins_error *err) {
    if (args->n_dims < 0 || args->n_dims > INS_MAX_DIMS)
        return INS_FAIL(err, INS_BUG, "strided copy over %d dimensions", args->n_dims);
    ins_strided_args simple = *args;
    int64_t count;
    simple.n_dims = elementwise_merge(args->n_dims, simple.dims, simple.stride_src, simple.stride_dst, &count);
    if (count <= 0) return INS_OK;
    if (args->accumulate) {
        const ins_loop_impl *impl = ins_loop_pick(args->dtype);
        if (!impl) return ins_impl_none("strided_add", args->dtype, err);
        impl->strided_add(&simple, pool);
        return INS_OK;
    }
    strided_job job = {.args = &simple, .size = ins_dtype_size(args->dtype), .inner = simple.dims[simple.n_dims - 1]};
    job.rows = count / job.inner;
    job.chunk = ins_max_i64(1, 16384 / job.inner);
    ins_pool_run(pool, ins_ceil_div(job.rows, job.chunk), strided_task, &job);
    return INS_OK;
}
