/* embedding_grad: d_table[ids[i]] += d_out[i] over zeros, or over acc: with a tied head the head's weight gradient and
 * this scatter add into the same memory.
 */
#include "kernel/embed.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { D_OUT, IDS, ACC };

typedef struct embedding_grad_attr {
    int64_t n_rows; /* of the table */
} embedding_grad_attr;

static ins_status embedding_grad_infer(ins_op_sig *sig, ins_error *err) {
    const embedding_grad_attr *attr = sig->attr;
    const ins_type *d_out = sig->in[D_OUT], *ids = sig->in[IDS];
    char type[96], type_ids[96];
    INS_TRY(ins_op_check_float(sig, D_OUT, err));
    INS_TRY(ins_op_check_dtype(sig, IDS, INS_DTYPE_I32, err));
    bool fits = d_out->n_dims == ids->n_dims + 1 && attr->n_rows >= 0;
    for (int d = 0; fits && d < ids->n_dims; d++) fits = d_out->dims[d] == ids->dims[d];
    if (!fits)
        return INS_FAIL(err, INS_USAGE, "embedding_grad: d_out %s must be ids %s with one more dimension",
                        ins_type_format(d_out, type), ins_type_format(ids, type_ids));
    sig->out[0] =
        (ins_type){.dtype = ins_op_acc(d_out->dtype), .n_dims = 2, .dims = {attr->n_rows, ins_type_cols(d_out)}};
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_type(sig, ACC, &sig->out[0], err));
    return INS_OK;
}

static ins_embed_args args_of(const ins_op_sig *sig) {
    const embedding_grad_attr *attr = sig->attr;
    return (ins_embed_args){.dtype = sig->in[D_OUT]->dtype,
                            .n = ins_type_count(sig->in[IDS]),
                            .v = attr->n_rows,
                            .d = ins_type_cols(sig->in[D_OUT])};
}

static size_t embedding_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_embed_args args = args_of(sig);
    return ins_embed_backward_scratch(&args);
}

static ins_status embedding_grad_run(const ins_op_call *call, ins_error *err) {
    ins_embed_args args = args_of(call->sig);
    args.ids = call->in[IDS];
    args.d_out = call->in[D_OUT];
    args.d_table = call->out[0];
    args.accumulate = ins_op_take_acc(call);
    args.scratch = call->scratch;
    return ins_embed_backward(&args, call->pool, err);
}

static ins_status embedding_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_dtype dtype = a->sig->in[D_OUT]->dtype;
    ins_value ids = a->in[IDS], d = a->d_out[0];
    bool need_acc = a->sig->n_in > ACC && a->need[ACC];
    if (a->need[D_OUT]) a->d_in[D_OUT] = ins_cast(g, ins_embedding(g, d, ids), dtype);
    if (need_acc) a->d_in[ACC] = d;
    return INS_OK;
}

ins_value ins_emit_embedding_grad(ins_graph *g, ins_value d_out, ins_value ids, int64_t n_rows) {
    return ins_emit_one(g, &ins_op_embedding_grad, &(embedding_grad_attr){n_rows}, (const ins_value[]){d_out, ids}, 2);
}

/* Ids below 7, with repeats and one missing. */
static void fill_table_ids(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == IDS)
            ((int32_t *)data)[i] = i == 2 ? -1 : (int32_t)(i * i % 7);
        else
            ((float *)data)[i] = (float)((i * 37 + 5) % 61) / 20.0f - 1.5f;
    }
}

static const ins_op_sample embedding_grad_samples[] = {
    {.name = "tokens",
     .n_in = 2,
     .in = {INS_F32(3, 2, 4, 5), INS_I32(2, 2, 4)},
     .attr = &(const embedding_grad_attr){7},
     .fill = fill_table_ids},
    {.name = "acc",
     .n_in = 3,
     .in = {INS_F32(2, 9, 3), INS_I32(1, 9), INS_F32(2, 7, 3)},
     .attr = &(const embedding_grad_attr){7},
     .fill = fill_table_ids,
     .keep_real = 1u << ACC},
    {.name = "no ids",
     .n_in = 2,
     .in = {INS_F32(2, 0, 3), INS_I32(1, 0)},
     .attr = &(const embedding_grad_attr){7},
     .fill = fill_table_ids},
    {0},
};

const ins_op ins_op_embedding_grad = {
    .head = {.family = "op", .name = "embedding_grad", .summary = "Rows summed into a table by id.", .version = 1},
    .n_in_min = 2,
    .n_in = 3,
    .n_out = 1,
    .in_names = "d_out ids acc",
    .out_names = "d_table",
    .attr_size = sizeof(embedding_grad_attr),
    .flags = INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = embedding_grad_infer,
    .run = embedding_grad_run,
    .scratch = embedding_grad_scratch,
    .grad = embedding_grad_grad,
    .samples = embedding_grad_samples,
};
