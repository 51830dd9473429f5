/* Initial weights: names, shapes, kinds and statistics of every tensor. */
#include "model/model_testing.h"

typedef struct expected_row {
    const char *name, *init;
    int64_t rows, cols; /* rows 0: a vector */
    bool decay;
} expected_row;

static void statistics(const float *x, int64_t n, double *mean, double *std) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *std = sqrt(squares / (double)n);
}

static void check_row(const ins_param *row, const expected_row *e, const float *slab) {
    double mean, std, wanted;
    assert_string_equal(row->name, e->name);
    assert_string_equal(row->init, e->init);
    assert_int_equal(row->decay, e->decay);
    assert_false(row->frozen);
    assert_int_equal(row->type.n_dims, e->rows ? 2 : 1);
    assert_int_equal(row->count, (e->rows ? e->rows : 1) * e->cols);
    assert_int_equal(ins_type_cols(&row->type), e->cols);
    statistics(slab + row->offset, row->count, &mean, &std);
    if (sscanf(e->init, "normal(%lf)", &wanted) == 1) {
        /* five standard errors of the deviation and of the mean */
        double n = (double)row->count;
        assert_float_equal(std, wanted, 5 * wanted / sqrt(2 * n));
        assert_float_equal(mean, 0, 5 * wanted / sqrt(n));
    } else {
        assert_true(std == 0);
        assert_true(mean == (strcmp(e->init, "one") == 0));
    }
}

static void check_model(const char *yaml, const expected_row *rows, int64_t n) {
    ins_model *m = model_from(yaml, 100);
    const ins_params *params = ins_model_params(m);
    float *slab = NULL;
    OK(ins_slab_new(params, &slab, err));
    OK(ins_model_init(m, 42, slab, NULL, err));
    assert_int_equal(params->n, n);
    for (int64_t i = 0; i < n; i++) check_row(&params->rows[i], &rows[i], slab);
    ins_slab_free(params, slab);
    ins_model_free(m);
}

/* 0.02 / sqrt(2 x 2 layers) = 0.01 */
static void test_gpt2(void **state) {
    (void)state;
#define LAYER(n)                                                                                                       \
    {"transformer.h." n ".attn.c_attn.weight", "normal(0.02)", 128, 384, true},                                        \
        {"transformer.h." n ".attn.c_proj.weight", "normal(0.01)", 128, 128, true},                                    \
        {"transformer.h." n ".mlp.c_fc.weight", "normal(0.02)", 128, 512, true}, {                                     \
        "transformer.h." n ".mlp.c_proj.weight", "normal(0.01)", 512, 128, true                                        \
    }
#define VECTORS(n)                                                                                                     \
    {"transformer.h." n ".ln_1.weight", "one", 0, 128, false},                                                         \
        {"transformer.h." n ".ln_1.bias", "zero", 0, 128, false},                                                      \
        {"transformer.h." n ".attn.c_attn.bias", "zero", 0, 384, false},                                               \
        {"transformer.h." n ".attn.c_proj.bias", "zero", 0, 128, false},                                               \
        {"transformer.h." n ".ln_2.weight", "one", 0, 128, false},                                                     \
        {"transformer.h." n ".ln_2.bias", "zero", 0, 128, false},                                                      \
        {"transformer.h." n ".mlp.c_fc.bias", "zero", 0, 512, false}, {                                                \
        "transformer.h." n ".mlp.c_proj.bias", "zero", 0, 128, false                                                   \
    }
    static const expected_row rows[] = {
        {"transformer.wte.weight", "normal(0.02)", 100, 128, true},
        {"transformer.wpe.weight", "normal(0.02)", 32, 128, true},
        LAYER("0"),
        LAYER("1"),
        VECTORS("0"),
        VECTORS("1"),
        {"transformer.ln_f.weight", "one", 0, 128, false},
        {"transformer.ln_f.bias", "zero", 0, 128, false},
    };
    check_model("{preset: gpt2, layers: 2, max_positions: 32}", rows, sizeof rows / sizeof *rows);
#undef LAYER
#undef VECTORS
}

static void test_llama(void **state) {
    (void)state;
#define P "model.layers.0."
    static const expected_row rows[] = {
        {"model.embed_tokens.weight", "normal(0.02)", 100, 128, true},
        {P "self_attn.q_proj.weight", "normal(0.02)", 128, 128, true},
        {P "self_attn.k_proj.weight", "normal(0.02)", 64, 128, true},
        {P "self_attn.v_proj.weight", "normal(0.02)", 64, 128, true},
        {P "self_attn.o_proj.weight", "normal(0.02)", 128, 128, true},
        {P "mlp.gate_proj.weight", "normal(0.02)", 352, 128, true},
        {P "mlp.up_proj.weight", "normal(0.02)", 352, 128, true},
        {P "mlp.down_proj.weight", "normal(0.02)", 128, 352, true},
        {"lm_head.weight", "normal(0.02)", 100, 128, true},
        {P "input_layernorm.weight", "one", 0, 128, false},
        {P "post_attention_layernorm.weight", "one", 0, 128, false},
        {"model.norm.weight", "one", 0, 128, false},
    };
    check_model("{preset: llama, layers: 1, width: 128, heads: 4, kv_heads: 2}", rows, sizeof rows / sizeof *rows);
#undef P
}

/* The value of an element depends on the seed, the name and its place: not on threads or on other tensors. */
static void test_pure(void **state) {
    (void)state;
    ins_model *one = model_from("{preset: llama, layers: 1, width: 128}", 100),
              *two = model_from("{preset: llama, layers: 2, width: 128}", 100);
    ins_pool *pool = NULL;
    float *x = NULL, *y = NULL, *z = NULL;
    OK(ins_pool_new(2, &pool, err));
    OK(ins_slab_new(ins_model_params(one), &x, err));
    OK(ins_slab_new(ins_model_params(two), &y, err));
    OK(ins_slab_new(ins_model_params(two), &z, err));
    OK(ins_model_init(one, 9, x, NULL, err));
    OK(ins_model_init(two, 9, y, pool, err));
    OK(ins_model_init(two, 10, z, pool, err));
    const char *name = "model.layers.0.mlp.up_proj.weight";
    const ins_param *row_x = ins_params_find(ins_model_params(one), name),
                    *row_y = ins_params_find(ins_model_params(two), name);
    size_t bytes = (size_t)row_x->count * sizeof(float);
    assert_memory_equal(x + row_x->offset, y + row_y->offset, bytes);
    assert_memory_not_equal(y + row_y->offset, z + row_y->offset, bytes);
    const ins_param *other = ins_params_find(ins_model_params(two), "model.layers.1.mlp.up_proj.weight");
    assert_memory_not_equal(y + row_y->offset, y + other->offset, bytes);
    ins_slab_free(ins_model_params(one), x);
    ins_slab_free(ins_model_params(two), y);
    ins_slab_free(ins_model_params(two), z);
    ins_model_free(one);
    ins_model_free(two);
    ins_pool_free(pool);
}

static void test_sinusoidal(void **state) {
    (void)state;
    ins_model *m = model_from("{layers: 1, width: 64, positions: sinusoidal, max_positions: 16}", 100);
    float *slab = NULL;
    OK(ins_slab_new(ins_model_params(m), &slab, err));
    OK(ins_model_init(m, 1, slab, NULL, err));
    const ins_param *row = ins_params_find(ins_model_params(m), "pos.weight");
    assert_true(row->frozen);
    assert_float_equal(slab[row->offset + 3 * 64], sin(3), 1e-6);
    assert_float_equal(slab[row->offset + 3 * 64 + 1], cos(3), 1e-6);
    assert_float_equal(slab[row->offset + 5 * 64 + 10], sin(5 * pow(10000, -10.0 / 64)), 1e-6);
    ins_slab_free(ins_model_params(m), slab);
    ins_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_pure),
        cmocka_unit_test(test_sinusoidal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
