/* A graph of the ops that training steps of gpt2 lack, at the step's shape: see bench_kernels.h. Everything is summed
 * into one loss, whose gradients use the backward ops too. Scopes name the variant in the table.
 */
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "stage/bench_kernels.h"

enum { HEAD_SIZE = 64, ALIGN = 64, N_CLASSES = 256 };

typedef struct ops_build {
    ins_graph *g;
    const ins_bench_shape *shape;
    int64_t width;
    ins_dtype dtype;
    ins_value x, y;           /* parameters [B,T,C] in the type of products */
    ins_value row;            /* parameter [C], f32 */
    ins_value positions, key; /* inputs */
    ins_value loss;
} ops_build;

static void begin(ops_build *b, const char *scope) {
    ins_graph_push_scope(b->g, scope);
}
/* loss += sum of v, and the end of the scope. */
static void end(ops_build *b, ins_value v) {
    ins_value sum = ins_cast(b->g, ins_sum_all(b->g, v), INS_DTYPE_F32);
    b->loss = b->loss == INS_NO_VALUE ? sum : ins_add(b->g, b->loss, sum);
    ins_graph_pop_scope(b->g);
}

static void build_maps(ops_build *b) {
    static const struct {
        const char *name;
        ins_unary kind;
    } maps[] = {{"gelu_erf", INS_GELU_ERF}, {"silu", INS_SILU}, {"relu", INS_RELU}, {"sigmoid", INS_SIGMOID},
                {"tanh", INS_TANH},         {"exp", INS_EXP},   {"log", INS_LOG}};
    ins_graph *g = b->g;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        begin(b, maps[i].name);
        end(b, ins_unary_map(g, maps[i].kind, b->x));
    }
    begin(b, "swiglu"), end(b, ins_gated(g, INS_SILU, b->x, b->y));
    begin(b, "mul"), end(b, ins_mul(g, b->x, b->y));
    begin(b, "div"), end(b, ins_div(g, b->x, b->y));
    begin(b, "softmax"), end(b, ins_sub(g, ins_softmax(g, b->x), b->y));
    begin(b, "scale"), end(b, ins_mul(g, ins_scale(g, b->x, 0.5), ins_stop_gradient(g, b->y)));
    begin(b, "dropout"), end(b, ins_dropout(g, b->x, b->key, 0.1, 1));
    begin(b, "rmsnorm"), end(b, ins_rmsnorm(g, b->x, b->row, 1e-6, b->dtype));
    begin(b, "rope");
    end(b, ins_mul(g, ins_rope(g, b->x, b->positions, HEAD_SIZE, HEAD_SIZE, 10000, false), b->y));
}

static void build_moves(ops_build *b) {
    ins_graph *g = b->g;
    int64_t rows = b->shape->rows, cols = b->shape->cols, width = b->width;
    ins_type full = *ins_graph_type(g, b->x);
    begin(b, "heads apart");
    ins_value heads = ins_reshape(g, b->x, 4, (const int64_t[]){rows, cols, width / HEAD_SIZE, HEAD_SIZE});
    ins_value turned = ins_permute(g, heads, (const int[]){0, 2, 1, 3});
    end(b, ins_mul(g, turned, turned));
    begin(b, "side by side");
    ins_value both = ins_concat(g, (const ins_value[]){b->x, b->y}, 2, 2);
    end(b, ins_mul(g, both, both));
    begin(b, "window");
    ins_value window = ins_window(g, b->x, b->positions, 4);
    end(b, ins_mul(g, window, window));
    begin(b, "half");
    ins_value half = ins_slice(g, b->x, 2, width / 4, width / 2);
    end(b, ins_mul(g, half, half));
    begin(b, "over time");
    ins_value sums = ins_sum_axis(g, b->x, 1);
    end(b, ins_mul(g, sums, sums));
    begin(b, "to the other type and back");
    ins_value other = ins_cast(g, b->x, b->dtype == INS_DTYPE_F32 ? INS_DTYPE_BF16 : INS_DTYPE_F32);
    end(b, ins_mul(g, ins_cast(g, other, b->dtype), b->y));
    begin(b, "twos");
    end(b, ins_mul(g, ins_fill(g, full, 2), b->x));
    begin(b, "rows");
    full.dtype = INS_DTYPE_F32;
    ins_value wide = ins_broadcast(g, b->row, full);
    end(b, ins_mul(g, wide, wide));
}

/* Losses: from logits, as classifiers have it, and the loss of a vocabulary without a gradient, as in evaluation. */
static void build_losses(ops_build *b, ins_value targets, ins_value weights) {
    ins_graph *g = b->g;
    int64_t n = b->shape->rows * b->shape->cols;
    begin(b, "classes");
    ins_value x = ins_slice(g, ins_reshape(g, b->x, 2, (const int64_t[]){n, b->width}), 1, 0, N_CLASSES);
    end(b, ins_xent(g, ins_cast(g, x, INS_DTYPE_F32), targets, weights, NULL));
    begin(b, "evaluation");
    ins_value table = ins_graph_param(g, "table", INS_TYPE(b->dtype, b->shape->vocab, b->width));
    ins_value still = ins_stop_gradient(g, ins_reshape(g, b->x, 2, (const int64_t[]){n, b->width}));
    end(b, ins_linear_xent(g, still, ins_stop_gradient(g, table), false, targets, weights, NULL, NULL));
}

static void build_lstm(ops_build *b, ins_value w_ih, ins_value w_hh, ins_value bias) {
    begin(b, "lstm");
    end(b, ins_lstm(b->g, b->x, ins_cast(b->g, w_ih, b->dtype), ins_cast(b->g, w_hh, b->dtype), bias));
}

/* The derivative of an attention's derivative: what meta-learning and influence need, of plain ops. */
static ins_status build_second_order(ops_build *b, ins_value lo, ins_value hi, ins_error *err) {
    ins_value wrt[2] = {b->x, b->y}, d_wrt[2];
    int n_heads = (int)(b->width / HEAD_SIZE);
    begin(b, "second order");
    ins_value out = ins_attention(b->g, b->x, b->y, b->y, lo, hi, n_heads, n_heads, 0.125);
    ins_value sum = ins_cast(b->g, ins_sum_all(b->g, ins_mul(b->g, out, out)), INS_DTYPE_F32);
    INS_TRY(ins_graph_gradients(b->g, sum, wrt, 2, d_wrt, err));
    end(b, ins_mul(b->g, d_wrt[0], d_wrt[1]));
    return INS_OK;
}

static ins_status build(ops_build *b, ins_error *err) {
    int64_t rows = b->shape->rows, cols = b->shape->cols, width = b->width;
    ins_type full = INS_TYPE(b->dtype, rows, cols, width), spans = INS_TYPE(INS_DTYPE_I32, rows, cols);
    b->loss = INS_NO_VALUE;
    b->x = ins_graph_param(b->g, "x", full), b->y = ins_graph_param(b->g, "y", full);
    b->row = ins_graph_param(b->g, "row", INS_TYPE(INS_DTYPE_F32, width));
    b->positions = ins_graph_input(b->g, "positions", spans);
    b->key = ins_graph_input(b->g, "key", INS_TYPE(INS_DTYPE_I32, 4));
    ins_value lo = ins_graph_input(b->g, "lo", spans), hi = ins_graph_input(b->g, "hi", spans);
    ins_value targets = ins_graph_input(b->g, "targets", INS_TYPE(INS_DTYPE_I32, rows * cols));
    ins_value weights = ins_graph_input(b->g, "weights", INS_TYPE(INS_DTYPE_F32, rows * cols));
    ins_value wrt[] = {b->x,
                       b->y,
                       b->row,
                       ins_graph_param(b->g, "w_ih", INS_TYPE(INS_DTYPE_F32, 4 * width, width)),
                       ins_graph_param(b->g, "w_hh", INS_TYPE(INS_DTYPE_F32, 4 * width, width)),
                       ins_graph_param(b->g, "bias", INS_TYPE(INS_DTYPE_F32, 4 * width))};
    enum { N_WRT = sizeof wrt / sizeof wrt[0] };
    ins_value d_wrt[N_WRT];
    build_maps(b);
    build_moves(b);
    build_losses(b, targets, weights);
    build_lstm(b, wrt[3], wrt[4], wrt[5]);
    INS_TRY(build_second_order(b, lo, hi, err));
    ins_graph_output(b->g, b->loss, "loss");
    INS_TRY(ins_graph_gradients(b->g, b->loss, wrt, N_WRT, d_wrt, err));
    static const char *const names[N_WRT] = {"d_x", "d_y", "d_row", "d_w_ih", "d_w_hh", "d_bias"};
    for (int i = 0; i < N_WRT; i++)
        if (d_wrt[i] != INS_NO_VALUE) ins_graph_output(b->g, d_wrt[i], names[i]);
    return ins_graph_status(b->g, err);
}

/* ---- memory ---- */

static const char *const leaves[] = {"x",  "y",       "row",     "w_ih", "w_hh",      "bias", "lo",
                                     "hi", "targets", "weights", "key",  "positions", "table"};
enum { N_LEAVES = sizeof leaves / sizeof leaves[0] };

/* Numbers that every op here has a finite result for: 0.5 to 1.5, matrices scaled down. */
static void fill_floats(const char *name, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    double scale = name[0] == 'w' && name[1] == '_' ? 0.01 : 1;
    ins_rng rng = ins_rng_start(ins_rng_derive(1, name, 0), 0);
    for (int64_t i = 0; i < n; i++) {
        float value = (float)(scale * (0.5 + (double)ins_rng_below(&rng, 1u << 20) / (1u << 20)));
        if (type->dtype == INS_DTYPE_BF16)
            ((uint16_t *)data)[i] = ins_f32_to_bf16(value);
        else
            ((float *)data)[i] = value;
    }
}

static void fill_integers(const char *name, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type), cols = ins_type_cols(type);
    int32_t *out = data;
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(name, "positions") == 0) out[i] = (int32_t)(i % cols);
        if (strcmp(name, "hi") == 0) out[i] = (int32_t)(i % cols) + 1;
        if (strcmp(name, "targets") == 0) out[i] = (int32_t)(i * 7919 % N_CLASSES);
        if (strcmp(name, "key") == 0) out[i] = (int32_t)i + 1;
    }
}

static ins_status bind_leaves(ins_bench_ops *ops, ins_error *err) {
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) { /* measure, then bind */
        at = 0;
        for (int i = 0; i < N_LEAVES; i++) {
            const ins_type *type = ins_graph_type(ops->graph, ins_graph_find(ops->graph, leaves[i]));
            char *data = (char *)ops->memory + at;
            at += (ins_type_bytes(type) + ALIGN - 1) / ALIGN * ALIGN;
            if (pass == 0) continue;
            if (ins_dtype_is_float(type->dtype))
                fill_floats(leaves[i], type, data);
            else
                fill_integers(leaves[i], type, data);
            INS_TRY(ins_exec_bind(ops->exec, leaves[i], data, err));
        }
        if (pass == 0) {
            ops->bytes = at;
            INS_TRY(ins_pages_alloc(at, true, &ops->memory, err));
        }
    }
    return INS_OK;
}

ins_status ins_bench_ops_new(const ins_bench_setup *setup, int64_t width, ins_bench_ops *out, ins_error *err) {
    *out = (ins_bench_ops){0};
    INS_TRY(ins_graph_new(INS_DTYPE_F32, setup->dtype, &out->graph, err));
    ops_build b = {.g = out->graph, .shape = setup->shape, .width = width, .dtype = setup->dtype};
    INS_TRY(build(&b, err));
    INS_TRY(ins_plan_new(out->graph, NULL, ins_pool_threads(setup->pool), &out->plan, err));
    INS_TRY(ins_exec_new(out->plan, setup->pool, &out->exec, err));
    return bind_leaves(out, err);
}

void ins_bench_ops_free(ins_bench_ops *ops) {
    ins_exec_free(ops->exec);
    ins_plan_free(ops->plan);
    ins_graph_free(ops->graph);
    ins_pages_free(ops->memory, ops->bytes);
    *ops = (ins_bench_ops){0};
}
