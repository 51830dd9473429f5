/* Small ops for the tests of the graph, so that they know exactly what each op does. f32 only; all element-wise ops
 * want equal types.
 */
#ifndef INS_TESTS_GRAPH_TOY_OPS_H
#define INS_TESTS_GRAPH_TOY_OPS_H

#include "graph/graph.h"

#include <math.h>
#include <string.h>

typedef struct toy_attr {
    float factor;
} toy_attr;

static ins_status toy_infer_same(ins_op_sig *sig, ins_error *err) {
    for (int i = 1; i < sig->n_in; i++)
        if (sig->in[i] && !ins_type_equal(sig->in[0], sig->in[i]))
            return INS_FAIL(err, INS_USAGE, "%s: types differ", sig->op->head.name);
    sig->out[0] = *sig->in[0];
    return INS_OK;
}

static ins_status toy_infer_flat(ins_op_sig *sig, ins_error *err) {
    (void)err;
    sig->out[0] = INS_TYPE(INS_DTYPE_F32, ins_type_count(sig->in[0]));
    return INS_OK;
}

static ins_status toy_infer_scalar(ins_op_sig *sig, ins_error *err) {
    (void)err;
    sig->out[0] = ins_type_make(INS_DTYPE_F32, 0, NULL);
    return INS_OK;
}

static ins_status toy_infer_head(ins_op_sig *sig, ins_error *err) {
    (void)err;
    bool grad = sig->n_out == 3;
    sig->out[grad ? 1 : 0] = ins_type_make(INS_DTYPE_F32, 0, NULL);
    sig->out[grad ? 2 : 1] = *sig->in[0];
    if (grad) sig->out[0] = *sig->in[0];
    return INS_OK;
}

#define TOY_LOOP(expression)                                                                                           \
    do {                                                                                                               \
        const float *x = call->in[0], *y = call->in[1];                                                                \
        float *out = call->out[0];                                                                                     \
        (void)err;                                                                                                     \
        (void)x, (void)y;                                                                                              \
        for (int64_t i = 0; i < ins_type_count(call->sig->in[0]); i++) out[i] = (expression);                          \
    } while (0)

static ins_status toy_run_add(const ins_op_call *call, ins_error *err) {
    TOY_LOOP(x[i] + y[i]);
    return INS_OK;
}
static ins_status toy_run_mul(const ins_op_call *call, ins_error *err) {
    TOY_LOOP(x[i] * y[i]);
    return INS_OK;
}
static ins_status toy_run_scale(const ins_op_call *call, ins_error *err) {
    float factor = ((const toy_attr *)call->sig->attr)->factor;
    TOY_LOOP(x[i] * factor);
    return INS_OK;
}
static ins_status toy_run_log(const ins_op_call *call, ins_error *err) {
    TOY_LOOP(logf(x[i]));
    return INS_OK;
}
static ins_status toy_run_round(const ins_op_call *call, ins_error *err) {
    TOY_LOOP(roundf(x[i]));
    return INS_OK;
}
static ins_status toy_run_fma(const ins_op_call *call, ins_error *err) {
    bool add = call->sig->n_in > 2 && call->in[2];
    if (add && call->in[2] != call->out[0]) return INS_FAIL(err, INS_BUG, "the accumulator is not the output's memory");
    float *total = call->out[0];
    TOY_LOOP(x[i] * y[i] + (add ? total[i] : 0));
    return INS_OK;
}
/* Sums prefixes through its scratch memory, after filling all of it with rubbish. */
static size_t toy_scratch(const ins_op_sig *sig, int n_threads) {
    return (size_t)n_threads * ins_type_bytes(sig->in[0]);
}
static ins_status toy_run_prefix(const ins_op_call *call, ins_error *err) {
    float *sums = call->scratch;
    int64_t n = ins_type_count(call->sig->in[0]);
    memset(sums, 0x7f, toy_scratch(call->sig, ins_pool_threads(call->pool)));
    const float *from = call->in[0];
    for (int64_t i = 0; i < n; i++) sums[i] = from[i] + (i ? 0.5f * sums[i - 1] : 0);
    TOY_LOOP(sums[i]);
    return INS_OK;
}
static ins_status toy_run_total(const ins_op_call *call, ins_error *err) {
    (void)err;
    const float *x = call->in[0];
    float sum = 0;
    for (int64_t i = 0; i < ins_type_count(call->sig->in[0]); i++) sum += x[i];
    *(float *)call->out[0] = sum;
    return INS_OK;
}
/* loss = sum (x - y)^2, each = (x - y)^2; the gradient op gives d_x = 2 (x - y) d_loss, and both again. */
static ins_status toy_run_head(const ins_op_call *call, ins_error *err) {
    (void)err;
    const float *x = call->in[0], *y = call->in[1];
    bool grad = call->sig->n_out == 3;
    float *d_x = grad ? call->out[0] : NULL, *each = call->out[grad ? 2 : 1];
    float sum = 0;
    for (int64_t i = 0; i < ins_type_count(call->sig->in[0]); i++) {
        float diff = x[i] - y[i];
        sum += diff * diff;
        if (each) each[i] = diff * diff;
        if (d_x) d_x[i] = 2 * diff * *(const float *)call->in[2];
    }
    float *loss = call->out[grad ? 1 : 0];
    if (loss) *loss = sum;
    return INS_OK;
}

#define TOY_OP(word, ...)                                                                                              \
    { .head = {.family = "op", .name = word, .summary = "Test op.", .version = 1}, __VA_ARGS__ }

static const ins_op toy_mul;
static const ins_op toy_scale;
static const ins_op toy_head_grad;

static ins_status toy_grad_add(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)g;
    (void)err;
    for (int i = 0; i < 2; i++) a->d_in[i] = a->need[i] ? a->d_out[0] : INS_NO_VALUE;
    return INS_OK;
}
static ins_status toy_grad_mul(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    for (int i = 0; i < 2; i++) {
        ins_value in[2] = {a->d_out[0], a->in[1 - i]};
        if (a->need[i]) a->d_in[i] = ins_graph_emit(g, &toy_mul, NULL, in, 2, NULL);
    }
    return INS_OK;
}
static ins_status toy_grad_scale(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    a->d_in[0] = ins_graph_emit(g, &toy_scale, a->sig->attr, a->d_out, 1, NULL);
    return INS_OK;
}
static ins_status toy_grad_head(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    if (a->d_out[1] >= 0) return INS_FAIL(err, INS_USAGE, "output 'each' has no gradient");
    ins_value in[3] = {a->in[0], a->in[1], a->d_out[0]};
    a->d_in[0] = ins_graph_emit(g, &toy_head_grad, NULL, in, 3, NULL);
    return INS_OK;
}
/* A rule that is wrong on purpose: the gradient has another shape than the input. */
static ins_status toy_grad_wrong(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)g;
    (void)err;
    a->d_in[0] = a->d_out[0];
    return INS_OK;
}

static const ins_op toy_add =
    TOY_OP("add", .n_in_min = 2, .n_in = 2, .n_out = 1, .in_names = "x y", .out_names = "out", .flags = INS_OP_INPLACE,
           .infer = toy_infer_same, .run = toy_run_add, .grad = toy_grad_add);
static const ins_op toy_mul =
    TOY_OP("toy_mul", .n_in_min = 2, .n_in = 2, .n_out = 1, .in_names = "x y", .out_names = "out",
           .flags = INS_OP_PURE_CHEAP, .infer = toy_infer_same, .run = toy_run_mul, .grad = toy_grad_mul);
static const ins_op toy_scale =
    TOY_OP("toy_scale", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x", .out_names = "out",
           .attr_size = sizeof(toy_attr), .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP, .infer = toy_infer_same,
           .run = toy_run_scale, .grad = toy_grad_scale);
static const ins_op toy_fma = TOY_OP("toy_fma", .n_in_min = 2, .n_in = 3, .n_out = 1, .in_names = "x y acc",
                                     .out_names = "out", .flags = INS_OP_ACCUMULATE, .acc_in = 2, .acc_out = 0,
                                     .infer = toy_infer_same, .run = toy_run_fma, .nondiff_reason = "a test op");
static const ins_op toy_view =
    TOY_OP("toy_view", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x", .out_names = "out", .flags = INS_OP_VIEW,
           .infer = toy_infer_flat, .nondiff_reason = "a test op");
static const ins_op toy_prefix =
    TOY_OP("toy_prefix", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x", .out_names = "out",
           .infer = toy_infer_same, .run = toy_run_prefix, .scratch = toy_scratch, .nondiff_reason = "a test op");
static const ins_op toy_log =
    TOY_OP("toy_log", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x", .out_names = "out",
           .infer = toy_infer_same, .run = toy_run_log, .nondiff_reason = "a test op");
static const ins_op toy_round =
    TOY_OP("toy_round", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x", .out_names = "out",
           .infer = toy_infer_same, .run = toy_run_round, .nondiff_reason = "rounding is flat almost everywhere");
static const ins_op toy_total =
    TOY_OP("toy_total", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x", .out_names = "out",
           .infer = toy_infer_scalar, .run = toy_run_total, .grad = toy_grad_wrong);
static const ins_op toy_head =
    TOY_OP("toy_head", .n_in_min = 2, .n_in = 2, .n_out = 2, .in_names = "x y", .out_names = "loss each",
           .infer = toy_infer_head, .run = toy_run_head, .grad = toy_grad_head);
static const ins_op toy_head_grad =
    TOY_OP("toy_head_grad", .n_in_min = 3, .n_in = 3, .n_out = 3, .in_names = "x y d_loss",
           .out_names = "d_x loss each", .infer = toy_infer_head, .run = toy_run_head, .nondiff_reason = "a test op");

static inline ins_value toy1(ins_graph *g, const ins_op *op, ins_value x) {
    return ins_graph_emit(g, op, NULL, &x, 1, NULL);
}
static inline ins_value toy2(ins_graph *g, const ins_op *op, ins_value x, ins_value y) {
    ins_value in[2] = {x, y};
    return ins_graph_emit(g, op, NULL, in, 2, NULL);
}
static inline ins_value toy_times(ins_graph *g, ins_value x, float factor) {
    toy_attr attr = {factor};
    return ins_graph_emit(g, &toy_scale, &attr, &x, 1, NULL);
}

/* The list above, so that a test which uses only some of them compiles without warnings. */
static const ins_op *const toy_ops[] = {&toy_add, &toy_mul,   &toy_scale, &toy_fma,  &toy_view,     &toy_prefix,
                                        &toy_log, &toy_round, &toy_total, &toy_head, &toy_head_grad};
enum { N_TOY_OPS = sizeof toy_ops / sizeof *toy_ops };

#endif
