/* embedding: out[i] = table[ids[i]]; an id below 0 gives a row of zeros. Also the row gather. */
#include "kernel/embed.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { TABLE, IDS };

static ins_status embedding_infer(ins_op_sig *sig, ins_error *err) {
    const ins_type *table = sig->in[TABLE], *ids = sig->in[IDS];
    char type[96];
    INS_TRY(ins_op_check_float(sig, TABLE, err));
    INS_TRY(ins_op_check_dims(sig, TABLE, 2, err));
    INS_TRY(ins_op_check_dtype(sig, IDS, INS_DTYPE_I32, err));
    if (ids->n_dims >= INS_MAX_DIMS)
        return INS_FAIL(err, INS_USAGE, "embedding: ids %s have too many dimensions (at most %d)",
                        ins_type_format(ids, type), INS_MAX_DIMS - 1);
    sig->out[0] = ins_type_with(ids, table->dtype);
    sig->out[0].dims[sig->out[0].n_dims++] = table->dims[1];
    return INS_OK;
}

static ins_status embedding_run(const ins_op_call *call, ins_error *err) {
    const ins_type *table = call->sig->in[TABLE];
    ins_embed_args args = {.dtype = table->dtype,
                           .n = ins_type_count(call->sig->in[IDS]),
                           .v = table->dims[0],
                           .d = table->dims[1],
                           .ids = call->in[IDS],
                           .table = call->in[TABLE],
                           .out = call->out[0]};
    return ins_embed_forward(&args, call->pool, err);
}

static ins_status embedding_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    int64_t n_rows = a->sig->in[TABLE]->dims[0];
    if (a->need[TABLE]) a->d_in[TABLE] = ins_emit_embedding_grad(g, a->d_out[0], a->in[IDS], n_rows);
    return INS_OK;
}

ins_value ins_embedding(ins_graph *g, ins_value table, ins_value ids) {
    return ins_emit_one(g, &ins_op_embedding, NULL, (const ins_value[]){table, ids}, 2);
}

ins_value ins_gather_rows(ins_graph *g, ins_value x, ins_value rows) {
    return ins_embedding(g, x, rows);
}

/* Ids below 7 (the samples' table), with repeats and one missing. */
static void fill_table_ids(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == IDS)
            ((int32_t *)data)[i] = i == 2 ? -1 : (int32_t)(i * i % 7);
        else
            ((float *)data)[i] = (float)((i * 37 + 5) % 61) / 20.0f - 1.5f;
    }
}

static const ins_op_sample embedding_samples[] = {
    {.name = "tokens", .n_in = 2, .in = {INS_F32(2, 7, 5), INS_I32(2, 2, 4)}, .fill = fill_table_ids},
    {.name = "rows", .n_in = 2, .in = {INS_F32(2, 7, 3), INS_I32(1, 9)}, .fill = fill_table_ids},
    {.name = "no ids", .n_in = 2, .in = {INS_F32(2, 7, 3), INS_I32(1, 0)}, .fill = fill_table_ids},
    {0},
};

const ins_op ins_op_embedding = {
    .head = {.family = "op", .name = "embedding", .summary = "Rows of a table by id.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "table ids",
    .out_names = "out",
    .infer = embedding_infer,
    .run = embedding_run,
    .grad = embedding_grad,
    .flops = ins_op_flops_none,
    .samples = embedding_samples,
};
