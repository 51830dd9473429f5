#include "base/testing.h"

#include <math.h>

#include "tensor/tensor.h"

static void dtypes(void **state) {
    (void)state;
    assert_int_equal(ins_dtype_size(INS_DTYPE_BF16), 2);
    assert_int_equal(ins_dtype_size(INS_DTYPE_F64), 8);
    assert_int_equal(ins_dtype_size((ins_dtype)99), 0);
    assert_string_equal(ins_dtype_name(INS_DTYPE_I64), "i64");
    assert_string_equal(ins_dtype_name((ins_dtype)-1), "unknown");
    for (int i = 0; i < INS_DTYPE_COUNT; i++) {
        ins_dtype back = INS_DTYPE_COUNT;
        assert_true(ins_dtype_from_safetensors(ins_dtype_safetensors_name((ins_dtype)i), &back));
        assert_int_equal(back, i);
    }
    ins_dtype out = INS_DTYPE_U8;
    assert_false(ins_dtype_from_safetensors("F8_E4M3", &out));
    assert_int_equal(out, INS_DTYPE_U8);
}

static void shapes(void **state) {
    (void)state;
    char buf[96];
    ins_type t = INS_TYPE(INS_DTYPE_F32, 4, 64, 768);
    size_t bytes = 0;
    assert_true(ins_type_check(&t, &bytes));
    assert_int_equal(bytes, 4 * 4 * 64 * 768);
    assert_int_equal(ins_type_bytes(&t), bytes);
    assert_int_equal(ins_type_count(&t), 4 * 64 * 768);
    assert_int_equal(ins_type_rows(&t), 256);
    assert_int_equal(ins_type_cols(&t), 768);
    assert_string_equal(ins_type_format(&t, buf), "f32[4, 64, 768]");
    ins_type scalar = ins_type_make(INS_DTYPE_I32, 0, NULL);
    assert_int_equal(ins_type_count(&scalar), 1);
    assert_int_equal(ins_type_rows(&scalar), 1);
    assert_int_equal(ins_type_cols(&scalar), 1);
    assert_string_equal(ins_type_format(&scalar, buf), "i32[]");
    ins_type empty = INS_TYPE(INS_DTYPE_F32, 3, 0);
    assert_true(ins_type_check(&empty, &bytes));
    assert_int_equal(bytes, 0);
    ins_type same = INS_TYPE(INS_DTYPE_BF16, 4, 64, 768);
    assert_true(ins_type_same_shape(&t, &same));
    assert_false(ins_type_equal(&t, &same));
    assert_false(ins_type_same_shape(&t, &empty));
    same = INS_TYPE(INS_DTYPE_F32, 4, 64, 769);
    assert_false(ins_type_equal(&t, &same));
}

static void impossible_shapes(void **state) {
    (void)state;
    char buf[96];
    ins_type negative = INS_TYPE(INS_DTYPE_F32, 4, -1);
    assert_false(ins_type_check(&negative, NULL));
    ins_type large = INS_TYPE(INS_DTYPE_F32, INT64_C(1) << 31, INT64_C(1) << 31);
    assert_false(ins_type_check(&large, NULL));
    ins_type hidden = INS_TYPE(INS_DTYPE_F32, INT64_C(1) << 40, INT64_C(1) << 40, 0);
    assert_false(ins_type_check(&hidden, NULL));
    int64_t seven[7] = {1, 1, 1, 1, 1, 1, 1};
    ins_type many = ins_type_make(INS_DTYPE_F32, 7, seven);
    assert_false(ins_type_check(&many, NULL));
    assert_int_equal(ins_type_count(&many), 0);
    ins_type wide = INS_TYPE(INS_DTYPE_F32, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX);
    assert_int_equal(strlen(ins_type_format(&wide, buf)), 95);
    assert_string_equal(buf + 91, "...]");
}

static void half_precision_all_values(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = ins_f16_to_f32((uint16_t)bits);
        bool nan = (bits & 0x7FFF) > 0x7C00;
        assert_int_equal(isnan(value) != 0, nan);
        uint16_t back = ins_f32_to_f16(value);
        if (nan)
            assert_true((back & 0x7FFF) > 0x7C00);
        else
            assert_int_equal(back, bits);
        uint32_t exponent = bits >> 10 & 31, fraction = bits & 0x3FF;
        if (exponent == 31) continue;
        double expected = exponent ? ldexp(1024 + fraction, (int)exponent - 25) : ldexp(fraction, -24);
        assert_true((double)value == (bits & 0x8000 ? -expected : expected));
    }
}

/* Between two neighbours: the nearer one, at the middle the even one. */
static void half_precision_rounding(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x7BFF; bits++) {
        float low = ins_f16_to_f32((uint16_t)bits), high = ins_f16_to_f32((uint16_t)(bits + 1));
        float middle = low + (high - low) / 2; /* exact in f32 */
        assert_int_equal(ins_f32_to_f16(middle), bits + (bits & 1));
        assert_int_equal(ins_f32_to_f16(nextafterf(middle, 0)), bits);
        assert_int_equal(ins_f32_to_f16(nextafterf(middle, INFINITY)), bits + 1);
        assert_int_equal(ins_f32_to_f16(-middle), 0x8000 | (bits + (bits & 1)));
    }
    assert_int_equal(ins_f32_to_f16(65519.0f), 0x7BFF);
    assert_int_equal(ins_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(ins_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(ins_f32_to_f16(1e-30f), 0);
}

static void bfloat16(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = ins_bf16_to_f32((uint16_t)bits);
        if (isnan(value))
            assert_true(isnan(ins_bf16_to_f32(ins_f32_to_bf16(value))));
        else
            assert_int_equal(ins_f32_to_bf16(value), bits);
    }
    assert_int_equal(ins_f32_to_bf16(1.00390625f), 0x3F80); /* 1 + 2^-8: the middle, 1 is even */
    assert_int_equal(ins_f32_to_bf16(1.01171875f), 0x3F82); /* 1 + 3 * 2^-8: the middle, upwards */
    assert_int_equal(ins_f32_to_bf16(3.4e38f), 0x7F80);     /* past the largest: infinity */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes),
        cmocka_unit_test(shapes),
        cmocka_unit_test(impossible_shapes),
        cmocka_unit_test(half_precision_all_values),
        cmocka_unit_test(half_precision_rounding),
        cmocka_unit_test(bfloat16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
