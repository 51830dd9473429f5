/* Shared by the files that load a recipe. */
#ifndef INS_RECIPE_INTERNAL_H
#define INS_RECIPE_INTERNAL_H

#include "recipe/recipe.h"

/* Problem of a recipe. */
#define RECIPE_PROBLEM(diag, pos, hint, ...) ins_diag_add((diag), INS_RECIPE, (pos), (hint), __VA_ARGS__)
void recipe_no_memory(ins_diag *diag);

/* " (did you mean 'x'?)" or "". */
const char *recipe_suggest(const char *nearest, char buf[160]);
/* Letters, digits, _ and -, not starting with - : what names may be. */
bool recipe_name_ok(const char *name);
/* Text safe as one file name; a digest is added where characters had to change. */
const char *recipe_folder_name(ins_arena *arena, const char *name);
/* Whole number >= 0 of a scalar node. */
bool recipe_seed_of(const ins_node *node, uint64_t *seed);
/* Name of the stage nearest to `name`, or NULL. */
const char *recipe_nearest_stage(const ins_recipe *recipe, const char *name);

/* Keys of a stage that belong to the engine, NULL-ended. */
extern const char *const recipe_engine_keys[];

/* recipe_matrix.c: fills own axes and variants of a definition (options parsed). */
void recipe_make_variants(ins_recipe *recipe, ins_definition *definition, ins_diag *diag);

/* recipe_refs.c: collects the references of a variant; looks the stages up. */
void recipe_collect_refs(ins_recipe *recipe, const ins_definition *definition, ins_variant *variant, ins_diag *diag);

/* recipe_order.c: definitions with inputs first; false after a cycle (reported). order[n_definitions] in the arena. */
bool recipe_order(ins_recipe *recipe, int64_t **order, ins_diag *diag);

/* recipe_expand.c: axes of every definition, instances. */
void recipe_expand(ins_recipe *recipe, const int64_t *order, ins_diag *diag);

#endif
