/* Formatting for the message sink. */
#include "base/log.h"

#include <stdio.h>

void ins_logf(const ins_log *log, ins_log_level level, const char *fmt, ...) {
    if (!log || !log->message) return;
    char text[2048];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0) return;
    log->message(log->arg, level, text);
}

void ins_log_progress(const ins_log *log, const ins_progress *p) {
    if (log && log->progress) log->progress(log->arg, p);
}
