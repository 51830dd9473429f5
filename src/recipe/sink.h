/* Where a stage's metrics go: three places at once.
 *   DIR/metrics.jsonl   part of the stage's output, so that a cached stage brings its metrics along:
 *                       {"step":10,"tokens":40960,"name":"bpb/near","value":1.72} or ..."text":"..."
 *   DIR/perf.jsonl      the same for rates and times, which differ from run to run: names that start with "perf/" or
 *                       end in "_per_s", "/mfu" or "seconds"
 *   RUN/metrics.db, RUN/tensorboard/<stage>/   copies that can be made again from the record
 *
 * A stage that starts over simply records again: the first value of a session that was not preceded by truncate(step)
 * drops what an earlier session left. A stage that ends well without recording anything keeps it: it had been finished.
 */
#ifndef INS_RECIPE_SINK_H
#define INS_RECIPE_SINK_H

#include "recipe/store.h"

typedef struct ins_sink ins_sink;
/* dir = the stage's folder; tensorboard_dir may be NULL. store is borrowed. */
ins_status ins_sink_open(const char *dir, const char *tensorboard_dir, ins_store *store, const ins_instance *instance,
                         ins_sink **out, ins_error *err);
ins_metrics ins_sink_metrics(ins_sink *sink);
/* Seconds spent on the stage, those of earlier attempts included. From the first call on the sum is kept in DIR at
 * every flush, so that a killed attempt counts up to its last one; with its end the file goes, as no two runs would
 * leave the same. */
double ins_sink_seconds(ins_sink *sink);
/* Flush and free; with the status of the flush. The sink is freed in any case. complete: the stage has ended well. NULL
 * is fine. */
ins_status ins_sink_close(ins_sink *sink, bool complete, ins_error *err);

/* Copy the record of a finished stage into store and TensorBoard. */
ins_status ins_sink_import(const char *dir, const char *tensorboard_dir, ins_store *store, const ins_instance *instance,
                           ins_error *err);

#endif
