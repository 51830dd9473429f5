#include "base/testing.h"

#include "base/mem.h"
#include "tensor/params.h"

static void rows_and_layout(void **state) {
    (void)state;
    ins_params *p = NULL;
    ins_param *row = NULL;
    assert_ok(ins_params_new(&p, NULL));
    assert_null(ins_params_find(p, "w0"));
    int64_t elements = 0;
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "layers.%d.weight", i);
        ins_type type = i % 2 ? INS_TYPE(INS_DTYPE_F32, i + 1) : INS_TYPE(INS_DTYPE_F32, i + 1, 3);
        assert_ok(ins_params_add(p, name, type, &row, NULL));
        row->frozen = i % 7 == 0;
        elements += ins_type_count(&type);
    }
    assert_int_equal(p->n, 1000);
    assert_int_equal(p->n_elements, elements);
    int64_t end = 0;
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "layers.%d.weight", i);
        row = ins_params_find(p, name);
        assert_ptr_equal(row, &p->rows[i]);
        assert_int_equal(row->offset % 16, 0);
        assert_true(row->offset >= end);
        assert_int_equal(row->count, (i + 1) * (i % 2 ? 1 : 3));
        assert_int_equal(row->decay, i % 2 == 0);
        assert_int_equal(row->frozen, i % 7 == 0);
        assert_true(row->lr_scale == 1);
        end = row->offset + row->count;
    }
    assert_true(p->slab_count >= end && p->slab_count % 16 == 0);
    assert_null(ins_params_find(p, "layers.1000.weight"));
    float *slab = NULL;
    assert_ok(ins_slab_new(p, &slab, NULL));
    assert_int_equal((uintptr_t)slab % 4096, 0);
    for (int64_t i = 0; i < p->slab_count; i++) assert_true(slab[i] == 0);
    slab[p->slab_count - 1] = 1;
    ins_slab_free(p, slab);
    ins_slab_free(p, NULL);
    ins_params_free(p);
    ins_params_free(NULL);
}

static void refusals(void **state) {
    (void)state;
    ins_params *p = NULL;
    ins_error err;
    assert_ok(ins_params_new(&p, NULL));
    assert_ok(ins_params_add(p, "w", INS_TYPE(INS_DTYPE_F32, 2, 2), NULL, &err));
    assert_int_equal(ins_params_add(p, "w", INS_TYPE(INS_DTYPE_F32, 2), NULL, &err), INS_BUG);
    assert_non_null(strstr(err.text, "'w'"));
    assert_int_equal(ins_params_add(p, "b", INS_TYPE(INS_DTYPE_BF16, 2), NULL, &err), INS_BUG);
    assert_int_equal(ins_params_add(p, "n", INS_TYPE(INS_DTYPE_F32, -2), NULL, &err), INS_BUG);
    assert_ok(ins_params_add(p, "big", INS_TYPE(INS_DTYPE_F32, INT64_C(1) << 59), NULL, &err));
    assert_int_equal(ins_params_add(p, "bigger", INS_TYPE(INS_DTYPE_F32, INT64_C(1) << 60), NULL, &err), INS_NOMEM);
    float *slab = NULL;
    assert_int_equal(ins_slab_new(p, &slab, &err), INS_NOMEM);
    assert_null(slab);
    ins_params_free(p);
}

static void an_empty_set(void **state) {
    (void)state;
    ins_params *p = NULL;
    float *slab = NULL;
    assert_ok(ins_params_new(&p, NULL));
    assert_ok(ins_slab_new(p, &slab, NULL));
    ins_slab_free(p, slab);
    ins_params_free(p);
}

static ins_status build(ins_params **out) {
    ins_params *p = NULL;
    INS_TRY(ins_params_new(&p, NULL));
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        ins_status status = ins_params_add(p, name, INS_TYPE(INS_DTYPE_F32, 5), NULL, NULL);
        if (status != INS_OK) {
            ins_params_free(p);
            return status;
        }
    }
    *out = p;
    return INS_OK;
}

static void allocation_failures(void **state) {
    (void)state;
    uint64_t live = ins_mem_get_stats().live;
    ins_status status = INS_NOMEM;
    uint64_t k = 0;
    while (status == INS_NOMEM && k < 100) {
        ins_params *p = NULL;
        ins_mem_fail_at(++k);
        status = build(&p);
        ins_mem_fail_at(0);
        assert_true((status == INS_OK) == (p != NULL));
        ins_params_free(p);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_int_equal(status, INS_OK);
    assert_true(k > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_layout),
        cmocka_unit_test(refusals),
        cmocka_unit_test(an_empty_set),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
