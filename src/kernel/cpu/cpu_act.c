/* Elementwise maps with derivatives, and gated products. The activations of Transformers are written in vectors, from
 * memory to memory in registers; the other maps (cpu_act_maps.c) work on blocks of f32.
 */
#include <math.h>

#include "kernel/act_impl.h"
#include "kernel/cpu/cpu_act.h"
#include "kernel/cpu/vio.h"
#include "kernel/cpu/vmath.h"

/* ---- maps in vectors --------------------------------------------------------------------------------------------- */

#define GELU_TWO_C 1.59576912f /* 2 sqrt(2/pi): 1 + tanh(u) = 2 sigmoid(2u) */
#define GELU_K     0.044715f

/* X(code): those of this file */
#define ACT_VECTOR_MAP(X) X(GELU_TANH) X(GELU_ERF) X(SILU) X(RELU) X(RELU2) X(SIGMOID)

typedef struct act_pair {
    vf value, slope;
} act_pair;

/* sigmoid of 2u, u the argument of GELU's tanh */
INS_INLINE vf act_gelu_gate(vf x) {
    return vmv_logistic2(x * (x * x * (-GELU_TWO_C * GELU_K * VMV_LOG2E) - GELU_TWO_C * VMV_LOG2E));
}

INS_INLINE vf act_positive(vf x) {
    return vmv_select(x > vf_set(0), x, vf_set(0));
}

/* act is a constant where this is inlined: one of the cases remains. */
INS_INLINE vf act_value(const ins_act act, vf x) {
    switch (act) {
    case INS_ACT_GELU_TANH:
        return x * act_gelu_gate(x);
    case INS_ACT_GELU_ERF:
        return x * vmv_normal_cdf(x);
    case INS_ACT_SILU:
        return x * vmv_logistic2(x * -VMV_LOG2E);
    case INS_ACT_RELU:
        return act_positive(x);
    case INS_ACT_RELU2:
        return act_positive(x) * act_positive(x);
    default:
        return vmv_logistic2(x * -VMV_LOG2E);
    }
}

INS_INLINE act_pair act_both(const ins_act act, vf x) {
    vf s;
    switch (act) {
    case INS_ACT_GELU_TANH:
        s = act_gelu_gate(x);
        return (act_pair){x * s, s + x * s * (1.0f - s) * (x * x * (3.0f * GELU_TWO_C * GELU_K) + GELU_TWO_C)};
    case INS_ACT_GELU_ERF:
        s = vmv_normal_cdf(x);
        vf density = vmv_exp2(x * x * (-0.5f * VMV_LOG2E));
        return (act_pair){x * s, s + x * 0.398942280f * density};
    case INS_ACT_SILU:
        s = vmv_logistic2(x * -VMV_LOG2E);
        return (act_pair){x * s, s + x * s * (1.0f - s)};
    case INS_ACT_RELU:
        return (act_pair){act_positive(x), vmv_select(x > vf_set(0), vf_set(1), vf_set(0))};
    case INS_ACT_RELU2:
        s = act_positive(x);
        return (act_pair){s * s, s * 2.0f};
    default:
        s = vmv_logistic2(x * -VMV_LOG2E);
        return (act_pair){s, s * (1.0f - s)};
    }
}

/* ---- plain maps -------------------------------------------------------------------------------------------------- */

/* Elements of a task: enough to be worth a hand-over, a multiple of the block. */
#define ACT_CHUNK (16 * CPU_BLOCK)

INS_INLINE void act_forward_step(const ins_act act, const bool half, const ins_act_args *args, int64_t at, int64_t n) {
    vio_store_n(half, args->y, at, n, act_value(act, vio_load_n(half, args->x, at, n, vf_set(0))));
}

INS_INLINE void act_forward_of(const ins_act act, const bool half, const ins_act_args *args, int64_t at, int64_t end) {
    for (; at + VL <= end; at += VL) act_forward_step(act, half, args, at, VL);
    if (at < end) act_forward_step(act, half, args, at, end - at);
}

/* d_x of n elements from index `at`; their column sums (NULL = not wanted) start at `sum`. */
INS_INLINE void act_backward_step(const ins_act act, const bool half, const ins_act_args *args, int64_t at, int64_t n,
                                  float *sum) {
    vf zero = vf_set(0), d_x = act_both(act, vio_load_n(half, args->x, at, n, zero)).slope;
    d_x *= vio_load_n(half, args->d_y, at, n, zero);
    if (args->accumulate) d_x += vio_load_n(half, args->d_x, at, n, zero);
    d_x = vio_keep_n(half, args->d_x, at, n, d_x);
    if (sum) vio_store_n(false, sum, 0, n, vio_load_n(false, sum, 0, n, zero) + d_x);
}

INS_INLINE void act_backward_of(const ins_act act, const bool half, const ins_act_args *args, int64_t at, int64_t end,
                                float *sum) {
    for (; at + VL <= end; at += VL) {
        act_backward_step(act, half, args, at, VL, sum);
        if (sum) sum += VL;
    }
    if (at < end) act_backward_step(act, half, args, at, end - at, sum);
}

static void act_forward_range(const ins_act_args *args, int64_t at, int64_t end) {
    bool half = args->dtype == INS_DTYPE_BF16;
    switch (args->act) {
#define ACT_CASE(code)                                                                                                 \
    case INS_ACT_##code:                                                                                               \
        if (half)                                                                                                      \
            act_forward_of(INS_ACT_##code, true, args, at, end);                                                       \
        else                                                                                                           \
            act_forward_of(INS_ACT_##code, false, args, at, end);                                                      \
        return;
        ACT_VECTOR_MAP(ACT_CASE)
#undef ACT_CASE
    default:
        INS_CPU(ins_act_block_forward)(args, at, end);
    }
}

static void act_backward_range(const ins_act_args *args, int64_t at, int64_t end, float *sum) {
    bool half = args->dtype == INS_DTYPE_BF16;
    switch (args->act) {
#define ACT_CASE(code)                                                                                                 \
    case INS_ACT_##code:                                                                                               \
        if (half)                                                                                                      \
            act_backward_of(INS_ACT_##code, true, args, at, end, sum);                                                 \
        else                                                                                                           \
            act_backward_of(INS_ACT_##code, false, args, at, end, sum);                                                \
        return;
        ACT_VECTOR_MAP(ACT_CASE)
#undef ACT_CASE
    default:
        INS_CPU(ins_act_block_backward)(args, at, end, sum);
    }
}

static void act_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_act_args *args = arg;
    act_forward_range(args, task * ACT_CHUNK, ins_min_i64(args->n, (task + 1) * ACT_CHUNK));
}

static void act_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_act_args *args = arg;
    act_backward_range(args, task * ACT_CHUNK, ins_min_i64(args->n, (task + 1) * ACT_CHUNK), NULL);
}

/* A chunk of rows, with its column sums in the scratch. */
static void act_backward_rows_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_act_args *args = arg;
    int64_t cols = args->cols, rows = args->n / cols, chunk = ins_sum_chunk_rows(rows);
    float *sum = (float *)args->scratch + task * cols;
    memset(sum, 0, (size_t)cols * 4);
    for (int64_t r = task * chunk; r < ins_min_i64(rows, (task + 1) * chunk); r++)
        act_backward_range(args, r * cols, (r + 1) * cols, sum);
}

static void act_forward(const ins_act_args *args, ins_pool *pool) {
    ins_act_args copy = *args;
    ins_pool_run(pool, ins_ceil_div(args->n, ACT_CHUNK), act_forward_task, &copy);
}

static void act_backward(const ins_act_args *args, ins_pool *pool) {
    ins_act_args copy = *args;
    if (!args->sum) {
        ins_pool_run(pool, ins_ceil_div(args->n, ACT_CHUNK), act_backward_task, &copy);
        return;
    }
    int64_t rows = args->n / args->cols, chunks = ins_ceil_div(rows, ins_sum_chunk_rows(rows));
    ins_pool_run(pool, chunks, act_backward_rows_task, &copy);
    float *total = args->sum;
    memset(total, 0, (size_t)args->cols * 4);
    for (int64_t i = 0; i < chunks; i++) {
        const float *sum = (const float *)args->scratch + i * args->cols;
        for (int64_t c = 0; c < args->cols; c++) total[c] += sum[c];
    }
}

/* ---- gated products ---------------------------------------------------------------------------------------------- */

typedef struct act_gated_job {
    const ins_gated_args *args;
    int64_t rows; /* a task */
} act_gated_job;

INS_INLINE void act_gated_forward_step(const ins_act act, const bool half, const ins_gated_args *args, int64_t r,
                                       int64_t c, int64_t n) {
    vf zero = vf_set(0), value = act_value(act, vio_load_n(half, args->gate, r * args->ld_gate + c, n, zero));
    vio_store_n(half, args->y, r * args->ldy + c, n, value * vio_load_n(half, args->up, r * args->ld_up + c, n, zero));
}

INS_INLINE void act_gated_backward_step(const ins_act act, const bool half, const ins_gated_args *args, int64_t r,
                                        int64_t c, int64_t n) {
    vf zero = vf_set(0), up = vio_load_n(half, args->up, r * args->ld_up + c, n, zero);
    vf d_y = vio_load_n(half, args->d_y, r * args->ld_dy + c, n, zero);
    act_pair pair = act_both(act, vio_load_n(half, args->gate, r * args->ld_gate + c, n, zero));
    vio_store_n(half, args->d_gate, r * args->ld_dgate + c, n, pair.slope * d_y * up);
    vio_store_n(half, args->d_up, r * args->ld_dup + c, n, pair.value * d_y);
}

INS_INLINE void act_gated_row(const ins_act act, const bool half, const bool forward, const ins_gated_args *args,
                              int64_t r) {
    int64_t c = 0;
    for (; c + VL <= args->cols; c += VL) {
        if (forward)
            act_gated_forward_step(act, half, args, r, c, VL);
        else
            act_gated_backward_step(act, half, args, r, c, VL);
    }
    if (c == args->cols) return;
    if (forward)
        act_gated_forward_step(act, half, args, r, c, args->cols - c);
    else
        act_gated_backward_step(act, half, args, r, c, args->cols - c);
}

INS_INLINE void act_gated_rows(const bool half, const bool forward, const ins_gated_args *args, int64_t r,
                               int64_t end) {
    switch (args->act) {
#define ACT_CASE(code)                                                                                                 \
    case INS_ACT_##code:                                                                                               \
        for (; r < end; r++) act_gated_row(INS_ACT_##code, half, forward, args, r);                                    \
        return;
        ACT_VECTOR_MAP(ACT_CASE)
#undef ACT_CASE
    default:
        for (; r < end; r++) INS_CPU(ins_act_block_gated)(args, r, forward);
    }
}

static void act_gated_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const act_gated_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->rows);
    if (job->args->dtype == INS_DTYPE_BF16)
        act_gated_rows(true, true, job->args, task * job->rows, end);
    else
        act_gated_rows(false, true, job->args, task * job->rows, end);
}

static void act_gated_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const act_gated_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->rows);
    if (job->args->dtype == INS_DTYPE_BF16)
        act_gated_rows(true, false, job->args, task * job->rows, end);
    else
        act_gated_rows(false, false, job->args, task * job->rows, end);
}

static void act_gated_run(const ins_gated_args *args, ins_task_fn fn, ins_pool *pool) {
    act_gated_job job = {args, ins_max_i64(1, ACT_CHUNK / args->cols)};
    ins_pool_run(pool, ins_ceil_div(args->rows, job.rows), fn, &job);
}

static void act_gated_forward(const ins_gated_args *args, ins_pool *pool) {
    act_gated_run(args, act_gated_forward_task, pool);
}

static void act_gated_backward(const ins_gated_args *args, ins_pool *pool) {
    act_gated_run(args, act_gated_backward_task, pool);
}

const ins_act_impl INS_CPU(ins_cpu_act) = {
    .head = INS_CPU_HEAD,
    .sums = true,
    .forward = act_forward,
    .backward = act_backward,
    .gated_forward = act_gated_forward,
    .gated_backward = act_gated_backward,
};
