/* A graph with its plan and executor, and weights for inference. */
#include "decode/net.h"

enum { CAST_CHUNK = 1 << 16 };

typedef struct cast_task {
    const float *from;
    uint16_t *to;
    int64_t count;
} cast_task;

static void cast_chunk(void *arg, int64_t task, int thread) {
    (void)thread;
    const cast_task *t = arg;
    int64_t begin = task * CAST_CHUNK, end = begin + CAST_CHUNK < t->count ? begin + CAST_CHUNK : t->count;
    for (int64_t i = begin; i < end; i++) t->to[i] = ins_f32_to_bf16(t->from[i]);
}

ins_status ins_net_weights_init(ins_net_weights *w, const ins_model *m, float *slab, ins_dtype compute, ins_pool *pool,
                                ins_error *err) {
    *w = (ins_net_weights){.model = m, .slab = slab, .compute = compute};
    if (compute == INS_DTYPE_F32) return INS_OK;
    if (compute != INS_DTYPE_BF16)
        return INS_FAIL(err, INS_USAGE, "decoding runs in f32 or bf16, not in %s", ins_dtype_name(compute));
    int64_t count = ins_model_params(m)->slab_count;
    w->cast = ins_aligned_alloc(64, (size_t)count * sizeof *w->cast);
    if (!w->cast) return INS_FAIL(err, INS_NOMEM, "out of memory for the bf16 weights");
    cast_task t = {.from = slab, .to = w->cast, .count = count};
    ins_pool_run(pool, (count + CAST_CHUNK - 1) / CAST_CHUNK, cast_chunk, &t);
    return INS_OK;
}

void ins_net_weights_clear(ins_net_weights *w) {
    ins_free(w->cast);
    *w = (ins_net_weights){0};
}

ins_status ins_net_start(ins_net *net, const ins_net_weights *w, ins_blocks *blocks, ins_error *err) {
    *net = (ins_net){.bound = -1};
    INS_TRY(ins_graph_new(INS_DTYPE_F32, w->compute, &net->graph, err));
    *blocks = (ins_blocks){.model = w->model,
                           .graph = net->graph,
                           .positions = INS_NO_VALUE,
                           .rng_key = INS_NO_VALUE,
                           .cast_matrices = w->compute != INS_DTYPE_F32};
    return INS_OK;
}

static ins_status find_bindings(ins_net *net, const ins_net_weights *w, const ins_blocks *blocks, ins_error *err) {
    int64_t most = 2 * ins_model_params(w->model)->n;
    ins_blocks_leaf *leaves = ins_calloc((size_t)most, sizeof *leaves);
    if (!leaves) return INS_FAIL(err, INS_NOMEM, "out of memory for the list of weights");
    ins_status status = INS_OK;
    for (int64_t shift = 0; shift < net->n_shifts; shift++) {
        int64_t n = ins_blocks_leaves(blocks, shift, leaves);
        if (shift == 0) {
            net->n_bindings = n;
            net->bindings = ins_calloc((size_t)(n * net->n_shifts) + 1, sizeof *net->bindings);
            if (!net->bindings) {
                status = INS_FAIL(err, INS_NOMEM, "out of memory for the list of weights");
                break;
            }
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t offset = leaves[i].row->offset;
            void *data = leaves[i].cast ? (void *)(w->cast + offset) : (void *)(w->slab + offset);
            net->bindings[shift * n + i] = (ins_net_binding){.value = leaves[i].value, .data = data};
        }
    }
    ins_free(leaves);
    return status;
}

ins_status ins_net_finish(ins_net *net, const ins_net_weights *w, const ins_blocks *blocks, int64_t n_shifts,
                          ins_pool *pool, ins_error *err) {
    INS_TRY(ins_graph_status(net->graph, err));
    const ins_plan_options options = {0};
    INS_TRY(ins_plan_new(net->graph, &options, ins_pool_threads(pool), &net->plan, err));
    INS_TRY(ins_exec_new(net->plan, pool, &net->exec, err));
    net->n_shifts = n_shifts;
    return find_bindings(net, w, blocks, err);
}

ins_status ins_net_run(ins_net *net, int64_t shift, ins_error *err) {
    if (net->bound != shift) {
        const ins_net_binding *list = net->bindings + shift * net->n_bindings;
        for (int64_t i = 0; i < net->n_bindings; i++)
            INS_TRY(ins_exec_bind_value(net->exec, list[i].value, list[i].data, err));
        net->bound = shift;
    }
    return ins_exec_run(net->exec, err);
}

void ins_net_clear(ins_net *net) {
    ins_exec_free(net->exec);
    ins_plan_free(net->plan);
    ins_graph_free(net->graph);
    ins_free(net->bindings);
    *net = (ins_net){0};
}

ins_value ins_net_indexes(ins_net *net, const char *name, int64_t n_rows, int64_t n_cols) {
    return ins_graph_input(net->graph, name, INS_TYPE(INS_DTYPE_I32, n_rows, n_cols));
}
