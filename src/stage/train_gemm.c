/* Who makes the matrix products of a train stage. What the stage began with is in its record and stays; a stage that
 * begins takes what is known about this machine and measures the rest in its first step. */
#include <string.h>

#include "stage/train_run.h"

/* A product that a library makes may have other bits on another machine. */
static bool has_libraries(const ins_gemm_choices *choices) {
    char product[INS_GEMM_PRODUCT_TEXT];
    for (int64_t i = 0; i < ins_gemm_choices_count(choices); i++)
        if (strcmp(ins_gemm_choices_at(choices, i, product), "own") != 0) return true;
    return false;
}

static ins_status restore(ins_train_run *run, const json_t *recorded, ins_error *err) {
    int64_t lost = 0;
    bool same = false;
    INS_TRY(ins_gemm_choices_restore(recorded, run->gemm, &lost, &same, err));
    ins_gemm_choices_close(run->gemm);
    if (lost > 0)
        ins_logf(
            run->c->log, INS_LOG_WARN,
            "%s: it began with %lld matrix products made by a library that is not here; Instar's own kernels go on, "
            "so the result will not have the bits of an unbroken run",
            run->c->name, (long long)lost);
    else if (!same && has_libraries(run->gemm))
        ins_logf(
            run->c->log, INS_LOG_WARN,
            "%s: it began on another machine or with other library versions; matrix products made by libraries may "
            "have other bits here",
            run->c->name);
    return INS_OK;
}

ins_status ins_train_gemm_open(ins_train_run *run, ins_error *err) {
    ins_gemm_policy policy = (ins_gemm_policy)run->options->gemm;
    if (policy == INS_GEMM_OWN) return INS_OK;
    if (ins_comm_size(run->c->comm) > 1) {
        ins_logf(run->c->log, INS_LOG_INFO, "%s: with several ranks, Instar's own kernels make all matrix products",
                 run->c->name);
        return INS_OK;
    }
    INS_TRY(ins_gemm_choices_new(policy, &run->gemm, err));
    run->trainer_options.gemm_choices = run->gemm;
    json_t *recorded = run->has_record ? ins_train_record_gemm(run->c->dir) : NULL;
    ins_status status = INS_OK;
    if (recorded)
        status = restore(run, recorded, err);
    else if (policy == INS_GEMM_MEASURED)
        ins_gemm_store_load(run->c->cache_dir, run->c->log, run->gemm);
    json_decref(recorded);
    return status;
}

ins_status ins_train_gemm_settle(ins_train_run *run, ins_error *err) {
    if (!run->gemm || ins_gemm_choices_closed(run->gemm)) return INS_OK;
    ins_gemm_choices_settle(run->gemm);
    if (ins_gemm_choices_measured(run->gemm).products > 0)
        ins_gemm_store_save(run->c->cache_dir, run->c->log, run->gemm);
    ins_str text = {0};
    ins_gemm_choices_describe(run->gemm, &text);
    ins_logf(run->c->log, INS_LOG_INFO, "%s: matrix products by %s", run->c->name, text.data ? text.data : "?");
    ins_str_free(&text);
    const ins_train_record record = ins_train_choices(run);
    return ins_train_record_write(run->c->dir, &record, run->gemm, err);
}
