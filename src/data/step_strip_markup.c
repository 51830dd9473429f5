/* Text out of HTML or XML: tags and entities go, headings and paragraphs become lines. */
#include "data/document.h"
#include "data/prose.h"

typedef struct strip_markup_options {
    const char *field;
} strip_markup_options;

static const ins_opt_row rows[] = {
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = offsetof(strip_markup_options, field),
     .def = "text",
     .help = "Field to strip."},
    {.name = NULL},
};

static const ins_opt_table table = {"step 'strip-markup'", rows, sizeof(strip_markup_options)};

static ins_status strip_markup_open(const void *options, void **state, ins_error *err) {
    strip_markup_options *copy = ins_malloc(sizeof *copy);
    if (!copy) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'strip-markup'");
    *copy = *(const strip_markup_options *)options;
    *state = copy;
    return INS_OK;
}

static ins_status strip_markup_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                                     ins_error *err) {
    const strip_markup_options *o = state;
    *verdict = INS_STEP_KEEP;
    *reason = NULL;
    const ins_field *f = ins_document_get(doc, o->field);
    if (!f) return INS_OK;
    ins_str text = {0};
    ins_prose_strip_markup(f->data, f->n, &text, NULL);
    ins_status status = text.oom ? INS_FAIL(err, INS_NOMEM, "out of memory for step 'strip-markup'")
                                 : ins_document_set(doc, o->field, text.data ? text.data : "", text.len, err);
    ins_str_free(&text);
    return status;
}

const ins_step_desc ins_step_strip_markup = {
    .head = {.family = "step",
             .name = "strip-markup",
             .aliases = "strip_markup",
             .summary = "Text out of HTML or XML.",
             .version = 1,
             .options = &table},
    .open = strip_markup_open,
    .apply = strip_markup_apply,
    .close = ins_free,
};
