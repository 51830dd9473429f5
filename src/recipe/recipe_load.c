/* Top level of a recipe: keys, --set, seed, stage definitions. */
#include "recipe/recipe_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "format/yaml.h"

static const char *const top_keys[] = {"recipe", "seed", "summary", "defaults", "stages", "probes", "claims"};
#define N_TOP_KEYS ((int64_t)(sizeof top_keys / sizeof top_keys[0]))

void recipe_no_memory(ins_diag *diag) {
    ins_diag_add(diag, INS_NOMEM, (ins_pos){0}, NULL, "out of memory while reading the recipe");
}

const char *recipe_suggest(const char *nearest, char buf[160]) {
    buf[0] = '\0';
    if (nearest) snprintf(buf, 160, " (did you mean '%.120s'?)", nearest);
    return buf;
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool recipe_name_ok(const char *name) {
    if (!name || !name[0] || name[0] == '-') return false;
    for (const char *p = name; *p; p++)
        if (!name_char(*p)) return false;
    return strlen(name) <= 64;
}

const char *recipe_folder_name(ins_arena *arena, const char *name) {
    char *copy = ins_arena_strdup(arena, name);
    if (!copy) return NULL;
    bool changed = false;
    for (char *p = copy; *p; p++) {
        if (name_char(*p) || strchr("[]=,.+", *p)) continue;
        *p = '_';
        changed = true;
    }
    size_t len = strlen(copy);
    if (len > 200) copy[200] = '\0';
    if (!changed && len <= 200) return copy;
    return ins_arena_printf(arena, "%s-%08llx", copy,
                            (unsigned long long)(ins_hash64(name, strlen(name), 0) & 0xffffffffULL));
}

bool recipe_seed_of(const ins_node *node, uint64_t *seed) {
    if (!node || node->kind != INS_NODE_SCALAR || !node->text[0] || strlen(node->text) > 18) return false;
    if (node->text[0] == '0' && node->text[1]) return false;
    uint64_t value = 0;
    for (const char *p = node->text; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *seed = value;
    return true;
}

const char *recipe_nearest_stage(const ins_recipe *recipe, const char *name) {
    const char **names = ins_arena_alloc(recipe->arena, (size_t)(recipe->n_definitions + 1) * sizeof *names);
    if (!names) return NULL;
    for (int64_t i = 0; i < recipe->n_definitions; i++) names[i] = recipe->definitions[i].name;
    return ins_nearest_name(name, names, recipe->n_definitions);
}

/* A failure of a callee as an item of the list. */
static ins_status add_error(ins_diag *diag, const ins_error *err) {
    ins_pos pos = {err->file[0] ? err->file : NULL, err->line, err->col};
    ins_diag_add(diag, err->status, pos, err->hint[0] ? err->hint : NULL, "%s", err->text);
    return err->status;
}

static void set_positions(ins_node *node, ins_pos pos) {
    node->pos = node->key_pos = pos;
    for (int64_t i = 0; i < node->n_items; i++) set_positions(node->items[i], pos);
}

/* `a.b=c` laid over the tree. Messages about it later name the flag instead of a line. */
static void apply_set(ins_recipe *recipe, const char *text, ins_diag *diag) {
    ins_error err = {0};
    const char *equals = strchr(text, '=');
    const char *where = ins_arena_printf(recipe->arena, "--set %s", text);
    ins_pos pos = {where, 0, 0};
    if (!equals || equals == text) {
        ins_diag_add(diag, INS_USAGE, pos, "write it as --set stages.base.budget=1M", "'%s' is not NAME=VALUE", text);
        return;
    }
    char *path = ins_arena_strndup(recipe->arena, text, (size_t)(equals - text));
    ins_node *value = NULL;
    if (!path || !where) {
        recipe_no_memory(diag);
        return;
    }
    ins_status status = INS_OK;
    if (equals[1] == '\0')
        value = ins_node_new(recipe->arena, INS_NODE_NULL, pos);
    else
        status = ins_yaml_read_text(equals + 1, strlen(equals + 1), where, recipe->arena, &value, &err);
    if (status == INS_OK && value) {
        set_positions(value, pos);
        status = ins_node_set_path(recipe->arena, recipe->root, path, value, &err);
    }
    if (status != INS_OK) {
        ins_error_at(&err, pos);
        add_error(diag, &err);
    }
}

static void check_top_keys(const ins_recipe *recipe, ins_diag *diag) {
    char suggestion[160];
    for (int64_t i = 0; i < recipe->root->n_items; i++) {
        const ins_node *child = recipe->root->items[i];
        bool known = false;
        for (int64_t k = 0; k < N_TOP_KEYS; k++) known = known || strcmp(child->key, top_keys[k]) == 0;
        if (known) continue;
        const char *nearest = ins_nearest_name(child->key, top_keys, N_TOP_KEYS);
        RECIPE_PROBLEM(diag, child->key_pos,
                       nearest ? NULL : "a recipe has: recipe, seed, summary, defaults, stages, probes, claims",
                       "unknown key '%s' of the recipe%s", child->key, recipe_suggest(nearest, suggestion));
    }
}

static const char *text_key(const ins_recipe *recipe, const char *key, ins_diag *diag) {
    const ins_node *node = ins_node_get(recipe->root, key);
    if (!node || node->kind == INS_NODE_NULL) return NULL;
    if (node->kind == INS_NODE_SCALAR) return node->text;
    RECIPE_PROBLEM(diag, node->pos, NULL, "'%s' must be a text", key);
    return NULL;
}

/* File name without folder and suffix, for recipes that do not say their name. */
static const char *name_from_path(const ins_recipe *recipe) {
    char *name = ins_arena_strdup(recipe->arena, ins_path_base(recipe->path));
    if (!name) return NULL;
    char *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = '\0';
    for (char *p = name; *p; p++)
        if (!name_char(*p)) *p = '-';
    if (!recipe_name_ok(name)) return "recipe";
    return name;
}

static void read_head(ins_recipe *recipe, const ins_recipe_source *source, ins_diag *diag) {
    recipe->name = text_key(recipe, "recipe", diag);
    recipe->summary = text_key(recipe, "summary", diag);
    if (recipe->name && !recipe_name_ok(recipe->name)) {
        RECIPE_PROBLEM(diag, ins_node_get(recipe->root, "recipe")->pos,
                       "use letters, digits, _ and - : the name becomes a folder", "'%s' can't be the name of a recipe",
                       recipe->name);
        recipe->name = NULL;
    }
    if (!recipe->name) recipe->name = name_from_path(recipe);
    const ins_node *seed = ins_node_get(recipe->root, "seed");
    recipe->seed = 1;
    if (seed && seed->kind != INS_NODE_NULL && !recipe_seed_of(seed, &recipe->seed))
        RECIPE_PROBLEM(diag, seed->pos, NULL, "'seed' must be a whole number from 0");
    if (source->has_seed) recipe->seed = source->seed;
    recipe->probes = ins_node_get(recipe->root, "probes");
    if (recipe->probes && recipe->probes->kind == INS_NODE_NULL) recipe->probes = NULL;
    if (recipe->probes && recipe->probes->kind != INS_NODE_LIST) {
        RECIPE_PROBLEM(diag, recipe->probes->pos, "write one probe per line, each after '- '",
                       "'probes' must be a list");
        recipe->probes = NULL;
    }
}

static void check_defaults(ins_recipe *recipe, const ins_family *kinds, ins_diag *diag) {
    char suggestion[160];
    const ins_node *node = ins_node_get(recipe->root, "defaults");
    if (!node || node->kind == INS_NODE_NULL) return;
    if (node->kind != INS_NODE_MAP) {
        RECIPE_PROBLEM(diag, node->pos, "write kinds of stages with options under them", "'defaults' must be a map");
        return;
    }
    recipe->defaults = node;
    for (int64_t i = 0; i < node->n_items; i++) {
        const ins_node *item = node->items[i];
        if (!ins_component_find(kinds, item->key)) {
            RECIPE_PROBLEM(diag, item->key_pos, NULL, "unknown kind of stage '%s'%s", item->key,
                           recipe_suggest(ins_component_nearest(kinds, item->key), suggestion));
        } else if (item->kind != INS_NODE_MAP && item->kind != INS_NODE_NULL) {
            RECIPE_PROBLEM(diag, item->pos, NULL, "the defaults of '%s' must be a map of options", item->key);
        } else if (ins_node_get(item, "kind") || ins_node_get(item, "matrix")) {
            RECIPE_PROBLEM(diag, item->pos, NULL, "defaults can't have 'kind' or 'matrix'");
        }
    }
}

/* A stage without a kind may be a stage's name misspelt in --set. */
static const char *nearest_other(const ins_recipe *recipe, const ins_node *stages, const ins_node *self) {
    const char **names = ins_arena_alloc(recipe->arena, (size_t)(stages->n_items + 1) * sizeof *names);
    int64_t n = 0;
    for (int64_t i = 0; names && i < stages->n_items; i++)
        if (stages->items[i] != self) names[n++] = stages->items[i]->key;
    return names ? ins_nearest_name(self->key, names, n) : NULL;
}

static void read_definition(const ins_recipe *recipe, ins_definition *definition, const ins_family *kinds,
                            const ins_node *item, ins_diag *diag) {
    char suggestion[160];
    *definition = (ins_definition){.name = item->key, .pos = item->key_pos, .node = item};
    if (!recipe_name_ok(item->key))
        RECIPE_PROBLEM(diag, item->key_pos, "use letters, digits, _ and -", "'%s' can't be the name of a stage",
                       item->key);
    if (item->kind != INS_NODE_MAP) {
        RECIPE_PROBLEM(diag, item->pos, "give it a kind and options", "stage '%s' must be a map", item->key);
        return;
    }
    const ins_node *kind = ins_node_get(item, "kind");
    if (!kind || kind->kind != INS_NODE_SCALAR) {
        const char *other = nearest_other(recipe, ins_node_get(recipe->root, "stages"), item);
        RECIPE_PROBLEM(diag, kind ? kind->pos : item->key_pos, "see 'instar list stage'", "stage '%s' needs a kind%s",
                       item->key, recipe_suggest(other, suggestion));
        return;
    }
    definition->kind = (const ins_stage *)ins_component_find(kinds, kind->text);
    if (definition->kind) return;
    const char *nearest = ins_component_nearest(kinds, kind->text);
    RECIPE_PROBLEM(diag, kind->pos, nearest ? NULL : "see 'instar list stage'", "unknown kind of stage '%s'%s",
                   kind->text, recipe_suggest(nearest, suggestion));
}

static void read_definitions(ins_recipe *recipe, const ins_family *kinds, ins_diag *diag) {
    const ins_node *node = ins_node_get(recipe->root, "stages");
    if (!node || node->kind != INS_NODE_MAP || node->n_items == 0) {
        RECIPE_PROBLEM(diag, node ? node->pos : recipe->root->pos,
                       "a recipe needs 'stages:' with a map of named stages", "the recipe has no stages");
        return;
    }
    recipe->definitions = ins_arena_alloc(recipe->arena, (size_t)node->n_items * sizeof *recipe->definitions);
    if (!recipe->definitions) {
        recipe_no_memory(diag);
        return;
    }
    for (int64_t i = 0; i < node->n_items; i++)
        read_definition(recipe, &recipe->definitions[recipe->n_definitions++], kinds, node->items[i], diag);
}

/* One message per problem, however many variants have it. */
static void drop_repeated(ins_diag *diag) {
    int64_t kept = 0;
    for (int64_t i = 0; i < diag->n; i++) {
        const ins_error *item = &diag->items[i];
        bool seen = false;
        for (int64_t k = 0; k < kept && !seen; k++) {
            const ins_error *other = &diag->items[k];
            seen = item->line == other->line && item->col == other->col && strcmp(item->text, other->text) == 0 &&
                   strcmp(item->file, other->file) == 0;
        }
        if (!seen) diag->items[kept++] = diag->items[i];
    }
    diag->n = kept;
}

/* In the order of the file, so that a reader fixes from top to bottom; --set last, others where they came. */
static void sort_by_place(ins_diag *diag) {
    for (int64_t i = 1; i < diag->n; i++) {
        ins_error item = diag->items[i];
        int64_t at = i;
        while (at > 0 && strcmp(diag->items[at - 1].file, item.file) == 0 &&
               (diag->items[at - 1].line > item.line ||
                (diag->items[at - 1].line == item.line && diag->items[at - 1].col > item.col))) {
            diag->items[at] = diag->items[at - 1];
            at--;
        }
        diag->items[at] = item;
    }
}

static void load_tree(ins_recipe *recipe, const ins_recipe_source *source, ins_diag *diag) {
    const ins_family *kinds = ins_family_find("stage");
    for (int64_t i = 0; i < source->n_sets; i++) apply_set(recipe, source->sets[i], diag);
    check_top_keys(recipe, diag);
    read_head(recipe, source, diag);
    check_defaults(recipe, kinds, diag);
    read_definitions(recipe, kinds, diag);
    for (int64_t i = 0; i < recipe->n_definitions; i++)
        if (recipe->definitions[i].kind) recipe_make_variants(recipe, &recipe->definitions[i], diag);
    for (int64_t i = 0; i < recipe->n_definitions; i++)
        for (int64_t v = 0; v < recipe->definitions[i].n_variants; v++)
            recipe_collect_refs(recipe, &recipe->definitions[i], &recipe->definitions[i].variants[v], diag);
    int64_t *order = NULL;
    if (recipe_order(recipe, &order, diag)) recipe_expand(recipe, order, diag);
    ins_claims_parse(recipe, ins_node_get(recipe->root, "claims"), diag);
}

ins_status ins_recipe_load(const ins_recipe_source *source, ins_recipe **out, ins_diag *diag) {
    ins_error err = {0};
    ins_arena *arena = ins_arena_new(0);
    ins_recipe *recipe = arena ? ins_arena_alloc(arena, sizeof *recipe) : NULL;
    if (!recipe || !(recipe->path = ins_arena_strdup(arena, source->path))) {
        ins_arena_free(arena);
        recipe_no_memory(diag);
        return INS_NOMEM;
    }
    recipe->arena = arena;
    ins_status status =
        source->text ? ins_yaml_read_text(source->text, strlen(source->text), recipe->path, arena, &recipe->root, &err)
                     : ins_yaml_read_file(recipe->path, arena, &recipe->root, &err);
    if (status != INS_OK) {
        if (status != INS_NOMEM) err.status = INS_RECIPE; /* not there, a folder, too large: the name is wrong */
        add_error(diag, &err);
    } else if (!recipe->root || recipe->root->kind != INS_NODE_MAP) {
        ins_pos start = {recipe->path, 1, 1};
        RECIPE_PROBLEM(diag, start, "start from 'instar init'", "a recipe must be a map");
    } else {
        load_tree(recipe, source, diag);
    }
    drop_repeated(diag);
    sort_by_place(diag);
    if (diag->n > 0) {
        status = diag->items[0].status;
        ins_arena_free(arena);
        return status;
    }
    *out = recipe;
    return INS_OK;
}

void ins_recipe_free(ins_recipe *recipe) {
    if (recipe) ins_arena_free(recipe->arena);
}

const ins_instance *ins_recipe_find(const ins_recipe *recipe, const char *name) {
    for (int64_t i = 0; i < recipe->n_instances; i++)
        if (strcmp(recipe->instances[i].name, name) == 0) return &recipe->instances[i];
    return NULL;
}

int64_t ins_definition_axis(const ins_definition *definition, const char *name) {
    for (int64_t i = 0; i < definition->n_axes; i++)
        if (strcmp(definition->axes[i].name, name) == 0) return i;
    return -1;
}
