/* Initial weights: element i of a tensor is a pure function of (seed, tensor's name, i). */
#include <math.h>
#include <stdio.h>

#include "model/model_internal.h"

enum { INIT_CHUNK = 1 << 14 }; /* elements of one task; even, because normals are made in pairs */

typedef struct init_task {
    const ins_param *row;
    const ins_model_row *rule;
    ins_rng_key key;
    float *data;
} init_task;

static double unit(uint32_t high, uint32_t low) { /* (0, 1), 53 bits */
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
    return ((double)bits + 0.5) * 0x1p-53;
}

/* Box-Muller: elements 2p and 2p + 1 are the two normals of counter p. */
static void fill_normal(const init_task *t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 2) {
        uint32_t words[4];
        ins_philox(t->key, 0, (uint64_t)i / 2, words);
        double radius = t->rule->init.std * sqrt(-2 * log(unit(words[0], words[1])));
        double angle = 6.283185307179586476925 * unit(words[2], words[3]);
        t->data[i] = (float)(radius * cos(angle));
        if (i + 1 < end) t->data[i + 1] = (float)(radius * sin(angle));
    }
}

/* Elements 2p and 2p + 1 come from counter p. */
static void fill_uniform(const init_task *t, int64_t begin, int64_t end) {
    const ins_init_rule *rule = &t->rule->init;
    for (int64_t i = begin; i < end; i++) {
        uint32_t words[4];
        ins_philox(t->key, 0, (uint64_t)i / 2, words);
        double drawn = rule->std * (2 * unit(words[i % 2 * 2], words[i % 2 * 2 + 1]) - 1);
        t->data[i] = (float)(i >= rule->begin && i < rule->end ? rule->value : drawn);
    }
}

/* Vaswani et al. 2017: column 2c is sin(p w_c), column 2c + 1 cos(p w_c), w_c = 10000^(-2c / D). */
static void fill_sinusoidal(const init_task *t, int64_t begin, int64_t end) {
    int64_t width = ins_type_cols(&t->row->type);
    for (int64_t i = begin; i < end; i++) {
        int64_t position = i / width, column = i % width;
        double angle = (double)position * pow(10000.0, -(double)(column - column % 2) / (double)width);
        t->data[i] = (float)(column % 2 == 0 ? sin(angle) : cos(angle));
    }
}

static void init_chunk(void *arg, int64_t task, int thread) {
    (void)thread;
    const init_task *t = arg;
    int64_t begin = task * INIT_CHUNK, end = begin + INIT_CHUNK;
    if (end > t->row->count) end = t->row->count;
    switch (t->rule->init.kind) {
    case INS_INIT_NORMAL:
        fill_normal(t, begin, end);
        break;
    case INS_INIT_UNIFORM:
        fill_uniform(t, begin, end);
        break;
    case INS_INIT_SINUSOIDAL:
        fill_sinusoidal(t, begin, end);
        break;
    case INS_INIT_ZERO:
        for (int64_t i = begin; i < end; i++) t->data[i] = 0;
        break;
    case INS_INIT_ONE:
        for (int64_t i = begin; i < end; i++) t->data[i] = 1;
        break;
    }
}

ins_status ins_model_init(const ins_model *m, uint64_t seed, float *slab, ins_pool *pool, ins_error *err) {
    for (int64_t i = 0; i < m->params->n; i++) {
        const ins_param *row = &m->params->rows[i];
        char stream[300];
        int len = snprintf(stream, sizeof stream, "init:%s", row->name);
        if (len < 0 || (size_t)len >= sizeof stream)
            return INS_FAIL(err, INS_BUG, "the name of parameter %lld is too long", (long long)i);
        init_task task = {
            .row = row, .rule = &m->rows[i], .key = ins_rng_derive(seed, stream, 0), .data = slab + row->offset};
        ins_pool_run(pool, (row->count + INIT_CHUNK - 1) / INIT_CHUNK, init_chunk, &task);
    }
    return INS_OK;
}
