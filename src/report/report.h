/* The report of a run: one self-contained HTML file, made from RUN/metrics.db, claims.json, recipe.lock.yaml and
 * run.json. */
#ifndef INS_REPORT_REPORT_H
#define INS_REPORT_REPORT_H

#include "base/status.h"

/* Write the report of run_dir to out_path (NULL = run_dir/report.html), atomically. Works on unfinished runs too: what
 * is there is shown. INS_DATA when run_dir is not a run. */
ins_status ins_report_write(const char *run_dir, const char *out_path, ins_error *err);

#endif
