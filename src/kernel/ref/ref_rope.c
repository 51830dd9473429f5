/* Reference rotary embedding. */
#include "kernel/ref/ref.h"
#include "kernel/rope_impl.h"

static void rope_head(const ins_rope_args *args, int64_t position, const ins_real *x, ins_real *y) {
    int64_t half = args->rotary_dim / 2;
    double factor = args->scale != 0 ? args->scale : 1;
    for (int64_t i = 0; i < half; i++) {
        double freq =
            args->inv_freq ? args->inv_freq[i] : pow(args->theta, -2.0 * (double)i / (double)args->rotary_dim);
        double angle = (double)position * freq * (args->inverse ? -1 : 1);
        ins_real cosine = (ins_real)(cos(angle) * factor), sine = (ins_real)(sin(angle) * factor);
        int64_t first = args->interleaved ? 2 * i : i, second = args->interleaved ? 2 * i + 1 : i + half;
        ins_real left = x[first], right = x[second];
        y[first] = left * cosine - right * sine;
        y[second] = right * cosine + left * sine;
    }
    for (int64_t c = args->rotary_dim; c < args->head_dim; c++) y[c] = x[c];
}

static void rope_rotate(const ins_rope_args *args, ins_pool *pool) {
    (void)pool;
    for (int64_t r = 0; r < args->rows; r++)
        for (int64_t h = 0; h < args->n_heads; h++)
            rope_head(args, args->positions[r], (const ins_real *)args->x + r * args->ldx + h * args->head_dim,
                      (ins_real *)args->y + r * args->ldy + h * args->head_dim);
}

const ins_rope_impl INS_REF(ins_ref_rope) = {.head = INS_REF_HEAD, .rotate = rope_rotate};
