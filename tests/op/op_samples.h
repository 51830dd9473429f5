/* Building a graph from a sample of an op, for the tests that go over the whole family. Include after cmocka.h. */
#ifndef INS_TESTS_OP_OP_SAMPLES_H
#define INS_TESTS_OP_OP_SAMPLES_H

#include "op/grad_check.h"

#define MAX_LEAVES (INS_OP_MAX_IN + INS_OP_MAX_OUT)

typedef struct sample_graph {
    ins_graph *g;
    grad_leaf leaves[MAX_LEAVES]; /* the inputs first */
    int64_t n;
    ins_value out[INS_OP_MAX_OUT];
} sample_graph;

static inline const ins_op *family_op(int64_t i) {
    return (const ins_op *)(const void *)ins_family_op.items[i];
}

/* The sample's input as f32 (or i32) numbers; free() it. */
static inline void *sample_numbers(const ins_op *op, const ins_op_sample *sample, int input) {
    const ins_type *type = &sample->in[input];
    int64_t n = ins_type_count(type);
    float *data = calloc((size_t)n + 1, sizeof *data);
    if (sample->fill) {
        sample->fill(input, type, data);
    } else {
        double *wide = calloc((size_t)n + 1, sizeof *wide);
        char name[96];
        snprintf(name, sizeof name, "%s/%s", op->head.name, sample->name);
        grad_random(wide, n, name, (uint64_t)input);
        for (int64_t i = 0; i < n; i++) data[i] = (float)wide[i];
        free(wide);
    }
    return data;
}

static inline ins_dtype sample_dtype(const ins_op_sample *sample, int input, ins_dtype dtype) {
    if (sample->in[input].dtype != INS_DTYPE_F32) return sample->in[input].dtype;
    return dtype == INS_DTYPE_BF16 && (sample->keep_real >> input & 1u) ? INS_DTYPE_F32 : dtype;
}

/* numbers (f32 or i32) as `dtype`; rounded to bf16 first when `rounded` (so that f64 sees what bf16 sees). */
static inline void *convert_numbers(void *numbers, int64_t n, ins_dtype dtype, bool rounded) {
    if (!ins_dtype_is_float(dtype)) return numbers;
    float *from = numbers;
    for (int64_t i = 0; rounded && i < n; i++) from[i] = ins_bf16_to_f32(ins_f32_to_bf16(from[i]));
    if (dtype == INS_DTYPE_F32) return numbers;
    void *to = calloc((size_t)n + 1, sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        if (dtype == INS_DTYPE_F64)
            ((double *)to)[i] = (double)from[i];
        else
            ((uint16_t *)to)[i] = ins_f32_to_bf16(from[i]);
    }
    free(numbers);
    return to;
}

/* The sample as a graph whose floats are `dtype`; like_bf16: round the inputs as the bf16 run does. */
static inline void sample_build(const ins_op *op, const ins_op_sample *sample, ins_dtype dtype, bool like_bf16,
                                sample_graph *s) {
    ins_error err = {0};
    *s = (sample_graph){0};
    ins_dtype real = dtype == INS_DTYPE_F64 ? INS_DTYPE_F64 : INS_DTYPE_F32;
    grad_must(ins_graph_new(real, dtype, &s->g, &err), &err, "graph");
    ins_value in[INS_OP_MAX_IN];
    for (int i = 0; i < sample->n_in; i++) {
        char name[32];
        snprintf(name, sizeof name, "in%d", i);
        ins_type type = sample->in[i];
        bool is_float = type.dtype == INS_DTYPE_F32;
        bool rounded = is_float && like_bf16 && !(sample->keep_real >> i & 1u);
        type.dtype = sample_dtype(sample, i, dtype);
        in[i] = ins_graph_input(s->g, name, type);
        void *data = convert_numbers(sample_numbers(op, sample, i), ins_type_count(&type), type.dtype, rounded);
        s->leaves[s->n++] =
            (grad_leaf){.value = in[i], .data = data, .n_check = is_float ? -1 : 0, .kink = sample->kink};
    }
    ins_graph_emit(s->g, op, sample->attr, in, sample->n_in, s->out);
    if (ins_graph_status(s->g, &err) != INS_OK) {
        char text[2048];
        ins_error_format(&err, text, sizeof text);
        fail_msg("%s / %s: %s", op->head.name, sample->name, text);
    }
}

static inline void sample_free(sample_graph *s) {
    for (int64_t i = 0; i < s->n; i++) free(s->leaves[i].data);
    ins_graph_free(s->g);
}

/* Sum over the float outputs that carry gradients of random projections; INS_NO_VALUE when there is none. */
static inline ins_value sample_loss(const ins_op *op, sample_graph *s) {
    ins_value loss = INS_NO_VALUE;
    for (int i = 0; i < op->n_out; i++) {
        const ins_type *type = ins_graph_type(s->g, s->out[i]);
        if (!ins_dtype_is_float(type->dtype) || (op->no_grad_out >> i & 1u) || ins_type_count(type) == 0) continue;
        char name[32];
        snprintf(name, sizeof name, "projection%d", i);
        ins_value part = grad_project(s->g, s->out[i], name, s->leaves, &s->n);
        loss = loss == INS_NO_VALUE ? part : ins_add(s->g, loss, part);
    }
    return loss;
}

#endif
