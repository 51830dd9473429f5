/* Question documents as scorable items: a context (prompt, in the chat template or plain) and continuations, and their
 * scores under a model. */
#ifndef INS_PROBE_ITEMS_H
#define INS_PROBE_ITEMS_H

#include "data/document.h"
#include "decode/decode.h"
#include "probe/probe_common.h"

typedef struct ins_item_options {
    const char *corpus, *split, *only;
    int64_t max_items, context;
    bool chat;
} ins_item_options;

/* The rows that choice and cloze share, for a struct whose field `field` is an ins_item_options. */
#define INS_ITEM_ROWS(options_type, field)                                                                             \
    {.name = "corpus",                                                                                                 \
     .type = INS_OPT_STRING,                                                                                           \
     .offset = offsetof(options_type, field.corpus),                                                                   \
     .unit = "corpus",                                                                                                 \
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,                                                                        \
     .help = "build-data stage with question documents."},                                                             \
        {.name = "split",                                                                                              \
         .type = INS_OPT_STRING,                                                                                       \
         .offset = offsetof(options_type, field.split),                                                                \
         .def = "valid",                                                                                               \
         .help = "train, valid or test."},                                                                             \
        {.name = "only",                                                                                               \
         .type = INS_OPT_STRING,                                                                                       \
         .offset = offsetof(options_type, field.only),                                                                 \
         .aliases = "field",                                                                                           \
         .help = "Only documents whose field `kind` is this; all by default."},                                        \
        {.name = "max_items",                                                                                          \
         .type = INS_OPT_SIZE,                                                                                         \
         .offset = offsetof(options_type, field.max_items),                                                            \
         .def = "200",                                                                                                 \
         .min = 1,                                                                                                     \
         .max = 1e9,                                                                                                   \
         .unit = "questions",                                                                                          \
         .help = "Ask at most this many."},                                                                            \
        {.name = "chat",                                                                                               \
         .type = INS_OPT_BOOL,                                                                                         \
         .offset = offsetof(options_type, field.chat),                                                                 \
         .def = "true",                                                                                                \
         .help = "Ask in the chat template; false: the prompt, a space, the answer."},                                 \
    {                                                                                                                  \
        .name = "context", .type = INS_OPT_SIZE, .offset = offsetof(options_type, field.context), .def = "128",        \
        .min = 8, .max = 1e6, .unit = "tokens",                                                                        \
        .help = "Questions longer than this lose their beginning; at most the model's context."                        \
    }

typedef struct ins_item {
    const char *prompt, *response;
    const char **choices;      /* n_choices; NULL without the field */
    int64_t n_choices, answer; /* answer -1 without the field */
} ins_item;

typedef struct ins_items {
    ins_arena *arena;
    ins_item *items;
    int64_t n, n_skipped; /* skipped: without a prompt, or what `need_choices` asks for */
} ins_items;

/* Name of the metric: the given one, else what kind of question, else the corpus. */
static inline const char *ins_item_name(const char *name, const ins_item_options *o) {
    return name ? name : o->only ? o->only : o->corpus;
}

/* INS_DATA when none is left. */
ins_status ins_items_load(const ins_probe_context *c, const ins_item_options *o, bool need_choices, ins_items *out,
                          ins_error *err);
void ins_items_free(ins_items *items);

/* Continuations to be scored. */
typedef struct ins_scored {
    ins_ids *ids;
    ins_score_item *scores; /* of ids, item by item */
    int64_t n;
} ins_scored;

ins_status ins_scored_new(int64_t n, ins_scored *out, ins_error *err);
void ins_scored_free(ins_scored *s);
/* Number `at`: the item's context and an answer to it. with_end: in the chat template the mark that ends a message
 * belongs to the answer. */
ins_status ins_scored_set(ins_scored *s, int64_t at, const ins_probe_context *c, const ins_item_options *o,
                          const ins_item *item, const char *answer, bool with_end, ins_error *err);
/* Score all of them. */
ins_status ins_scored_run(ins_scored *s, const ins_probe_context *c, const ins_item_options *o, float *weights,
                          ins_error *err);

#endif
