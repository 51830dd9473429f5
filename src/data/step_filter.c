/* Keep or drop documents by the value of a field, matched with glob patterns. */
#include <fnmatch.h>

#include "data/document.h"

typedef enum filter_missing { MISSING_KEEP, MISSING_DROP } filter_missing;

typedef struct filter_options {
    const char *field;
    ins_opt_strings keep, drop;
    int missing;
} filter_options;

static const ins_opt_row rows[] = {
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = offsetof(filter_options, field),
     .flags = INS_OPT_REQUIRED,
     .help = "Field whose value decides, such as section."},
    {.name = "keep",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(filter_options, keep),
     .help = "Glob patterns; documents whose value matches none are dropped. Empty: all match."},
    {.name = "drop",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(filter_options, drop),
     .help = "Glob patterns; documents whose value matches one are dropped."},
    {.name = "missing",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(filter_options, missing),
     .def = "keep",
     .choices = "keep drop",
     .help = "What happens to documents without the field."},
    {.name = NULL},
};

static const ins_opt_table table = {"step 'filter'", rows, sizeof(filter_options)};

static ins_status filter_open(const void *options, void **state, ins_error *err) {
    filter_options *copy = ins_malloc(sizeof *copy);
    if (!copy) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'filter'");
    *copy = *(const filter_options *)options;
    *state = copy;
    return INS_OK;
}

static bool matches(const ins_opt_strings *patterns, const char *value) {
    for (int64_t i = 0; i < patterns->n; i++) {
        if (fnmatch(patterns->items[i], value, 0) == 0) return true;
    }
    return false;
}

static ins_status filter_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                               ins_error *err) {
    (void)err;
    const filter_options *o = state;
    const ins_field *f = ins_document_get(doc, o->field);
    *reason = NULL;
    if (!f) {
        if (o->missing == MISSING_DROP) *reason = "filter: no such field";
    } else if (o->keep.n && !matches(&o->keep, f->data)) {
        *reason = "filter: not in keep";
    } else if (matches(&o->drop, f->data)) {
        *reason = "filter: in drop";
    }
    *verdict = *reason ? INS_STEP_DROP : INS_STEP_KEEP;
    return INS_OK;
}

static void filter_check(const void *options, ins_pos pos, ins_diag *diag) {
    const filter_options *o = options;
    if (o->keep.n || o->drop.n || o->missing == MISSING_DROP) return;
    ins_diag_add(diag, INS_RECIPE, pos, "keep: [python, doc] or drop: [debug]",
                 "step 'filter' has nothing to filter by");
}

const ins_step_desc ins_step_filter = {
    .head = {.family = "step",
             .name = "filter",
             .summary = "Keep or drop documents by the value of a field.",
             .version = 1,
             .options = &table,
             .check = filter_check},
    .open = filter_open,
    .apply = filter_apply,
    .close = ins_free,
};
