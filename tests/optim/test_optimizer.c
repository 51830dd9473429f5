/* Optimizers against their equations in double precision; norms; averages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/yaml.h"
#include "optim/ema.h"
#include "optim/optim.h"

const ins_family *const ins_families[] = {&ins_family_optimizer, NULL};

enum { N_ROWS = 5, MAX = 80000 };

/* Rows: matrix, matrix with half the rate, frozen matrix, vector, vector; sizes off the slab's alignment. */
static ins_params *make_params(void) {
    ins_params *p = NULL;
    ins_param *row = NULL;
    assert_int_equal(ins_params_new(&p, NULL), INS_OK);
    ins_params_add(p, "w0", INS_TYPE(INS_DTYPE_F32, 301, 127), &row, NULL);
    ins_params_add(p, "w1", INS_TYPE(INS_DTYPE_F32, 5, 7), &row, NULL);
    row->lr_scale = 0.5;
    ins_params_add(p, "w2", INS_TYPE(INS_DTYPE_F32, 3, 3), &row, NULL);
    row->frozen = true;
    ins_params_add(p, "b0", INS_TYPE(INS_DTYPE_F32, 19), &row, NULL);
    ins_params_add(p, "b1", INS_TYPE(INS_DTYPE_F32, 33), &row, NULL);
    assert_int_equal(p->n, N_ROWS);
    assert_true(p->slab_count < MAX);
    return p;
}

typedef struct world {
    ins_params *params;
    float *w, *g, *slots[2];
    uint16_t *bf16;
    int64_t begin, end;
    ins_pool *pool;
    const ins_optimizer *optimizer;
    void *options;
    ins_arena *arena;
} world;

static world make(const char *name, const char *yaml, int n_threads) {
    world x = {.params = make_params(), .arena = ins_arena_new(0)};
    assert_int_equal(ins_pool_new(n_threads, &x.pool, NULL), INS_OK);
    float **const slabs[] = {&x.w, &x.g, &x.slots[0], &x.slots[1]};
    for (int i = 0; i < 4; i++) assert_int_equal(ins_slab_new(x.params, slabs[i], NULL), INS_OK);
    x.optimizer = (const ins_optimizer *)ins_component_find(&ins_family_optimizer, name);
    assert_non_null(x.optimizer);
    ins_node *node = NULL;
    assert_int_equal(ins_yaml_read_text(yaml, strlen(yaml), "test", x.arena, &node, NULL), INS_OK);
    x.options = ins_arena_alloc(x.arena, x.optimizer->head.options->size);
    ins_diag diag = {0};
    if (!ins_opt_parse(x.optimizer->head.options, node, x.options, x.arena, NULL, &diag))
        fail_msg("%s", diag.items[0].text);
    for (int64_t i = 0; i < N_ROWS; i++)
        for (int64_t at = 0; at < x.params->rows[i].count; at++)
            x.w[x.params->rows[i].offset + at] = (float)sin(0.37 * (double)at + (double)i);
    return x;
}

static void drop(world *x) {
    float *const slabs[] = {x->w, x->g, x->slots[0], x->slots[1]};
    for (int i = 0; i < 4; i++) ins_slab_free(x->params, slabs[i]);
    ins_pool_free(x->pool);
    ins_arena_free(x->arena);
    ins_params_free(x->params);
}

static float gradient(int64_t row, int64_t at, int64_t step) {
    return (float)(cos(0.11 * (double)at + (double)row) * (step == 2 ? 0.01 : 1) + 0.1 * (double)(at % 3));
}

static void take_step(world *x, int64_t step, double lr, double scale) {
    for (int64_t i = 0; i < N_ROWS; i++)
        for (int64_t at = 0; at < x->params->rows[i].count; at++)
            x->g[x->params->rows[i].offset + at] = gradient(i, at, step);
    const ins_update u = {.params = x->params,
                          .weights = x->w,
                          .grads = x->g,
                          .slots = x->slots,
                          .lr = lr,
                          .grad_scale = scale,
                          .step = step,
                          .begin = x->begin,
                          .end = x->end,
                          .weights_bf16 = x->bf16,
                          .pool = x->pool};
    x->optimizer->update(x->options, &u);
}

/* Compare all weights with a double-precision run of `rule` on each element. */
typedef double (*rule)(double p, double g, double *state, double lr, double decay, int64_t step);

static void check(const char *name, const char *yaml, rule one, double decay) {
    world x = make(name, yaml, 2);
    const double lr = 0.05, scale = 0.5;
    static double p[MAX], s[MAX][2];
    for (int64_t i = 0; i < x.params->slab_count; i++) {
        p[i] = x.w[i];
        s[i][0] = s[i][1] = 0;
    }
    for (int64_t step = 1; step <= 4; step++) {
        take_step(&x, step, lr, scale);
        for (int64_t i = 0; i < N_ROWS; i++) {
            const ins_param *row = &x.params->rows[i];
            for (int64_t at = 0; !row->frozen && at < row->count; at++) {
                int64_t j = row->offset + at;
                p[j] = one(p[j], scale * gradient(i, at, step), s[j], lr * row->lr_scale, row->decay ? decay : 0, step);
            }
        }
    }
    for (int64_t i = 0; i < x.params->slab_count; i++)
        if (fabs(x.w[i] - p[i]) > 2e-6) fail_msg("%s: weight %d is %.9g, not %.9g", name, (int)i, x.w[i], p[i]);
    drop(&x);
}

static double adamw(double p, double g, double *state, double lr, double decay, int64_t step) {
    const double b1 = 0.8, b2 = 0.9;
    state[0] = b1 * state[0] + (1 - b1) * g;
    state[1] = b2 * state[1] + (1 - b2) * g * g;
    double m = state[0] / (1 - pow(b1, (double)step)), v = state[1] / (1 - pow(b2, (double)step));
    return p - lr * (m / (sqrt(v) + 1e-6) + decay * p);
}

static double sgd(double p, double g, double *state, double lr, double decay, int64_t step) {
    (void)step;
    g += decay * p;
    state[0] = 0.7 * state[0] + g;
    return p - lr * state[0];
}

static double nesterov(double p, double g, double *state, double lr, double decay, int64_t step) {
    (void)step;
    g += decay * p;
    state[0] = 0.7 * state[0] + g;
    return p - lr * (g + 0.7 * state[0]);
}

static double plain(double p, double g, double *state, double lr, double decay, int64_t step) {
    (void)state;
    (void)step;
    return p - lr * (g + decay * p);
}

static void test_adamw(void **state) {
    (void)state;
    check("adamw", "{beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.2}", adamw, 0.2);
    check("adamw", "{beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0}", adamw, 0);
}
static void test_sgd(void **state) {
    (void)state;
    check("sgd", "{momentum: 0.7, weight_decay: 0.2}", sgd, 0.2);
    check("sgd", "{momentum: 0.7, nesterov: true}", nesterov, 0);
    check("sgd", "{momentum: 0, weight_decay: 0.1}", plain, 0.1);
}

static void test_threads(void **state) {
    (void)state;
    static const char *const names[] = {"adamw", "sgd"};
    for (int i = 0; i < 2; i++) {
        world one = make(names[i], "{}", 1), two = make(names[i], "{}", 2);
        for (int64_t step = 1; step <= 3; step++) {
            take_step(&one, step, 0.1, 1);
            take_step(&two, step, 0.1, 1);
        }
        size_t bytes = (size_t)one.params->slab_count * sizeof(float);
        assert_memory_equal(one.w, two.w, bytes);
        assert_memory_equal(one.slots[0], two.slots[0], bytes);
        double norm_one = ins_grad_norm(one.params, one.g, one.pool),
               norm_two = ins_grad_norm(two.params, two.g, two.pool);
        assert_memory_equal(&norm_one, &norm_two, sizeof norm_one);
        drop(&one);
        drop(&two);
    }
}

/* Frozen rows keep weights and slots; padding stays zero, so that slabs can be hashed whole. */
static void test_untouched(void **state) {
    (void)state;
    static const char *const names[] = {"adamw", "sgd"};
    for (int i = 0; i < 2; i++) {
        world x = make(names[i], "{}", 2);
        const ins_param *frozen = &x.params->rows[2];
        float before[9];
        memcpy(before, x.w + frozen->offset, sizeof before);
        take_step(&x, 1, 0.1, 1);
        take_step(&x, 2, 0.1, 1);
        assert_memory_equal(before, x.w + frozen->offset, sizeof before);
        for (int64_t at = 0; at < 9; at++) assert_true(x.slots[0][frozen->offset + at] == 0);
        for (int64_t row = 0; row < N_ROWS; row++) {
            int64_t end = row + 1 < N_ROWS ? x.params->rows[row + 1].offset : x.params->slab_count;
            for (int64_t at = x.params->rows[row].offset + x.params->rows[row].count; at < end; at++)
                assert_true(x.w[at] == 0 && x.slots[0][at] == 0 && x.slots[1][at] == 0);
        }
        drop(&x);
    }
}

/* Parts of the slab, cut anywhere, give the bits of the whole; the bf16 copy follows rows that are not frozen. */
static void test_parts(void **state) {
    (void)state;
    static const char *const names[] = {"adamw", "sgd"};
    static const int64_t cuts[] = {0, 1, 777, 38227, 38230, 38300, 38400};
    for (int i = 0; i < 2; i++) {
        world whole = make(names[i], "{}", 2), parts = make(names[i], "{}", 2);
        static uint16_t copy[2][MAX];
        memset(copy, 0x11, sizeof copy);
        int64_t count = whole.params->slab_count;
        whole.bf16 = copy[0];
        take_step(&whole, 1, 0.1, 0.5);
        parts.bf16 = copy[1];
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
            parts.begin = cuts[k] < count ? cuts[k] : count;
            parts.end = k + 1 < sizeof cuts / sizeof *cuts && cuts[k + 1] < count ? cuts[k + 1] : count;
            if (parts.begin < parts.end) take_step(&parts, 1, 0.1, 0.5);
        }
        assert_memory_equal(whole.w, parts.w, (size_t)count * sizeof(float));
        assert_memory_equal(whole.slots[0], parts.slots[0], (size_t)count * sizeof(float));
        assert_memory_equal(copy[0], copy[1], sizeof copy[0]);
        for (int64_t row = 0; row < N_ROWS; row++) {
            const ins_param *p = &whole.params->rows[row];
            for (int64_t at = p->offset; at < p->offset + p->count; at++)
                assert_int_equal(copy[0][at], p->frozen ? 0x1111 : ins_f32_to_bf16(whole.w[at]));
        }
        drop(&whole);
        drop(&parts);
    }
}

static void test_grad_norm(void **state) {
    (void)state;
    world x = make("adamw", "{}", 2);
    double sum = 0;
    for (int64_t i = 0; i < x.params->slab_count; i++) x.g[i] = NAN; /* padding and frozen rows do not count */
    for (int64_t i = 0; i < N_ROWS; i++) {
        const ins_param *row = &x.params->rows[i];
        for (int64_t at = 0; !row->frozen && at < row->count; at++) {
            x.g[row->offset + at] = gradient(i, at, 1);
            sum += (double)gradient(i, at, 1) * gradient(i, at, 1);
        }
    }
    assert_float_equal(ins_grad_norm(x.params, x.g, x.pool), sqrt(sum), 1e-6 * sqrt(sum));
    x.g[x.params->rows[4].offset] = NAN;
    assert_true(isnan(ins_grad_norm(x.params, x.g, x.pool)));
    drop(&x);
}

static void test_ema(void **state) {
    (void)state;
    world x = make("sgd", "{}", 2);
    float *average = x.slots[0];
    memcpy(average, x.w, (size_t)x.params->slab_count * sizeof(float));
    double expected = x.w[5];
    for (int64_t step = 1; step <= 200; step++) {
        for (int64_t i = 0; i < x.params->slab_count; i++) x.w[i] += 0.01f;
        ins_ema_step(x.params, 0.9, step, x.w, average, x.pool);
        double warm = (1.0 + (double)step) / (10.0 + (double)step), d = warm < 0.9 ? warm : 0.9;
        expected = d * expected + (1 - d) * x.w[5];
    }
    assert_float_equal(average[5], expected, 1e-4);
    assert_float_equal(x.w[5] - average[5], 0.09, 1e-3); /* a ramp is followed decay / (1 - decay) steps behind */
    const ins_param *frozen = &x.params->rows[2];
    assert_memory_equal(average + frozen->offset, x.w + frozen->offset, 9 * sizeof(float));
    drop(&x);
}

static void test_options(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    static const struct {
        const char *name, *yaml;
    } bad[] = {{"adamw", "{beta1: 1}"},         {"adamw", "{eps: 0}"},    {"adamw", "{lr: 1}"},
               {"adamw", "{weight_decay: -1}"}, {"sgd", "{momentum: 1}"}, {"sgd", "{nestrov: true}"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const ins_component *c = ins_component_find(&ins_family_optimizer, bad[i].name);
        ins_node *node = NULL;
        ins_diag diag = {0};
        void *options = ins_arena_alloc(arena, c->options->size);
        assert_int_equal(ins_yaml_read_text(bad[i].yaml, strlen(bad[i].yaml), "test", arena, &node, NULL), INS_OK);
        assert_false(ins_opt_parse(c->options, node, options, arena, NULL, &diag));
        ins_diag_free(&diag);
    }
    const ins_component *c = ins_component_find(&ins_family_optimizer, "sgd");
    ins_node *node = NULL;
    ins_diag diag = {0};
    const char *yaml = "{momentum: 0, nesterov: true}";
    void *options = ins_arena_alloc(arena, c->options->size);
    assert_int_equal(ins_yaml_read_text(yaml, strlen(yaml), "test", arena, &node, NULL), INS_OK);
    assert_true(ins_opt_parse(c->options, node, options, arena, NULL, &diag));
    c->check(options, (ins_pos){0}, &diag);
    assert_int_equal(diag.n, 1);
    ins_diag_free(&diag);
    ins_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw),     cmocka_unit_test(test_sgd),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_untouched), cmocka_unit_test(test_grad_norm), cmocka_unit_test(test_ema),
        cmocka_unit_test(test_options),   cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
