/* Messages and progress go through a sink that the program supplies; the library itself never prints. */
#ifndef INS_BASE_LOG_H
#define INS_BASE_LOG_H

#include "base/status.h"

typedef enum ins_log_level { INS_LOG_DEBUG, INS_LOG_INFO, INS_LOG_WARN, INS_LOG_ERROR } ins_log_level;

/* One state of a long step. total 0 = unknown. rate is in `unit` per second; eta_s < 0 = unknown. */
typedef struct ins_progress {
    const char *what; /* stage name */
    const char *unit; /* "steps", "bytes", "documents" */
    double done, total, rate, eta_s;
    const char *detail; /* "loss 3.21  lr 1e-3  41k tok/s"; may be NULL */
} ins_progress;

typedef struct ins_log {
    void (*message)(void *arg, ins_log_level level, const char *text); /* may be NULL */
    void (*progress)(void *arg, const ins_progress *p);                /* may be NULL */
    void *arg;
} ins_log;

void ins_logf(const ins_log *log, ins_log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ins_log_progress(const ins_log *log, const ins_progress *p); /* log may be NULL */

#endif
