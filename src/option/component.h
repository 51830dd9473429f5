/* The head that every component descriptor starts with, and families (all components of one sort).
 *
 * A family's descriptor struct begins with `ins_component head`, so a pointer to it is a pointer to the head.
 * Registration: one line in src/registry.def; the family's *_registry.c turns its lines into a list. Families are found
 * through a function table that src/registry.c fills (link-time, const).
 */
#ifndef INS_OPTION_COMPONENT_H
#define INS_OPTION_COMPONENT_H

#include "option/option.h"

struct ins_component {
    const char *family;           /* "objective" */
    const char *name;             /* "clm": equals the file's stem after the prefix */
    const char *aliases;          /* space-separated or NULL */
    const char *summary;          /* one sentence */
    const char *paper;            /* "Title (authors, year)" or NULL */
    int version;                  /* enters the cache hash: bump when results change */
    const ins_opt_table *options; /* NULL = none */
    /* Cross-field rules after parsing; may be NULL. */
    void (*check)(const void *options, ins_pos pos, ins_diag *diag);
};

typedef struct ins_family {
    const char *name;    /* "objective" */
    const char *summary; /* what this family is, one sentence */
    const ins_component *const *items;
    int64_t n;
} ins_family;

/* Defined in src/registry.c, ended by NULL. The option room only declares it: lookups by family name need it. */
extern const ins_family *const ins_families[];

const ins_family *ins_family_find(const char *name);                            /* NULL if none */
const ins_component *ins_component_find(const ins_family *f, const char *name); /* by name or alias; NULL if none */
const char *ins_component_nearest(const ins_family *f, const char *name);       /* for "did you mean"; may be NULL */

/* A component as a recipe gives it: `name`, or `{kind: name, ...options}`; node NULL or null = `def`, a component's
 * name (NULL = none: out->desc is NULL). `skip`: keys of the map that the owner handles itself. Problems go to diag,
 * with the nearest name; the component's `check` runs when its options are clean. False if anything was wrong. `pos` is
 * the place to report when node is NULL. */
bool ins_component_parse(const ins_family *family, const ins_node *node, const char *def, const char *const *skip,
                         ins_pos pos, ins_arena *arena, ins_opt_component *out, ins_diag *diag);

/* {"kind":..,"version":..,options}, as in ins_opt_to_json; desc NULL gives null. */
void ins_component_to_json(const ins_opt_component *component, bool for_hash, ins_str *out);

/* JSON Schema of "any component of this family". */
void ins_family_json_schema(const ins_family *family, ins_str *out);

#endif
