/* From a map and a table of rows to a struct. */
#include "option/option_internal.h"

#include <stdio.h>
#include <string.h>

void opt_no_memory(opt_context *ctx, ins_pos pos) {
    ctx->failed = true;
    ins_diag_add(ctx->diag, INS_NOMEM, pos, NULL, "out of memory while reading the options of %s", ctx->title);
}

const char *opt_suggest(const char *nearest, char buf[128]) {
    buf[0] = '\0';
    if (nearest) snprintf(buf, 128, " (did you mean '%.96s'?)", nearest);
    return buf;
}

static bool row_named(const ins_opt_row *row, const char *name) {
    return strcmp(row->name, name) == 0 || opt_has_word(row->aliases, name);
}

const ins_opt_row *ins_opt_find(const ins_opt_table *table, const char *name) {
    for (const ins_opt_row *row = table->rows; row->name; row++)
        if (row_named(row, name)) return row;
    return NULL;
}

static bool in_list(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static const ins_node *row_child(const ins_node *map, const ins_opt_row *row) {
    for (int64_t i = 0; i < map->n_items; i++)
        if (row_named(row, map->items[i]->key)) return map->items[i];
    return NULL;
}

static void unknown_key(opt_context *ctx, const ins_opt_table *table, const ins_node *child, const char *const *skip) {
    char key[80], suggestion[128], hint[512];
    const char *nearest = opt_nearest_row(table, skip, child->key, ctx->arena);
    size_t used = (size_t)snprintf(hint, sizeof hint, "options of %s:", table->title);
    for (const ins_opt_row *row = table->rows; row->name && used < sizeof hint; row++)
        used += (size_t)snprintf(hint + used, sizeof hint - used, "%s %s", row == table->rows ? "" : ",", row->name);
    bool any = table->rows->name != NULL;
    if (!any) snprintf(hint, sizeof hint, "%s has no options", table->title);
    OPT_PROBLEM(ctx, child->key_pos, nearest ? NULL : hint, "unknown option '%s' of %s%s",
                opt_short_text(child->key, key), table->title, opt_suggest(nearest, suggestion));
}

static void check_keys(opt_context *ctx, const ins_opt_table *table, const ins_node *map, const char *const *skip) {
    for (int64_t i = 0; i < map->n_items; i++) {
        const ins_node *child = map->items[i];
        if (in_list(skip, child->key)) continue;
        const ins_opt_row *row = ins_opt_find(table, child->key);
        if (!row) {
            unknown_key(ctx, table, child, skip);
            continue;
        }
        const ins_node *first = row_child(map, row);
        if (first != child)
            OPT_PROBLEM(ctx, child->key_pos, "keep one of the two",
                        "'%s' is given twice: '%s' in line %d is the same option", child->key, first->key,
                        first->key_pos.line);
    }
}

/* A group that is not given: the defaults of its rows, without asking for the required ones. */
static void parse_absent(opt_context *ctx, const ins_opt_table *table, void *out) {
    opt_context outer = *ctx;
    ctx->absent = true;
    opt_parse_table(ctx, table, NULL, out, NULL);
    ctx->title = outer.title;
    ctx->absent = outer.absent;
}

/* Is one of the unknown keys this row's name, misspelt? Then that is the problem to report. */
static bool misspelt(opt_context *ctx, const ins_opt_table *table, const ins_opt_row *row, const ins_node *map,
                     const char *const *skip) {
    for (int64_t i = 0; map && i < map->n_items; i++) {
        const char *key = map->items[i]->key;
        if (in_list(skip, key) || ins_opt_find(table, key)) continue;
        const char *nearest = opt_nearest_row(table, skip, key, ctx->arena);
        if (nearest && row_named(row, nearest)) return true;
    }
    return false;
}

static void missing(opt_context *ctx, const ins_opt_row *row, const ins_node *child) {
    ins_status status = ctx->status;
    ctx->status = INS_RECIPE; /* also below a default component: it is the user who has to give it */
    if (child)
        OPT_PROBLEM(ctx, child->pos, row->help, "'%s' of %s needs a value", row->name, ctx->title);
    else
        OPT_PROBLEM(ctx, ctx->pos, row->help, "%s needs the option '%s'", ctx->title, row->name);
    ctx->status = status;
}

/* Defaults are parsed like user input; those of lists are words. */
void opt_parse_default(opt_context *ctx, const ins_opt_row *row, const char *text, ins_pos pos, void *field) {
    bool list = row->type == INS_OPT_STRINGS || row->type == INS_OPT_FLOATS || row->type == INS_OPT_COMPONENTS;
    if (row->type == INS_OPT_TABLE) {
        parse_absent(ctx, row->sub, field);
        return;
    }
    if (text[0] == '\0') return;
    ins_node *node =
        list ? ins_node_new(ctx->arena, INS_NODE_LIST, pos) : ins_node_scalar(ctx->arena, text, false, pos);
    bool ok = node != NULL;
    const char *rest = list ? text : NULL;
    for (opt_word word; ok && opt_next_word(&rest, &word);) {
        const char *item = ins_arena_strndup(ctx->arena, word.text, word.len);
        ok = item && ins_node_append(ctx->arena, node, ins_node_scalar(ctx->arena, item, false, pos));
    }
    if (!ok) {
        opt_no_memory(ctx, pos);
        return;
    }
    if (list && node->n_items == 0) return;
    ins_status status = ctx->status;
    ctx->status = INS_BUG;
    opt_kind_of(row->type)->parse(ctx, row, node, field);
    ctx->status = status;
}

static void parse_row(opt_context *ctx, const ins_opt_table *table, const ins_opt_row *row, const ins_node *map,
                      const char *const *skip, void *out) {
    void *field = (char *)out + row->offset;
    const ins_node *child = map ? row_child(map, row) : NULL;
    if (child && child->kind != INS_NODE_NULL) {
        opt_kind_of(row->type)->parse(ctx, row, child, field);
    } else if ((row->flags & INS_OPT_REQUIRED) && !ctx->absent) {
        if (child || !misspelt(ctx, table, row, map, skip)) missing(ctx, row, child);
    } else if (row->def || row->type == INS_OPT_TABLE) {
        opt_parse_default(ctx, row, row->def ? row->def : "", ctx->pos, field);
    }
}

void opt_parse_table(opt_context *ctx, const ins_opt_table *table, const ins_node *node, void *out,
                     const char *const *skip) {
    memset(out, 0, table->size);
    ctx->title = table->title;
    if (ctx->depth >= OPT_MAX_DEPTH) {
        OPT_PROBLEM(ctx, ctx->pos, NULL, "options are nested deeper than %d levels", OPT_MAX_DEPTH);
        return;
    }
    const ins_node *map = node && node->kind == INS_NODE_MAP ? node : NULL;
    if (!map && node && node->kind != INS_NODE_NULL) {
        OPT_PROBLEM(ctx, node->pos, "write one 'name: value' per line", "%s must be a map of options, not a %s",
                    table->title, node->kind == INS_NODE_LIST ? "list" : "single value");
        ctx->absent = true; /* one problem is enough */
    }
    ctx->depth++;
    if (map) check_keys(ctx, table, map, skip);
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        parse_row(ctx, table, row, map, skip, out);
        ctx->title = table->title;
    }
    ctx->depth--;
}

bool ins_opt_parse(const ins_opt_table *table, const ins_node *node, void *out, ins_arena *arena,
                   const char *const *skip, ins_diag *diag) {
    opt_context ctx = {.arena = arena, .diag = diag, .title = table->title, .status = INS_RECIPE};
    if (node) ctx.pos = node->pos;
    opt_parse_table(&ctx, table, node, out, skip);
    return !ctx.failed;
}
