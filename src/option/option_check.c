/* What the author of a table can get wrong, found by tests instead of by users. */
#include "option/option_internal.h"

#include <string.h>

#define CHECK_MAX_DEPTH 6

typedef struct check_state {
    ins_diag *diag;
    bool ok;
} check_state;

#define CHECK_PROBLEM(state, ...)                                                                                      \
    ((state)->ok = false, ins_diag_add((state)->diag, INS_BUG, (ins_pos){0}, NULL, __VA_ARGS__))

static bool is_key(const char *text, size_t len) {
    if (len == 0) return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!ok) return false;
    }
    return true;
}

static void check_name(check_state *state, const ins_opt_table *table, const ins_opt_row *row, const char *name,
                       size_t len) {
    if (!is_key(name, len)) CHECK_PROBLEM(state, "%s: '%.*s' is no name for an option", table->title, (int)len, name);
    opt_word word = {name, len};
    for (const ins_opt_row *other = table->rows; other->name; other++) {
        if (other == row) continue;
        bool taken = opt_word_is(word, other->name);
        const char *rest = other->aliases;
        for (opt_word alias; opt_next_word(&rest, &alias);)
            taken |= alias.len == len && memcmp(alias.text, name, len) == 0;
        if (taken) CHECK_PROBLEM(state, "%s: two options are called '%.*s'", table->title, (int)len, name);
    }
}

static void check_text_value(check_state *state, const ins_opt_table *table, const ins_opt_row *row, const char *what,
                             const char *text) {
    if (!text) return;
    ins_arena *arena = ins_arena_new(4096);
    void *field = arena ? ins_arena_alloc(arena, opt_field_size(row)) : NULL;
    ins_diag diag = {0};
    opt_context ctx = {.arena = arena, .diag = &diag, .title = row->name, .status = INS_BUG};
    if (field) opt_parse_default(&ctx, row, text, ctx.pos, field);
    for (int64_t i = 0; i < diag.n; i++)
        if (diag.items[i].status == INS_BUG) /* a default component may ask the user for its required options */
            CHECK_PROBLEM(state, "%s: the %s of '%s' is wrong: %s", table->title, what, row->name, diag.items[i].text);
    if (!field) CHECK_PROBLEM(state, "%s: out of memory", table->title);
    ins_diag_free(&diag);
    ins_arena_free(arena);
}

static void check_table(check_state *state, const ins_opt_table *table, int depth);

static void check_extras(check_state *state, const ins_opt_table *table, const ins_opt_row *row, int depth) {
    bool component = row->type == INS_OPT_COMPONENT || row->type == INS_OPT_COMPONENTS;
    bool needs_choices = component || row->type == INS_OPT_CHOICE;
    bool needs_sub = row->type == INS_OPT_TABLE || row->type == INS_OPT_TABLES;
    const char *rest = row->choices;
    opt_word word;
    if (needs_choices != (row->choices && opt_next_word(&rest, &word)))
        CHECK_PROBLEM(state, "%s: '%s' %s choices", table->title, row->name,
                      needs_choices ? "needs" : "has no use for");
    else if (component && !ins_family_find(row->choices))
        CHECK_PROBLEM(state, "%s: '%s' is of the unknown family '%s'", table->title, row->name, row->choices);
    else if (!needs_sub && row->type != INS_OPT_NODE) {
        check_text_value(state, table, row, "default", row->def);
        check_text_value(state, table, row, "neutral value", row->neutral);
    }
    if (needs_sub != (row->sub != NULL))
        CHECK_PROBLEM(state, "%s: '%s' %s a table of its own", table->title, row->name,
                      needs_sub ? "needs" : "has no use for");
    else if (row->sub && depth < CHECK_MAX_DEPTH)
        check_table(state, row->sub, depth + 1);
}

static void check_row(check_state *state, const ins_opt_table *table, const ins_opt_row *row, int depth) {
    if (!opt_kind_of(row->type)) {
        CHECK_PROBLEM(state, "%s: '%s' has a type that does not exist", table->title, row->name);
        return;
    }
    check_name(state, table, row, row->name, strlen(row->name));
    const char *rest = row->aliases;
    for (opt_word alias; opt_next_word(&rest, &alias);) check_name(state, table, row, alias.text, alias.len);
    if (!row->help || strlen(row->help) < 4) CHECK_PROBLEM(state, "%s: '%s' has no help", table->title, row->name);
    if (row->min > row->max) CHECK_PROBLEM(state, "%s: the range of '%s' is empty", table->title, row->name);
    if ((row->flags & INS_OPT_REQUIRED) && row->def)
        CHECK_PROBLEM(state, "%s: '%s' is required and has a default", table->title, row->name);
    bool texts = row->type == INS_OPT_STRING || row->type == INS_OPT_STRINGS;
    if ((row->flags & INS_OPT_INPUT) && !texts)
        CHECK_PROBLEM(state, "%s: '%s' is an input but no text", table->title, row->name);
    check_extras(state, table, row, depth);
    size_t size = opt_field_size(row);
    if (row->offset > table->size || size > table->size - row->offset)
        CHECK_PROBLEM(state, "%s: the field of '%s' lies outside of the struct", table->title, row->name);
    for (const ins_opt_row *other = table->rows; other != row; other++) {
        size_t other_size = opt_kind_of(other->type) ? opt_field_size(other) : 0;
        if (other->offset < row->offset + size && row->offset < other->offset + other_size)
            CHECK_PROBLEM(state, "%s: '%s' and '%s' share a field", table->title, row->name, other->name);
    }
}

static void check_table(check_state *state, const ins_opt_table *table, int depth) {
    if (!table->title || !table->title[0]) CHECK_PROBLEM(state, "a table of options has no title");
    for (const ins_opt_row *row = table->rows; row->name; row++) check_row(state, table, row, depth);
}

bool ins_opt_table_check(const ins_opt_table *table, ins_diag *diag) {
    check_state state = {.diag = diag, .ok = true};
    check_table(&state, table, 0);
    return state.ok;
}
