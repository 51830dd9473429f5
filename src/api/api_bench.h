/* What the benchmarks' results have in common. */
#ifndef INS_API_API_BENCH_H
#define INS_API_API_BENCH_H

#include "api/api_internal.h"
#include "stage/bench_train.h"

/* {"chip":"NAME (isa)" -- the object stays open. */
void api_json_chip(ins_str *out);
/* ,"name":value */
void api_json_field(ins_str *out, const char *name, double value);
/* ,"name":{"min":..,"median":..,"max":..} */
void api_json_spread(ins_str *out, const char *name, const ins_bench_spread *spread);

/* The options of both benchmarks, checked. */
ins_status api_bench_options(const instar_bench_options *given, ins_bench_options *out, ins_error *err);

#endif
