/* Numbers that follow from probes over a chain of stages: forgetting, transfer, steps to recover. */
#ifndef INS_RECIPE_DERIVED_H
#define INS_RECIPE_DERIVED_H

#include "recipe/store.h"

/* Fills the store's table `derived`, one row per stage that starts from another stage's model and per probe metric:
 *   parent        the stage whose model it starts from
 *   before        the metric's last value in the parent; where the parent did not measure it, the stage's first value
 *   after         its last value in the stage
 *   change        after - before
 *   better        "lower", "higher" or NULL, as the probe says
 *   worst         the worst value seen in the stage (NULL when better is NULL)
 *   recover_step  first step, after the metric was worse than before by more than 1 %, at which it is not any more;
 *                 -1 = it never was worse, NULL = it did not recover (or better is NULL)
 * Probe metrics are those whose first part ("bpb" of "bpb/near") names a probe. */
ins_status ins_derived_compute(ins_store *store, const ins_recipe *recipe, ins_error *err);

#endif
