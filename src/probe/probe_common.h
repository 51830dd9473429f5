/* What several probes use: names of metrics, inputs, token shards. */
#ifndef INS_PROBE_PROBE_COMMON_H
#define INS_PROBE_PROBE_COMMON_H

#include "data/shard.h"
#include "probe/probe.h"

/* The input that `ref` names; INS_BUG when the engine did not resolve it. */
ins_status ins_probe_input(const ins_probe_context *c, const char *ref, const ins_stage_input **out, ins_error *err);

/* Record KIND/NAME (extra NULL) or KIND/NAME.EXTRA. */
ins_status ins_probe_value(const ins_metrics *m, const ins_probe_state *at, const char *kind, const char *name,
                           const char *extra, double value, ins_error *err);

/* Open CORPUS/SPLIT.shard of a tokenize stage; INS_RECIPE naming corpus and split when it is not there. */
ins_status ins_probe_open_shard(const ins_probe_context *c, const char *tokens, const char *corpus, const char *split,
                                ins_shard *out, ins_error *err);

#endif
