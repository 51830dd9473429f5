/* Shared by the files of this room only: the parse in progress, and the table of row types. */
#ifndef INS_OPTION_INTERNAL_H
#define INS_OPTION_INTERNAL_H

#include "option/component.h"
#include "option/option.h"

#define OPT_MAX_DEPTH 48

typedef struct opt_context {
    ins_arena *arena;
    ins_diag *diag;
    const char *title; /* of the table at work, for messages */
    ins_pos pos;       /* of the table's map, for what is missing in it */
    ins_status status; /* INS_RECIPE, or INS_BUG while a default is parsed */
    bool failed;
    bool absent; /* the map was not given: required rows are not asked for */
    int depth;
} opt_context;

#define OPT_PROBLEM(ctx, pos, hint, ...)                                                                               \
    ((ctx)->failed = true, ins_diag_add((ctx)->diag, (ctx)->status, (pos), (hint), __VA_ARGS__))

void opt_no_memory(opt_context *ctx, ins_pos pos);

/* One type of row. parse: `node` is not null-valued; a problem is reported and the field left as it is. */
typedef struct opt_kind {
    const char *name;     /* for help: "whole number" */
    const char *expected; /* for messages: "a whole number" */
    const char *schema;   /* JSON Schema of a value; NULL = made by code */
    size_t size;          /* of the field; 0 = sub->size */
    void (*parse)(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
    void (*print)(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
} opt_kind;

const opt_kind *opt_kind_of(ins_opt_type type); /* NULL for a type out of range */
size_t opt_field_size(const ins_opt_row *row);

/* option_parse.c */
void opt_parse_table(opt_context *ctx, const ins_opt_table *table, const ins_node *node, void *out,
                     const char *const *skip);
void opt_parse_default(opt_context *ctx, const ins_opt_row *row, const char *text, ins_pos pos, void *field);
const char *opt_suggest(const char *nearest, char buf[128]); /* " (did you mean 'x'?)" or "" */

/* option_value.c: what the table of types points at */
void opt_parse_whole(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_float(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_duration(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_bool(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_string(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_choice(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_strings(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_floats(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_wrong_type(opt_context *ctx, const ins_opt_row *row, const ins_node *node);

/* option_nested.c */
void opt_parse_sub(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_tables(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_component(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_components(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);
void opt_parse_node(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field);

/* option_json.c */
void opt_print_whole(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_float(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_bool(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_string(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_choice(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_strings(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_floats(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_sub(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_tables(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_component(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_components(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_print_node(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out);
void opt_put_json_string(ins_str *out, const char *text, size_t len);

/* option_words.c: space-separated words in a row's text */
typedef struct opt_word {
    const char *text;
    size_t len;
} opt_word;
bool opt_next_word(const char **rest, opt_word *word); /* false at the end; *rest may be NULL */
bool opt_word_is(opt_word word, const char *text);
bool opt_has_word(const char *words, const char *text);
/* Which ends of a row's range are real limits (below 1e18). */
typedef struct opt_limits {
    bool low, high;
} opt_limits;
opt_limits opt_limits_of(const ins_opt_row *row);
/* "from 1 to 10", "above 0 and at most 1"; "" when the row has no range. */
const char *opt_range_text(const ins_opt_row *row, char buf[96]);
/* `text` cut to a readable length between UTF-8 sequences. */
const char *opt_short_text(const char *text, char buf[80]);
/* `word` among the names and aliases of the rows, then `skip`; NULL if nothing is near. */
const char *opt_nearest_row(const ins_opt_table *table, const char *const *skip, const char *word, ins_arena *arena);

#endif
