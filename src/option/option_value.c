/* Single values and lists of them: text to field, with a message that says what was given and what is expected. */
#include "option/option_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the user wrote: "'abc'", "a list", "the quoted text \"12\"". */
static const char *describe(const ins_node *node, char buf[128]) {
    char text[80];
    switch (node->kind) {
    case INS_NODE_NULL:
        snprintf(buf, 128, "nothing");
        break;
    case INS_NODE_LIST:
        snprintf(buf, 128, "a list");
        break;
    case INS_NODE_MAP:
        snprintf(buf, 128, "a map of options");
        break;
    case INS_NODE_SCALAR:
        snprintf(buf, 128, node->quoted ? "the quoted text \"%s\"" : "'%s'", opt_short_text(node->text, text));
        break;
    }
    return buf;
}

static void wrong_type(opt_context *ctx, const char *name, const char *expected, const ins_node *node, bool number) {
    char given[128], hint[160] = "";
    int64_t whole;
    double value;
    if (number && node->kind == INS_NODE_SCALAR && node->quoted)
        snprintf(hint, sizeof hint, "take the quotes away: quoted text is never a number");
    else if (number && node->kind == INS_NODE_SCALAR && ins_parse_size(node->text, &whole))
        snprintf(hint, sizeof hint, "write %lld", (long long)whole);
    else if (number && node->kind == INS_NODE_SCALAR && strchr(node->text, ',') && !ins_parse_float(node->text, &value))
        snprintf(hint, sizeof hint, "use a point for decimals and no separator of thousands");
    OPT_PROBLEM(ctx, node->pos, hint[0] ? hint : NULL, "'%s' must be %s, not %s", name, expected,
                describe(node, given));
}

void opt_wrong_type(opt_context *ctx, const ins_opt_row *row, const ins_node *node) {
    bool number = row->type <= INS_OPT_BOOL;
    wrong_type(ctx, row->name, opt_kind_of(row->type)->expected, node, number);
}

static bool in_range(opt_context *ctx, const ins_opt_row *row, const ins_node *node, double value) {
    if (!(row->min < row->max)) return true;
    bool low = (row->flags & INS_OPT_EXCL_MIN) ? value > row->min : value >= row->min;
    if (low && value <= row->max) return true;
    char range[96], text[80];
    OPT_PROBLEM(ctx, node->pos, NULL, "'%s' must be %s%s%s, not %s", row->name, opt_range_text(row, range),
                row->unit ? " " : "", row->unit ? row->unit : "", opt_short_text(node->text, text));
    return false;
}

static bool bare_scalar(const ins_node *node) {
    return node->kind == INS_NODE_SCALAR && !node->quoted;
}

/* INT, SIZE, SEED. */
void opt_parse_whole(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    int64_t value;
    bool ok = bare_scalar(node) &&
              (row->type == INS_OPT_SIZE ? ins_parse_size(node->text, &value) : ins_parse_int(node->text, &value));
    if (!ok || (row->type == INS_OPT_SEED && value < 0)) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    if (in_range(ctx, row, node, (double)value)) *(int64_t *)field = value;
}

void opt_parse_float(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    double value;
    if (!bare_scalar(node) || !ins_parse_float(node->text, &value)) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    if (in_range(ctx, row, node, value)) *(double *)field = value;
}

void opt_parse_duration(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    double value;
    if (!bare_scalar(node) || !ins_parse_duration(node->text, &value)) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    if (in_range(ctx, row, node, value)) *(double *)field = value;
}

void opt_parse_bool(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    bool value;
    if (!bare_scalar(node) || !ins_parse_bool(node->text, &value)) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    *(bool *)field = value;
}

/* STRING, PATH. */
void opt_parse_string(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    if (node->kind != INS_NODE_SCALAR) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    if (row->type == INS_OPT_PATH && node->text[0] == '\0') {
        OPT_PROBLEM(ctx, node->pos, NULL, "'%s' must be a path, not an empty text", row->name);
        return;
    }
    const char *copy = ins_arena_strdup(ctx->arena, node->text);
    if (!copy) {
        opt_no_memory(ctx, node->pos);
        return;
    }
    *(const char **)field = copy;
}

/* "a, b or c" of all choices. */
static const char *list_choices(const char *choices, ins_arena *arena) {
    ins_str text = {0};
    opt_word word, next;
    bool more = opt_next_word(&choices, &word), first = true;
    while (more) {
        more = opt_next_word(&choices, &next);
        if (!first) ins_str_puts(&text, more ? ", " : " or ");
        ins_str_append(&text, word.text, word.len);
        first = false;
        word = next;
    }
    const char *copy = text.oom || !text.data ? "one of its choices" : ins_arena_strdup(arena, text.data);
    ins_str_free(&text);
    return copy ? copy : "one of its choices";
}

static const char *nearest_choice(const char *choices, const char *given, ins_arena *arena) {
    const char *names[64];
    int64_t n = 0;
    for (opt_word word; n < 64 && opt_next_word(&choices, &word); n++)
        names[n] = ins_arena_strndup(arena, word.text, word.len);
    return ins_nearest_name(given, names, n);
}

void opt_parse_choice(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    char given[128], suggestion[128];
    const char *rest = row->choices;
    int index = 0;
    if (node->kind == INS_NODE_SCALAR) {
        for (opt_word word; opt_next_word(&rest, &word); index++) {
            if (!opt_word_is(word, node->text)) continue;
            *(int *)field = index;
            return;
        }
    }
    const char *nearest = node->kind == INS_NODE_SCALAR ? nearest_choice(row->choices, node->text, ctx->arena) : NULL;
    OPT_PROBLEM(ctx, node->pos, NULL, "'%s' must be %s, not %s%s", row->name, list_choices(row->choices, ctx->arena),
                describe(node, given), opt_suggest(nearest, suggestion));
}

/* A list's items, or the value itself as a list of one. */
static int64_t as_list(const ins_node *const *node, const ins_node *const **items) {
    const ins_node *list = *node;
    if (list->kind == INS_NODE_LIST) {
        *items = (const ins_node *const *)list->items;
        return list->n_items;
    }
    *items = node;
    return 1;
}

void opt_parse_strings(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    if (node->kind == INS_NODE_MAP) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    const ins_node *const *items;
    int64_t n = as_list(&node, &items);
    const char **texts = ins_arena_alloc(ctx->arena, (size_t)n * sizeof *texts);
    ins_pos *places = ins_arena_alloc(ctx->arena, (size_t)n * sizeof *places);
    bool ok = true;
    for (int64_t i = 0; texts && places && i < n; i++) {
        if (items[i]->kind != INS_NODE_SCALAR) {
            char name[160];
            snprintf(name, sizeof name, "%s[%lld]", row->name, (long long)i);
            wrong_type(ctx, name, "a text", items[i], false);
            ok = false;
            continue;
        }
        texts[i] = ins_arena_strdup(ctx->arena, items[i]->text);
        places[i] = items[i]->pos;
        if (!texts[i]) texts = NULL;
    }
    if (!texts || !places)
        opt_no_memory(ctx, node->pos);
    else if (ok)
        *(ins_opt_strings *)field = (ins_opt_strings){.items = texts, .pos = places, .n = n};
}

void opt_parse_floats(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    if (node->kind == INS_NODE_MAP) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    const ins_node *const *items;
    int64_t n = as_list(&node, &items);
    double *values = ins_arena_alloc(ctx->arena, (size_t)n * sizeof *values);
    if (!values) {
        opt_no_memory(ctx, node->pos);
        return;
    }
    bool ok = true;
    for (int64_t i = 0; i < n; i++) {
        if (!bare_scalar(items[i]) || !ins_parse_float(items[i]->text, &values[i])) {
            char name[160];
            snprintf(name, sizeof name, "%s[%lld]", row->name, (long long)i);
            wrong_type(ctx, name, "a number", items[i], true);
            ok = false;
        } else if (!in_range(ctx, row, items[i], values[i])) {
            ok = false;
        }
    }
    if (ok) *(ins_opt_floats *)field = (ins_opt_floats){.items = values, .n = n};
}
