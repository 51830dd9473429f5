/* What a train stage sees: the rows of a step, token by token, as the objective will weigh them. For people who want to
 * look at their data before they train on it. */
#ifndef INS_STAGE_TRAIN_SHOW_H
#define INS_STAGE_TRAIN_SHOW_H

#include "stage/stage.h"

typedef struct ins_shown_token {
    int32_t id;
    int32_t target;   /* id to be predicted here; -1 = none */
    float weight;     /* of that target in the loss; 0 = not in it */
    int32_t segment;  /* document within the row, from 1 */
    int32_t position; /* what the model is told */
    const char *text; /* bytes of the token, NUL-terminated; a special token's name */
    size_t n;
    bool special;
} ins_shown_token;

typedef struct ins_shown_row {
    uint64_t sample;    /* number of the sample since the stage's start */
    const char *source; /* entry of `data` it was drawn from */
    int64_t row;        /* its row there */
    ins_shown_token *tokens;
    int64_t n; /* tokens without the padding */
} ins_shown_row;

typedef struct ins_shown_source {
    const char *name;
    int64_t rows; /* it has */
    double fill;  /* share of positions that are tokens */
    double share; /* of the samples */
} ins_shown_source;

typedef struct ins_train_view {
    ins_arena *arena;  /* all that follows */
    int64_t step_rows; /* of a step */
    int64_t context;   /* columns */
    int64_t n_targets; /* in the loss, of the rows shown */
    ins_shown_row *rows;
    int64_t n_rows;
    ins_shown_source *sources;
    int64_t n_sources;
} ins_train_view;

/* The first max_rows rows of a step (0 = all). The stage's inputs must be there; its folder may be absent. Pure: two
 * calls show the same, and training sees exactly these rows. out is freed by ins_train_view_free after success. */
ins_status ins_train_show(const ins_stage_context *c, int64_t step, int64_t max_rows, ins_train_view *out,
                          ins_error *err);
void ins_train_view_free(ins_train_view *view);

#endif
