/* What a train stage decided when it began, and that it ended: train.json in its folder. Choices that rest on
 * measurements (steps of a time budget, bf16 or f32) are made once: a restarted stage takes them from here, so that it
 * goes on with the same arithmetic. */
#ifndef INS_STAGE_TRAIN_RECORD_H
#define INS_STAGE_TRAIN_RECORD_H

#include "base/status.h"
#include "stage/gemm_store.h"
#include "tensor/tensor.h"

typedef struct ins_train_record {
    int64_t steps, layers;
    ins_dtype compute;
    bool done; /* the last checkpoint is there: nothing is left to do */
    int64_t tokens;
    double flop; /* of a finished stage. Nothing that differs from run to run, such as memory, belongs here. */
} ins_train_record;

/* False when there is none, or none that can be read: the stage begins anew. */
bool ins_train_record_read(const char *stage_dir, ins_train_record *out);
/* choices: who makes the matrix products, once that is decided; NULL = our own kernels. */
ins_status ins_train_record_write(const char *stage_dir, const ins_train_record *record,
                                  const ins_gemm_choices *choices, ins_error *err);
/* The choices of the record, as JSON (gemm_store.h); NULL when it has none. json_decref it. */
json_t *ins_train_record_gemm(const char *stage_dir);

#endif
