/* Keep documents whose text is neither too short nor too long. */
#include <string.h>

#include "data/document.h"

typedef struct length_options {
    const char *field;
    int64_t min_bytes, max_bytes, min_words, max_words;
} length_options;

#define LENGTH_ROW(row_name, row_unit, row_help)                                                                       \
    {                                                                                                                  \
        .name = #row_name, .type = INS_OPT_SIZE, .offset = offsetof(length_options, row_name), .def = "0", .min = 0,   \
        .max = 9e18, .unit = row_unit, .help = row_help                                                                \
    }

static const ins_opt_row rows[] = {
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = offsetof(length_options, field),
     .def = "text",
     .help = "Field to measure; documents without it are dropped."},
    LENGTH_ROW(min_bytes, "bytes", "Drop shorter documents; 0 drops none."),
    LENGTH_ROW(max_bytes, "bytes", "Drop longer documents; 0 drops none."),
    LENGTH_ROW(min_words, "words", "Drop documents with fewer words; 0 drops none."),
    LENGTH_ROW(max_words, "words", "Drop documents with more words; 0 drops none."),
    {.name = NULL},
};

static const ins_opt_table table = {"step 'length'", rows, sizeof(length_options)};

/* The options are all the state. */
static ins_status length_open(const void *options, void **state, ins_error *err) {
    length_options *copy = ins_malloc(sizeof *copy);
    if (!copy) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'length'");
    *copy = *(const length_options *)options;
    *state = copy;
    return INS_OK;
}

static int64_t count_words(const char *text, size_t n) {
    int64_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        bool space = text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r');
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

static ins_status length_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                               ins_error *err) {
    (void)err;
    const length_options *o = state;
    const ins_field *f = ins_document_get(doc, o->field);
    *reason = NULL;
    if (!f) {
        *reason = "length: no such field";
    } else {
        int64_t bytes = (int64_t)f->n, words = o->min_words || o->max_words ? count_words(f->data, f->n) : 0;
        if (bytes < o->min_bytes || words < o->min_words) *reason = "length: too short";
        if ((o->max_bytes && bytes > o->max_bytes) || (o->max_words && words > o->max_words)) {
            *reason = "length: too long";
        }
    }
    *verdict = *reason ? INS_STEP_DROP : INS_STEP_KEEP;
    return INS_OK;
}

static void length_check(const void *options, ins_pos pos, ins_diag *diag) {
    const length_options *o = options;
    if ((o->max_bytes && o->max_bytes < o->min_bytes) || (o->max_words && o->max_words < o->min_words)) {
        ins_diag_add(diag, INS_RECIPE, pos, NULL, "step 'length' drops everything: its minimum is above its maximum");
    }
}

const ins_step_desc ins_step_length = {
    .head = {.family = "step",
             .name = "length",
             .summary = "Drop documents that are too short or too long, in bytes or words.",
             .version = 1,
             .options = &table,
             .check = length_check},
    .open = length_open,
    .apply = length_apply,
    .close = ins_free,
};
