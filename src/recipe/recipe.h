/* Recipes: from YAML to a list of stage instances with resolved options and inputs.
 *
 * Loading goes in four steps, each in its own file:
 *   recipe_load.c    top level, defaults, --set, seeds            -> definitions
 *   recipe_matrix.c  own axes of a definition                     -> variants (one set of parsed options each)
 *   recipe_refs.c    which options name other stages              -> references
 *   recipe_expand.c  order, inherited axes, inputs                -> instances, inputs before users
 * Every problem goes to one ins_diag with its place; later steps run as far as the earlier ones allow.
 */
#ifndef INS_RECIPE_RECIPE_H
#define INS_RECIPE_RECIPE_H

#include "recipe/claim.h"
#include "stage/stage.h"

#define INS_RECIPE_FORMAT                                                                                              \
    1 /* of the cache's folders and keys: bump when the engine itself changes what a stage leaves */

/* One axis of a matrix: `seed: [1, 2, 3]` or `arm: {with: {...}, without: {...}}`. */
typedef struct ins_axis {
    const char *name;
    const char **values;       /* as written: "1", "with" */
    const ins_node **override; /* per value: what is laid over the options; a scalar for list axes */
    bool labelled;             /* map form: override is a tree; list form: the value of the option `name` */
    int64_t n;
    ins_pos pos;
} ins_axis;

typedef struct ins_axis_pin {
    const char *axis, *value;
} ins_axis_pin;

/* "more[arm=with,seed=2]" taken apart. */
typedef struct ins_ref_text {
    const char *stage;
    ins_axis_pin *pins;
    int64_t n_pins;
} ins_ref_text;
/* false = malformed. Strings live in the arena. */
bool ins_ref_parse(const char *text, ins_arena *arena, ins_ref_text *out);

/* A place in parsed options that names another stage. */
typedef struct ins_recipe_ref {
    const char **slot;   /* the field that holds the text */
    const char *text;    /* as written */
    const char *path;    /* "data[0].tokens", for messages */
    const char *outputs; /* the row's unit: what the stage must give; NULL = anything */
    ins_pos pos;
    bool common; /* stands in the recipe's own list of probes */
    bool listed; /* one of a list of inputs: the stage tells them apart by name */
    ins_ref_text parts;
    int64_t definition; /* index of the stage it names; -1 when there is none (reported) */
} ins_recipe_ref;

/* A definition under one combination of its own axes. */
typedef struct ins_variant {
    const char **own_values; /* one per own axis */
    const ins_node *node;    /* everything merged */
    void *options;           /* parsed */
    bool has_seed;
    uint64_t seed;
    ins_recipe_ref *refs;
    int64_t n_refs, cap_refs;
    const char *files; /* what the kind says about outside files; NULL until asked */
} ins_variant;

/* `stages: NAME: {...}` as written. */
typedef struct ins_definition {
    const char *name;
    ins_pos pos; /* of the name */
    const ins_node *node;
    const ins_stage *kind;
    int64_t n_common; /* probes of the recipe's list at the head of its `probes` */
    ins_axis *own;
    int64_t n_own;
    ins_variant *variants;
    int64_t n_variants;
    ins_axis *axes; /* inherited ones first, then its own */
    int64_t n_axes;
    int64_t first_instance, n_instances;
} ins_definition;

/* What runs and is cached: a variant at one place of the inherited axes. */
typedef struct ins_instance {
    const char *name;   /* "chat[arm=with,seed=1]" */
    const char *folder; /* the same, safe as a file name */
    const ins_definition *definition;
    ins_variant *variant;
    const char **values; /* one per axis of the definition */
    uint64_t seed;
    int64_t *ref_instances;  /* instance that each reference of the variant means */
    int64_t *inputs;         /* distinct instances, in the order of the references */
    const char **input_refs; /* text of the first reference to each */
    int64_t n_inputs;
    /* by ins_recipe_keys */
    char key[65];
    const char *identity; /* canonical JSON that the key is the hash of */
} ins_instance;

typedef struct ins_recipe {
    ins_arena *arena;
    const char *path, *name, *summary;
    uint64_t seed;
    ins_node *root;         /* after --set */
    const ins_node *probes; /* the common list, or NULL */
    const ins_node *defaults;
    ins_definition *definitions;
    int64_t n_definitions;
    ins_instance *instances; /* inputs before users; definitions in document order where the graph allows */
    int64_t n_instances;
    ins_claim *claims;
    int64_t n_claims;
} ins_recipe;

typedef struct ins_recipe_source {
    const char *path;        /* file to read */
    const char *text;        /* or this text (path names it in messages); NULL = read the file */
    const char *const *sets; /* "stages.base.budget=1M" */
    int64_t n_sets;
    bool has_seed; /* --seed: replaces the recipe's */
    uint64_t seed;
} ins_recipe_source;

/* INS_OK, or the status of the first problem in diag (INS_RECIPE mostly; INS_IO when the file can't be read). */
ins_status ins_recipe_load(const ins_recipe_source *source, ins_recipe **out, ins_diag *diag);
void ins_recipe_free(ins_recipe *recipe); /* NULL is fine */

/* Fill key and identity of every instance. Asks stage kinds for the fingerprint of outside files, so it reads them. */
ins_status ins_recipe_keys(ins_recipe *recipe, const ins_log *log, ins_error *err);

/* Instance by its full name, or NULL. */
const ins_instance *ins_recipe_find(const ins_recipe *recipe, const char *name);
/* Resolved options of an instance as JSON; references as written. */
void ins_instance_options_json(const ins_instance *instance, ins_str *out);
/* Index of an axis of the definition, or -1. */
int64_t ins_definition_axis(const ins_definition *definition, const char *name);

/* Everything resolved, as YAML: RUN/recipe.lock.yaml. */
ins_status ins_recipe_lock_text(const ins_recipe *recipe, ins_str *out, ins_error *err);

#endif
