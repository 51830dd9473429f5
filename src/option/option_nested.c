/* Rows that hold other rows: tables, maps of tables, components, raw subtrees. */
#include "option/option_internal.h"

#include <string.h>

/* Parses one map with another table; title and place of the outer one come back afterwards. */
static void parse_inner(opt_context *ctx, const ins_opt_table *table, const ins_node *node, ins_pos pos, bool absent,
                        void *out, const char *const *skip) {
    opt_context outer = *ctx;
    ctx->pos = node ? node->pos : pos;
    ctx->absent = absent;
    opt_parse_table(ctx, table, node, out, skip);
    ctx->title = outer.title;
    ctx->pos = outer.pos;
    ctx->absent = outer.absent;
}

void opt_parse_sub(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    if (node->kind != INS_NODE_MAP) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    parse_inner(ctx, row->sub, node, node->pos, false, field, NULL);
}

void opt_parse_tables(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    if (node->kind != INS_NODE_MAP && node->kind != INS_NODE_LIST) {
        opt_wrong_type(ctx, row, node);
        return;
    }
    int64_t n = node->n_items;
    size_t bytes;
    ins_opt_tables tables = {.n = n};
    const char **names = ins_arena_alloc(ctx->arena, (size_t)n * sizeof *names);
    ins_pos *places = ins_arena_alloc(ctx->arena, (size_t)n * sizeof *places);
    tables.items = ins_mul_size((size_t)n, row->sub->size, &bytes) ? ins_arena_alloc(ctx->arena, bytes) : NULL;
    if (!names || !places || !tables.items) {
        opt_no_memory(ctx, node->pos);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const ins_node *item = node->items[i];
        bool map = node->kind == INS_NODE_MAP;
        places[i] = map ? item->key_pos : item->pos;
        if (map && !(names[i] = ins_arena_strdup(ctx->arena, item->key))) {
            opt_no_memory(ctx, item->pos);
            return;
        }
        parse_inner(ctx, row->sub, item, item->pos, false, (char *)tables.items + (size_t)i * row->sub->size, NULL);
    }
    tables.names = names;
    tables.pos = places;
    *(ins_opt_tables *)field = tables;
}

void opt_parse_node(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    (void)ctx;
    (void)row;
    *(const ins_node **)field = node;
}

static const char *names_of(const ins_family *family, ins_arena *arena) {
    ins_str text = {0};
    for (int64_t i = 0; i < family->n; i++) {
        if (i) ins_str_puts(&text, ", ");
        ins_str_puts(&text, family->items[i]->name);
    }
    const char *copy = text.oom || !text.data ? "" : ins_arena_strdup(arena, text.data);
    ins_str_free(&text);
    return copy ? copy : "";
}

static const ins_component *find_component(opt_context *ctx, const ins_family *family, const char *name, ins_pos pos) {
    const ins_component *found = ins_component_find(family, name);
    if (found) return found;
    char text[80], suggestion[128], hint[512] = "";
    const char *nearest = ins_component_nearest(family, name);
    const char *all = names_of(family, ctx->arena);
    if (!nearest && all[0] && strlen(all) < sizeof hint - 16) {
        memcpy(hint, "there are: ", 11);
        memcpy(hint + 11, all, strlen(all) + 1);
    }
    OPT_PROBLEM(ctx, pos, hint[0] ? hint : NULL, "unknown %s '%s'%s", family->name, opt_short_text(name, text),
                opt_suggest(nearest, suggestion));
    return NULL;
}

/* Which component does the node name? NULL after reporting a problem. */
static const ins_component *choose_component(opt_context *ctx, const ins_family *family, const ins_node *node,
                                             const char *def, ins_pos pos) {
    if (!node || node->kind == INS_NODE_NULL) return find_component(ctx, family, def, pos);
    if (node->kind == INS_NODE_SCALAR) return find_component(ctx, family, node->text, node->pos);
    if (node->kind == INS_NODE_LIST) {
        OPT_PROBLEM(ctx, node->pos, NULL, "a single %s is expected here, not a list", family->name);
        return NULL;
    }
    const ins_node *kind = ins_node_get(node, "kind");
    if (kind && kind->kind == INS_NODE_SCALAR) return find_component(ctx, family, kind->text, kind->pos);
    if (kind && kind->kind != INS_NODE_NULL) {
        OPT_PROBLEM(ctx, kind->pos, NULL, "'kind' must be the name of one %s", family->name);
        return NULL;
    }
    if (def) return find_component(ctx, family, def, node->pos);
    OPT_PROBLEM(ctx, node->pos, names_of(family, ctx->arena), "'kind' is missing: which %s is this?", family->name);
    return NULL;
}

static const char **skip_with_kind(const char *const *skip, ins_arena *arena) {
    int64_t n = 0;
    while (skip && skip[n]) n++;
    const char **keys = ins_arena_alloc(arena, (size_t)(n + 2) * sizeof *keys);
    if (!keys) return NULL;
    for (int64_t i = 0; i < n; i++) keys[i] = skip[i];
    keys[n] = "kind";
    return keys;
}

static void parse_component(opt_context *ctx, const ins_family *family, const ins_node *node, const char *def,
                            const char *const *skip, ins_pos pos, ins_opt_component *out) {
    static const ins_opt_row no_rows[] = {{.name = NULL}};
    bool given = node && node->kind != INS_NODE_NULL;
    if (!given && !def) return;
    const ins_component *desc = choose_component(ctx, family, node, def, pos);
    if (!desc) return;
    ctx->status = INS_RECIPE; /* what a default component asks for is asked of the user */
    ins_opt_table none = {.title = desc->name, .rows = no_rows, .size = 0};
    const ins_opt_table *table = desc->options ? desc->options : &none;
    const ins_node *map = given && node->kind == INS_NODE_MAP ? node : NULL;
    ins_opt_component result = {.desc = desc, .pos = given ? node->pos : pos};
    const char **keys = skip_with_kind(skip, ctx->arena);
    void *options = ins_arena_alloc(ctx->arena, table->size);
    if (!keys || !options) {
        opt_no_memory(ctx, result.pos);
        return;
    }
    bool failed_before = ctx->failed;
    ctx->failed = false;
    parse_inner(ctx, table, map, result.pos, false, options, keys);
    if (!ctx->failed && desc->check) {
        int64_t before = ctx->diag->n + ctx->diag->n_dropped;
        desc->check(options, result.pos, ctx->diag);
        ctx->failed = ctx->diag->n + ctx->diag->n_dropped != before;
    }
    ctx->failed |= failed_before;
    if (desc->options) result.options = options;
    *out = result;
}

void opt_parse_component(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    const ins_family *family = ins_family_find(row->choices);
    ins_status status = ctx->status;
    if (family) {
        parse_component(ctx, family, node, row->def, NULL, ctx->pos, field);
    } else {
        ctx->status = INS_BUG;
        OPT_PROBLEM(ctx, node->pos, NULL, "'%s' takes a component of the family '%s', which this build does not have",
                    row->name, row->choices);
    }
    ctx->status = status;
}

void opt_parse_components(opt_context *ctx, const ins_opt_row *row, const ins_node *node, void *field) {
    bool list = node->kind == INS_NODE_LIST;
    int64_t n = list ? node->n_items : 1;
    ins_opt_component *items = ins_arena_alloc(ctx->arena, (size_t)n * sizeof *items);
    if (!items) {
        opt_no_memory(ctx, node->pos);
        return;
    }
    ins_opt_row single = *row; /* an item has no default of its own */
    single.def = NULL;
    for (int64_t i = 0; i < n; i++) {
        const ins_node *item = list ? node->items[i] : node;
        if (item->kind == INS_NODE_NULL)
            OPT_PROBLEM(ctx, item->pos, NULL, "'%s[%lld]' is empty", row->name, (long long)i);
        else
            opt_parse_component(ctx, &single, item, &items[i]);
    }
    *(ins_opt_components *)field = (ins_opt_components){.items = items, .n = n};
}

bool ins_component_parse(const ins_family *family, const ins_node *node, const char *def, const char *const *skip,
                         ins_pos pos, ins_arena *arena, ins_opt_component *out, ins_diag *diag) {
    opt_context ctx = {.arena = arena, .diag = diag, .title = family->name, .pos = pos, .status = INS_RECIPE};
    *out = (ins_opt_component){0};
    parse_component(&ctx, family, node, def, skip, pos, out);
    return !ctx.failed;
}
