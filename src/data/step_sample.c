/* Keep a share of the groups, chosen by hash: the same ones whatever else is in the corpus. */
#include "data/document.h"
#include "data/split_hash.h"

typedef struct sample_options {
    double share;
    const char *field;
    int64_t seed;
} sample_options;

static const ins_opt_row rows[] = {
    {.name = "share",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(sample_options, share),
     .def = "0.1",
     .min = 0,
     .max = 1,
     .help = "Share of the groups to keep."},
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = offsetof(sample_options, field),
     .def = "group",
     .help = "Field that names the group; without it the document's id, else its text."},
    {.name = "seed",
     .type = INS_OPT_SEED,
     .offset = offsetof(sample_options, seed),
     .def = "0",
     .help = "Another seed is another sample."},
    {.name = NULL},
};

static const ins_opt_table table = {"step 'sample'", rows, sizeof(sample_options)};

static ins_status sample_open(const void *options, void **state, ins_error *err) {
    sample_options *copy = ins_malloc(sizeof *copy);
    if (!copy) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'sample'");
    *copy = *(const sample_options *)options;
    *state = copy;
    return INS_OK;
}

static ins_status sample_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                               ins_error *err) {
    (void)err;
    const sample_options *o = state;
    const ins_field *group = ins_document_group(doc, o->field);
    bool keep = group && ins_group_number(group, INS_HASH_SAMPLE + 1 + (uint64_t)o->seed) < o->share;
    *verdict = keep ? INS_STEP_KEEP : INS_STEP_DROP;
    *reason = "sample: not drawn";
    return INS_OK;
}

const ins_step_desc ins_step_sample = {
    .head = {.family = "step",
             .name = "sample",
             .summary = "Keep a share of the groups, chosen by hash.",
             .version = 1,
             .options = &table},
    .open = sample_open,
    .apply = sample_apply,
    .close = ins_free,
};
