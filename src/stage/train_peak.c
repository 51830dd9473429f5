/* What the rate of a train stage is compared with: the peak of the machine, the largest rate that anything has shown so
 * far. A probe on a busy machine is too low, so earlier probes count too, and so does training itself: it can't be
 * faster than the peak. */
#include <stdio.h>

#include "kernel/probe_machine.h"
#include "model/derive.h"
#include "stage/peak_store.h"
#include "stage/train_run.h"

#define WORTH_MEASURING 1.0 /* seconds of work at the peak: from there on a better figure is worth a tenth of one */

/* Once chosen it stays, also where a later measurement would say otherwise: a resumed stage must not change its
 * arithmetic. */
static ins_status choose_precision(ins_train_run *run, ins_error *err) {
    ins_dtype *compute = &run->trainer_options.compute;
    ins_precision asked = (ins_precision)run->options->precision;
    if (run->has_record && asked == INS_PRECISION_AUTO)
        asked = run->record.compute == INS_DTYPE_BF16 ? INS_PRECISION_BF16 : INS_PRECISION_F32;
    INS_TRY(ins_precision_choose(asked, compute, run->precision_why, err));
    if (run->has_record && run->options->precision == INS_PRECISION_AUTO)
        snprintf(run->precision_why, sizeof run->precision_why, "%s: as when the stage began",
                 ins_dtype_name(*compute));
    return INS_OK;
}

static int all_threads(const ins_train_run *run) {
    return ins_pool_threads(run->c->pool) * ins_comm_size(run->c->comm);
}

/* Of all ranks together: they measure at the same time, as they will train. */
static ins_status measure_peak(ins_train_run *run, ins_error *err) {
    double peak = ins_probe_flops(run->trainer_options.compute, run->c->pool);
    INS_TRY(ins_comm_sum(run->c->comm, &peak, 1, err));
    run->probed_flops = peak;
    if (peak > run->peak_flops) run->peak_flops = peak;
    if (ins_comm_rank(run->c->comm) == 0)
        ins_peak_store_save(run->c->cache_dir, run->c->log, run->trainer_options.compute, all_threads(run),
                            run->peak_flops);
    return INS_OK;
}

/* What rank 0 finds in its file goes for all. */
ins_status ins_train_measure_machine(ins_train_run *run, ins_error *err) {
    if (run->peak_flops > 0) return INS_OK;
    ins_comm *comm = run->c->comm;
    ins_dtype *compute = &run->trainer_options.compute;
    INS_TRY(ins_comm_agree(comm, choose_precision(run, err), err));
    INS_TRY(ins_comm_broadcast(comm, compute, sizeof *compute, 0, err));
    if (ins_comm_rank(comm) == 0) run->peak_flops = ins_peak_store_load(run->c->cache_dir, *compute, all_threads(run));
    INS_TRY(ins_comm_broadcast(comm, &run->peak_flops, sizeof run->peak_flops, 0, err));
    run->probed_flops = run->peak_flops;
    bool decides = run->options->time > 0 && !run->has_record; /* about the number of steps, or the model's size */
    return run->peak_flops > 0 && !decides ? INS_OK : measure_peak(run, err);
}

/* All ranks or none: the condition must not depend on anybody's clock. */
void ins_train_measure_again(ins_train_run *run) {
    double flop = ins_trainer_flops(run->trainer) * (double)run->n_steps;
    if (flop >= WORTH_MEASURING * run->probed_flops) measure_peak(run, NULL);
}

bool ins_train_saw_rate(ins_train_run *run, double flops) {
    if (!(run->peak_flops > 0) || flops <= run->peak_flops) return false;
    run->peak_flops = flops;
    return true;
}
