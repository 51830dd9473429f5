/* Tables that say who makes a product: looking up, measuring, closing, rows as text, failing memory. */
#include "kernel/gemm_choice_impl.h"
#include "kernel_test.h"

enum { M = 70, N = 90, K = 40 };

typedef struct product {
    kt_array a, b, c;
    ins_gemm_args args;
} product;

static product make(ins_gemm_choices *choices) {
    product p = {.a = kt_random(INS_DTYPE_F32, M * K, -1, 1, 1),
                 .b = kt_random(INS_DTYPE_F32, K * N, -1, 1, 2),
                 .c = kt_random(INS_DTYPE_F32, M * N, -1, 1, 3)};
    p.args = (ins_gemm_args){.m = M,
                             .n = N,
                             .k = K,
                             .a = p.a.data,
                             .lda = K,
                             .b = p.b.data,
                             .ldb = N,
                             .c = p.c.data,
                             .ldc = N,
                             .dtype_a = INS_DTYPE_F32,
                             .dtype_b = INS_DTYPE_F32,
                             .dtype_c = INS_DTYPE_F32,
                             .choices = choices};
    return p;
}

static void drop(product *p) {
    kt_free(&p->a), kt_free(&p->b), kt_free(&p->c);
}

static ins_gemm_choices *open_table(ins_gemm_policy policy) {
    ins_gemm_choices *choices = NULL;
    assert_int_equal(ins_gemm_choices_new(policy, &choices, NULL), INS_OK);
    return choices;
}

/* Runs the product of a fresh C, and checks it against the default. */
static kt_array run(product *p, ins_pool *pool) {
    product plain = make(NULL);
    plain.args.accumulate = p->args.accumulate;
    assert_int_equal(ins_gemm(&plain.args, NULL, NULL), INS_OK);
    kt_array fresh = kt_random(INS_DTYPE_F32, M * N, -1, 1, 3);
    p->args.c = fresh.data;
    assert_int_equal(ins_gemm(&p->args, pool, NULL), INS_OK);
    kt_near("product", &fresh, &plain.c, 2e-5, 1e-5);
    drop(&plain);
    return fresh;
}

static const char *only_row(const ins_gemm_choices *choices, char text[INS_GEMM_PRODUCT_TEXT]) {
    assert_int_equal(ins_gemm_choices_count(choices), 1);
    return ins_gemm_choices_at(choices, 0, text);
}

/* What a table has measured once it keeps, and a table with the same rows gives the same bits. */
static void test_measured(void **state) {
    (void)state;
    for (int add = 0; add < 2; add++) {
        ins_gemm_choices *choices = open_table(INS_GEMM_MEASURED), *again = open_table(INS_GEMM_MEASURED);
        product p = make(choices);
        p.args.accumulate = add;
        char text[INS_GEMM_PRODUCT_TEXT];
        bool known = false;
        kt_array first = run(&p, kt_two), second = run(&p, NULL);
        kt_same_bits("measured", &first, &second);
        const char *impl = only_row(choices, text);
        assert_true(ins_gemm_choices_measured(choices).products <= 1);
        assert_int_equal(ins_gemm_choices_put(again, text, impl, &known, NULL), INS_OK);
        assert_true(known);
        ins_gemm_choices_close(again);
        p.args.choices = again;
        kt_array third = run(&p, kt_two);
        kt_same_bits("put", &first, &third);
        assert_int_equal(ins_gemm_choices_measured(again).products, 0);
        drop(&p), kt_free(&first), kt_free(&second), kt_free(&third);
        ins_gemm_choices_free(choices), ins_gemm_choices_free(again);
    }
}

static void test_own_and_closed(void **state) {
    (void)state;
    char text[INS_GEMM_PRODUCT_TEXT];
    ins_gemm_choices *own = open_table(INS_GEMM_OWN), *closed = open_table(INS_GEMM_ONEDNN);
    product p = make(own), plain = make(NULL);
    assert_int_equal(ins_gemm(&plain.args, NULL, NULL), INS_OK);
    kt_array got = run(&p, kt_two);
    kt_same_bits("own", &got, &plain.c);
    assert_string_equal(only_row(own, text), "own");
    ins_gemm_choices_close(closed);
    p.args.choices = closed;
    kt_array late = run(&p, kt_two);
    kt_same_bits("closed", &late, &plain.c);
    assert_int_equal(ins_gemm_choices_count(closed), 0);
    drop(&p), drop(&plain), kt_free(&got), kt_free(&late);
    ins_gemm_choices_free(own), ins_gemm_choices_free(closed);
}

static void test_one_library(void **state) {
    (void)state;
    static const struct {
        ins_gemm_policy policy;
        const char *impl, *name;
    } rows[] = {{INS_GEMM_ONEDNN, "onednn", "oneDNN"}, {INS_GEMM_OPENBLAS, "openblas", "OpenBLAS"}};
    ins_gemm_library libraries[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(libraries);
    for (int i = 0; i < 2; i++) {
        ins_gemm_choices *choices = open_table(rows[i].policy);
        product p = make(choices);
        char text[INS_GEMM_PRODUCT_TEXT];
        kt_array got = run(&p, kt_two);
        assert_string_equal(libraries[i].name, rows[i].name);
        assert_string_equal(only_row(choices, text), libraries[i].found ? rows[i].impl : "own");
        if (libraries[i].found) assert_string_equal(ins_gemm_impl_name(&p.args), rows[i].impl);
        drop(&p), kt_free(&got);
        ins_gemm_choices_free(choices);
    }
}

/* Rows that nobody asked for are dropped when a graph has run. */
static void test_settle(void **state) {
    (void)state;
    ins_gemm_choices *choices = open_table(INS_GEMM_OWN);
    char text[INS_GEMM_PRODUCT_TEXT];
    assert_int_equal(
        ins_gemm_choices_put(choices, "f32>f32 tn m5 n6 k7 lda5 ldb6 ldc6 batch1 add bias", "own", NULL, NULL), INS_OK);
    product p = make(choices);
    kt_array got = run(&p, NULL);
    assert_int_equal(ins_gemm_choices_count(choices), 2);
    assert_false(ins_gemm_choices_closed(choices));
    ins_gemm_choices_settle(choices);
    assert_true(ins_gemm_choices_closed(choices));
    only_row(choices, text);
    assert_string_equal(text, "f32>f32 nn m70 n90 k40 lda40 ldb90 ldc90 batch1");
    drop(&p), kt_free(&got);
    ins_gemm_choices_free(choices);
}

static void test_text(void **state) {
    (void)state;
    static const char *const good[] = {"f32>f32 nn m1 n2 k3 lda3 ldb2 ldc2 batch1",
                                       "bf16>f32 tn m768 n768 k256 lda768 ldb768 ldc768 batch1 add",
                                       "bf16>bf16 nt m4 n5 k6 lda7 ldb8 ldc9 batch12 add bias shared",
                                       "f64>f64 tt m4 n5 k6 lda7 ldb8 ldc9 batch1 bias"};
    static const char *const bad[] = {"",
                                      "f32",
                                      "f32>f32",
                                      "f32>i32 nn m1 n2 k3 lda3 ldb2 ldc2 batch1",
                                      "f32>f32 nx m1 n2 k3 lda3 ldb2 ldc2 batch1",
                                      "f32>f32 nn m1 n2 k3 lda3 ldb2 ldc2",
                                      "f32>f32 nn m-1 n2 k3 lda3 ldb2 ldc2 batch1",
                                      "f32>f32 nn m1x n2 k3 lda3 ldb2 ldc2 batch1",
                                      "f32>f32 nn m n2 k3 lda3 ldb2 ldc2 batch1",
                                      "f32>f32 nn m1 n2 k3 lda3 ldb2 ldc2 batch1 fast",
                                      "f32>f32  nn m1 n2 k3 lda3 ldb2 ldc2 batch1"};
    ins_gemm_choices *choices = open_table(INS_GEMM_MEASURED);
    char text[INS_GEMM_PRODUCT_TEXT], longer[400];
    bool known = true;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(ins_gemm_choices_put(choices, good[i], "own", &known, NULL), INS_OK);
        assert_true(known);
        assert_string_equal(ins_gemm_choices_at(choices, (int64_t)i, text), "own");
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ins_gemm_choices_put(choices, bad[i], "own", &known, NULL), INS_DATA);
    memset(longer, 'm', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(ins_gemm_choices_put(choices, longer, "own", &known, NULL), INS_DATA);
    assert_int_equal(ins_gemm_choices_put(choices, good[0], "no such library", &known, NULL), INS_OK);
    assert_false(known);
    assert_string_equal(ins_gemm_choices_at(choices, 0, text), "own");
    assert_int_equal(ins_gemm_choices_put(choices, good[3], "openblas", &known, NULL), INS_OK);
    assert_false(known); /* no library makes f64 */
    assert_int_equal(ins_gemm_choices_count(choices), 4);
    ins_gemm_choices_free(choices);
}

/* Without memory a product is still made, by our own kernels. */
static void test_no_memory(void **state) {
    (void)state;
    ins_gemm_choices *choices = NULL;
    ins_mem_fail_at(1);
    assert_int_equal(ins_gemm_choices_new(INS_GEMM_MEASURED, &choices, NULL), INS_NOMEM);
    for (uint64_t k = 1; k < 6; k++) {
        choices = open_table(INS_GEMM_MEASURED);
        product p = make(choices);
        kt_array plain = run(&p, NULL), fresh = kt_copy(&plain, INS_DTYPE_F32);
        ins_gemm_choices_free(choices);
        choices = open_table(INS_GEMM_MEASURED);
        p.args.choices = choices, p.args.c = fresh.data;
        ins_mem_fail_at(k);
        ins_status status = ins_gemm(&p.args, NULL, NULL);
        ins_mem_fail_at(0);
        assert_int_equal(status, INS_OK);
        kt_near("without memory", &fresh, &plain, 2e-5, 1e-5);
        drop(&p), kt_free(&plain), kt_free(&fresh);
        ins_gemm_choices_free(choices);
    }
}

static void test_machine(void **state) {
    (void)state;
    ins_str text = {0}, again = {0};
    ins_gemm_machine(&text), ins_gemm_machine(&again);
    assert_string_equal(text.data, again.data);
    assert_non_null(strstr(text.data, ins_isa_name(ins_isa_detect())));
    ins_str_free(&text), ins_str_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured), cmocka_unit_test(test_own_and_closed), cmocka_unit_test(test_one_library),
        cmocka_unit_test(test_settle),   cmocka_unit_test(test_text),           cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
