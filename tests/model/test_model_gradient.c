/* Gradients of whole small models against central differences in double precision. */
#include "model/model_testing.h"

enum { ROWS = 2, COLS = 7, VOCAB = 11 };

typedef struct run64 {
    ins_model *model;
    ins_graph *graph;
    ins_plan *plan;
    ins_exec *exec;
    double *weights, *grads; /* laid out as the slab */
    double batch_weights[ROWS * COLS], loss_scale;
    int32_t rng_key[4];
} run64;

/* Two documents in row 0, one and padding in row 1. */
static ins_batch *small_batch(const ins_opt_component *objective) {
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 10, 0};
    ins_batch *batch = empty_batch(ROWS, COLS);
    put_document(batch, 0, 0, 1, ids, 3);
    put_document(batch, 0, 3, 2, ids + 3, 4);
    put_document(batch, 1, 0, 1, ids + 7, 5);
    prepare_batch(objective, batch);
    return batch;
}

static void build(run64 *r, const ins_opt_component *objective) {
    const ins_params *params = ins_model_params(r->model);
    OK(ins_graph_new(INS_DTYPE_F64, INS_DTYPE_F64, &r->graph, err));
    bool dropout = ins_model_get_options(r->model)->dropout > 0;
    const ins_batch_values in = ins_batch_declare(r->graph, ROWS, COLS, dropout);
    ins_objective_values out = {0};
    OK(((const ins_objective *)objective->desc)->build(objective->options, r->graph, r->model, &in, &out, err));
    ins_value *wrt = calloc((size_t)params->n, sizeof *wrt), *d_wrt = calloc((size_t)params->n, sizeof *d_wrt);
    for (int64_t i = 0; i < params->n; i++) wrt[i] = ins_graph_find(r->graph, params->rows[i].name);
    OK(ins_graph_gradients(r->graph, out.loss, wrt, params->n, d_wrt, err));
    ins_graph_output(r->graph, out.loss, "loss");
    for (int64_t i = 0; i < params->n; i++) {
        char name[300];
        snprintf(name, sizeof name, "grad.%s", params->rows[i].name);
        assert_int_not_equal(d_wrt[i], INS_NO_VALUE);
        ins_graph_output(r->graph, d_wrt[i], name);
    }
    OK(ins_graph_status(r->graph, err));
    OK(ins_plan_new(r->graph, &(ins_plan_options){0}, 1, &r->plan, err));
    OK(ins_exec_new(r->plan, NULL, &r->exec, err));
    for (int64_t i = 0; i < params->n; i++) {
        char name[300];
        snprintf(name, sizeof name, "grad.%s", params->rows[i].name);
        OK(ins_exec_bind(r->exec, params->rows[i].name, r->weights + params->rows[i].offset, err));
        OK(ins_exec_bind(r->exec, name, r->grads + params->rows[i].offset, err));
    }
    free(wrt);
    free(d_wrt);
}

static void bind_batch(run64 *r, const ins_batch *batch) {
    for (int i = 0; i < ROWS * COLS; i++) r->batch_weights[i] = batch->weights[i];
    r->loss_scale = 1.0 / (double)batch->n_targets;
    OK(ins_exec_bind(r->exec, "batch.ids", batch->ids, err));
    OK(ins_exec_bind(r->exec, "batch.targets", batch->targets, err));
    OK(ins_exec_bind(r->exec, "batch.positions", batch->positions, err));
    OK(ins_exec_bind(r->exec, "batch.lo", batch->lo, err));
    OK(ins_exec_bind(r->exec, "batch.hi", batch->hi, err));
    OK(ins_exec_bind(r->exec, "batch.weights", r->batch_weights, err));
    OK(ins_exec_bind(r->exec, "batch.loss_scale", &r->loss_scale, err));
    if (ins_graph_find(r->graph, "batch.rng_key") != INS_NO_VALUE)
        OK(ins_exec_bind(r->exec, "batch.rng_key", r->rng_key, err));
}

static double loss_of(run64 *r) {
    OK(ins_exec_run(r->exec, err));
    return *(const double *)ins_exec_data(r->exec, "loss");
}

/* Some entries of a tensor: d loss / d w = (-f(2h) + 8 f(h) - 8 f(-h) + f(-2h)) / 12 h. */
static void check_row(run64 *r, const ins_param *row, const double *grad) {
    const double h = 1e-3;
    double sum = 0;
    for (int64_t i = 0; i < row->count; i++) sum += grad[i] * grad[i];
    double limit = 1e-6 * sqrt(sum / (double)row->count) + 1e-12;
    int64_t step = row->count / 6 + 1;
    for (int64_t i = (row->count * 7) % step; i < row->count; i += step) {
        double *w = &r->weights[row->offset + i], kept = *w, at[4];
        static const double shifts[4] = {2, 1, -1, -2};
        for (int k = 0; k < 4; k++) {
            *w = kept + shifts[k] * h;
            at[k] = loss_of(r);
        }
        *w = kept;
        double numeric = (-at[0] + 8 * at[1] - 8 * at[2] + at[3]) / (12 * h);
        if (fabs(numeric - grad[i]) > limit)
            fail_msg("%s[%lld]: gradient %.12g, differences %.12g", row->name, (long long)i, grad[i], numeric);
    }
}

static void check_model(const char *yaml, const char *objective_name) {
    run64 r = {.model = model_from(yaml, VOCAB), .rng_key = {1, 2, 3, 4}};
    const ins_params *params = ins_model_params(r.model);
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component objective = component_of(arena, &ins_family_objective, objective_name, NULL);
    float *slab = NULL;
    OK(ins_slab_new(params, &slab, err));
    OK(ins_model_init(r.model, 11, slab, NULL, err));
    r.weights = calloc((size_t)params->slab_count, sizeof *r.weights);
    r.grads = calloc((size_t)params->slab_count, sizeof *r.grads);
    double *grads = calloc((size_t)params->slab_count, sizeof *grads);
    /* away from the symmetric start: norms off 1, biases off 0 */
    for (int64_t i = 0; i < params->slab_count; i++) r.weights[i] = slab[i] + 0.1 * sin(1.7 * (double)i);
    ins_batch *batch = small_batch(&objective);
    build(&r, &objective);
    bind_batch(&r, batch);
    loss_of(&r);
    memcpy(grads, r.grads, (size_t)params->slab_count * sizeof *grads);
    for (int64_t i = 0; i < params->n; i++) check_row(&r, &params->rows[i], grads + params->rows[i].offset);
    ins_exec_free(r.exec);
    ins_plan_free(r.plan);
    ins_graph_free(r.graph);
    ins_batch_free(batch);
    ins_arena_free(arena);
    ins_slab_free(params, slab);
    ins_model_free(r.model);
    free(r.weights);
    free(r.grads);
    free(grads);
}

#define TINY "layers: 2, width: 8, heads: 2, ff: 12, max_positions: 8, init_std: 0.3"

static void test_gpt2(void **state) {
    (void)state;
    check_model("{preset: gpt2, " TINY "}", "clm");
}
static void test_llama(void **state) {
    (void)state;
    check_model("{preset: llama, kv_heads: 1, " TINY "}", "clm");
}
static void test_qwen(void **state) {
    (void)state;
    check_model("{preset: qwen2, " TINY "}", "clm");
    check_model("{preset: qwen3, head_size: 6, " TINY "}", "sft");
}
static void test_variants(void **state) {
    (void)state;
    check_model("{norm_place: sandwich, rotary_share: 0.5, rope_interleaved: true, mlp: geglu, " TINY "}", "clm");
    check_model("{norm_place: post, norm: layernorm, norm_bias: true, positions: learned, mlp: gelu_erf, " TINY "}",
                "clm");
    check_model("{parallel: true, positions: none, mlp: silu, qkv_fused: true, kv_heads: 1, embed_scale: 3, " TINY "}",
                "clm");
}
static void test_recurrent(void **state) {
    (void)state;
    check_model("{preset: lstm, width: 5, hidden: 7}", "clm");
    check_model("{preset: lstm, width: 6, tied: true, layers: 1, dropout: 0.3}", "sft");
    check_model("{preset: mlp, width: 4, hidden: 9, window: 3}", "clm");
    check_model("{preset: mlp, width: 4, hidden: 9, window: 9, merge: sum, activation: gelu_tanh, layers: 1}", "clm");
}
static void test_dropout(void **state) {
    (void)state;
    check_model("{preset: llama, dropout: 0.3, " TINY "}", "clm");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),     cmocka_unit_test(test_llama),   cmocka_unit_test(test_qwen),
        cmocka_unit_test(test_variants), cmocka_unit_test(test_dropout), cmocka_unit_test(test_recurrent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
