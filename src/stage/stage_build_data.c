/* Stage build-data: readers and steps -> a corpus folder (train, valid, test as JSON Lines, corpus.json).
 *
 * The pipeline writes each file atomically and is a pure function of its inputs, so resuming means starting over. */
#include <stdio.h>

#include "base/file.h"
#include "data/document.h"
#include "stage/stage.h"

static ins_status run(const ins_stage_context *c, ins_error *err) {
    const ins_pipeline_options *options = c->options;
    static const char *const split_names[] = {"train", "valid", "test"};
    ins_corpus_stats stats = {0};
    INS_TRY(ins_metrics_start(c, err));
    INS_TRY(ins_pipeline_run(options, c->seed, c->dir, c->pool, c->log, c->stop, &stats, err));
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "data/%s.documents", split_names[i]);
        INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, name, (double)stats.documents[i], err));
        snprintf(name, sizeof name, "data/%s.bytes", split_names[i]);
        INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, name, (double)stats.bytes[i], err));
    }
    INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, "data/read", (double)stats.read, err));
    INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, "data/dropped", (double)stats.dropped, err));
    INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, "data/not_drawn", (double)stats.not_drawn, err));
    c->result->steps = stats.read;
    return c->metrics->flush(c->metrics->arg, err);
}

static ins_status fingerprint(const void *options, const ins_log *log, ins_str *out, ins_error *err) {
    uint64_t bytes = 0;
    (void)log;
    return ins_pipeline_fingerprint(options, out, &bytes, err);
}

/* From the inputs' sizes: text compresses to about a third, and the steps read some 8 MB/s. */
static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    const ins_pipeline_options *o = c->options;
    ins_str text = {0};
    uint64_t bytes = 0;
    *out = (ins_stage_plan){0};
    ins_status status = ins_pipeline_fingerprint(o, &text, &bytes, err);
    ins_str_free(&text);
    INS_TRY(status);
    double total = (double)bytes;
    if (o->max_bytes > 0 && total > (double)o->max_bytes) total = (double)o->max_bytes;
    *out = (ins_stage_plan){.peak_bytes = 64e6, .disk_bytes = total / 3, .seconds = total / 8e6};
    return INS_OK;
}

const ins_stage ins_stage_build_data = {
    .head = {.family = "stage",
             .name = "build-data",
             .summary =
                 "Read documents from files and packages, clean and filter them, split them by group into a corpus.",
             .version = 1,
             .options = &ins_pipeline_table},
    .output = "corpus",
    .inputs = "",
    .fingerprint = fingerprint,
    .plan = plan,
    .run = run,
};
