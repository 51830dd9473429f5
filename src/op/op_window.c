/* window: each position together with the n - 1 before it. x [B,T,D], positions i32 [B,T] -> [B,T,n D], the oldest
 * first, zeros where there is nothing: before the row, and before the document (positions counts from its beginning).
 *
 *   out[b,t, (n-1-j) D + d] = x[b,t-j,d] where j <= t and j <= positions[b,t], else 0
 */
#include <string.h>

#include "op/op_window.h"

ins_status ins_window_check(const ins_op_sig *sig, int64_t columns_of, ins_error *err) {
    int64_t n = ((const ins_window_attr *)sig->attr)->n;
    const ins_type *x = sig->in[0];
    char type[96];
    INS_TRY(ins_op_check_float(sig, 0, err));
    INS_TRY(ins_op_check_dims(sig, 0, 3, err));
    int64_t columns;
    if (n < 1 || x->dims[2] % columns_of != 0 || __builtin_mul_overflow(x->dims[2], n, &columns))
        return INS_FAIL(err, INS_USAGE, "%s: a window of %lld does not fit %s", sig->op->head.name, (long long)n,
                        ins_type_format(x, type));
    ins_type positions = {.dtype = INS_DTYPE_I32, .n_dims = 2, .dims = {x->dims[0], x->dims[1]}};
    return ins_op_check_type(sig, 1, &positions, err);
}

static ins_status window_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_window_check(sig, 1, err));
    sig->out[0] = *sig->in[0];
    sig->out[0].dims[2] *= ((const ins_window_attr *)sig->attr)->n;
    return INS_OK;
}

/* Rows [begin, end) of the output. */
static void window_rows(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const ins_op_call *call = arg;
    const ins_type *x = call->sig->in[0];
    const int32_t *positions = call->in[1];
    int64_t n = ((const ins_window_attr *)call->sig->attr)->n, time = x->dims[1];
    size_t bytes = (size_t)x->dims[2] * ins_dtype_size(x->dtype);
    for (int64_t row = begin; row < end; row++) {
        char *out = (char *)call->out[0] + (size_t)(row * n) * bytes;
        for (int64_t j = n - 1; j >= 0; j--, out += bytes) {
            if (j <= row % time && j <= positions[row])
                memcpy(out, (const char *)call->in[0] + (size_t)(row - j) * bytes, bytes);
            else
                memset(out, 0, bytes);
        }
    }
}

static ins_status window_run(const ins_op_call *call, ins_error *err) {
    (void)err;
    const ins_type *x = call->sig->in[0];
    ins_pool_run_range(call->pool, x->dims[0] * x->dims[1], INS_WINDOW_CHUNK, window_rows, (void *)(uintptr_t)call);
    return INS_OK;
}

static ins_status window_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_window_attr attr = *(const ins_window_attr *)a->sig->attr;
    ins_dtype dtype = a->sig->in[0]->dtype;
    const ins_value in[2] = {ins_cast(g, a->d_out[0], dtype), a->in[1]};
    if (a->need[0]) a->d_in[0] = ins_emit_one(g, &ins_op_window_grad, &attr, in, 2);
    return INS_OK;
}

ins_value ins_window(ins_graph *g, ins_value x, ins_value positions, int64_t n) {
    const ins_value in[2] = {x, positions};
    return ins_emit_one(g, &ins_op_window, &(ins_window_attr){n}, in, 2);
}

void ins_window_fill(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type), width = ins_type_cols(type);
    for (int64_t i = 0; i < n; i++) {
        if (type->dtype == INS_DTYPE_I32)
            ((int32_t *)data)[i] = (int32_t)(i % width < 3 ? i % width : i % width - 3);
        else
            ((float *)data)[i] = (float)((i * 37 + 11 * input) % 61) / 25.0f - 1.2f;
    }
}

static const ins_op_sample window_samples[] = {
    {.name = "documents",
     .n_in = 2,
     .in = {INS_F32(3, 2, 7, 3), INS_I32(2, 2, 7)},
     .attr = &(const ins_window_attr){4},
     .fill = ins_window_fill},
    {.name = "longer than the row",
     .n_in = 2,
     .in = {INS_F32(3, 1, 3, 2), INS_I32(2, 1, 3)},
     .attr = &(const ins_window_attr){5},
     .fill = ins_window_fill},
    {.name = "no rows",
     .n_in = 2,
     .in = {INS_F32(3, 0, 3, 2), INS_I32(2, 0, 3)},
     .attr = &(const ins_window_attr){2},
     .fill = ins_window_fill},
    {0},
};

const ins_op ins_op_window = {
    .head = {.family = "op",
             .name = "window",
             .summary = "Each position together with those before it in its document.",
             .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x positions",
    .out_names = "out",
    .attr_size = sizeof(ins_window_attr),
    .infer = window_infer,
    .run = window_run,
    .grad = window_grad,
    .flops = ins_op_flops_none,
    .samples = window_samples,
};
