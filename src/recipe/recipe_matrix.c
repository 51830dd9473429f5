/* Own axes of a stage, and its variants: defaults, the stage's options, the overrides of one combination and the
 * recipe's probes, merged and parsed. */
#include "recipe/recipe_internal.h"

#include <stdio.h>
#include <string.h>

#define MAX_VARIANTS 4096

const char *const recipe_engine_keys[] = {"kind", "matrix", "seed", NULL};

/* A value in an instance's name: no brackets, commas or blanks. */
static bool value_ok(const char *text) {
    return text[0] && strlen(text) <= 64 && !strpbrk(text, "[],= \t\n:@\"");
}

static bool axis_value(ins_axis *axis, const ins_node *item, ins_diag *diag) {
    const char *label = axis->labelled ? item->key : item->text;
    ins_pos pos = axis->labelled ? item->key_pos : item->pos;
    if (!axis->labelled && item->kind != INS_NODE_SCALAR) {
        RECIPE_PROBLEM(diag, pos, "give the values names: {first: {...}, second: {...}}",
                       "a list axis of 'matrix' holds single values");
        return false;
    }
    if (!value_ok(label)) {
        RECIPE_PROBLEM(diag, pos, "give it a name: {name: {option: value}}", "'%s' can't stand in the name of a stage",
                       label);
        return false;
    }
    if (axis->labelled && item->kind != INS_NODE_MAP && item->kind != INS_NODE_NULL) {
        RECIPE_PROBLEM(diag, item->pos, NULL, "'%s' of the axis '%s' must be a map of options", label, axis->name);
        return false;
    }
    if (axis->labelled && (ins_node_get(item, "kind") || ins_node_get(item, "matrix"))) {
        RECIPE_PROBLEM(diag, item->pos, NULL, "an axis can't change 'kind' or 'matrix'");
        return false;
    }
    for (int64_t i = 0; i < axis->n; i++) {
        if (strcmp(axis->values[i], label) != 0) continue;
        RECIPE_PROBLEM(diag, pos, NULL, "'%s' stands twice on the axis '%s'", label, axis->name);
        return false;
    }
    axis->override[axis->n] = item;
    axis->values[axis->n++] = label;
    return true;
}

static bool read_axis(ins_recipe *recipe, const ins_node *node, ins_axis *axis, ins_diag *diag) {
    *axis = (ins_axis){.name = node->key, .labelled = node->kind == INS_NODE_MAP, .pos = node->key_pos};
    if ((node->kind != INS_NODE_MAP && node->kind != INS_NODE_LIST) || node->n_items == 0) {
        RECIPE_PROBLEM(diag, node->pos, "write lr: [1e-3, 3e-4] or arm: {one: {...}, two: {...}}",
                       "the axis '%s' must be a list of values or a map of named overrides", node->key);
        return false;
    }
    if (axis->labelled && strcmp(node->key, "seed") == 0) {
        RECIPE_PROBLEM(diag, node->pos, "write seed: [1, 2, 3]", "the axis 'seed' must be a list of whole numbers");
        return false;
    }
    if (!value_ok(node->key)) {
        RECIPE_PROBLEM(diag, node->key_pos, NULL, "'%s' can't be the name of an axis", node->key);
        return false;
    }
    axis->values = ins_arena_alloc(recipe->arena, (size_t)node->n_items * sizeof *axis->values);
    axis->override = ins_arena_alloc(recipe->arena, (size_t)node->n_items * sizeof *axis->override);
    if (!axis->values || !axis->override) {
        recipe_no_memory(diag);
        return false;
    }
    bool ok = true;
    for (int64_t i = 0; i < node->n_items; i++) ok = axis_value(axis, node->items[i], diag) && ok;
    uint64_t seed;
    for (int64_t i = 0; i < axis->n && !axis->labelled && strcmp(axis->name, "seed") == 0; i++) {
        if (recipe_seed_of(axis->override[i], &seed)) continue;
        RECIPE_PROBLEM(diag, axis->override[i]->pos, NULL, "a seed must be a whole number from 0");
        ok = false;
    }
    return ok;
}

static bool read_matrix(ins_recipe *recipe, ins_definition *definition, ins_diag *diag) {
    const ins_node *matrix = ins_node_get(definition->node, "matrix");
    if (!matrix || matrix->kind == INS_NODE_NULL) return true;
    if (matrix->kind != INS_NODE_MAP) {
        RECIPE_PROBLEM(diag, matrix->pos, "write matrix: {seed: [1, 2, 3]}", "'matrix' must be a map of axes");
        return false;
    }
    definition->own = ins_arena_alloc(recipe->arena, (size_t)(matrix->n_items + 1) * sizeof *definition->own);
    if (!definition->own) {
        recipe_no_memory(diag);
        return false;
    }
    bool ok = true;
    for (int64_t i = 0; i < matrix->n_items; i++)
        ok = read_axis(recipe, matrix->items[i], &definition->own[definition->n_own++], diag) && ok;
    return ok;
}

/* The kind's row that takes the recipe's common probes, if it is one that trains a model. */
static bool takes_common_probes(const ins_stage *kind) {
    if (!kind->head.options || !kind->output || !strstr(kind->output, "model")) return false;
    for (const ins_opt_row *row = kind->head.options->rows; row->name; row++)
        if (strcmp(row->name, "probes") == 0 && row->type == INS_OPT_COMPONENTS && strcmp(row->choices, "probe") == 0)
            return true;
    return false;
}

/* "bpb near": what a probe measures under, to see that a stage replaces a common one. */
static const char *probe_label(ins_arena *arena, const ins_node *probe) {
    if (probe->kind == INS_NODE_SCALAR) return probe->text;
    const ins_node *kind = ins_node_get(probe, "kind"), *name = ins_node_get(probe, "name");
    if (!kind || kind->kind != INS_NODE_SCALAR) return "";
    if (!name || name->kind != INS_NODE_SCALAR) return kind->text;
    return ins_arena_printf(arena, "%s %s", kind->text, name->text);
}

static bool replaced_by_own(ins_arena *arena, const ins_node *common, const ins_node *own) {
    const char *label = probe_label(arena, common);
    for (int64_t i = 0; label && own && i < own->n_items; i++) {
        const char *other = probe_label(arena, own->items[i]);
        if (other && strcmp(label, other) == 0) return true;
    }
    return false;
}

/* Common probes go before the stage's own. `probes: []` means none at all. */
static bool merge_probes(ins_recipe *recipe, ins_definition *definition, ins_node *merged) {
    const ins_node *own = ins_node_get(merged, "probes");
    if (own && own->kind == INS_NODE_NULL) own = NULL;
    if (!recipe->probes || !takes_common_probes(definition->kind)) return true;
    if (own && (own->kind != INS_NODE_LIST || own->n_items == 0)) return true; /* other kinds: the parser complains */
    ins_node *list = ins_node_new(recipe->arena, INS_NODE_LIST, own ? own->pos : recipe->probes->pos);
    int64_t n_common = 0;
    for (int64_t i = 0; i < recipe->probes->n_items; i++) {
        if (replaced_by_own(recipe->arena, recipe->probes->items[i], own)) continue;
        if (!ins_node_append(recipe->arena, list, ins_node_clone(recipe->arena, recipe->probes->items[i])))
            return false;
        n_common++;
    }
    for (int64_t i = 0; own && i < own->n_items; i++)
        if (!ins_node_append(recipe->arena, list, ins_node_clone(recipe->arena, own->items[i]))) return false;
    definition->n_common = n_common;
    return ins_node_put(recipe->arena, merged, "probes", list);
}

static ins_node *merge_options(ins_recipe *recipe, const ins_definition *definition) {
    const ins_node *defaults = NULL; /* under the kind's name or an alias of it */
    for (int64_t i = 0; recipe->defaults && i < recipe->defaults->n_items; i++) {
        const ins_node *item = recipe->defaults->items[i];
        const ins_component *kind = ins_component_find(ins_family_find("stage"), item->key);
        if (item->kind == INS_NODE_MAP && kind == &definition->kind->head) defaults = item;
    }
    ins_node *merged = defaults ? ins_node_merge(recipe->arena, defaults, definition->node)
                                : ins_node_clone(recipe->arena, definition->node);
    if (merged) merged->pos = definition->pos; /* what is missing is missing at the stage's name */
    return merged;
}

/* Index of the value of axis `at` in combination `index`: the last axis turns fastest. */
static int64_t axis_choice(const ins_axis *axes, int64_t n_axes, int64_t at, int64_t index) {
    int64_t after = 1;
    for (int64_t i = at + 1; i < n_axes; i++) after *= axes[i].n;
    return index / after % axes[at].n;
}

/* The override of one axis, laid over the merged options. */
static ins_node *apply_axis(ins_recipe *recipe, ins_node *merged, const ins_axis *axis, int64_t choice,
                            ins_diag *diag) {
    ins_error err = {0};
    const ins_node *override = axis->override[choice];
    if (axis->labelled)
        return override->kind == INS_NODE_MAP ? ins_node_merge(recipe->arena, merged, override) : merged;
    ins_node *value = ins_node_clone(recipe->arena, override);
    if (!value) return NULL;
    if (ins_node_set_path(recipe->arena, merged, axis->name, value, &err) != INS_OK)
        ins_diag_add(diag, INS_RECIPE, axis->pos, NULL, "the axis '%s': %s", axis->name, err.text);
    else
        value->key_pos = axis->pos;
    return merged;
}

static void parse_variant(ins_recipe *recipe, const ins_definition *definition, ins_variant *variant, ins_diag *diag) {
    static const ins_opt_row no_rows[] = {{.name = NULL}};
    static const ins_opt_table empty = {"this kind of stage", no_rows, 1};
    const ins_opt_table *table = definition->kind->head.options ? definition->kind->head.options : &empty;
    const ins_node *seed = ins_node_get(variant->node, "seed");
    if (seed && seed->kind != INS_NODE_NULL) {
        variant->has_seed = recipe_seed_of(seed, &variant->seed);
        if (!variant->has_seed) RECIPE_PROBLEM(diag, seed->pos, NULL, "'seed' must be a whole number from 0");
    }
    void *options = ins_arena_alloc(recipe->arena, table->size ? table->size : 1);
    if (!options) {
        recipe_no_memory(diag);
        return;
    }
    /* After a problem the fields are zero or right, so references in them can still be looked at. */
    variant->options = options;
    bool ok = ins_opt_parse(table, variant->node, options, recipe->arena, recipe_engine_keys, diag);
    if (ok && definition->kind->head.check) definition->kind->head.check(options, definition->pos, diag);
}

static bool make_variant(ins_recipe *recipe, ins_definition *definition, int64_t index, ins_diag *diag) {
    ins_variant *variant = &definition->variants[index];
    ins_node *merged = merge_options(recipe, definition);
    variant->own_values = ins_arena_alloc(recipe->arena, (size_t)(definition->n_own + 1) * sizeof *variant->own_values);
    for (int64_t i = 0; i < definition->n_own && merged && variant->own_values; i++) {
        int64_t choice = axis_choice(definition->own, definition->n_own, i, index);
        variant->own_values[i] = definition->own[i].values[choice];
        merged = apply_axis(recipe, merged, &definition->own[i], choice, diag);
    }
    if (!merged || !variant->own_values || !merge_probes(recipe, definition, merged)) return false;
    variant->node = merged;
    parse_variant(recipe, definition, variant, diag);
    return true;
}

void recipe_make_variants(ins_recipe *recipe, ins_definition *definition, ins_diag *diag) {
    bool ok = read_matrix(recipe, definition, diag);
    if (!ok) definition->n_own = 0; /* the options are still checked, without the axes */
    int64_t n = 1;
    for (int64_t i = 0; i < definition->n_own; i++)
        if (__builtin_mul_overflow(n, definition->own[i].n, &n) || n > MAX_VARIANTS) {
            RECIPE_PROBLEM(diag, definition->pos, NULL, "the matrix of '%s' has more than %d combinations",
                           definition->name, MAX_VARIANTS);
            definition->n_own = 0;
            n = 1;
        }
    definition->variants = ins_arena_alloc(recipe->arena, (size_t)n * sizeof *definition->variants);
    if (!definition->variants) {
        recipe_no_memory(diag);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (!make_variant(recipe, definition, i, diag)) {
            recipe_no_memory(diag);
            return;
        }
        definition->n_variants++;
    }
}
