/* `claims:` of a recipe: keys, stages, seeds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "recipe/claim_internal.h"
#include "recipe/recipe_internal.h"

static const char *const claim_keys[] = {"id", "text", "metric", "relation", "than", "tolerance"};
#define N_CLAIM_KEYS ((int64_t)(sizeof claim_keys / sizeof claim_keys[0]))

static const char *const relation_words[] = {"<", "<=", ">", ">=", "=="};

const char *ins_relation_word(ins_relation relation) {
    return relation_words[relation];
}

const char *ins_verdict_word(ins_verdict verdict) {
    return verdict == INS_SHOWN ? "shown" : verdict == INS_WEAK ? "weak" : "not shown";
}

static const char *text_of(const ins_node *claim, const char *key, bool required, ins_diag *diag) {
    const ins_node *node = ins_node_get(claim, key);
    if (node && node->kind == INS_NODE_SCALAR && node->text[0]) return node->text;
    if (node && node->kind != INS_NODE_NULL)
        RECIPE_PROBLEM(diag, node->pos, NULL, "'%s' of a claim must be a text", key);
    else if (required)
        RECIPE_PROBLEM(diag, claim->pos, "a claim has: id, text, metric, relation, than, tolerance",
                       "the claim needs '%s'", key);
    return NULL;
}

static void check_keys(const ins_node *node, ins_diag *diag) {
    char suggestion[160];
    for (int64_t i = 0; i < node->n_items; i++) {
        bool known = false;
        for (int64_t k = 0; k < N_CLAIM_KEYS; k++) known = known || strcmp(node->items[i]->key, claim_keys[k]) == 0;
        if (known) continue;
        const char *nearest = ins_nearest_name(node->items[i]->key, claim_keys, N_CLAIM_KEYS);
        RECIPE_PROBLEM(diag, node->items[i]->key_pos, NULL, "unknown key '%s' of a claim%s", node->items[i]->key,
                       recipe_suggest(nearest, suggestion));
    }
}

static void read_relation(const ins_node *node, ins_claim *claim, ins_diag *diag) {
    const char *word = text_of(node, "relation", true, diag);
    const ins_node *tolerance = ins_node_get(node, "tolerance");
    if (!word) return;
    int found = -1;
    for (int i = 0; i < 5; i++)
        if (strcmp(word, relation_words[i]) == 0) found = i;
    if (strcmp(word, "=") == 0) found = INS_REL_EQ;
    if (found < 0)
        RECIPE_PROBLEM(diag, ins_node_get(node, "relation")->pos, NULL, "'%s' is not one of: < <= > >= ==", word);
    else
        claim->relation = (ins_relation)found;
    if (!tolerance || tolerance->kind == INS_NODE_NULL) return;
    bool ok = tolerance->kind == INS_NODE_SCALAR && ins_parse_float(tolerance->text, &claim->tolerance) &&
              claim->tolerance >= 0;
    if (!ok) RECIPE_PROBLEM(diag, tolerance->pos, NULL, "'tolerance' must be a number from 0");
    if (found >= 0 && found != INS_REL_EQ)
        RECIPE_PROBLEM(diag, tolerance->key_pos, NULL, "'tolerance' belongs to the relation ==");
}

static const ins_claim_expr *read_expr(ins_recipe *recipe, const ins_node *claim, const char *key, const char *text,
                                       claim_leaves *leaves, ins_diag *diag) {
    const char *problem = NULL;
    if (!text) return NULL;
    const ins_claim_expr *expr = claim_parse_expr(text, recipe->arena, leaves, &problem);
    if (!expr)
        RECIPE_PROBLEM(diag, ins_node_get(claim, key)->pos,
                       "a metric is written STAGE:NAME or STAGE[axis=value]:NAME, operators with "
                       "blanks around them",
                       "'%s' of the claim can't be read: %s", key, problem ? problem : "out of memory");
    return expr;
}

static bool is_pinned(const ins_claim_expr *leaf, const char *axis) {
    for (int64_t i = 0; i < leaf->stage.n_pins; i++)
        if (strcmp(leaf->stage.pins[i].axis, axis) == 0) return true;
    return false;
}

static void check_pins(const ins_claim_expr *leaf, const ins_definition *target, ins_pos pos, ins_diag *diag) {
    char suggestion[160];
    for (int64_t i = 0; i < leaf->stage.n_pins; i++) {
        const ins_axis_pin *pin = &leaf->stage.pins[i];
        int64_t at = ins_definition_axis(target, pin->axis);
        if (at < 0) {
            RECIPE_PROBLEM(diag, pos, NULL, "the stage '%s' has no axis '%s'", target->name, pin->axis);
            continue;
        }
        bool found = false;
        for (int64_t k = 0; k < target->axes[at].n; k++)
            found = found || strcmp(target->axes[at].values[k], pin->value) == 0;
        if (!found)
            RECIPE_PROBLEM(
                diag, pos, NULL, "the axis '%s' of '%s' has no value '%s'%s", pin->axis, target->name, pin->value,
                recipe_suggest(ins_nearest_name(pin->value, target->axes[at].values, target->axes[at].n), suggestion));
    }
}

/* The stage of a metric; every axis but `seed` must be pinned. */
static void resolve_leaf(ins_recipe *recipe, ins_claim_expr *leaf, ins_pos pos, ins_diag *diag) {
    char suggestion[160];
    for (int64_t i = 0; i < recipe->n_definitions; i++)
        if (strcmp(recipe->definitions[i].name, leaf->stage.stage) == 0) leaf->definition = i;
    if (leaf->definition < 0) {
        RECIPE_PROBLEM(diag, pos, NULL, "the claim names the stage '%s', which the recipe does not have%s",
                       leaf->stage.stage, recipe_suggest(recipe_nearest_stage(recipe, leaf->stage.stage), suggestion));
        return;
    }
    const ins_definition *target = &recipe->definitions[leaf->definition];
    if (recipe->n_instances == 0) return; /* axes are not known: something else is wrong with the recipe */
    check_pins(leaf, target, pos, diag);
    for (int64_t i = 0; i < target->n_axes; i++) {
        if (is_pinned(leaf, target->axes[i].name)) continue;
        if (strcmp(target->axes[i].name, "seed") == 0)
            leaf->per_seed = true;
        else
            RECIPE_PROBLEM(diag, pos, NULL, "the claim must pin the axis '%s' of '%s': write %s[%s=%s]:%s",
                           target->axes[i].name, target->name, target->name, target->axes[i].name,
                           target->axes[i].values[0], leaf->metric);
    }
}

static bool has_value(const ins_axis *axis, const char *value) {
    for (int64_t i = 0; i < axis->n; i++)
        if (strcmp(axis->values[i], value) == 0) return true;
    return false;
}

/* Seeds that every stage with a free seed axis has. */
static void find_seeds(ins_recipe *recipe, ins_claim *claim, const claim_leaves *leaves, ins_diag *diag) {
    bool first = true;
    for (int64_t i = 0; i < leaves->n; i++) {
        if (!leaves->items[i]->per_seed) continue;
        const ins_definition *target = &recipe->definitions[leaves->items[i]->definition];
        const ins_axis *axis = &target->axes[ins_definition_axis(target, "seed")];
        if (first) {
            claim->seeds = ins_arena_alloc(recipe->arena, (size_t)axis->n * sizeof *claim->seeds);
            if (!claim->seeds) {
                recipe_no_memory(diag);
                return;
            }
            for (int64_t k = 0; k < axis->n; k++) claim->seeds[claim->n_seeds++] = axis->values[k];
        }
        int64_t kept = 0;
        for (int64_t k = 0; k < claim->n_seeds; k++)
            if (has_value(axis, claim->seeds[k])) claim->seeds[kept++] = claim->seeds[k];
        claim->n_seeds = kept;
        first = false;
    }
    if (!first && claim->n_seeds == 0)
        RECIPE_PROBLEM(diag, claim->pos, "give the stages the same seeds",
                       "the stages of the claim '%s' have no seed in common", claim->id);
}

static void read_claim(ins_recipe *recipe, const ins_node *node, ins_diag *diag) {
    ins_claim *claim = &recipe->claims[recipe->n_claims];
    claim_leaves leaves = {.n = 0};
    *claim = (ins_claim){.pos = node->pos};
    if (node->kind != INS_NODE_MAP) {
        RECIPE_PROBLEM(diag, node->pos, NULL, "a claim must be a map");
        return;
    }
    check_keys(node, diag);
    claim->id = text_of(node, "id", true, diag);
    claim->text = text_of(node, "text", false, diag);
    if (!claim->text) claim->text = claim->id;
    claim->metric_text = text_of(node, "metric", true, diag);
    claim->than_text = text_of(node, "than", true, diag);
    read_relation(node, claim, diag);
    claim->metric = read_expr(recipe, node, "metric", claim->metric_text, &leaves, diag);
    int64_t n_metric = leaves.n;
    claim->than = read_expr(recipe, node, "than", claim->than_text, &leaves, diag);
    int64_t before = diag->n;
    for (int64_t i = 0; i < leaves.n; i++)
        resolve_leaf(recipe, leaves.items[i], ins_node_get(node, i < n_metric ? "metric" : "than")->pos, diag);
    for (int64_t i = 0; i < recipe->n_claims && claim->id; i++)
        if (strcmp(recipe->claims[i].id, claim->id) == 0)
            RECIPE_PROBLEM(diag, ins_node_get(node, "id")->pos, NULL, "two claims have the id '%s'", claim->id);
    if (!claim->id) return;
    if (diag->n == before && recipe->n_instances > 0) find_seeds(recipe, claim, &leaves, diag);
    recipe->n_claims++;
}

void ins_claims_parse(ins_recipe *recipe, const ins_node *node, ins_diag *diag) {
    if (!node || node->kind == INS_NODE_NULL) return;
    if (node->kind != INS_NODE_LIST) {
        RECIPE_PROBLEM(diag, node->pos, "start each claim with '- id: ...'", "'claims' must be a list");
        return;
    }
    recipe->claims = ins_arena_alloc(recipe->arena, (size_t)(node->n_items + 1) * sizeof *recipe->claims);
    if (!recipe->claims) {
        recipe_no_memory(diag);
        return;
    }
    for (int64_t i = 0; i < node->n_items; i++) read_claim(recipe, node->items[i], diag);
}
