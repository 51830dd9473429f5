/* References: which options name other stages. The parsed options and the tree they came from are walked side by side:
 * the options give the rows' flags and the field to read, the tree gives the place in the file. */
#include "recipe/recipe_internal.h"

#include <string.h>

typedef struct walk {
    ins_recipe *recipe;
    const ins_definition *definition;
    ins_variant *variant;
    ins_diag *diag;
    bool common; /* inside one of the recipe's own probes */
    bool oom;
} walk;

bool ins_ref_parse(const char *text, ins_arena *arena, ins_ref_text *out) {
    const char *open = strchr(text, '[');
    *out = (ins_ref_text){.stage = open ? ins_arena_strndup(arena, text, (size_t)(open - text))
                                        : ins_arena_strdup(arena, text)};
    if (!recipe_name_ok(out->stage)) return false;
    if (!open) return true;
    size_t len = strlen(open);
    if (len < 2 || open[len - 1] != ']') return false;
    int64_t n = 1;
    for (const char *p = open; *p; p++) n += *p == ',';
    char *inside = ins_arena_strndup(arena, open + 1, len - 2);
    out->pins = ins_arena_alloc(arena, (size_t)n * sizeof *out->pins);
    if (!inside || !out->pins) return false;
    while (inside) {
        char *comma = strchr(inside, ',');
        if (comma) *comma = '\0';
        while (*inside == ' ') inside++;
        char *equals = strchr(inside, '=');
        if (!equals || equals == inside || !equals[1]) return false;
        *equals = '\0';
        for (int64_t i = 0; i < out->n_pins; i++)
            if (strcmp(out->pins[i].axis, inside) == 0) return false;
        out->pins[out->n_pins++] = (ins_axis_pin){inside, equals + 1};
        inside = comma ? comma + 1 : NULL;
    }
    return true;
}

static ins_recipe_ref *new_ref(walk *w) {
    ins_variant *variant = w->variant;
    if (variant->n_refs == variant->cap_refs) {
        int64_t cap = variant->cap_refs ? variant->cap_refs * 2 : 8;
        ins_recipe_ref *refs = ins_arena_alloc(w->recipe->arena, (size_t)cap * sizeof *refs);
        if (!refs) return NULL;
        if (variant->n_refs) memcpy(refs, variant->refs, (size_t)variant->n_refs * sizeof *refs);
        variant->refs = refs;
        variant->cap_refs = cap;
    }
    return &variant->refs[variant->n_refs++];
}

/* Look the stage up, and what it gives. */
static void resolve(walk *w, ins_recipe_ref *ref) {
    char suggestion[160];
    ref->definition = -1;
    if (!ins_ref_parse(ref->text, w->recipe->arena, &ref->parts)) {
        RECIPE_PROBLEM(w->diag, ref->pos, "write stage or stage[axis=value]", "'%s' is no reference to a stage",
                       ref->text);
        return;
    }
    for (int64_t i = 0; i < w->recipe->n_definitions; i++)
        if (strcmp(w->recipe->definitions[i].name, ref->parts.stage) == 0) ref->definition = i;
    if (ref->definition < 0)
        RECIPE_PROBLEM(w->diag, ref->pos, NULL, "there is no stage '%s'%s", ref->parts.stage,
                       recipe_suggest(recipe_nearest_stage(w->recipe, ref->parts.stage), suggestion));
}

static bool has_word(const char *words, const char *word, size_t len) {
    while (words && *words) {
        size_t n = strcspn(words, " ");
        if (n == len && memcmp(words, word, n) == 0) return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

/* Do two lists of words have one in common? */
static bool words_meet(const char *wanted, const char *given) {
    while (wanted && *wanted) {
        size_t n = strcspn(wanted, " ");
        if (n && has_word(given, wanted, n)) return true;
        wanted += n + (wanted[n] == ' ');
    }
    return false;
}

static void check_output(walk *w, const ins_recipe_ref *ref) {
    if (ref->definition < 0 || !ref->outputs || !ref->outputs[0]) return;
    const ins_definition *target = &w->recipe->definitions[ref->definition];
    if (!target->kind || words_meet(ref->outputs, target->kind->output)) return;
    RECIPE_PROBLEM(w->diag, ref->pos, NULL, "'%s' must name a stage that gives %s, but '%s' (%s) gives %s", ref->path,
                   ref->outputs, target->name, target->kind->head.name,
                   target->kind->output ? target->kind->output : "nothing");
}

static void add_ref(walk *w, const char **slot, const char *outputs, const char *path, ins_pos pos, bool listed) {
    if (!*slot) return;
    ins_recipe_ref *ref = new_ref(w);
    if (!ref) {
        w->oom = true;
        return;
    }
    *ref =
        (ins_recipe_ref){.slot = slot, .text = *slot, .path = path, .outputs = outputs, .pos = pos, .listed = listed};
    ref->common = w->common;
    resolve(w, ref);
    check_output(w, ref);
}

static const ins_node *row_node(const ins_opt_table *table, const ins_opt_row *row, const ins_node *map) {
    if (!map || map->kind != INS_NODE_MAP) return NULL;
    for (int64_t i = 0; i < map->n_items; i++)
        if (ins_opt_find(table, map->items[i]->key) == row) return map->items[i];
    return NULL;
}

static const ins_node *item_node(const ins_node *node, int64_t i) {
    bool holds = node && (node->kind == INS_NODE_LIST || node->kind == INS_NODE_MAP);
    return holds && i < node->n_items ? node->items[i] : node;
}

static void walk_table(walk *w, const ins_opt_table *table, void *values, const ins_node *node, const char *path);

static void walk_component(walk *w, ins_opt_component *component, const ins_node *node, const char *path) {
    if (component->desc && component->desc->options && component->options)
        walk_table(w, component->desc->options, component->options, node, path);
}

/* All values of one row. `path` already names the row. */
static void walk_row(walk *w, const ins_opt_row *row, void *field, const ins_node *node, const char *path) {
    ins_arena *arena = w->recipe->arena;
    ins_pos pos = node ? node->pos : w->definition->pos;
    if (row->type == INS_OPT_STRING && (row->flags & INS_OPT_INPUT)) {
        add_ref(w, field, row->unit, path, pos, false);
    } else if (row->type == INS_OPT_STRINGS && (row->flags & INS_OPT_INPUT)) {
        ins_opt_strings *list = field;
        for (int64_t i = 0; i < list->n; i++)
            add_ref(w, &list->items[i], row->unit, ins_arena_printf(arena, "%s[%lld]", path, (long long)i),
                    item_node(node, i) ? item_node(node, i)->pos : pos, true);
    } else if (row->type == INS_OPT_TABLE) {
        walk_table(w, row->sub, field, node, path);
    } else if (row->type == INS_OPT_TABLES) {
        ins_opt_tables *list = field;
        for (int64_t i = 0; i < list->n; i++)
            walk_table(w, row->sub, (char *)list->items + (size_t)i * row->sub->size, item_node(node, i),
                       ins_arena_printf(arena, "%s[%lld]", path, (long long)i));
    } else if (row->type == INS_OPT_COMPONENT) {
        walk_component(w, field, node, path);
    } else if (row->type == INS_OPT_COMPONENTS) {
        ins_opt_components *list = field;
        bool probes = strcmp(path, "probes") == 0;
        for (int64_t i = 0; i < list->n; i++) {
            w->common = probes && i < w->definition->n_common;
            walk_component(w, &list->items[i], item_node(node, i),
                           ins_arena_printf(arena, "%s[%lld]", path, (long long)i));
        }
        w->common = false;
    }
}

static void walk_table(walk *w, const ins_opt_table *table, void *values, const ins_node *node, const char *path) {
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        const char *full = path ? ins_arena_printf(w->recipe->arena, "%s.%s", path, row->name) : row->name;
        if (!full) {
            w->oom = true;
            return;
        }
        walk_row(w, row, (char *)values + row->offset, row_node(table, row, node), full);
    }
}

void recipe_collect_refs(ins_recipe *recipe, const ins_definition *definition, ins_variant *variant, ins_diag *diag) {
    walk w = {.recipe = recipe, .definition = definition, .variant = variant, .diag = diag};
    if (variant->options && definition->kind->head.options)
        walk_table(&w, definition->kind->head.options, variant->options, variant->node, NULL);
    if (w.oom) recipe_no_memory(diag);
}
