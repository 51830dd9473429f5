/* Logits, loss, every gradient and ten AdamW steps against values that the original implementations gave
 * (scripts/fixtures/gen_models.py). */
#include "model/model_testing.h"

#include "decode/decode.h"

typedef struct reference {
    ins_model *model;
    float *slab, *grads;
    ins_safetensors *expected;
    int64_t n_rows, n_cols;
    int64_t lens[8];
    int32_t ids[8 * 32];
    ins_pool *pool;
} reference;

static const ins_safetensor *value(const reference *r, const char *prefix, const char *name) {
    char key[256];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    const ins_safetensor *t = ins_safetensors_find(r->expected, key);
    if (!t) fail_msg("the fixture has no %s", key);
    return t;
}

static float *floats(const ins_safetensor *t) {
    float *out = malloc((size_t)ins_type_count(&t->type) * sizeof *out);
    OK(ins_safetensor_to_f32(t, out, err));
    return out;
}

static void integers(const ins_safetensor *t, int64_t *out) {
    assert_int_equal(t->type.dtype, INS_DTYPE_I64);
    memcpy(out, t->data, t->bytes);
}

static reference open_reference(const char *name) {
    reference r = {0};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/models/%s", INS_FIXTURES, name);
    OK(ins_model_load(path, &r.model, &r.slab, err));
    OK(ins_slab_new(ins_model_params(r.model), &r.grads, err));
    snprintf(path, sizeof path, "%s/models/%s/expected.safetensors", INS_FIXTURES, name);
    OK(ins_safetensors_open(path, &r.expected, err));
    const ins_safetensor *ids = value(&r, "", "ids");
    int64_t wide[8 * 32];
    r.n_rows = ids->type.dims[0];
    r.n_cols = ids->type.dims[1];
    integers(ids, wide);
    for (int64_t i = 0; i < r.n_rows * r.n_cols; i++) r.ids[i] = (int32_t)wide[i];
    integers(value(&r, "", "lens"), r.lens);
    OK(ins_pool_new(2, &r.pool, err));
    return r;
}

static void close_reference(reference *r) {
    ins_safetensors_close(r->expected);
    ins_slab_free(ins_model_params(r->model), r->slab);
    ins_slab_free(ins_model_params(r->model), r->grads);
    ins_model_free(r->model);
    ins_pool_free(r->pool);
}

/* Root mean square of a tensor. */
static double rms(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum / (double)n);
}

static void check_logits(const char *name) {
    reference r = open_reference(name);
    const int32_t *rows[8];
    for (int64_t row = 0; row < r.n_rows; row++) rows[row] = r.ids + row * r.n_cols;
    float *logits = NULL, *expected = floats(value(&r, "", "logits")), *loss = floats(value(&r, "", "loss"));
    int64_t max_t = 0, n = ins_type_count(&value(&r, "", "logits")->type);
    double mean = 0;
    OK(ins_model_eval_logits(r.model, r.slab, INS_DTYPE_F32, rows, r.lens, r.n_rows, r.pool, &logits, &max_t, &mean,
                             err));
    assert_int_equal(max_t, r.n_cols);
    double scale = rms(expected, n);
    for (int64_t i = 0; i < n; i++)
        if (fabs((double)logits[i] - expected[i]) > 1e-5 * scale)
            fail_msg("%s: logit %lld is %.9g, not %.9g", name, (long long)i, logits[i], expected[i]);
    assert_float_equal(mean, loss[0], 1e-6);
    ins_free(logits);
    free(expected);
    free(loss);
    close_reference(&r);
}

static ins_batch *batch_of(const reference *r, const ins_opt_component *objective) {
    ins_batch *batch = empty_batch(r->n_rows, r->n_cols);
    for (int64_t row = 0; row < r->n_rows; row++)
        put_document(batch, row, 0, 1, r->ids + row * r->n_cols, r->lens[row]);
    prepare_batch(objective, batch);
    return batch;
}

static ins_train_graph *graph_of(reference *r, const ins_opt_component *objective) {
    ins_train_graph *tg = NULL;
    const ins_train_graph_config config = {.model = r->model,
                                           .objective = objective,
                                           .compute = INS_DTYPE_F32,
                                           .n_rows = r->n_rows,
                                           .n_cols = r->n_cols,
                                           .weights = r->slab,
                                           .grads = r->grads,
                                           .pool = r->pool};
    OK(ins_train_graph_new(&config, &tg, err));
    return tg;
}

static void check_gradients(const reference *r, const char *name) {
    const ins_params *params = ins_model_params(r->model);
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        float *expected = floats(value(r, "grad.", row->name));
        double scale = rms(expected, row->count);
        for (int64_t at = 0; at < row->count; at++)
            if (fabs((double)r->grads[row->offset + at] - expected[at]) > 2e-5 * scale + 1e-9)
                fail_msg("%s: gradient %s[%lld] is %.9g, not %.9g", name, row->name, (long long)at,
                         r->grads[row->offset + at], expected[at]);
        free(expected);
    }
}

/* Adam divides by the gradient's own size, so where the true gradient is 0 (GPT-2's key bias: softmax does not feel a
 * shift) rounding alone decides the direction. Such elements are only held to ten steps of the learning rate. */
static void check_weights(const reference *r, const char *name) {
    const ins_params *params = ins_model_params(r->model);
    int64_t n_exact = 0, n_all = 0;
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        float *expected = floats(value(r, "after.", row->name)), *grad = floats(value(r, "grad.", row->name));
        double scale = rms(grad, row->count);
        for (int64_t at = 0; at < row->count; at++, n_all++) {
            bool noise = fabs(grad[at]) < 1e-3 * scale && (grad[at] != 0 || row->type.n_dims == 1);
            double limit = noise ? 1.1e-2 : 4e-6;
            n_exact += !noise;
            if (fabs((double)r->slab[row->offset + at] - expected[at]) > limit)
                fail_msg("%s: after ten steps %s[%lld] is %.9g, not %.9g", name, row->name, (long long)at,
                         r->slab[row->offset + at], expected[at]);
        }
        free(expected);
        free(grad);
    }
    assert_true(n_exact > n_all * 97 / 100);
}

static void check_training(const char *name) {
    reference r = open_reference(name);
    const ins_params *params = ins_model_params(r.model);
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component objective = component_of(arena, &ins_family_objective, "clm", NULL);
    const ins_opt_component optimizer =
        component_of(arena, &ins_family_optimizer, "adamw", "{beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1}");
    ins_batch *batch = batch_of(&r, &objective);
    ins_train_graph *tg = graph_of(&r, &objective);
    float *losses = floats(value(&r, "", "losses")), *slots[2];
    for (int i = 0; i < 2; i++) OK(ins_slab_new(params, &slots[i], err));
    for (int64_t step = 1; step <= 10; step++) {
        ins_train_result result;
        OK(ins_train_graph_run(tg, batch, 1.0 / (double)batch->n_targets, NULL, true, &result, err));
        assert_float_equal(result.loss, losses[step - 1], 3e-6);
        if (step == 1) check_gradients(&r, name);
        const ins_update update = {.params = params,
                                   .weights = r.slab,
                                   .grads = r.grads,
                                   .slots = slots,
                                   .lr = 1e-3,
                                   .grad_scale = 1,
                                   .step = step,
                                   .pool = r.pool};
        ((const ins_optimizer *)optimizer.desc)->update(optimizer.options, &update);
    }
    check_weights(&r, name);
    for (int i = 0; i < 2; i++) ins_slab_free(params, slots[i]);
    free(losses);
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    ins_arena_free(arena);
    close_reference(&r);
}

static void test_gpt2_logits(void **state) {
    (void)state;
    check_logits("gpt2");
}
static void test_llama_logits(void **state) {
    (void)state;
    check_logits("llama");
}
static void test_qwen2_logits(void **state) {
    (void)state;
    check_logits("qwen2");
}
static void test_qwen3_logits(void **state) {
    (void)state;
    check_logits("qwen3");
}
static void test_lstm_logits(void **state) {
    (void)state;
    check_logits("lstm");
}
static void test_mlp_logits(void **state) {
    (void)state;
    check_logits("mlp");
}
static void test_gpt2_training(void **state) {
    (void)state;
    check_training("gpt2");
}
static void test_llama_training(void **state) {
    (void)state;
    check_training("llama");
}
static void test_qwen2_training(void **state) {
    (void)state;
    check_training("qwen2");
}
static void test_qwen3_training(void **state) {
    (void)state;
    check_training("qwen3");
}
static void test_lstm_training(void **state) {
    (void)state;
    check_training("lstm");
}
static void test_mlp_training(void **state) {
    (void)state;
    check_training("mlp");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_logits),    cmocka_unit_test(test_llama_logits),
        cmocka_unit_test(test_qwen2_logits),   cmocka_unit_test(test_qwen3_logits),
        cmocka_unit_test(test_gpt2_training),  cmocka_unit_test(test_llama_training),
        cmocka_unit_test(test_qwen2_training), cmocka_unit_test(test_qwen3_training),
        cmocka_unit_test(test_lstm_logits),    cmocka_unit_test(test_mlp_logits),
        cmocka_unit_test(test_lstm_training),  cmocka_unit_test(test_mlp_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
